"""Waiting for what was logged: lengths of segments against what the table says is consumed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.errors import NotADatabase
from stepstream.reading.backlog import wait_until_committed, waiting_bytes
from stepstream.schemas.identity import NO_ID, new_id
from stepstream.schemas.kinds import Thought
from stepstream.settings import Settings
from stepstream.spool.clock import SystemClock
from stepstream.spool.directory import Identity, SpoolDirectory
from stepstream.spool.frame import FrameKind, encode_step
from stepstream.spool.recorder import Recorder
from stepstream.spool.segment import BLOCK_BYTES
from stepstream.store.committer import Committer

PATIENCE_S = 10.0
SETTINGS = Settings(disk_free_bytes_min=0, disk_free_percent_min=0.0)
EPISODE = new_id()


@pytest.fixture
def spool(database: Path) -> Iterator[SpoolDirectory]:
    directory = SpoolDirectory(database)
    directory.claim_identity(new_id())
    yield directory
    directory.close()


@pytest.fixture
def recorder(spool: SpoolDirectory) -> Iterator[Recorder]:
    recording = recorder_of(spool)
    yield recording
    recording.close()


@pytest.fixture
def committer(database: Path, spool: SpoolDirectory) -> Iterator[Committer]:
    committing = Committer(database, spool, SETTINGS)
    yield committing
    committing.close()


def recorder_of(spool: SpoolDirectory, database_id: bytes | None = None) -> Recorder:
    identity = spool.identity()
    assert identity is not None
    return Recorder(
        spool, database_id or identity.database_id, SETTINGS, SystemClock(), "0.1.0", on_check=lambda: None
    )


def log(recorder: Recorder, text: str = "x") -> None:
    payload = Thought(text=text).encoded()
    body = encode_step(new_id(), EPISODE, NO_ID, NO_ID, 0, 1, 0, b"thought", b"planner", b"", payload)
    assert recorder.append(FrameKind.STEP, body)


def segment(spool: SpoolDirectory) -> Path:
    (name,) = spool.segment_names()
    return spool.path / name


def test_nothing_logged_is_nothing_to_wait_for(database: Path, spool: SpoolDirectory) -> None:
    """Without a segment, and without a database, everything is committed."""
    assert wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) == 0


def test_what_is_committed_is_not_waited_for(
    database: Path, spool: SpoolDirectory, recorder: Recorder, committer: Committer
) -> None:
    """Before the commit the wait times out, after it there is nothing to wait for."""
    log(recorder)
    assert not wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) == segment(spool).stat().st_size - BLOCK_BYTES

    committer.work()

    assert wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) == 0


def test_a_commit_ends_the_wait(
    database: Path, spool: SpoolDirectory, recorder: Recorder, committer: Committer
) -> None:
    """Whoever waits is woken by the commit."""
    log(recorder)
    committing = threading.Timer(0.1, committer.work)
    committing.start()

    assert wait_until_committed(database, spool, PATIENCE_S)
    committing.join()


def test_later_appends_do_not_prolong_the_wait(
    database: Path, spool: SpoolDirectory, recorder: Recorder, committer: Committer
) -> None:
    """Only what stood in the segments at the call is waited for."""
    log(recorder)
    done = threading.Event()
    answers: list[bool] = []

    def wait() -> None:
        answers.append(wait_until_committed(database, spool, PATIENCE_S))
        done.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.05)
    while not done.wait(0.002):
        committer.work()
        log(recorder)
    waiting.join()

    assert answers == [True]
    assert waiting_bytes(database, spool) > 0


def test_steps_of_a_dead_process_count(database: Path, spool: SpoolDirectory, committer: Committer) -> None:
    """A segment whose owner is gone, with a torn end, is waited for until it is finished."""
    dead = recorder_of(spool)
    log(dead)
    dead._segment.close()
    with segment(spool).open("ab") as file:
        file.write(segment(spool).read_bytes()[BLOCK_BYTES:][:50])
    assert not wait_until_committed(database, spool, 0)
    committing = threading.Thread(target=_work_until_deleted, args=(committer, spool))
    committing.start()

    assert wait_until_committed(database, spool, PATIENCE_S)
    committing.join()
    assert wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) == 0


def _work_until_deleted(committer: Committer, spool: SpoolDirectory) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while spool.segment_names() and time.monotonic() < deadline:
        committer.work()
        time.sleep(0.002)


def test_a_removed_segment_is_no_success(database: Path, spool: SpoolDirectory, recorder: Recorder) -> None:
    """A segment that somebody removes before it is consumed makes the wait fail at once."""
    log(recorder)
    removing = threading.Timer(0.05, os.unlink, (segment(spool),))
    removing.start()
    began = time.monotonic()

    assert not wait_until_committed(database, spool, PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S / 2
    removing.join()


def test_other_databases_and_strange_files_are_left_out(
    database: Path, spool: SpoolDirectory, recorder: Recorder, committer: Committer
) -> None:
    """Segments of another database, links, pipes and files that are no segments are nobody's backlog here."""
    log(recorder)
    committer.work()
    foreign = recorder_of(spool, new_id())
    log(foreign)
    (spool.path / f"{new_id().hex()}.segment").write_bytes(b"no segment " * 1000)
    (spool.path / f"{new_id().hex()}.segment").symlink_to(segment_of(foreign, spool))
    os.mkfifo(spool.path / f"{new_id().hex()}.segment")

    assert wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) == 0
    foreign.close()


def segment_of(recorder: Recorder, spool: SpoolDirectory) -> Path:
    return spool.path / recorder._segment.name


def test_a_short_write_that_was_taken_back_is_not_waited_for(
    database: Path, spool: SpoolDirectory, recorder: Recorder, committer: Committer
) -> None:
    """When a full disk cut a frame short and its owner took it back, the shorter file is what counts."""
    log(recorder)
    whole = segment(spool).stat().st_size
    with segment(spool).open("ab") as file:
        file.write(b"half a frame")
    taking_back = threading.Timer(0.05, lambda: (os.truncate(segment(spool), whole), committer.work()))
    taking_back.start()

    assert wait_until_committed(database, spool, PATIENCE_S)
    taking_back.join()


def test_a_database_that_comes_later_is_looked_at(
    database: Path, spool: SpoolDirectory, recorder: Recorder
) -> None:
    """The wait starts before there is a database and ends with the one that is made meanwhile."""
    log(recorder)
    answers: list[bool] = []
    waiting = threading.Thread(
        target=lambda: answers.append(wait_until_committed(database, spool, PATIENCE_S))
    )
    waiting.start()
    time.sleep(0.05)
    committer = Committer(database, spool, SETTINGS)
    committer.work()
    waiting.join()
    committer.close()

    assert answers == [True]


def test_what_is_no_history_is_an_error(database: Path, spool: SpoolDirectory, recorder: Recorder) -> None:
    """Another program's database at the path is told, not waited for."""
    log(recorder)
    apsw.Connection(str(database)).execute("CREATE TABLE recipe (name TEXT)")

    with pytest.raises(NotADatabase):
        wait_until_committed(database, spool, PATIENCE_S)


def test_the_database_says_which_segments_are_its_own(database: Path, spool: SpoolDirectory) -> None:
    """Where the spool was last seen with another file, the id in the file at the path decides."""
    with HistoryBuilder(database) as builder:
        builder.episode()
    spool.set_identity(Identity(new_id(), 0, 0))
    own = recorder_of(spool, builder.store.database_id)
    log(own)

    assert not wait_until_committed(database, spool, 0)
    assert waiting_bytes(database, spool) > 0
    own.close()
