"""Files that somebody removes, replaces, corrupts or copies while agents log: nothing is lost without a word."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.agents import Agent, agent, new_journal, settings
from tests.support.journal import ACKNOWLEDGED, REFUSED
from tests.support.ledger import History, Ledger, drain
from tests.support.nursery import child_environment, until

from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer
from stepstream.store.hosting import CommitterThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.nursery import Child, Nursery

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


class Desk:
    """One agent in this process, and a committer that is driven by hand."""

    def __init__(self, place: Path, **options: str | float) -> None:
        self.place = place
        self.database = place / "history.db"
        self.agent = agent(place, "agent", 20_000, segment_bytes_max=16 * 1024, **options)
        self.spool = SpoolDirectory(self.database)
        self.committer = Committer(self.database, self.spool, settings(log_sync_interval_ms=2))

    def log(self, count: int, padding: int = 300) -> None:
        """Log so many steps, committing between them."""
        for _ in range(count):
            self.agent.log(padding)
            if random.random() < 0.2:
                self.committer.work()

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Make passes until something is so."""

        def work() -> bool:
            self.committer.work()
            return done()

        until(work, what)

    def commit(self) -> None:
        """Commit all that waits and delete all that is finished."""
        self.until(lambda: self.committer.elected and self.committer.waiting_bytes() == 0, "all is committed")
        segment = self.agent.recorder._segment
        mine = set() if segment is None else {segment.name}
        self.until(lambda: set(self.spool.segment_names()) <= mine, "what is finished is deleted")

    def remove(self, *names: str) -> None:
        """Remove files as ``rm`` does."""
        for name in names:
            (self.place / name).unlink(missing_ok=True)

    def close(self) -> None:
        """End everybody."""
        self.agent.close()
        self.committer.close()
        self.spool.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An agent and a committer at work."""
    random.seed(5)
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def closing(desk: Desk) -> Ledger:
    """End everybody, commit the rest and check what must be so whatever happened to the files."""
    desk.close()
    drain(desk.place)
    ledger = Ledger(desk.place)
    ledger.check(may_miss=["agent"])
    ledger.check_budget()
    return ledger


# -- the database


@pytest.mark.parametrize(
    "names",
    [
        ["history.db", "history.db-shm", "history.db-wal"],
        ["history.db"],
        ["history.db-wal"],
        ["history.db-wal", "history.db-shm"],
    ],
    ids=" ".join,
)
def test_a_database_removed_under_load_loses_nothing_without_a_word(desk: Desk, names: list[str]) -> None:
    """What was removed with the files is named lost, what came after is stored, and cursors have a new epoch."""
    desk.log(120)
    desk.commit()
    desk.committer.leave()
    desk.log(60)
    desk.commit()
    before = History(desk.database)

    desk.remove(*names)
    reached = desk.agent.number
    desk.log(120)
    desk.commit()

    ledger = closing(desk)
    assert set(range(reached, desk.agent.number)) <= set(ledger.accounts["agent"].stored)
    after = {row.cursor: row.payload for row in ledger.history.rows}
    assert any(after.get(row.cursor) != row.payload for row in before.rows), "some cursors mean other steps"
    assert ledger.history.meta["epoch"] != before.meta["epoch"]


def test_a_shared_memory_file_removed_under_load_hides_nothing_from_readers(desk: Desk) -> None:
    """When the index of the log is removed, readers that come later still see every later commit."""
    desk.log(50)
    desk.commit()
    desk.remove("history.db-shm")
    with reader_elsewhere(desk.database) as count:
        for wanted in (70, 90):
            desk.log(20)
            desk.commit()
            desk.until(
                lambda wanted=wanted: count() >= wanted, "a reader sees what was committed after it came"
            )

    ledger = closing(desk)
    assert ledger.history.losses() == []


@contextmanager
def reader_elsewhere(database: Path) -> Iterator[Callable[[], int]]:
    """A process that opens the database once, and counts its steps when asked."""
    program = (
        "import sys; from pathlib import Path\n"
        "from stepstream.store.sqlite.connection import open_reader\n"
        "c = open_reader(Path(sys.argv[1]))\n"
        "for line in sys.stdin: print(c.execute('SELECT count(*) FROM step').get, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def count() -> int:
        asked.write("?\n")
        asked.flush()
        return int(answers.readline())

    try:
        count()
        yield count
    finally:
        asked.close()
        process.wait(30)
        answers.close()


def test_a_database_moved_away_and_back_is_continued(desk: Desk) -> None:
    """Steps logged while the database was away wait or go to another file, and none is stored twice."""
    desk.log(60)
    desk.commit()
    away = desk.place / "away"
    away.mkdir()
    desk.committer.close()
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        if (desk.place / name).exists():
            (desk.place / name).rename(away / name)
    desk.agent.log_many(20)
    for path in away.iterdir():
        path.rename(desk.place / path.name)
    desk.log(20)
    desk.commit()

    ledger = closing(desk)
    assert ledger.history.losses() == []


def test_a_database_replaced_by_an_older_copy_replays_what_is_still_in_the_spool(desk: Desk) -> None:
    """A backup put in place of the database gets the kept segments again, and what is gone is named."""
    desk.log(60)
    desk.commit()
    desk.committer.leave()
    shutil.copy(desk.database, desk.place / "backup.db")
    epoch = History(desk.database).meta["epoch"]
    desk.log(100)
    desk.commit()
    desk.remove("history.db", "history.db-wal", "history.db-shm")
    shutil.copy(desk.place / "backup.db", desk.database)
    desk.log(60)
    desk.commit()

    ledger = closing(desk)
    assert set(range(60)) <= set(ledger.accounts["agent"].stored)
    assert ledger.history.meta["epoch"] != epoch


def test_a_foreign_database_in_the_place_takes_none_of_our_steps(desk: Desk, tmp_path: Path) -> None:
    """Segments of one database are not drained into another; they wait until theirs is back."""
    desk.log(60)
    desk.commit()
    other = tmp_path / "other"
    other.mkdir()
    with agent(other, "stranger", 100) as stranger:
        stranger.log_many(10)
    drain(other)
    desk.agent.log_many(20)
    desk.committer.leave()
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        if (desk.place / name).exists():
            (desk.place / name).rename(desk.place / f"kept-{name}")
    shutil.copy(other / "history.db", desk.database)
    desk.until(lambda: desk.committer.elected, "the other database is opened")
    desk.log(1)
    assert not [
        row for row in History(desk.database).rows if str(row.payload.get("text", "")).startswith("agent ")
    ]

    desk.committer.leave()
    desk.remove("history.db", "history.db-wal", "history.db-shm")
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        if (desk.place / f"kept-{name}").exists():
            (desk.place / f"kept-{name}").rename(desk.place / name)
    desk.commit()
    desk.close()
    drain(desk.place)
    Ledger(desk.place).check()


@pytest.mark.parametrize("place", ["header", "middle", "shortened", "text"])
def test_a_corrupted_database_keeps_every_segment_until_it_is_replaced(desk: Desk, place: str) -> None:
    """Nothing is deleted while the database is damaged; when it is moved away the kept steps are stored."""
    desk.log(100)
    desk.commit()
    desk.committer.leave()
    _corrupt(desk.database, place)
    reached = desk.agent.number
    desk.agent.log_many(60)
    names = set(desk.spool.segment_names())
    assert len(names) > 1
    desk.until(
        lambda: "Corrupt" in desk.committer.state or "NotADatabase" in desk.committer.state, "it says so"
    )
    assert names <= set(desk.spool.segment_names())

    for name in ("history.db", "history.db-wal", "history.db-shm"):
        if (desk.place / name).exists():
            (desk.place / name).rename(desk.place / f"damaged-{name}")
    desk.commit()
    ledger = closing(desk)
    assert set(range(reached, desk.agent.number)) <= set(ledger.accounts["agent"].stored)


def _corrupt(database: Path, place: str) -> None:
    size = database.stat().st_size
    with database.open("r+b") as file:
        match place:
            case "header":
                file.write(b"\0" * 100)
            case "middle":
                file.seek(4096)
                file.write(random.Random(1).randbytes(size - 4096))
            case "shortened":
                file.truncate(size // 2)
            case _:
                file.truncate(0)
                file.write(b"this was a database\n" * 500)


@pytest.mark.parametrize(
    "names", [["history.db", "history.db-shm", "history.db-wal"], ["history.db"]], ids=" ".join
)
def test_files_removed_while_the_database_is_opened_are_noticed(tmp_path: Path, names: list[str]) -> None:
    """A database that is removed in the middle of being opened takes no step with it."""
    from stepstream.store import committer as module
    from stepstream.store.sqlite.store import SqliteStore

    with agent(tmp_path, "agent", 200, segment_bytes_max=16 * 1024) as writer:
        writer.log_many(60, 600)
    removals = iter([True, True])

    class Removed(SqliteStore):
        """A store whose files are removed right after it settled its identity, twice."""

        def _settle_identity(self, expected_id: bytes | None) -> None:
            super()._settle_identity(expected_id)
            if next(removals, False):
                for name in names:
                    (tmp_path / name).unlink()

    spool = SpoolDirectory(writer.database)
    committer = Committer(writer.database, spool, settings(log_sync_interval_ms=1))
    real, module.SqliteStore = module.SqliteStore, Removed  # type: ignore[misc]
    try:

        def is_done() -> bool:
            committer.work()
            return committer.elected and not committer.has_owners()

        until(is_done, "everything is stored and deleted")
    finally:
        module.SqliteStore = real  # type: ignore[misc]
        committer.close()
        spool.close()

    Ledger(tmp_path).check()


# -- the directory


def test_a_directory_copied_inside_the_committing_process_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """Copying the workspace drops SQLite's locks in the process that commits, and no reader ruins the log."""
    stopping = threading.Event()
    options = settings(segment_bytes_max=16 * 1024, log_sync_interval_ms=2)
    with agent(tmp_path, "agent", 100_000, segment_bytes_max=16 * 1024) as writer:
        thread = CommitterThread(writer.database, options)
        thread.start()
        logging_ = threading.Thread(target=writer.log_while, args=(lambda: not stopping.is_set(), 2000.0))
        logging_.start()
        try:
            until((tmp_path / "history.db-wal").exists, "the database is there")
            for number in range(6 * rounds):
                wanted = writer.number + 200
                shutil.copytree(tmp_path, tmp_path.with_name(f"copy-{number}"), ignore=_no_journals)
                _read_elsewhere(writer.database, plain=number % 2 == 0)
                until(lambda wanted=wanted: writer.number > wanted, "the agent goes on")
        finally:
            stopping.set()
            logging_.join()
    thread.stop(20)

    drain(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.check()
    assert ledger.history.losses() == []


def _no_journals(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "journals" or name.endswith((".new", ".segment"))]


def _read_elsewhere(database: Path, *, plain: bool) -> None:
    """Another process opens the database, counts and closes: as our readers do, or as anybody would."""
    ours = (
        "from pathlib import Path; import sys\n"
        "from stepstream.store.sqlite.connection import open_reader\n"
        "c = open_reader(Path(sys.argv[1])); print(c.execute('SELECT count(*) FROM step').get); c.close()\n"
    )
    anybody = (
        "import apsw, sys\n"
        "c = apsw.Connection(sys.argv[1]); c.set_busy_timeout(2000)\n"
        "print(c.execute('SELECT count(*) FROM step').get); c.close()\n"
    )
    subprocess.run(
        [sys.executable, "-c", anybody if plain else ours, str(database)],
        env=child_environment(),
        check=True,
        capture_output=True,
        timeout=30,
    )


def test_a_spool_removed_while_an_agent_logs_loses_what_a_loss_names(
    tmp_path: Path, nursery: Nursery
) -> None:
    """When the whole spool is removed, agent and committer begin another, and what was in it is named."""
    options = settings(segment_bytes_max=16 * 1024)
    journal = new_journal(tmp_path, "agent", 20_000)
    database = str(tmp_path / "history.db")
    writer = nursery.bear(
        "tests.support.agents:log_steps",
        database,
        str(journal.path),
        options.model_dump_json(),
        4000,
        1000.0,
        200,
    )
    until(lambda: journal.fates().count(ACKNOWLEDGED) > 200, "steps are recorded")
    committer = nursery.bear("tests.support.agents:commit", database, options.model_dump_json(), 60.0)
    until(lambda: journal.fates().count(ACKNOWLEDGED) > 400, "more steps are recorded")
    gone = (tmp_path / "history.db-spool").rename(tmp_path / "gone")
    shutil.rmtree(gone, ignore_errors=True)
    writer.finish()
    spool = SpoolDirectory(tmp_path / "history.db")
    until(lambda: not spool.segment_names(), "what was logged afterwards is stored")
    committer.kill()
    spool.close()

    drain(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.check(may_miss=["agent"])
    ledger.check_budget()
    stored = set(ledger.accounts["agent"].stored)
    assert set(range(200)) <= stored
    assert set(range(2500, 4000)) <= stored


def test_a_segment_removed_while_it_is_written_to_is_named(desk: Desk) -> None:
    """What stood in a removed segment is named, and nothing of what follows."""
    desk.log(40)
    desk.commit()
    desk.committer.leave()
    segment = desk.agent.recorder._segment
    assert segment is not None
    desk.remove(f"history.db-spool/{segment.name}")
    first = desk.agent.number
    desk.agent.log_many(5)
    desk.agent.recorder._check_at = 0
    desk.agent.log_many(30)
    desk.commit()

    ledger = closing(desk)
    missing = set(range(desk.agent.number)) - set(ledger.accounts["agent"].stored)
    assert missing == set(range(first, first + 6))


def test_a_segment_that_comes_back_is_stored(tmp_path: Path) -> None:
    """A segment that could not be found when its time came is stored when it is there again."""
    with agent(tmp_path, "agent", 200, segment_bytes_max=16 * 1024) as writer:
        writer.log_many(50, 600)
    spool = tmp_path / "history.db-spool"
    first, *others = sorted(spool.glob("*.segment"))
    assert others
    first.rename(tmp_path / "mislaid")
    drain(tmp_path)
    assert History(tmp_path / "history.db").losses()

    (tmp_path / "mislaid").rename(first)
    drain(tmp_path)

    ledger = Ledger(tmp_path)
    ledger.check_file()
    assert sorted(ledger.accounts["agent"].stored) == list(range(50))


def test_threads_that_list_the_spool_at_once_see_all_of_it(tmp_path: Path) -> None:
    """Every thread sees every segment, however many look at once."""
    spool = SpoolDirectory(tmp_path / "history.db")
    for number in range(100):
        (spool.path / f"{number:03}.segment").touch()
    lengths: set[int] = set()

    def look() -> None:
        for _ in range(800):
            lengths.add(len(spool.segment_names()))

    threads = [threading.Thread(target=look) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        spool.close()

    assert lengths == {100}


def test_segments_nobody_can_use_keep_no_committer_busy(tmp_path: Path, nursery: Nursery) -> None:
    """A committer ends when all that is left are segments of another database, or none at all."""
    with agent(tmp_path, "agent", 100) as writer:
        writer.log_many(5)
    other = tmp_path / "other"
    other.mkdir()
    with agent(other, "stranger", 100) as stranger:
        stranger.log_many(5)
    (strange,) = (other / "history.db-spool").glob("*.segment")
    spool = tmp_path / "history.db-spool"
    shutil.copy(strange, spool / strange.name)
    (spool / "empty.segment").write_bytes(b"")
    (spool / "empty.segment").chmod(0o600)

    child = nursery.bear(
        "tests.support.agents:commit", str(writer.database), settings().model_dump_json(), 0.2
    )
    child.finish()

    assert sorted(path.name for path in spool.glob("*.segment")) == sorted(["empty.segment", strange.name])
    status = (spool / "committer.json").read_text()
    assert '"generation":1,' in status
    drain(tmp_path)
    Ledger(tmp_path).check()


# -- rights


def as_nobody(database: str, journal: str, options: str, count: int, seal_after: int) -> None:
    """Log as a user who has lost the right to write into the directory."""
    from tests.support.journal import Journal

    from stepstream.settings import Settings

    if os.getuid() == 0:
        place = Path(database).parent
        for path in [place, *place.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    writer = Agent(Path(database), Journal(Path(journal)), Settings.model_validate_json(options))
    writer.log_many(seal_after)
    spool = writer.spool.path
    spool.chmod(0o500)
    writer.recorder.seal()
    writer.log_many(count)
    spool.chmod(0o700)
    writer.recorder._check_at = 0
    writer.log_many(count)
    writer.close()
    writer.journal.note_end()


def test_a_directory_that_may_not_be_written_refuses_steps_and_names_them(nursery: Nursery) -> None:
    """Without the right to create segments steps are refused, counted and named; with it they are recorded."""
    # Not below pytest's own directory, which another user may not enter.
    place = Path(f"/tmp/stepstream-rights-{os.getpid()}")
    place.mkdir(mode=0o755)
    try:
        journal = new_journal(place, "agent", 1000)
        options = settings().model_dump_json()
        function = f"{__name__}:as_nobody"
        child: Child = nursery.bear(function, str(place / "history.db"), str(journal.path), options, 50, 20)
        child.finish()
        assert journal.ended
        assert child.said().count("could not be created") <= 2

        for path in [place, *place.rglob("*")]:
            os.chown(path, os.getuid(), os.getgid())
        drain(place)
        ledger = Ledger(place)
        ledger.check()
        ledger.check_budget()
        refused = set(journal.numbers(REFUSED))
        assert len(refused) >= 50
        assert ledger.named(ledger.accounts["agent"], "refused") == refused
    finally:
        shutil.rmtree(place)
