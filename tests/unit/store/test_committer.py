"""The committer: it deletes nothing too early, is held up by nobody, and never dies of what it finds."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.frames import OPEN, WALL, Owner
from tests.support.rounds import Office, Pen, Place, Shelf, descriptors, open_files, settings, stored_texts

from stepstream.errors import StoreError
from stepstream.store.committer import Committer
from stepstream.store.election import read_status
from stepstream.store.sqlite.connection import open_reader
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from stepstream.store.batch import Batch


# ----------------------------------------------------------------------------------------------- deletion


class Unflushed(SqliteStore):
    """An engine whose log cannot be flushed for a while."""

    working = False

    def sync_log(self) -> bool:
        if not self.working:
            time.sleep(0.01)
        return self.working and super().sync_log()


class Slow(SqliteStore):
    """An engine whose flush takes until it is let go."""

    held = True

    def sync_log(self) -> bool:
        deadline = time.monotonic() + 20
        while self.held and time.monotonic() < deadline:
            time.sleep(0.001)
        return super().sync_log()


def test_nothing_is_deleted_before_the_log_is_flushed(place: Place) -> None:
    """A finished segment stays until a flush that began after its last commit has ended."""
    place.segment().steps(3).write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._store.__class__ = Slow  # type: ignore[union-attr]
        office.until(lambda: bool(office.committer._retired))
        deadline = time.monotonic() + 0.3
        office.until(lambda: time.monotonic() > deadline)
        assert len(place.segments()) == 1
        assert Shelf(place.database).texts() == ["0", "1", "2"]
        office.committer._store.held = False  # type: ignore[union-attr]
        office.settle()
    assert place.segments() == []


def test_a_flush_that_fails_keeps_every_segment(place: Place) -> None:
    """After a failed flush nothing is deleted, the database is opened anew, and then all is finished."""
    place.segment().steps(3).write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._store.__class__ = Unflushed  # type: ignore[union-attr]
        first = office.committer._store
        office.until(lambda: "flushing" in office.committer.state)
        assert len(place.segments()) == 1
        office.settle()
        assert office.committer._store is not first
    Shelf(place.database).audit()
    assert Shelf(place.database).texts() == ["0", "1", "2"]


def test_a_finished_segment_that_was_not_deleted_is_not_read_again(place: Place) -> None:
    """A committer that finds the file of a finished segment deletes it when it is sure, and reads nothing."""
    segment = place.segment().steps(3)
    path = segment.write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._store.__class__ = Slow  # type: ignore[union-attr]
        office.until(lambda: bool(office.committer._retired))
        office.committer._store.held = False  # type: ignore[union-attr]
        office.crash()
    if not path.exists():
        pytest.skip("the crash came too late")
    with Office(place) as office:
        office.settle()
    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["0", "1", "2"]
    assert shelf.losses() == []
    assert place.segments() == []


def test_a_living_segment_is_never_deleted(place: Place) -> None:
    """However long an owner is silent, its segment stays."""
    pen = Pen(place)
    pen.write("0")
    with Office(place) as office:
        deadline = time.monotonic() + 0.4
        office.until(lambda: time.monotonic() > deadline)
        assert len(place.segments()) == 1
        pen.write("1")
        office.until(lambda: stored_texts(place.database) == ["0", "1"])
        pen.close()
        office.settle()


def test_a_removed_database_is_built_again_from_what_is_kept(place: Place) -> None:
    """When the database is removed under the committer everything that was not deleted is stored again."""
    pen = Pen(place)
    for number in range(5):
        pen.write(str(number))
    with Office(place) as office:
        office.drain()
        for path in place.directory.glob("history.db*"):
            if path.is_file():
                path.unlink()
        pen.write("5")
        office.until(lambda: stored_texts(place.database) == ["0", "1", "2", "3", "4", "5"])
        pen.close()
        office.settle()
    Shelf(place.database).audit()
    assert Shelf(place.database).losses() == []


# -------------------------------------------------------------------------------------------- what it meets


def spoil(place: Place, sql: str) -> None:
    """Change the database behind the committer's back."""
    connection = apsw.Connection(os.fspath(place.database))
    connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "cure"),
    [
        (
            "UPDATE meta SET value = 'x' WHERE name = 'generation'",
            "UPDATE meta SET value = '7' WHERE name = 'generation'",
        ),
        ("DELETE FROM meta WHERE name = 'generation'", "INSERT INTO meta VALUES ('generation', '7')"),
        (
            "UPDATE meta SET value = 'x' WHERE name = 'salt'",
            f"UPDATE meta SET value = '{'0' * 32}' WHERE name = 'salt'",
        ),
        *(
            (f"ALTER TABLE {table} RENAME TO gone", f"ALTER TABLE gone RENAME TO {table}")
            for table in ("redaction", "payload_schema", "content")
        ),
    ],
)
def test_a_spoilt_database_is_a_state(place: Place, sql: str, cure: str) -> None:
    """What somebody broke in the file holds the committer up visibly, and deletes nothing."""
    SqliteStore(place.database, place.database_id).close(clean=True)
    spoil(place, sql)
    segment = place.segment().step(b'{"text":"' + b"x" * 3_000 + b'"}').schema("result", 1, {})
    segment.step(b'{"text":"sk-proj-' + b"Ab3dEfGh1J" * 5 + b'"}')
    segment.write(place.spool)
    with Office(place) as office:
        for _ in range(60):
            office.committer.work()
            time.sleep(0.001)
        assert office.committer.state != "committing"
        assert len(place.segments()) == 1
        spoil(place, cure)
        office.settle()
    Shelf(place.database).audit()


def test_a_busy_database_leaks_nothing(place: Place) -> None:
    """While another program holds the database for long, trying again costs no descriptor."""
    SqliteStore(place.database, place.database_id).close(clean=True)
    other = apsw.Connection(os.fspath(place.database))
    other.execute("BEGIN IMMEDIATE")
    place.segment().steps(1).write(place.spool)
    with Office(place) as office:
        counts = []
        for _ in range(2):
            office.committer._resume_at = 0.0
            office.committer.work()
            counts.append(open_files())
        assert "Busy" in office.committer.state
        assert counts[0] == counts[1]
        other.execute("ROLLBACK")
        other.close()
        office.settle()
    assert Shelf(place.database).texts() == ["0"]


class Broken(Committer):
    """A committer with a mistake in the middle of a pass."""

    broken = True

    def _gather(self, cut: int) -> list[object]:  # type: ignore[override]
        if self.broken:
            raise KeyError("a mistake of ours")
        return super()._gather(cut)  # type: ignore[return-value]


def test_a_mistake_of_ours_is_a_state_too(place: Place) -> None:
    """An exception that nobody thought of is told and tried again, and does not end the committer."""
    place.segment().steps(2).write(place.spool)
    with Office(place) as office:
        office.committer = Broken(place.database, office.spool, settings())
        office.until(lambda: "KeyError" in office.committer.state)
        office.committer.broken = False  # type: ignore[attr-defined]
        office.settle()
    assert Shelf(place.database).texts() == ["0", "1"]


def test_back_off_grows_while_nothing_helps(place: Place) -> None:
    """A committer that fails again and again tries more and more seldom."""
    place.segment().steps(2).write(place.spool)
    with Office(place) as office:
        office.committer = Broken(place.database, office.spool, settings())
        waits = []
        for _ in range(6):
            office.committer._resume_at = 0.0
            office.committer.work()
            waits.append(office.committer._resume_at - time.monotonic())
    assert waits[-1] > 10 * waits[0]
    assert waits == sorted(waits)


def test_at_the_limit_of_descriptors_no_segment_is_given_up(place: Place) -> None:
    """A committer without a descriptor left loses and skips nothing; it goes on when there are some again."""
    first = place.segment().steps(2)
    first.write(place.spool, name="a.segment")
    second = place.segment(recorder=first.recorder, first=2).steps(2)
    taken: list[int] = []
    _, hard = limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Office(place) as office:
        office.committer.stand()
        second.write(place.spool, name="b.segment")
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 3, hard))
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                os.close(taken.pop())
            for _ in range(20):
                office.committer.work()
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        office.settle()
    shelf = Shelf(place.database)
    assert shelf.texts() == ["0", "1", "2", "3"]
    assert shelf.losses() == []


def test_a_thousand_segments_need_few_descriptors(place: Place) -> None:
    """Descriptors are given back, however many processes log, and nobody is forgotten."""
    segments = [place.segment().steps(2) for _ in range(300)]
    owners = []
    for segment in segments:
        path = segment.write(place.spool)
        owners.append(Owner(path))
    before = open_files()
    with Office(place) as office:
        office.until(lambda: office.committer.cursor > 0)
        office.drain()
        office.committer._retire_at = 0.0
        office.committer.work()
        assert open_files() - before < 100
        more = segments[7]
        count = len(more.frames)
        more.steps(1)
        owners[7].write(more.frames[count])
        office.until(lambda: len(stored_texts(place.database)) == 601)
        for owner in owners:
            owner.die()
        office.settle()
    assert len(Shelf(place.database).texts()) == 601


# ----------------------------------------------------------------------------------------------- boots


def test_what_an_earlier_boot_left_goes_first(place: Place) -> None:
    """Steps of earlier boots stand before those of this one, whatever their stamps say."""
    for boot, began in (("ff" * 16, 1), ("00" * 16, 2)):
        segment = place.segment(boot_id=boot, created_at=WALL + began)
        for number in range(3):
            segment.step(f'{{"text":"boot {began} step {number}"}}'.encode(), stamp=2**62 + number)
        segment.write(place.spool)
    place.segment(created_at=WALL + 3).step(b'{"text":"now"}').write(place.spool)
    with Office(place) as office:
        office.settle()

    expected = [f"boot {boot} step {number}" for boot in (1, 2) for number in range(3)]
    assert Shelf(place.database).texts() == [*expected, "now"]


def test_one_boot_that_is_stuck_does_not_stop_the_others(place: Place) -> None:
    """A segment of an old boot that cannot be finished holds up neither other old boots nor this one."""
    stuck = place.segment(boot_id="00" * 16, created_at=1).steps(1)
    stuck.state = OPEN
    path = stuck.write(place.spool)
    with Owner(path), Office(place) as office:
        others = [place.segment(boot_id=f"{n}{n}" * 16, created_at=1 + n).steps(2) for n in (1, 2)]
        for other in [*others, place.segment().steps(2)]:
            other.write(place.spool)
        office.until(lambda: len(stored_texts(place.database)) == 7)


# --------------------------------------------------------------------------------------------- what it says


def test_the_status_tells_what_waits(place: Place) -> None:
    """The heartbeat says who commits, how far, what waits and how large the log is."""
    place.segment().steps(3).write(place.spool)
    with Office(place) as office:
        office.settle()
        office.committer._beat(force=True)
        status = read_status(office.spool)
        assert status is not None
        assert status.is_fresh()
        assert (status.pid, status.state, status.waiting_bytes) == (os.getpid(), "committing", 0)
        assert status.cursor == office.committer.cursor > 0
        assert status.generation == 1


def test_the_status_tells_at_once_that_it_commits(place: Place) -> None:
    """Who looks after a first pass reads of a committer at work, and not of one that opens the database."""
    with Office(place) as office:
        office.until(office.committer.stand)
        opening = read_status(office.spool)
        office.committer.work()
        committing = read_status(office.spool)
    assert opening is not None
    assert committing is not None
    assert (opening.state, committing.state) == ("opening", "committing")


def test_who_has_nothing_to_do_needs_nobody(place: Place) -> None:
    """A committer can tell whether anybody may still log, and whether a segment is its to commit."""
    with Office(place) as office:
        office.committer.work()
        assert not office.committer.has_owners()
        assert not office.committer.has_segments()
        pen = Pen(place)
        pen.write("0")
        office.committer.work()
        assert office.committer.has_owners()
        assert office.committer.has_segments()
        pen.close()
        office.settle()
        assert not office.committer.has_segments()


def test_a_foreign_segment_is_left_alone_across_terms(place: Place) -> None:
    """A segment of another database does not count, before and after the office was given up."""
    place.segment(database_id="0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11").steps(1).write(place.spool)
    with Office(place) as office:
        office.committer.work()
        assert not office.committer.has_segments()
        office.committer.leave()
        assert not office.committer.has_segments()


def test_terms_of_office_count_up(place: Place) -> None:
    """Every take-over raises the generation, and a batch of an earlier one is refused."""
    generations = []
    for _ in range(3):
        with Office(place) as office:
            office.committer.work()
            generations.append(office.committer._generation)
    assert generations == [1, 2, 3]


def test_a_clean_end_leaves_one_file(place: Place) -> None:
    """After a clean end the log is empty, so that a copy of the one file is the whole history."""
    place.segment().steps(50).write(place.spool)
    with Office(place) as office:
        office.settle()
    log = place.database.with_name("history.db-wal")
    assert not log.exists() or log.stat().st_size == 0
    assert len(Shelf(place.database).texts()) == 50


def test_the_epoch_outlasts_a_restart(place: Place) -> None:
    """Ending and beginning anew on the same file keeps the epoch, and a copied file gets another one."""

    def epoch() -> object:
        connection = open_reader(place.database)
        try:
            return connection.execute("SELECT value FROM meta WHERE name = 'epoch'").get
        finally:
            connection.close()

    with Office(place) as office:
        office.committer.work()
    first = epoch()
    with Office(place) as office:
        office.committer.work()
        office.crash()
    with Office(place) as office:
        office.committer.work()
    assert epoch() == first
    copy = place.directory / "copy"
    copy.write_bytes(place.database.read_bytes())
    copy.rename(place.database)
    with Office(place) as office:
        office.committer.work()
    assert epoch() != first


# ------------------------------------------------------------------------------------------- transactions


class Failing(SqliteStore):
    """An engine whose transactions end in an error, the first of them after they were committed."""

    failures = 3

    def append(self, batch: Batch, generation: int) -> None:
        if self.failures:
            type(self).failures -= 1
            if self.failures == 2:
                super().append(batch, generation)
            raise StoreError("I/O error")
        super().append(batch, generation)


@pytest.fixture
def failing() -> type[Failing]:
    Failing.failures = 3
    return Failing


def test_an_error_at_commit_is_looked_up_in_the_file(place: Place, failing: type[Failing]) -> None:
    """When nobody knows whether a commit was written the file is asked, and nothing is stored twice."""
    segment = place.segment().steps(4)
    segment.write(place.spool)
    with Office(place) as office:
        deadline = time.monotonic() + 10
        while Failing.failures:
            assert time.monotonic() < deadline
            office.committer._resume_at = 0.0
            if office.committer.stand():
                office.committer._store.__class__ = failing  # type: ignore[union-attr]
            office.committer.work()
        office.settle()
    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["0", "1", "2", "3"]
    assert shelf.losses() == []


class Picky(SqliteStore):
    """An engine that takes no more than one step at a time."""

    def append(self, batch: Batch, generation: int) -> None:
        if len(batch.steps) > 2:
            raise KeyError("a mistake of ours")
        super().append(batch, generation)


def test_a_batch_that_is_halved_still_knows_what_was_damaged(place: Place) -> None:
    """Numbers that damage swallowed are named so whichever part of a broken batch tells of them."""
    segment = place.segment().steps(2).add(b"garbage", numbers=1).steps(2).add(b"rubbish", numbers=1).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.until(office.committer.stand)
        office.committer._store.__class__ = Picky  # type: ignore[union-attr]
        office.settle()
    shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts() == ["0", "1", "3", "4", "6", "7"]
    assert [(loss.first, loss.last, str(loss.reason)) for loss in shelf.losses()] == [
        (2, 2, "damaged"),
        (5, 5, "damaged"),
    ]
    assert [loss.kept_as for loss in shelf.losses()] == [f"damaged/{kept.name}" for kept in place.damaged()]


def test_the_reader_keeps_its_lock_until_deletion(place: Place) -> None:
    """From the moment an owner is found dead nobody else can take its segment."""
    segment = place.segment().steps(1)
    path = segment.write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._store.__class__ = Slow  # type: ignore[union-attr]
        office.until(lambda: bool(office.committer._retired))
        with pytest.raises(BlockingIOError):
            Owner(path)
        office.committer._store.held = False  # type: ignore[union-attr]
        office.settle()
