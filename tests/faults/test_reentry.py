"""Whoever comes between: signal handlers, threads and a close in the middle of a write or a flush."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.agents import Agent, agent, new_journal, settings, step_body, thought
from tests.support.journal import ACKNOWLEDGED, REFUSED, TRIED, Journal
from tests.support.ledger import History, Ledger, drain
from tests.support.nursery import until

from stepstream.settings import Durability, Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.frame import FrameKind
from stepstream.store import hosting
from stepstream.store.election import read_status

if TYPE_CHECKING:
    from tests.support.nursery import Nursery

pytestmark = pytest.mark.fault


def log_between(database: str, journal: str, other: str, options: str) -> None:
    """Log in the main line and in a signal handler that comes every half millisecond, each its own steps."""
    writer = Agent(Path(database), Journal(Path(journal)), Settings.model_validate_json(options))
    said, numbers = Journal(Path(other)), iter(range(400))
    within: list[int] = []

    def interrupt(_signal: int, _frame: object) -> None:
        # On a disk that is slower than the timer, handlers interrupt handlers without end.
        number = None if len(within) > 20 else next(numbers, None)
        if number is None:
            return
        within.append(number)
        said.note(number, TRIED)
        body = step_body(writer.episode, thought(said.name, number, 50))
        if writer.recorder.append(FrameKind.STEP, body):
            said.note(number, ACKNOWLEDGED)
        within.pop()

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    deadline = time.monotonic() + 20
    while said.tried < 400 and time.monotonic() < deadline and writer.number < 20_000:
        writer.log(300)
    signal.setitimer(signal.ITIMER_REAL, 0)
    writer.close()
    writer.journal.note_end()


@pytest.mark.parametrize("durability", Durability)
def test_a_signal_handler_may_log_at_any_moment(
    tmp_path: Path, nursery: Nursery, durability: Durability
) -> None:
    """A handler that logs in the middle of a write, a rotation or a flush neither hangs nor loses a step."""
    options = settings(segment_bytes_max=16 * 1024, durability=durability.value).model_dump_json()
    journal, other = new_journal(tmp_path, "main", 20_001), new_journal(tmp_path, "handler", 401)
    database = str(tmp_path / "history.db")
    child = nursery.bear(f"{__name__}:log_between", database, str(journal.path), str(other.path), options)
    child.finish()

    assert journal.ended
    assert other.tried == 400
    drain(tmp_path)
    history = History(tmp_path / "history.db")
    stored = {
        name: [int(text.split(" ")[1]) for text in texts] for name, texts in _by_speaker(history).items()
    }
    for each in (journal, other):
        # A handler may come between the beginning of another handler and its write, and is first then.
        assert sorted(stored[each.name]) == each.numbers(ACKNOWLEDGED)
    assert stored["main"] == sorted(stored["main"])
    assert {loss.reason for loss in history.losses()} <= {"refused"}


def _by_speaker(history: History) -> dict[str, list[str]]:
    spoken: dict[str, list[str]] = {}
    for row in history.rows:
        if row.kind == "thought":
            text = str(row.payload["text"])
            spoken.setdefault(text.split(" ", 1)[0], []).append(text)
    return spoken


@pytest.mark.parametrize("durability", Durability)
def test_closing_while_others_log_loses_nothing_they_were_told(
    tmp_path: Path, rounds: int, durability: Durability
) -> None:
    """A recorder that is closed under the hands of threads refuses what comes later and keeps what came before."""
    told: dict[str, list[int]] = {}
    for attempt in range(15 * rounds):
        writer = agent(tmp_path, f"agent-{attempt}", 10, durability=durability.value)

        def log(name: str, writer: Agent = writer) -> None:
            told[name] = []
            for number in range(10_000):
                body = step_body(writer.episode, thought(name, number, 50))
                if not writer.recorder.append(FrameKind.STEP, body):
                    return
                told[name].append(number)

        names = [f"thread-{attempt}-{number}" for number in range(3)]
        threads = [threading.Thread(target=log, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        until(lambda names=names: all(told.get(name) for name in names), "every thread logs")
        writer.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()

    drain(tmp_path)
    spoken = _by_speaker(History(tmp_path / "history.db"))
    for name, numbers in told.items():
        assert {int(text.split(" ")[1]) for text in spoken[name]} >= set(numbers)
        assert len(spoken[name]) <= len(numbers) + 1


def test_what_no_segment_could_take_is_named_when_there_is_one(tmp_path: Path) -> None:
    """Steps refused before there was any segment are named by the segment that the recorder leaves behind."""
    with agent(tmp_path, "agent", 100) as writer:
        writer.spool.path.rename(tmp_path / "away")
        (tmp_path / "history.db-spool").write_text("in the way")
        writer.log_many(5)
        assert writer.recorder.refused == 5
        (tmp_path / "history.db-spool").unlink()
        (tmp_path / "away").rename(writer.spool.path)

    drain(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.check()
    assert writer.journal.numbers(REFUSED) == list(range(5))
    assert ledger.named(ledger.accounts["agent"], "refused") == set(range(5))


def test_trouble_of_the_database_brings_no_committer_into_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is damaged committers are started as processes, never as a thread of the agent's."""
    with agent(tmp_path, "first", 100) as writer:
        writer.log_many(20)
    drain(tmp_path)
    database = tmp_path / "history.db"
    os.truncate(database, database.stat().st_size // 2)
    with agent(tmp_path, "second", 100) as writer:
        writer.log_many(5)
    monkeypatch.setattr(hosting, "_START_INTERVAL_S", 0.01)
    spool = SpoolDirectory(database)
    options = settings(committer="process", linger_s=0.1)
    for _ in range(6):
        status = read_status(spool)
        beat = 0 if status is None else status.beat
        hosting.ensure_committer(database, spool, options)
        until(lambda beat=beat: _beat(spool) > beat, "a process says something")

    assert database not in hosting._threads
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    until(lambda: not spool.segment_names(), "a process that was started stores what waits")
    spool.close()
    ledger = Ledger(tmp_path, [Journal(tmp_path / "journals" / "second.journal")])
    ledger.check()


def _beat(spool: SpoolDirectory) -> int:
    status = read_status(spool)
    return 0 if status is None else status.beat
