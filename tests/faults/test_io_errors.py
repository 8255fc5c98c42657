"""Errors of the disk: nobody dies of them, nothing raises, and what they cost is said."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import tracer
from tests.support.agents import agent, new_journal, settings
from tests.support.journal import REFUSED
from tests.support.ledger import Ledger, drain
from tests.support.tracer import Tracer

from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.reader import SegmentReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.nursery import Nursery

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

needs_tracing = pytest.mark.skipif(tracer.forbidden() is not None, reason=tracer.forbidden() or "")

QUICK = {"log_sync_interval_ms": 1, "segment_bytes_max": 16 * 1024}
AT_ONCE = 4
WRITES = "pwrite64,write,fdatasync,fsync,ftruncate,unlinkat,renameat,openat,mkdir"

Point = tuple[str, int, str]


def points_of(report: str, since: str, errors: dict[str, list[str]], most: int) -> list[Point]:
    """Which calls fail, and how: evenly spread, from the one that names ``since`` on.

    Whoever cannot open the spool at all has not begun.
    """
    calls = re.findall(r"^(\d+) +(\w+)\((.*)$", report, re.MULTILINE)
    waiting = {calls[0][0]}
    seen: Counter[tuple[str, str]] = Counter()
    found: defaultdict[str, set[int]] = defaultdict(set)
    for thread, name, arguments in calls:
        seen[thread, name] += 1
        if since in arguments:
            waiting.discard(thread)
        path = re.search(r'"(/[^"]*)"', arguments)
        if thread not in waiting and not (name == "openat" and path and "history.db" not in path[1]):
            found[name].add(seen[thread, name])
    points: list[Point] = []
    for name, kinds in errors.items():
        numbers = sorted(found[name])
        step = max(1, -(-len(numbers) // most))
        points += [(name, number, error) for error in kinds for number in numbers[::step]]
    return points


def sweep(points: list[Point], fail: Callable[[Point], bool]) -> int:
    """Let calls fail at every point, several at a time; returns how many did."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(fail, points))


def spool_with_work(place: Path) -> None:
    """What a committer finds: rotated segments, long texts, a dead owner."""
    with agent(place, "rotated", 100, segment_bytes_max=16 * 1024) as first:
        first.log_many(40, 600)
    with agent(place, "long", 100) as second:
        second.log_many(5, 3000)
    dead = agent(place, "dead", 100)
    dead.log_many(5)
    dead.crash()


@needs_tracing
def test_a_committer_survives_every_error_of_the_disk(tmp_path: Path, nursery: Nursery, rounds: int) -> None:
    """Whichever call fails, and how, the same committer process goes on and stores every step once."""
    template = tmp_path / "template"
    template.mkdir()
    spool_with_work(template)
    options = settings(**QUICK).model_dump_json()

    def commit(place: Path, *orders: str) -> Tracer:
        child = nursery.bear("tests.support.agents:commit", str(place / "history.db"), options, traced=True)
        with Tracer(child, *orders, report=place / "strace") as strace:
            strace.wait()
        child.finish()
        return strace

    whole = Path(shutil.copytree(template, tmp_path / "whole"))
    report = commit(whole, WRITES).report.read_text()
    errors = {
        "pwrite64": ["EIO", "ENOSPC"],
        "fdatasync": ["EIO"],
        "fsync": ["EIO"],
        "ftruncate": ["EIO"],
        "unlinkat": ["EIO"],
        "renameat": ["ENOSPC"],
        "openat": ["EIO", "EMFILE"],
    }
    points = points_of(report, "server.lock", errors, 12 * rounds)

    # strace counts by thread, and every term of office has a thread that flushes the log: were one of its
    # first flushes to fail, no term would get far.
    points = [point for point in points if point[0] != "fdatasync" or point[1] > 3]

    def fail(point: Point) -> bool:
        call, number, error = point
        place = Path(shutil.copytree(template, tmp_path / f"{call}-{number}-{error}"))
        strace = commit(place, f"{call}:error={error}:when={number}..{number + 1}")
        assert list((place / "history.db-spool").glob("*.segment")) == []
        Ledger(place).check()
        hit = strace.has_struck()
        shutil.rmtree(place)
        return hit

    assert len(points) > 60
    assert sweep(points, fail) > 0.8 * len(points)


@needs_tracing
@pytest.mark.parametrize("durability", ["process", "power"])
def test_an_agent_survives_every_error_of_the_disk(
    tmp_path: Path, nursery: Nursery, rounds: int, durability: str
) -> None:
    """Whichever call fails, an agent's call returns, and a step that could not be written is named."""
    options = settings(**QUICK, durability=durability).model_dump_json()

    def log(place: Path, *orders: str) -> Tracer:
        place.mkdir()
        journal = new_journal(place, "agent", 200)
        arguments = (str(place / "history.db"), str(journal.path), options, 60, 0.0, 600)
        child = nursery.bear("tests.support.agents:log_steps", *arguments, traced=True)
        with Tracer(child, *orders, report=place / "strace") as strace:
            strace.wait()
        child.finish()
        assert journal.ended
        return strace

    whole = tmp_path / "whole"
    report = log(whole, WRITES).report.read_text()
    errors = {
        "write": ["EIO", "ENOSPC"],
        "pwrite64": ["EIO"],
        "fdatasync": ["EIO"],
        "fsync": ["EIO"],
        "renameat": ["EIO"],
        "openat": ["EMFILE"],
    }
    points = points_of(report, ".segment.new", errors, 10 * rounds)

    def fail(point: Point) -> bool:
        call, number, error = point
        place = tmp_path / f"{call}-{number}-{error}"
        strace = log(place, f"{call}:error={error}:when={number}..{number + 1}")
        drain(place)
        Ledger(place).check()
        hit = strace.has_struck()
        shutil.rmtree(place)
        return hit

    assert len(points) > 10
    assert sweep(points, fail) > 0.8 * len(points)


@needs_tracing
@pytest.mark.parametrize("call", ["pread64", "openat"])
def test_a_segment_that_cannot_be_read_holds_up_no_other(tmp_path: Path, nursery: Nursery, call: str) -> None:
    """A segment on a bad place of the disk is left alone, nothing is said to be lost, the rest is stored."""
    agents = [agent(tmp_path, f"agent-{number}", 10) for number in range(3)]
    for each in agents:
        each.log_many(5)
        each.close()
    spool = SpoolDirectory(agents[0].database)
    bad = next(name for name in spool.segment_names() if _is_of(spool, name, agents[1].recorder.id))
    options = settings(**QUICK).model_dump_json()
    child = nursery.bear("tests.support.agents:commit", str(agents[0].database), options, 30.0, traced=True)
    with Tracer(child, f"{call}:error=EIO", report=tmp_path / "strace", only=spool.path / bad) as strace:
        tracer.until(lambda: spool.segment_names() == [bad], "the other segments are stored")
        child.kill()
        strace.wait()
    spool.close()

    drain(tmp_path)
    Ledger(tmp_path).check()


def _is_of(spool: SpoolDirectory, name: str, recorder: bytes) -> bool:
    reader = SegmentReader(spool, name)
    try:
        return reader.recorder_id == recorder
    finally:
        reader.close()


@needs_tracing
def test_a_log_that_cannot_be_flushed_costs_no_segment(tmp_path: Path, nursery: Nursery) -> None:
    """While the log's flushes fail no segment is deleted; once they succeed everything is stored once."""
    spool_with_work(tmp_path)
    spool = SpoolDirectory(tmp_path / "history.db")
    before = spool.segment_names()
    options = settings(**QUICK).model_dump_json()
    child = nursery.bear("tests.support.agents:commit", str(tmp_path / "history.db"), options, traced=True)
    report = tmp_path / "strace"
    with Tracer(child, "fdatasync:error=EIO:when=4+", "unlinkat", report=report) as strace:
        strace.wait_for(lambda text: text.count("EIO") >= 4)
        assert spool.segment_names() == before
        child.kill()
        strace.wait()

    drain(tmp_path)
    assert spool.segment_names() == []
    spool.close()
    Ledger(tmp_path).check()


def test_a_limit_on_the_size_of_files_refuses_steps_and_loses_none(tmp_path: Path, nursery: Nursery) -> None:
    """An agent that may write only small files goes on in another segment, and what was refused is named."""
    journal = new_journal(tmp_path, "agent", 1000)
    options = settings(segment_bytes_max=1024 * 1024).model_dump_json()
    arguments = (str(tmp_path / "history.db"), str(journal.path), options, 300, 0.0, 900)
    child = nursery.bear("tests.support.agents:log_steps", *arguments, limits={"RLIMIT_FSIZE": 40_000})
    child.finish()

    drain(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.check()
    refused = journal.numbers(REFUSED)
    assert 0 < len(refused) < 20
    assert ledger.named(ledger.accounts["agent"], "refused") == set(refused)


def test_a_committer_that_may_not_write_large_files_leaves_the_rest_to_another(
    tmp_path: Path, nursery: Nursery
) -> None:
    """Where the database cannot grow nothing is deleted, and a committer without the limit stores it all."""
    with agent(tmp_path, "agent", 2000) as writer:
        writer.log_many(1000, 900)
    options = settings(**QUICK).model_dump_json()
    child = nursery.bear(
        "tests.support.agents:commit", str(writer.database), options, limits={"RLIMIT_FSIZE": 400_000}
    )
    spool = SpoolDirectory(writer.database)
    status = spool.path / "committer.json"
    tracer.until(
        lambda: status.exists() and re.search(rb"Error|Full", status.read_bytes()) is not None, "it says so"
    )
    assert len(spool.segment_names()) == 1
    child.kill()
    spool.close()

    drain(tmp_path)
    Ledger(tmp_path).check()


def test_more_segments_than_descriptors_are_committed(tmp_path: Path, nursery: Nursery) -> None:
    """A committer that may open few files stores the steps of many living agents."""
    agents = [agent(tmp_path, f"agent-{number}", 10) for number in range(90)]
    for each in agents:
        each.log_many(3)
    options = settings(**QUICK).model_dump_json()
    child = nursery.bear(
        "tests.support.agents:commit", str(agents[0].database), options, 20.0, limits={"RLIMIT_NOFILE": 80}
    )
    for each in agents:
        each.log_many(3)
        each.close()
    spool = SpoolDirectory(agents[0].database)
    tracer.until(lambda: not spool.segment_names(), "all segments are stored and deleted")
    child.kill()
    spool.close()

    Ledger(tmp_path).check()
