"""A state machine over recorders, committers, database faults and readers, against a list of what was logged.

Everything runs in one thread, so that each log call happens after the one before: what is stored must always
be exactly the first so many of the acknowledged steps, once each, however often anybody crashed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.support.rounds import Office, Pen, Place, Shelf, settings

from stepstream.errors import Busy, StoreError
from stepstream.store.batch import RowRefused
from stepstream.store.sqlite.connection import immediate, open_reader
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from stepstream.store.batch import Batch

SOAK = os.environ.get("STEPSTREAM_SOAK") == "1"

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3_600 if SOAK else 120)]

FAULTS = ("busy", "before", "inside", "after", "refused")


class FaultyStore(SqliteStore):
    """The engine, whose next transaction fails at a chosen point."""

    fault: str | None = None

    def append(self, batch: Batch, generation: int) -> None:
        fault, self.fault = self.fault, None
        match fault:
            case "busy":
                raise Busy(self.path, 0.0)
            case "before":
                raise StoreError("the disk failed before anything was written")
            case "inside":
                self.fault = "inside"
                super().append(batch, generation)
            case "after":
                super().append(batch, generation)
                raise StoreError("the disk failed, and nobody knows whether the commit was written")
            case "refused" if sum(row[4] == "thought" for row in batch.steps) > 1:
                # A row that is refused on its own is set aside for good; the halves of a batch are taken.
                raise RowRefused("a row was not taken")
            case _:
                super().append(batch, generation)

    def _write_projections(self, batch: Batch) -> None:
        super()._write_projections(batch)
        if self.fault == "inside":
            self.fault = None
            raise StoreError("the disk failed in the middle of the transaction")


class OffsetsOutside(FaultyStore):
    """An engine with a mistake: offsets are moved in a transaction of their own."""

    def append(self, batch: Batch, generation: int) -> None:
        with immediate(self._connection):
            self._write_recorders(batch)
            self._move_offsets(batch)
        moved, batch.offsets = batch.offsets, []
        try:
            super().append(batch, generation)
        finally:
            batch.offsets = moved


class Seen(NamedTuple):
    """A reader: where it is, and what it has read."""

    texts: list[str]
    cursors: list[int]


class History(RuleBasedStateMachine):
    """What may happen to a history, and what must stay so."""

    recorders = Bundle("recorders")
    committers = Bundle("committers")
    readers = Bundle("readers")
    engine: type[FaultyStore] = FaultyStore

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="stepstream-machine-"))
        self.place = Place(self.directory)
        # Texts are not pooled, so that one query reads them.
        self.options = settings(segment_bytes_max=16 * 1024, log_sync_interval_ms=1, pool_bytes_min=10**7)
        self.logged: list[str] = []
        self.stored: list[tuple[int, bytes]] = []
        self.pens: list[Pen] = []
        self.offices: list[Office] = []

    # -- recorders

    @initialize(target=recorders)
    def begin(self) -> Pen:
        """Every history begins with somebody who logs."""
        return self.open_recorder()

    @precondition(lambda self: len(self.pens) < 6)
    @rule(target=recorders)
    def open_recorder(self) -> Pen:
        """A process begins to log."""
        pen = Pen(self.place, self.options)
        self.pens.append(pen)
        return pen

    @rule(pen=recorders, count=st.integers(1, 20), size=st.sampled_from([1, 1, 1, 5_000]))
    def log(self, pen: Pen, count: int, size: int) -> None:
        """It logs."""
        for _ in range(count):
            text = f"{len(self.logged)} {'x' * size}"
            assert pen.write(text), pen.recorder.refusal
            self.logged.append(text)

    @rule(pen=recorders)
    def rotate(self, pen: Pen) -> None:
        """Its segment is sealed."""
        pen.recorder.seal()

    @rule(pen=consumes(recorders))
    def close_recorder(self, pen: Pen) -> None:
        """It ends as it should."""
        pen.close()
        self.pens.remove(pen)

    @rule(pen=consumes(recorders))
    def crash_recorder(self, pen: Pen) -> None:
        """It is killed: its descriptors are closed, and nothing is said."""
        pen.crash()
        self.pens.remove(pen)

    # -- committers

    @precondition(lambda self: len(self.offices) < 3)
    @rule(target=committers, server=st.booleans())
    def open_committer(self, server: bool) -> Office:
        """Somebody stands for the office."""
        office = Office(self.place, self.options, server=server)
        self.offices.append(office)
        return office

    @rule(office=committers, passes=st.integers(1, 5), fault=st.none() | st.sampled_from(FAULTS))
    def commit(self, office: Office, passes: int, fault: str | None) -> None:
        """It makes passes, and the database fails in the first of them."""
        for _ in range(passes):
            self.make_pass(office, fault)
            fault = None

    def make_pass(self, office: Office, fault: str | None) -> None:
        """One pass with its housekeeping, which would else wait for its time."""
        committer = office.committer
        committer._resume_at = committer._retire_at = 0.0
        if committer.stand() and committer._store is not None:
            committer._store.__class__ = self.engine
            committer._store.fault = fault  # type: ignore[attr-defined]
        committer.work()

    @rule(office=consumes(committers))
    def close_committer(self, office: Office) -> None:
        """It ends as it should."""
        office.close()
        self.offices.remove(office)

    @rule(office=consumes(committers))
    def crash_committer(self, office: Office) -> None:
        """It is killed."""
        office.crash()
        self.offices.remove(office)

    @rule()
    def remove_the_lock(self) -> None:
        """A cleaner removes the lock file, and two may believe to be elected."""
        (self.place.spool / "committer.lock").unlink(missing_ok=True)

    # -- readers

    @rule(target=readers)
    def open_reader(self) -> Seen:
        """Somebody begins to read."""
        return Seen([], [])

    @rule(reader=readers, limit=st.integers(1, 30))
    def read_on(self, reader: Seen, limit: int) -> None:
        """It reads on from its cursor."""
        if not self.is_readable():
            return
        connection = open_reader(self.place.database)
        try:
            rows = connection.execute(
                "SELECT cursor, kind, coalesce(payload ->> '$.text', '') FROM step WHERE cursor > ?"
                " ORDER BY cursor LIMIT ?",
                (reader.cursors[-1] if reader.cursors else 0, limit),
            ).fetchall()
        finally:
            connection.close()
        reader.cursors.extend(row[0] for row in rows)
        reader.texts.extend(row[2] for row in rows if row[1] == "thought")
        assert reader.cursors == [cursor for cursor, _ in self.history()][: len(reader.cursors)]
        assert [text.split()[0] for text in reader.texts] == [str(n) for n in range(len(reader.texts))]

    # -- what must always be so

    def is_readable(self) -> bool:
        """Whether there is a history already."""
        return any(office.committer.cursor for office in self.offices) or bool(self.stored)

    def history(self) -> list[tuple[int, bytes]]:
        """What is stored: cursors and ids."""
        return [(step.cursor, step.id) for step in Shelf(self.place.database).steps]

    @invariant()
    def stored_is_what_was_logged_first(self) -> None:
        """The file is sound, only grows, and holds the first so many of the acknowledged steps, once each."""
        if not self.is_readable():
            return
        shelf = Shelf(self.place.database)
        shelf.audit()
        assert shelf.losses() == []
        numbers = [text.split()[0] for text in shelf.texts()]
        assert numbers == [str(number) for number in range(len(numbers))]
        assert len(numbers) <= len(self.logged)
        now = [(step.cursor, step.id) for step in shelf.steps]
        assert now[: len(self.stored)] == self.stored
        self.stored = now

    def settle(self) -> None:
        """Everybody ends, and one committer finishes what they left."""
        for pen in self.pens:
            pen.close()
        for office in self.offices:
            office.close()
        self.pens, self.offices = [], []
        with Office(self.place, self.options) as office:
            office.settle()
        self.stored_is_what_was_logged_first()

    def teardown(self) -> None:
        """At the end everything acknowledged is stored, and the spool is empty."""
        try:
            self.settle()
            assert len(Shelf(self.place.database).texts()) == len(self.logged)
            assert self.place.segments() == []
        finally:
            for end in [pen.crash for pen in self.pens] + [office.crash for office in self.offices]:
                end()
            shutil.rmtree(self.directory)


History.TestCase.settings = hypothesis_settings(
    max_examples=3_000 if SOAK else 60,
    stateful_step_count=40,
    deadline=None,
    # Without shrinking: it would take minutes, and forty steps can be read.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class TestHistory(History.TestCase):  # type: ignore[name-defined,misc]
    """Random lives of a history."""


class MistakenHistory(History):
    """The same with an engine that moves offsets outside of the transaction."""

    engine = OffsetsOutside


@pytest.mark.parametrize("machine", [History, MistakenHistory])
def test_the_machine_can_fail(machine: type[History]) -> None:
    """With offsets moved outside of the transaction one fault is enough for the machine to complain."""
    history = machine()
    try:
        pen = history.open_recorder()
        office = history.open_committer(server=False)
        history.log(pen, 3, 1)
        history.commit(office, 2, None)
        history.log(pen, 3, 1)
        history.commit(office, 2, "inside")
        history.log(pen, 3, 1)
        history.commit(office, 2, None)
        if machine is MistakenHistory:
            with pytest.raises(AssertionError):
                history.stored_is_what_was_logged_first()
            history.logged = []
        else:
            history.stored_is_what_was_logged_first()
    finally:
        if machine is MistakenHistory:
            with pytest.raises(AssertionError):
                history.teardown()
        else:
            history.teardown()
