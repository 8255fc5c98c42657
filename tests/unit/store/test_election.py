"""Elections: one holder, servers first, a broken lock noticed, and a status that can always be read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from stepstream.spool.clock import boot_id
from stepstream.spool.directory import COMMITTER_LOCK, SERVER_LOCK, STATUS, SpoolDirectory
from stepstream.store.election import (
    CommitterStatus,
    Election,
    Heartbeat,
    Lock,
    is_locked,
    read_status,
    somebody_commits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.rounds import Place


@pytest.fixture
def spool(place: Place) -> Iterator[SpoolDirectory]:
    spool = SpoolDirectory(place.database)
    yield spool
    spool.close()


def status(*, age_s: float = 0.0, state: str = "committing", boot: str | None = None) -> CommitterStatus:
    """What a committer says of itself."""
    return CommitterStatus(
        pid=os.getpid(),
        boot_id=boot or boot_id().hex(),
        beat=time.monotonic_ns() - int(age_s * 1e9),
        state=state,
        generation=3,
        cursor=4,
        waiting_bytes=5,
        log_bytes=6,
        release="0.1.0",
    )


def beat(spool: SpoolDirectory, told: CommitterStatus) -> None:
    """Write a status."""
    heartbeat = Heartbeat(spool)
    heartbeat.beat(told)
    heartbeat.close()


def test_one_is_elected(spool: SpoolDirectory) -> None:
    """Of two candidates the first is elected, and the second when the first has stepped down."""
    first, second = Election(spool), Election(spool)
    assert first.stand()
    assert first.stand()
    assert not second.stand()
    assert first.still_elected()
    first.step_down()
    assert second.stand()
    second.close()


def test_a_server_goes_first(spool: SpoolDirectory) -> None:
    """While a server stands nobody else is elected, and who holds the office gives it up."""
    ordinary, server = Election(spool), Election(spool, server=True)
    assert ordinary.stand()
    assert not server.stand()
    assert not ordinary.still_elected()
    ordinary.step_down()
    assert server.stand()
    assert not ordinary.stand()
    server.step_down()
    assert not ordinary.stand(), "the server keeps its place"
    server.close()
    assert ordinary.stand()
    ordinary.close()


def test_of_two_servers_one_waits(spool: SpoolDirectory) -> None:
    """A second server is not elected beside the first."""
    first, second = Election(spool, server=True), Election(spool, server=True)
    assert first.stand()
    assert not second.stand()
    assert first.still_elected()
    first.close()
    assert second.stand()
    second.close()


def test_a_removed_lock_file_is_noticed(spool: SpoolDirectory, place: Place) -> None:
    """Who holds a lock whose file was removed or replaced is not elected any more."""
    election = Election(spool)
    election.stand()
    (place.spool / COMMITTER_LOCK).unlink()
    assert not election.still_elected()
    (place.spool / COMMITTER_LOCK).touch()
    assert not election.still_elected()
    election.step_down()
    assert election.stand()
    assert election.still_elected()
    election.close()


def test_a_fork_does_not_hold_its_parents_lock(spool: SpoolDirectory) -> None:
    """A child neither holds the parent's lock nor frees it by letting go."""
    lock = Lock(spool, COMMITTER_LOCK)
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        held = lock.held
        lock.release()
        os._exit(int(held))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.held
    assert is_locked(spool, COMMITTER_LOCK)
    lock.release()
    assert not is_locked(spool, COMMITTER_LOCK)


def test_asking_disturbs_nobody(spool: SpoolDirectory, place: Place) -> None:
    """Asking whether a lock is held makes no file and takes no lock."""
    assert not is_locked(spool, COMMITTER_LOCK)
    assert not (place.spool / COMMITTER_LOCK).exists()
    lock = Lock(spool, COMMITTER_LOCK)
    for _ in range(10):
        assert not is_locked(spool, COMMITTER_LOCK)
    assert lock.acquire()
    lock.release()


def test_a_stopped_holder_is_superseded(spool: SpoolDirectory) -> None:
    """A holder whose heart has stood still for a while that the candidate has watched loses the office."""
    holder, candidate = Lock(spool, COMMITTER_LOCK), Election(spool)
    holder.acquire()
    beat(spool, status(age_s=5))
    assert not candidate.stand(), "it has to watch for itself first"
    deadline = time.monotonic() + 5
    while not candidate.stand():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert candidate.still_elected()
    holder.release()
    assert candidate.still_elected()
    assert is_locked(spool, COMMITTER_LOCK), "the lock is the candidate's as soon as it is free"
    candidate.close()


def test_a_beating_heart_keeps_the_office(spool: SpoolDirectory) -> None:
    """A holder that beats, however slowly its beats come to us, is not superseded."""
    holder, candidate = Lock(spool, COMMITTER_LOCK), Election(spool)
    holder.acquire()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        beat(spool, status(age_s=0.9))
        assert not candidate.stand()
        time.sleep(0.05)
    holder.release()


def test_somebody_commits_when_locked_and_alive(spool: SpoolDirectory) -> None:
    """A lock and a fresh heartbeat together mean that somebody commits."""
    assert not somebody_commits(spool)
    lock = Lock(spool, COMMITTER_LOCK)
    lock.acquire()
    assert somebody_commits(spool), "elected a moment ago, without a word yet"
    beat(spool, status(age_s=2))
    assert not somebody_commits(spool)
    beat(spool, status())
    assert somebody_commits(spool)
    beat(spool, status(boot="00" * 16))
    assert not somebody_commits(spool)
    lock.release()
    beat(spool, status())
    assert not somebody_commits(spool)
    server = Lock(spool, SERVER_LOCK)
    server.acquire()
    assert somebody_commits(spool)
    server.release()


@pytest.mark.parametrize(
    "state", ["committing", "x" * 5_000, "ü" * 3_000, '"\\' * 2_000, "\n\0\x1f" * 900, "😀" * 900]
)
def test_any_state_can_be_read(spool: SpoolDirectory, state: str) -> None:
    """However long or strange a reason is, the status is whole, and so is the shorter one after it."""
    beat(spool, status(state=state))
    told = read_status(spool)
    assert told is not None
    assert state.startswith(told.state)
    assert len(told.state) >= min(len(state), 50)
    assert told.cursor == 4
    beat(spool, status(state="committing"))
    told = read_status(spool)
    assert told is not None
    assert told.state == "committing"


@pytest.mark.parametrize("text", [b"", b"{", b"\0" * 1024, b"[]", b"\xff" * 10, b'{"pid":1}'])
def test_a_garbled_status_says_nothing(spool: SpoolDirectory, place: Place, text: bytes) -> None:
    """A status that cannot be read is None, not an error."""
    (place.spool / STATUS).write_bytes(text)
    (place.spool / STATUS).chmod(0o600)

    assert read_status(spool) is None
