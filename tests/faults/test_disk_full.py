"""The disk is full, and has room again: refused steps are counted and named, recording goes on, nothing is torn."""

from __future__ import annotations

from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import tiny_disk
from tests.support.agents import Agent, settings
from tests.support.journal import ACKNOWLEDGED, REFUSED, Journal
from tests.support.ledger import Ledger, drain
from tests.support.nursery import until
from tests.support.tiny_disk import Filler, on_tiny_disk

from stepstream.errors import ArtifactRefused
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(150),
    pytest.mark.skipif(tiny_disk.forbidden() is not None, reason=tiny_disk.forbidden() or ""),
]

SMALL = {"segment_bytes_max": 64 * 1024, "log_sync_interval_ms": 5}


def agent_on(disk: Path, name: str = "agent", **options: str | float) -> Agent:
    """An agent on the small disk, whose journal lies beside it."""
    journal = Journal(disk.parent / f"{name}.journal", 50_000)
    return Agent(disk / "history.db", journal, settings(**{**SMALL, **options}))


class Works:
    """A committer in this process, driven between the agent's steps."""

    def __init__(self, disk: Path) -> None:
        self.spool = SpoolDirectory(disk / "history.db")
        self.committer = Committer(disk / "history.db", self.spool, settings(**SMALL))

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Make passes until something is so."""

        def work() -> bool:
            self.committer.work()
            return done()

        until(work, what)

    def close(self) -> None:
        """Leave the office."""
        self.committer.close()
        self.spool.close()


def log_until(writer: Agent, done: Callable[[], bool], what: str, padding: int = 900) -> None:
    """Log until something is so."""

    def log() -> bool:
        writer.log(padding)
        return done()

    until(log, what)


def check(disk: Path, writer: Agent, *, refusals: bool = True) -> None:
    """Everything acknowledged is stored, and the losses are exactly what was refused."""
    drain(disk)
    ledger = Ledger(disk, [writer.journal])
    ledger.check()
    ledger.check_budget()
    refused = set(writer.journal.numbers(REFUSED))
    assert ledger.named(ledger.accounts["agent"], "refused") == refused
    assert bool(refused) == refusals


def spool_runs_full(disk: Path) -> None:
    """Nobody commits; the agent fills the disk to the last byte, then there is room again."""
    writer, filler = agent_on(disk), Filler(disk)
    writer.log_many(20)
    filler.fill(leave_bytes=200_000)
    log_until(writer, lambda: writer.journal.fates().count(REFUSED) >= 50, "steps are refused")
    assert writer.recorder.refusal
    assert writer.recorder.refused == writer.journal.fates().count(REFUSED)
    filler.remove()
    known = writer.journal.fates().count(ACKNOWLEDGED)
    log_until(
        writer, lambda: writer.journal.fates().count(ACKNOWLEDGED) > known + 20, "steps are recorded again"
    )
    assert writer.recorder.refusal is None
    writer.close()
    check(disk, writer)


def database_runs_full(disk: Path) -> None:
    """The database cannot grow while the spool still takes steps; then there is room again."""
    writer, filler, works = agent_on(disk), Filler(disk), Works(disk)
    writer.log_many(50)
    works.until(lambda: works.committer.cursor >= 50, "the first steps are stored")
    # What is kept free for the spool stays free.
    filler.fill(leave_bytes=1_000_000)
    eater = disk / "eater"
    eater.write_bytes(b"")
    log_until(writer, lambda: writer.number >= 300, "many more are logged")
    filler.fill(leave_bytes=0)
    writer.journal.note_blocked(0)
    works.until(
        lambda: "Full" in works.committer.state or "full" in works.committer.state, "the database is full"
    )
    stored = works.committer.cursor
    filler.remove()
    works.until(
        lambda: works.committer.cursor > stored and works.committer.waiting_bytes() == 0, "all is stored"
    )
    writer.close()
    works.close()
    check(disk, writer, refusals=False)


def both_run_full(disk: Path) -> None:
    """Agent and committer work on a full disk for a while, again and again."""
    writer, filler, works = agent_on(disk), Filler(disk), Works(disk)
    for _ in range(3):
        filler.fill(leave_bytes=150_000)
        refused = writer.journal.fates().count(REFUSED)

        def log_and_work(least: int = refused + 20) -> bool:
            writer.log(900)
            works.committer.work()
            return writer.journal.fates().count(REFUSED) >= least

        until(log_and_work, "steps are refused")
        filler.remove()
        known = writer.journal.fates().count(ACKNOWLEDGED)
        log_until(
            writer,
            lambda known=known: writer.journal.fates().count(ACKNOWLEDGED) > known + 5,
            "there is room",
        )
        works.until(lambda: works.committer.elected and works.committer.waiting_bytes() == 0, "all is stored")
    writer.close()
    works.close()
    check(disk, writer)


def full_and_killed(disk: Path) -> None:
    """The agent dies while its steps are refused, so that nobody but its last segment can tell."""
    writer, filler = agent_on(disk), Filler(disk)
    writer.log_many(20)
    filler.fill()
    log_until(writer, lambda: writer.journal.fates().count(REFUSED) >= 30, "steps are refused")
    writer.crash()
    filler.remove()
    check(disk, writer)


def full_from_the_beginning(disk: Path) -> None:
    """There is no room for the first segment; what was refused before it is named all the same."""
    filler = Filler(disk)
    writer = agent_on(disk)
    filler.fill()
    writer.log_many(10)
    assert writer.recorder.refused == 10
    filler.remove()
    log_until(writer, lambda: ACKNOWLEDGED in writer.journal.fates(), "steps are recorded")
    writer.log_many(5)
    writer.close()
    check(disk, writer)


def bound_of_the_disk(disk: Path) -> None:
    """Steps are refused while less than the bound is free, and the rest of the disk is left to the agent."""
    writer, filler = agent_on(disk, disk_free_bytes_min=2 * 1024 * 1024), Filler(disk)
    writer.log_many(20)
    filler.fill(leave_bytes=2 * 1024 * 1024 + 50_000)
    log_until(writer, lambda: writer.journal.fates().count(REFUSED) >= 20, "steps are refused")
    filler.remove()
    known = writer.journal.fates().count(ACKNOWLEDGED)
    log_until(
        writer, lambda: writer.journal.fates().count(ACKNOWLEDGED) > known + 20, "steps are recorded again"
    )
    writer.close()
    check(disk, writer)


def bound_of_the_spool(disk: Path) -> None:
    """Steps are refused while the spool holds more than its bound, and recorded again once it was committed."""
    writer, works = agent_on(disk, spool_bytes_max=1024 * 1024), Works(disk)
    log_until(writer, lambda: writer.journal.fates().count(REFUSED) >= 20, "steps are refused")
    works.until(lambda: works.committer.elected and works.committer.waiting_bytes() == 0, "all is stored")
    works.until(lambda: len(works.spool.segment_names()) <= 1, "its segments are deleted")
    known = writer.journal.fates().count(ACKNOWLEDGED)
    log_until(
        writer, lambda: writer.journal.fates().count(ACKNOWLEDGED) > known + 20, "steps are recorded again"
    )
    writer.close()
    works.close()
    check(disk, writer)


def file_that_does_not_fit(disk: Path) -> None:
    """A file that the disk cannot hold is refused as one that it may hold later; nothing of it stays."""
    store = ArtifactStore(disk / "history.db", settings(disk_free_bytes_min=0))
    piece = bytes(1024 * 1024)
    for size in (1, 20 * len(piece)):
        with pytest.raises(ArtifactRefused) as refusal:
            store.take_in(repeat(piece, 20), sha256(piece * 20).hexdigest(), size)
        assert refusal.value.lacks_room
    with pytest.raises(ArtifactRefused) as refusal:
        store.take_in(repeat(piece, 2), sha256(b"").hexdigest(), 2 * len(piece))
    assert not refusal.value.lacks_room
    store.take_in(repeat(piece, 2), sha256(piece * 2).hexdigest(), 2 * len(piece))
    assert len([path for path in store.path.rglob("*") if path.is_file()]) == 1


SCENARIOS = [
    spool_runs_full,
    database_runs_full,
    both_run_full,
    full_and_killed,
    full_from_the_beginning,
    bound_of_the_disk,
    bound_of_the_spool,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_full_disk_costs_what_was_refused_and_nothing_else(
    tmp_path: Path, scenario: Callable[[Path], None]
) -> None:
    """Losses name exactly the steps that were refused, and recording goes on when there is room again."""
    on_tiny_disk(scenario, tmp_path, 12)


def test_a_file_that_the_disk_cannot_hold_is_refused_for_now(tmp_path: Path) -> None:
    """Whoever brings a file for which there is no room is told so, and not that his bytes are wrong."""
    on_tiny_disk(file_that_does_not_fit, tmp_path, 12)
