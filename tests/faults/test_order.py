"""Order is causal: what was logged after another call had returned has the larger number, anywhere."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.players import finish, start
from tests.support.rounds import Office, Pen, Place, Shelf, settings, stored_texts

from stepstream.settings import Durability
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer
from stepstream.store.election import read_status
from stepstream.store.hosting import start_process
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stepstream.store.assembly import Taken

pytestmark = pytest.mark.fault

ROUNDS = 20_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def at_work(office: Office) -> Iterator[None]:
    """The committer makes passes in a thread, as its process would."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            office.committer.work()
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def wait(done: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.005)


def inversions(texts: Sequence[str]) -> int:
    """How many answers stand before their question, or questions before the answer they waited for."""
    expected = [f"{who}{number}" for number in range(len(texts) // 2) for who in "qa"]
    place_of = {text: position for position, text in enumerate(texts)}
    return sum(place_of[earlier] > place_of[later] for earlier, later in pairwise(expected))


# --------------------------------------------------------------------------------------------- processes


def test_no_answer_is_numbered_before_its_question(place: Place) -> None:
    """Two processes that answer each other 20,000 times are stored in that order by a committer process."""
    start_process(place.database, settings(linger_s=1.0))
    process = start("pingpong", place.directory, ROUNDS)
    finish(process)
    wait(lambda: place.segments() == [])
    shelf = Shelf(place.database)

    shelf.audit()
    texts = shelf.texts()
    assert len(texts) == 2 * ROUNDS
    assert inversions(texts) == 0


class SegmentBySegment(Committer):
    """A committer that takes what it finds, file after file, without a cut."""

    def _gather(self, cut: int) -> list[Taken]:
        return [
            (frame, reader)
            for reader in list(self._intake.readers.values())
            for frame in reader.take(len(reader.look()))
        ]


def test_without_the_cut_answers_would_come_first(place: Place) -> None:
    """A committer that reads file after file puts answers before their questions, so the test can fail."""
    office = Office(place)
    office.committer = SegmentBySegment(place.database, office.spool, settings())
    found = 0
    deadline = time.monotonic() + 25
    with office:
        while not found and time.monotonic() < deadline:
            process = start("pingpong", place.directory, 4_000)
            with at_work(office):
                finish(process)
            office.settle()
            texts = Shelf(place.database).texts()[-8_000:]
            found = inversions(texts)

    assert found > 0


def test_sixteen_processes_begin_at_once(tmp_path: Path) -> None:
    """Sixteen processes that start on an empty directory agree on one database and lose nothing."""
    read, write = os.pipe()
    starts = [start("start", tmp_path, 200, stdin=read, committer="process", linger_s=0.5) for _ in range(16)]
    os.close(read)
    time.sleep(0.5)
    os.close(write)
    reports = [finish(process) for process in starts]
    spool = tmp_path / "history.db-spool"
    wait(lambda: not list(spool.glob("*.segment")))
    shelf = Shelf(tmp_path / "history.db")

    shelf.audit()
    assert len({report["database"] for report in reports}) == 1
    assert shelf.losses() == []
    for report in reports:
        assert shelf.texts(bytes.fromhex(report["recorder"])) == [str(number) for number in range(200)]


def test_forked_children_are_recorders_of_their_own(place: Place) -> None:
    """A forked child logs between question and answer, and its death leaves the parent's segment alone."""
    report = finish(start("fork", place.directory, 12))
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.losses() == []
    spoken = [
        line
        for number in range(12)
        for line in (f"ask {number}", f"child {number}" if number % 3 != 2 else "", f"answered {number}")
        if line
    ]
    assert shelf.texts() == ["parent 0", *spoken]
    children = {bytes.fromhex(child) for child in report["children"] if child}
    assert len(children) == 8
    assert bytes.fromhex(report["recorder"]) not in children
    assert shelf.recorders[bytes.fromhex(report["recorder"])] == 24


def test_a_dying_child_does_not_free_the_parents_lock(place: Place) -> None:
    """While a parent lives its segment is not finished, however many of its children let go of it."""
    pen = Pen(place)
    pen.write("0")
    for way in ("abandon", "close", "exit"):
        child = os.fork()
        if child == 0:
            if way == "abandon":
                pen.recorder.abandon()
            elif way == "close":
                os.closerange(3, 256)
            os._exit(0)
        os.waitpid(child, 0)
    with Office(place) as office:
        office.until(lambda: stored_texts(place.database) == ["0"])
        deadline = time.monotonic() + 0.3
        office.until(lambda: time.monotonic() > deadline)
        assert len(place.segments()) == 1
        pen.write("1")
        pen.close()
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.texts() == ["0", "1"]
    assert shelf.losses() == []


# ----------------------------------------------------------------------------------------------- threads


def test_threads_that_hand_on_a_token_are_in_order(place: Place) -> None:
    """Eight threads that pass a token around log in the order in which they held it, over many segments."""
    pen = Pen(place, settings(segment_bytes_max=16 * 1024))
    turns: list[queue.SimpleQueue[int]] = [queue.SimpleQueue() for _ in range(8)]
    total = 4_000

    def play(mine: queue.SimpleQueue[int], following: queue.SimpleQueue[int]) -> None:
        while (number := mine.get()) < total:
            pen.write(str(number))
            following.put(number + 1)
        following.put(number + 1)

    threads = [threading.Thread(target=play, args=(turns[n], turns[(n + 1) % 8])) for n in range(8)]
    with Office(place) as office:
        with at_work(office):
            for thread in threads:
                thread.start()
            turns[0].put(0)
            for thread in threads:
                thread.join()
            pen.close()
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts() == [str(number) for number in range(total)]


def test_rotation_under_load_loses_nothing(place: Place) -> None:
    """Six threads that wear out hundreds of tiny segments while a committer deletes them lose nothing."""
    pen = Pen(place, settings(segment_bytes_max=16 * 1024))

    def play(who: int) -> None:
        for number in range(2_500):
            pen.write(f"{who} {number} {'x' * (number % 700)}")

    threads = [threading.Thread(target=play, args=(who,)) for who in range(6)]
    with Office(place) as office:
        with at_work(office):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pen.close()
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.losses() == []
    assert pen.recorder.segments_begun > 100
    texts = shelf.texts()
    assert len(texts) == 15_000
    for who in range(6):
        assert [int(text.split()[1]) for text in texts if text.split()[0] == str(who)] == list(range(2_500))


# --------------------------------------------------------------------------------------------- re-entry


@pytest.mark.parametrize("durability", list(Durability))
def test_a_log_call_inside_a_log_call_keeps_order(place: Place, durability: Durability) -> None:
    """A signal handler and destructors that log during a log call lose, double and misplace nothing."""
    handlers = 6_000 if durability is Durability.PROCESS else 300
    process = start(
        "reentry", place.directory, handlers, durability=durability.value, segment_bytes_max=64 * 1024
    )
    report = finish(process)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.losses() == []
    assert report["handler"] >= handlers
    assert report["destructor"] > 0
    texts = shelf.texts()
    assert len(texts) == report["count"]
    for who in ("main", "handler", "destructor"):
        told = [int(text.split()[1]) for text in texts if text.split()[0] == who]
        assert sorted(told) == list(range(report[who])), who
    told = [int(text.split()[1]) for text in texts if text.startswith("main")]
    assert told == sorted(told)


def test_the_public_interface_may_be_interrupted(tmp_path: Path) -> None:
    """Handlers, destructors and a logging handler that log during log_event lose and double nothing."""
    report = finish(start("public", tmp_path, 3_000))
    place = Place.at(tmp_path)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.losses() == []
    texts = [str(step.payload["text"]) for step in shelf.steps if step.kind in {"thought", "remark"}]
    for who in ("main", "handler", "destructor"):
        told = [int(text.split()[1]) for text in texts if text.split()[0] == who]
        assert sorted(told) == list(range(report[who])), who
    told = [int(text.split()[1]) for text in texts if text.startswith("main")]
    assert told == sorted(told)
    lines = [step.payload["text"] for step in shelf.steps if step.kind == "log_line"]
    assert lines == [str(number) for number in range(report["remark"])]


class Scribe(logging.Handler):
    """A logging handler that records what it hears as a step, as StepHandler does."""

    def __init__(self, pen: Pen) -> None:
        super().__init__()
        self.pen = pen

    def emit(self, record: logging.LogRecord) -> None:
        self.pen.write(f"heard: {record.getMessage()[:20]}")


def test_a_log_handler_that_records_what_the_recorder_says(place: Place) -> None:
    """The recorder's own warnings may end up in itself without a hang, a recursion or a wrong number."""
    pen = Pen(place, settings(spool_bytes_max=1024 * 1024))
    scribe = Scribe(pen)
    logger = logging.getLogger("stepstream")
    logger.addHandler(scribe)
    filler = place.spool / "filler.segment"
    try:
        pen.write("0")
        filler.write_bytes(bytes(1024 * 1024))
        pen.recorder.seal()
        for number in range(20):
            pen.write(f"refused {number}")
        filler.unlink()
        wait(lambda: pen.write("1"))
        pen.close()
    finally:
        logger.removeHandler(scribe)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert [text for text in shelf.texts() if not text.startswith("heard")] == ["0", "1"]
    stored = len(shelf.texts(pen.recorder.id)) + len(shelf.missing(pen.recorder.id))
    assert stored == pen.recorder.next_number


def test_a_log_handler_in_another_thread_is_not_waited_for(place: Place) -> None:
    """A thread inside a logging handler that records, and one whose recorder warns, do not lock up."""
    pen = Pen(place, settings(spool_bytes_max=1024 * 1024))
    scribe = Scribe(pen)
    scribe.acquire()
    logger = logging.getLogger("stepstream")
    logger.addHandler(scribe)
    (place.spool / "filler.segment").write_bytes(bytes(1024 * 1024))
    warned = threading.Thread(target=pen.write, args=("refused",), daemon=True)
    try:
        warned.start()
        # The other thread is about to warn; this one holds the handler's lock and records meanwhile.
        recorded = threading.Thread(target=pen.write, args=("recorded",), daemon=True)
        time.sleep(0.2)
        recorded.start()
        recorded.join(5)
        assert not recorded.is_alive(), "a log call waited for a thread that waited for a logging handler"
    finally:
        scribe.release()
        logger.removeHandler(scribe)
    warned.join(5)
    assert not warned.is_alive()


# ---------------------------------------------------------------------------------------------- hand-over


def test_committers_hand_over_while_steps_come_in(place: Place) -> None:
    """A server takes over from a committer and gives back, again and again, without losing a step."""
    pen = Pen(place, settings(segment_bytes_max=64 * 1024))
    stopping = threading.Event()

    def play() -> None:
        number = 0
        while not stopping.is_set():
            pen.write(str(number))
            number += 1
            if number % 20 == 0:
                time.sleep(0.001)

    thread = threading.Thread(target=play)
    thread.start()
    terms = []
    try:
        with Office(place) as ordinary, at_work(ordinary):
            for _ in range(6):
                wait(lambda: ordinary.committer.elected)
                with Office(place, server=True) as server:
                    server.until(lambda: server.committer.elected)
                    assert not ordinary.committer.elected
                    reached = server.committer.cursor
                    server.until(lambda reached=reached: server.committer.cursor > reached)
                    terms.append(server.committer._generation)
            stopping.set()
            thread.join()
            pen.close()
            wait(lambda: not place.segments())
    finally:
        stopping.set()
        thread.join()
    shelf = Shelf(place.database)

    shelf.audit()
    assert terms == sorted(set(terms))
    assert shelf.texts() == pen.acknowledged
    assert shelf.losses() == []


def test_two_committers_that_both_believe_to_be_elected(place: Place) -> None:
    """A committer that was stopped and superseded finds its generation over and doubles nothing."""
    pen = Pen(place)
    stopped = Office(place)
    with Office(place) as usurper:
        pen.write("0")
        stopped.until(lambda: stopped.committer.cursor > 0)
        pen.write("1")
        # Its heart stands still; the other one watches that for a second and takes over without the lock.
        usurper.until(lambda: usurper.committer.elected)
        usurper.until(lambda: Shelf(place.database).texts() == ["0", "1"])
        pen.write("2")
        assert stopped.committer.elected
        stopped.committer.work()
        assert not stopped.committer.elected
        usurper.until(lambda: Shelf(place.database).texts() == ["0", "1", "2"])
        stopped.close()
        pen.close()
        usurper.settle()
    Shelf(place.database).audit()
    assert Shelf(place.database).losses() == []


def test_a_lock_file_that_was_deleted_costs_no_step(place: Place) -> None:
    """When the lock file is removed two committers may stand, and the database lets one of them write."""
    pen = Pen(place)
    with Office(place) as first, Office(place) as second:
        pen.write("0")
        first.until(lambda: first.committer.cursor > 0)
        (place.spool / "committer.lock").unlink()
        assert second.committer.stand()
        for number in range(1, 50):
            pen.write(str(number))
            first.committer.work()
            second.committer.work()
        pen.close()
        deadline = time.monotonic() + 10
        while place.segments():
            assert time.monotonic() < deadline
            first.committer.work()
            second.committer.work()
    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == [str(number) for number in range(50)]
    assert shelf.losses() == []


# ------------------------------------------------------------------------------------------ idle readers


def test_a_reader_that_never_reads_holds_nobody_up(place: Place) -> None:
    """Behind a read transaction that never ends the writer goes on, and the growing log is reported."""
    pen = Pen(place)
    pen.write("0")
    spool = SpoolDirectory(place.database)
    with Office(place) as office:
        office.until(lambda: office.committer.cursor > 0)
        reader = open_reader(place.database)
        reader.execute("BEGIN")
        held = reader.execute("SELECT count(*) FROM step").get
        with at_work(office):
            for number in range(1, 12_000):
                pen.write(f"{number} {'x' * 900}")
            pen.close()
            wait(lambda: place.segments() == [])
        wal = place.database.with_name("history.db-wal").stat().st_size
        office.committer._beat(force=True)
        status = read_status(spool)
        assert reader.execute("SELECT count(*) FROM step").get == held, "it sees what it saw"
        reader.execute("COMMIT")
        reader.close()
        shelf = Shelf(place.database)
    spool.close()

    shelf.audit()
    assert len(shelf.texts()) == 12_000
    assert wal > 8 * 1024 * 1024
    assert status is not None
    assert status.log_bytes == wal
    assert place.database.with_name("history.db-wal").stat().st_size == 0, "it is emptied once nobody reads"


def test_a_foreign_transaction_is_waited_out(place: Place) -> None:
    """While another program holds a write transaction nothing is lost, and all is stored when it ends."""
    pen = Pen(place)
    pen.write("0")
    with Office(place) as office:
        office.until(lambda: office.committer.cursor > 0)
        other = apsw.Connection(os.fspath(place.database))
        other.execute("BEGIN IMMEDIATE")
        pen.write("1")
        office.committer._store._connection.set_busy_timeout(50)
        office.until(lambda: "Busy" in office.committer.state)
        assert len(place.segments()) == 1
        other.execute("ROLLBACK")
        other.close()
        pen.write("2")
        pen.close()
        office.settle()
    assert Shelf(place.database).texts() == ["0", "1", "2"]
