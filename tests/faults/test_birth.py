"""How a history begins, and how it can be hindered: half a database, half an identity, many at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support import tracer
from tests.support.agents import Agent, agent, new_journal, settings
from tests.support.ledger import Ledger, drain
from tests.support.tracer import Tracer

from stepstream.schemas.identity import new_id
from stepstream.spool.directory import SpoolDirectory
from stepstream.store import committer
from stepstream.store.sqlite.connection import open_writer
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from tests.support.nursery import Nursery

pytestmark = pytest.mark.fault

needs_tracing = pytest.mark.skipif(tracer.forbidden() is not None, reason=tracer.forbidden() or "")


def test_an_agent_that_comes_while_the_database_is_created_records(tmp_path: Path) -> None:
    """A file that its first committer has opened and not yet filled stops no agent."""
    first = agent(tmp_path, "first", 10)
    open_writer(tmp_path / "history.db").close()

    second = agent(tmp_path, "second", 10)
    for each in (first, second):
        each.log_many(3)
        each.close()

    drain(tmp_path)
    Ledger(tmp_path).check()


def test_an_agent_that_comes_while_a_committer_opens_agrees_with_it_on_the_database(tmp_path: Path) -> None:
    """A committer that is there first and an agent that comes in the middle of its opening share one database."""
    writers: list[Agent] = []

    class Interrupted(SqliteStore):
        """A store that an agent comes before, just when the database is about to be created."""

        def __init__(self, path: Path, expected_id: bytes | None = None, **options: int) -> None:
            writers.append(agent(tmp_path, "agent", 10))
            writers[0].log_many(3)
            super().__init__(path, expected_id, **options)

    real, committer.SqliteStore = committer.SqliteStore, Interrupted  # type: ignore[misc]
    spool = SpoolDirectory(tmp_path / "history.db")
    office = committer.Committer(tmp_path / "history.db", spool, settings())
    try:
        office.work()
    finally:
        committer.SqliteStore = real  # type: ignore[misc]
        office.close()
        spool.close()
    writers[0].log_many(3)
    writers[0].close()

    drain(tmp_path)
    Ledger(tmp_path).check()


def test_an_agent_that_comes_while_the_database_is_held_does_not_wait(tmp_path: Path) -> None:
    """Whoever holds a database that is not filled yet holds up no agent."""
    holder = apsw.Connection(str(tmp_path / "history.db"))
    holder.execute("PRAGMA user_version = 0")
    holder.execute("BEGIN EXCLUSIVE; CREATE TABLE half (made)")
    began = time.monotonic()
    with agent(tmp_path, "agent", 10) as writer:
        writer.log_many(3)
    took = time.monotonic() - began
    holder.execute("ROLLBACK")
    holder.close()

    drain(tmp_path)
    Ledger(tmp_path).check()
    assert took < 1


def test_agents_that_begin_at_once_agree_on_the_database(tmp_path: Path) -> None:
    """Whoever claims the identity of a spool first wins, and nobody else is turned away."""
    for attempt in range(20):
        database = tmp_path / f"{attempt}.db"
        spools = [SpoolDirectory(database) for _ in range(8)]
        found: list[bytes] = []
        barrier = threading.Barrier(len(spools))

        def claim(
            spool: SpoolDirectory, barrier: threading.Barrier = barrier, found: list[bytes] = found
        ) -> None:
            barrier.wait()
            found.append(spool.claim_identity(new_id()).database_id)

        threads = [threading.Thread(target=claim, args=(spool,)) for spool in spools]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for spool in spools:
            spool.close()
        assert len(found) == len(spools)
        assert len(set(found)) == 1


@needs_tracing
def test_an_agent_killed_while_it_claims_the_identity_hinders_no_other(
    tmp_path: Path, nursery: Nursery
) -> None:
    """What a killed agent leaves of an identity does not keep the next one from recording."""
    journal = new_journal(tmp_path, "killed", 10)
    database, options = str(tmp_path / "history.db"), settings().model_dump_json()
    child = nursery.bear(
        "tests.support.agents:log_steps", database, str(journal.path), options, 5, 0.0, 100, traced=True
    )
    with Tracer(child, "unlinkat,unlink:signal=KILL:when=1", report=tmp_path / "strace") as strace:
        strace.wait()
    assert child.wait() < 0

    with agent(tmp_path, "next", 10) as after:
        after.log_many(3)

    drain(tmp_path)
    Ledger(tmp_path).check()


@pytest.mark.parametrize("left", [b"", b"0190b6f2", bytes(51)])
def test_an_identity_that_a_power_cut_emptied_is_replaced(tmp_path: Path, left: bytes) -> None:
    """A spool whose identity is unreadable takes steps all the same."""
    spool = SpoolDirectory(tmp_path / "history.db")
    spool.write("database", left)
    spool.close()

    with agent(tmp_path, "agent", 10) as writer:
        writer.log_many(3)

    drain(tmp_path)
    Ledger(tmp_path).check()
