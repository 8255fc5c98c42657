"""Hosting: a committer is started where none is, never twice at once, and never in the agent's way."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.rounds import Pen, Place, Shelf, settings, stored_texts

from stepstream.schemas.identity import new_id
from stepstream.settings import Settings
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory
from stepstream.store import hosting
from stepstream.store.election import Lock, is_locked, read_status
from stepstream.store.hosting import (
    database_identity,
    ensure_committer,
    forget_after_fork,
    release_committer,
    start_process,
)
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def spool(place: Place) -> Iterator[SpoolDirectory]:
    spool = SpoolDirectory(place.database)
    yield spool
    release_committer(place.database)
    spool.close()


def wait(done: Callable[[], object], within_s: float = 15.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.005)


def test_the_first_one_decides_the_identity(place: Place, spool: SpoolDirectory) -> None:
    """Before there is a database the spool's identity counts, and it stays when the database has come."""
    assert database_identity(place.database, spool) == place.database_id
    store = SqliteStore(place.database, place.database_id)
    assert database_identity(place.database, spool) == place.database_id
    identity = spool.identity()
    assert identity is not None
    assert identity.inode == place.database.stat().st_ino
    store.close(clean=True)


def test_a_replaced_database_is_asked_who_it_is(place: Place, spool: SpoolDirectory, tmp_path: Path) -> None:
    """When another history stands at the path its own identity counts from then on."""
    other = new_id()
    SqliteStore(place.database, place.database_id).close(clean=True)
    database_identity(place.database, spool)
    SqliteStore(tmp_path / "other.db", other).close(clean=True)
    (tmp_path / "other.db").rename(place.database)

    assert database_identity(place.database, spool) == other
    assert database_identity(place.database, spool) == other


def test_a_removed_database_keeps_the_spools_identity(place: Place, spool: SpoolDirectory) -> None:
    """After the database was deleted the next one takes the spool's identity, so that segments fit it."""
    SqliteStore(place.database, place.database_id).close(clean=True)
    database_identity(place.database, spool)
    place.database.unlink()

    assert database_identity(place.database, spool) == place.database_id


def test_a_thread_commits_where_asked_to(place: Place, spool: SpoolDirectory) -> None:
    """With committer thread one thread of this process commits, however often it is asked for."""
    options = settings(committer="thread")
    pen = Pen(place)
    for number in range(5):
        ensure_committer(place.database, spool, options)
        pen.write(str(number))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("stepstream-committer") == 1
    pen.close()
    release_committer(place.database)

    assert Shelf(place.database).texts() == ["0", "1", "2", "3", "4"]
    assert "stepstream-committer" not in [thread.name for thread in threading.enumerate()]


def test_none_means_that_nobody_is_started(place: Place, spool: SpoolDirectory) -> None:
    """With committer none steps wait until somebody else commits."""
    ensure_committer(place.database, spool, settings())
    assert not is_locked(spool, COMMITTER_LOCK)
    assert not place.database.exists()


def test_a_process_is_started_and_ends_by_itself(place: Place, spool: SpoolDirectory) -> None:
    """A committer process of its own session drains, lingers and ends, and is nobody's child."""
    options = settings(committer="process", linger_s=0.3)
    pen = Pen(place)
    pen.write("0")
    began = time.monotonic()
    ensure_committer(place.database, spool, options)
    assert time.monotonic() - began < 2, "it is not waited for"
    wait(lambda: is_locked(spool, COMMITTER_LOCK))
    told: list[int] = []
    wait(lambda: (status := read_status(spool)) is not None and told.append(status.pid) is None)
    assert told[-1] != os.getpid()
    assert os.getsid(told[-1]) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(told[-1], os.WNOHANG)
    wait(lambda: stored_texts(place.database) == ["0"])
    pen.close()
    wait(lambda: not is_locked(spool, COMMITTER_LOCK))
    assert place.segments() == []
    with pytest.raises(ProcessLookupError):
        wait(lambda: os.kill(told[-1], 0) is not None)


def test_a_process_that_is_told_to_end_drains_first(place: Place, spool: SpoolDirectory) -> None:
    """SIGTERM makes a committer process commit what is there, and end."""
    start_process(place.database, settings(linger_s=60.0))
    wait(lambda: read_status(spool) is not None)
    status = read_status(spool)
    assert status is not None
    pen = Pen(place)
    for number in range(500):
        pen.write(str(number))
    pen.close()
    os.kill(status.pid, signal.SIGTERM)
    wait(lambda: not is_locked(spool, COMMITTER_LOCK))

    assert len(Shelf(place.database).texts()) == 500


def test_starts_are_not_repeated_at_once(
    place: Place, spool: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a start is under way nobody starts another one, however many ask."""
    started: list[Path] = []
    monkeypatch.setattr(hosting, "start_process", lambda database, _: started.append(database))
    for _ in range(20):
        ensure_committer(place.database, spool, settings(committer="process"))
    assert started == [place.database]


def test_starts_that_were_not_in_vain_do_not_count(
    place: Place, spool: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that needs a committer process many times in its life never falls back to a thread."""
    started: list[Path] = []
    monkeypatch.setattr(hosting, "start_process", lambda database, _: started.append(database))
    options = settings(committer="process")
    lock = Lock(spool, COMMITTER_LOCK)
    for _ in range(8):
        hosting._started_at.clear()
        ensure_committer(place.database, spool, options)
        lock.acquire()
        ensure_committer(place.database, spool, options)
        lock.release()
    assert len(started) == 8
    assert "stepstream-committer" not in [thread.name for thread in threading.enumerate()]


def test_where_no_process_starts_a_thread_does_it(
    place: Place, spool: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three starts in vain a thread of the agent commits."""
    monkeypatch.setattr(hosting, "start_process", lambda _database, _settings: None)
    options = settings(committer="process")
    pen = Pen(place)
    pen.write("0")
    pen.close()
    for _ in range(4):
        hosting._started_at.clear()
        ensure_committer(place.database, spool, options)
    wait(lambda: stored_texts(place.database) == ["0"])


def test_a_start_that_fails_is_told_and_not_raised(
    place: Place, spool: SpoolDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no process can be started, or the shell hangs, the agent hears of it in the log alone."""
    import subprocess

    def fail(_database: Path, _settings: Settings) -> None:
        raise subprocess.TimeoutExpired("sh", 5)

    monkeypatch.setattr(hosting, "start_process", fail)
    ensure_committer(place.database, spool, settings(committer="process"))

    assert "no committer could be started" in caplog.text


def test_a_fork_while_a_thread_starts_a_committer(place: Place, spool: SpoolDirectory) -> None:
    """A child that was forked while another thread held our lock sees to its own committer all the same."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with hosting._guard:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        forget_after_fork()
        with hosting._guard:
            os._exit(0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
