"""One committer at a time, whatever becomes of it: stopped and woken, its lock file deleted, its office usurped."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.agents import agent, new_journal, settings
from tests.support.journal import ACKNOWLEDGED
from tests.support.ledger import Ledger, drain
from tests.support.nursery import until

from stepstream.errors import NotADatabase
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory
from stepstream.store.election import read_status
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.journal import Journal
    from tests.support.nursery import Child, Nursery

pytestmark = pytest.mark.fault


class Office:
    """Agents at work on a history and the committers that stand for it."""

    def __init__(self, place: Path, nursery: Nursery) -> None:
        self.place = place
        self.database = place / "history.db"
        self._nursery = nursery
        self.spool = SpoolDirectory(self.database)
        self.told: list[Journal] = []
        self._agents: list[Child] = []

    def hire(self, rate: float = 300) -> None:
        """Start an agent."""
        journal = new_journal(self.place, f"agent-{len(self.told)}")
        self.told.append(journal)
        self._agents.append(
            self._nursery.bear(
                "tests.support.agents:log_steps",
                str(self.database),
                str(journal.path),
                settings(segment_bytes_max=64 * 1024).model_dump_json(),
                journal.room,
                rate,
                200,
            )
        )

    def candidate(self, linger_s: float = 60.0) -> Child:
        """Start a process that stands for the office."""
        return self._nursery.bear(
            "tests.support.agents:commit", str(self.database), settings().model_dump_json(), linger_s
        )

    def holder(self) -> int | None:
        """Who said last that it commits."""
        status = read_status(self.spool)
        return None if status is None or not status.is_fresh() else status.pid

    def await_successor(self, candidate: Child | None = None) -> Child:
        """Wait until a candidate holds the office; as agents do, start another where one saw no chance."""
        candidates = [candidate] if candidate is not None else []

        def holds() -> bool:
            if not candidates or candidates[-1].has_ended():
                candidates.append(self.candidate())
            return self.holder() == candidates[-1].pid

        until(holds, "a successor holds the office")
        return candidates[-1]

    def stored(self) -> int:
        """How many steps the history holds."""
        try:
            connection = open_reader(self.database)
        except (FileNotFoundError, NotADatabase):
            return 0
        try:
            return int(connection.execute("SELECT count(*) FROM step WHERE kind = 'thought'").get)
        finally:
            connection.close()

    def acknowledged(self) -> int:
        """How many steps the agents were told are recorded."""
        return sum(journal.fates().count(ACKNOWLEDGED) for journal in self.told)

    def await_stored(self) -> None:
        """Wait until what is acknowledged now is stored."""
        wanted = self.acknowledged()
        try:
            until(lambda: self.stored() >= wanted, f"{wanted} steps are stored")
        except AssertionError as late:
            raise AssertionError(
                f"{late}; {self.stored()} are; the committer says {read_status(self.spool)}"
            ) from late

    def may_be_written(self) -> bool:
        """Whether nobody is in the middle of a transaction."""
        connection = apsw.Connection(os.fspath(self.database))
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except apsw.BusyError:
            return False
        else:
            return True
        finally:
            connection.close()

    def stop_between_transactions(self, child: Child) -> None:
        """Stop a committer where it holds no lock of the database: there nobody could take over, by no means."""

        def stopped() -> bool:
            if child.stopped_outside(self.may_be_written):
                return True
            child.signal(signal.SIGCONT)
            return False

        until(stopped, "a committer is stopped between two transactions")

    def close(self) -> None:
        """End the agents as kill -9 does."""
        for child in self._agents:
            child.kill()
        self.spool.close()


@pytest.fixture
def office(tmp_path: Path, nursery: Nursery) -> Iterator[Office]:
    """Two agents at work, and nobody who commits yet."""
    office = Office(tmp_path, nursery)
    for _ in range(2):
        office.hire()
    yield office
    office.close()


def settle(office: Office, *committers: Child) -> Ledger:
    """End everybody, commit the rest and check the ledger."""
    office.close()
    for child in committers:
        child.signal(signal.SIGCONT)
        child.kill()
    drain(office.place)
    ledger = Ledger(office.place)
    ledger.check()
    ledger.check_budget()
    assert ledger.history.losses() == []
    return ledger


def test_a_stopped_committer_is_replaced_and_fenced_when_it_wakes(office: Office, rounds: int) -> None:
    """When the committer is stopped another takes over, and the one that wakes doubles nothing."""
    first, second = office.await_successor(), None
    office.await_stored()
    for _ in range(2 * rounds):
        office.stop_between_transactions(first)
        second = office.await_successor(second)
        office.await_stored()

        first.signal(signal.SIGCONT)
        office.await_stored()
        until(lambda: office.holder() is not None, "somebody holds the office")
        if office.holder() == second.pid:
            first, second = second, first

    settle(office, first, second)


def test_a_committer_stopped_at_random_under_load_doubles_nothing(office: Office, rounds: int) -> None:
    """Whatever a committer was doing when it was stopped, all is stored once after it is woken."""
    committers = [office.candidate()]
    office.await_stored()
    for _ in range(4 * rounds):
        committers.append(office.candidate())
        chosen = random.choice([child for child in committers if not child.has_ended()])
        chosen.signal(signal.SIGSTOP)
        asleep = time.monotonic() + random.uniform(0.1, 1.5)
        until(lambda asleep=asleep: time.monotonic() > asleep, "it sleeps for a while")
        chosen.signal(signal.SIGCONT)
        office.await_stored()

    settle(office, *committers)


def test_a_lock_file_deleted_while_it_is_held_makes_no_second_committer(office: Office, rounds: int) -> None:
    """Deleting the lock file again and again lets committers follow each other, never work beside each other."""
    committers = [office.candidate(), office.candidate()]
    until(lambda: office.holder() is not None, "somebody holds the office")
    for _ in range(5 * rounds):
        (office.place / "history.db-spool" / COMMITTER_LOCK).unlink(missing_ok=True)
        committers.append(office.candidate())
        office.await_stored()

    settle(office, *committers)


def test_every_candidate_but_one_ends(tmp_path: Path, nursery: Nursery) -> None:
    """Of many committers that are started at once on an empty directory one works and the others end."""
    with agent(tmp_path, "agent", 100) as writer:
        options = settings().model_dump_json()
        started = [
            nursery.bear("tests.support.agents:commit", str(writer.database), options, 1.0) for _ in range(8)
        ]
        writer.log_many(50)
        until(lambda: sum(not child.has_ended() for child in started) == 1, "all candidates but one end")
    for child in started:
        child.finish()

    Ledger(tmp_path).check()


def test_a_committer_that_finds_the_database_held_waits_for_it(tmp_path: Path, nursery: Nursery) -> None:
    """A committer started while somebody else holds the write lock neither ends nor loses what waits."""
    with agent(tmp_path, "first", 100) as writer:
        writer.log_many(5)
    drain(tmp_path)
    with agent(tmp_path, "second", 100) as writer:
        writer.log_many(5)
    holder = apsw.Connection(os.fspath(tmp_path / "history.db"))
    holder.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    holder.execute("BEGIN IMMEDIATE")
    child = nursery.bear(
        "tests.support.agents:commit", str(writer.database), settings().model_dump_json(), 0.5
    )
    spool = SpoolDirectory(writer.database)

    def is_told() -> bool:
        status = read_status(spool)
        return child.has_ended() or (
            status is not None and status.pid == child.pid and "Busy" in status.state
        )

    until(is_told, "the committer says that the database is held")
    asked = time.monotonic() + 0.5
    until(lambda: time.monotonic() > asked or child.has_ended(), "it goes on trying")
    assert not child.has_ended()

    holder.execute("ROLLBACK")
    holder.close()
    child.finish()
    spool.close()
    Ledger(tmp_path).check()
