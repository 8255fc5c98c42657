"""``kill -9`` at every write and sync point, and at random: what was acknowledged is there, once."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import tracer
from tests.support.agents import agent, episode_text, new_journal, settings
from tests.support.journal import ACKNOWLEDGED
from tests.support.ledger import Ledger, drain
from tests.support.nursery import until
from tests.support.tracer import Tracer

from stepstream.spool.directory import SpoolDirectory
from stepstream.store.batch import Batch
from stepstream.store.election import read_status, somebody_commits
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.journal import Journal
    from tests.support.nursery import Child, Nursery

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

needs_tracing = pytest.mark.skipif(tracer.forbidden() is not None, reason=tracer.forbidden() or "")

WRITES = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,renameat,renameat2,linkat,mkdir,openat,flock"
QUICK = {"log_sync_interval_ms": 1, "segment_bytes_max": 16 * 1024}
AT_ONCE = 4


# -- at every write and sync point


def points_of(calls: dict[str, int], most: int) -> list[tuple[str, int]]:
    """Which calls of each kind to strike: every one, or as many as there is time for, evenly spread."""
    points = []
    for name, count in sorted(calls.items()):
        step = max(1, -(-count // most))
        points += [(name, number) for number in range(1 + random.randrange(step), count + 1, step)]
    return points


def sweep(points: list[tuple[str, int]], strike: Callable[[str, int], bool]) -> int:
    """Strike at every point, several at a time; returns how many strikes hit."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(lambda point: strike(*point), points))


def spool_with_work(place: Path) -> None:
    """What a committer of the sweeps finds: rotated segments, long texts, a dead owner, a second process."""
    with agent(place, "rotated", 100, segment_bytes_max=16 * 1024) as first:
        first.log_many(40, 600)
    with agent(place, "long", 100) as second:
        second.log_many(5, 3000)
    dead = agent(place, "dead", 100)
    dead.log_many(5)
    dead.crash()


def committer(nursery: Nursery, place: Path, *, traced: bool = False, stand_in: str = "") -> Child:
    """A committer process that ends when it has nothing left to do."""
    options = settings(**QUICK).model_dump_json()
    database = str(place / "history.db")
    return nursery.bear("tests.support.agents:commit", database, options, 0.0, stand_in, traced=traced)


def strike_committer(nursery: Nursery, template: Path, call: str, number: int, stand_in: str = "") -> bool:
    """Kill a committer at a call, let an agent come and another committer finish, check the ledger."""
    place = Path(shutil.copytree(template, template.with_name(f"{call}-{number}")))
    child = committer(nursery, place, traced=True, stand_in=stand_in)
    with Tracer(child, f"{call}:signal=KILL:when={number}", report=place / "strace") as strace:
        strace.wait()
    killed = child.wait() != 0
    with agent(place, "later", 10) as later:
        later.log_many(3)
    drain(place)
    ledger = Ledger(place)
    ledger.check()
    assert later.recorder.refused == 0, "whatever is left of the database, an agent that comes records"
    assert list((place / "history.db-spool").glob("*.segment")) == []
    shutil.rmtree(place)
    return killed


@needs_tracing
def test_a_committer_killed_at_any_write_loses_nothing(tmp_path: Path, nursery: Nursery, rounds: int) -> None:
    """Wherever a committer is killed, the next one finishes its work, and every step is there once."""
    template = tmp_path / "template"
    template.mkdir()
    spool_with_work(template)
    whole = Path(shutil.copytree(template, tmp_path / "whole"))
    child = committer(nursery, whole, traced=True)
    with Tracer(child, WRITES, report=whole / "strace") as strace:
        strace.wait()
    child.finish()
    points = points_of(strace.calls(), 40 * rounds)

    hits = sweep(points, lambda call, number: strike_committer(nursery, template, call, number))

    assert len(points) > 80
    assert hits > 0.9 * len(points)


@needs_tracing
def test_a_committer_killed_again_and_again_in_its_recovery_loses_nothing(
    tmp_path: Path, nursery: Nursery
) -> None:
    """Committers that are each killed a little later in the same recovery still store every step once."""
    spool_with_work(tmp_path)
    for number in range(1, 400, 11):
        child = committer(nursery, tmp_path, traced=True)
        with Tracer(child, f"pwrite64:signal=KILL:when={number}", report=tmp_path / "strace") as strace:
            strace.wait()
        if child.wait() == 0:
            break
    else:
        pytest.fail("no committer ever finished")

    Ledger(tmp_path).check()


def strike_agent(nursery: Nursery, directory: Path, call: str, number: int, durability: str) -> bool:
    """Kill an agent at a call, commit what it left, check the ledger."""
    place = directory / f"{call}-{number}"
    place.mkdir()
    options = settings(**QUICK, durability=durability).model_dump_json()
    journal = new_journal(place, "agent", 100)
    child = nursery.bear(
        "tests.support.agents:log_steps",
        str(place / "history.db"),
        str(journal.path),
        options,
        60,
        0.0,
        600,
        traced=True,
    )
    orders = f"{call}:signal=KILL:when={number}" if number else WRITES
    with Tracer(child, orders, report=place / "strace") as strace:
        strace.wait()
    killed = child.wait() != 0
    drain(place)
    ledger = Ledger(place)
    ledger.check()
    assert ledger.history.losses() == [], "nothing that was acknowledged is missing"
    if number:
        shutil.rmtree(place)
    return killed


@needs_tracing
@pytest.mark.parametrize("durability", ["process", "power"])
def test_an_agent_killed_at_any_write_loses_nothing_it_was_told(
    tmp_path: Path, nursery: Nursery, rounds: int, durability: str
) -> None:
    """Wherever an agent is killed, what was acknowledged is stored and the rest is whole or absent."""
    strike_agent(nursery, tmp_path, "whole", 0, durability)
    report = (tmp_path / "whole-0" / "strace").read_text()
    points = points_of(tracer.calls_of(report), 12 * rounds)

    hits = sweep(points, lambda call, number: strike_agent(nursery, tmp_path, call, number, durability))

    assert len(points) > 30
    # A run that waits a little longer or shorter makes a call more or less.
    assert hits > 0.9 * len(points)


class SeparateOffsets(SqliteStore):
    """Breaks the rule on purpose: offsets in one transaction, steps in another."""

    def append(self, batch: Batch, generation: int) -> None:
        steps = Batch(steps=batch.steps, episodes=batch.episodes, contents=batch.contents)
        super().append(dataclasses.replace(batch, steps=[], episodes={}, contents={}), generation)
        super().append(steps, generation)


def commit_with_separate_offsets() -> None:
    """Make the committer of this process use the broken store."""
    from stepstream.store import committer

    committer.SqliteStore = SeparateOffsets  # type: ignore[misc]


@needs_tracing
def test_the_sweep_finds_offsets_that_are_moved_outside_the_transaction(
    tmp_path: Path, nursery: Nursery
) -> None:
    """A committer that moves the offsets in a transaction of their own is caught losing steps."""
    template = tmp_path / "template"
    template.mkdir()
    spool_with_work(template)
    broken = f"{__name__}:commit_with_separate_offsets"
    points = [("pwrite64", number) for number in range(1, 320, 3)]

    with pytest.raises(AssertionError, match="acknowledged and lost"):
        sweep(points, lambda call, number: strike_committer(nursery, template, call, number, broken))


# -- at random, under load


class Yard:
    """Agents and a committer at work on one history, to be killed at any moment."""

    def __init__(self, place: Path, nursery: Nursery, **options: str | float) -> None:
        self.place = place
        self._nursery = nursery
        self._options = settings(**options).model_dump_json()
        self._episode = episode_text()
        self._born = 0
        self.agents: dict[str, Child] = {}
        self.told: list[Journal] = []
        self.committer: Child | None = None

    def hire(self, rate: float, count: int = 100_000) -> None:
        """Start an agent that shares its episode with the others."""
        self._born += 1
        journal = new_journal(self.place, f"agent-{self._born}", count)
        self.told.append(journal)
        self.agents[journal.name] = self._nursery.bear(
            "tests.support.agents:log_steps",
            str(self.place / "history.db"),
            str(journal.path),
            self._options,
            count,
            rate,
            random.choice([10, 300, 2000]),
            self._episode,
        )

    def elect(self) -> None:
        """Start a committer, if there is none."""
        if self.committer is None or self.committer.has_ended():
            database = str(self.place / "history.db")
            self.committer = self._nursery.bear("tests.support.agents:commit", database, self._options, 60.0)

    def acknowledged(self) -> int:
        """How many steps were acknowledged so far."""
        return sum(journal.fates().count(ACKNOWLEDGED) for journal in self.told)

    def work(self, steps: int) -> None:
        """Let everybody work until so many more steps are acknowledged."""
        wanted = self.acknowledged() + steps
        until(lambda: self.acknowledged() >= wanted, f"{steps} more steps are acknowledged")

    def kill_agents(self, names: list[str]) -> None:
        """Kill agents."""
        for child in [self.agents.pop(name) for name in names]:
            child.kill()

    def kill_committer(self) -> None:
        """Kill the committer."""
        if self.committer is not None:
            self.committer.kill()
            self.committer = None


@pytest.mark.parametrize("seed", range(3))
def test_random_kills_under_load_lose_nothing(
    tmp_path: Path, nursery: Nursery, rounds: int, seed: int
) -> None:
    """Agents and committers killed alone and all at once, again and again, leave every acknowledged step once."""
    random.seed(seed if rounds == 1 else None)
    yard = Yard(tmp_path, nursery, segment_bytes_max=64 * 1024, log_sync_interval_ms=5)
    for _ in range(6 * rounds):
        while len(yard.agents) < 3:
            yard.hire(rate=random.choice([0, 200, 2000]))
        yard.elect()
        yard.work(random.randrange(100, 1500))
        match random.choice(["agent", "committer", "agents", "everybody"]):
            case "agent":
                yard.kill_agents([random.choice(list(yard.agents))])
            case "committer":
                yard.kill_committer()
            case "agents":
                yard.kill_agents(list(yard.agents))
            case _:
                yard.kill_committer()
                yard.kill_agents(list(yard.agents))
    yard.kill_agents(list(yard.agents))
    yard.kill_committer()

    drain(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.check()
    ledger.check_budget()
    assert ledger.history.losses() == []


def test_agents_whose_committer_is_killed_start_another(
    tmp_path: Path, nursery: Nursery, rounds: int
) -> None:
    """A committer that agents started and somebody killed is started again by them, and nothing is lost."""
    yard = Yard(tmp_path, nursery, committer="process", linger_s=0.2)
    spool = SpoolDirectory(tmp_path / "history.db")
    yard.hire(rate=300)
    yard.hire(rate=300)
    for _ in range(2 * rounds):
        until(lambda: somebody_commits(spool) and read_status(spool) is not None, "somebody commits")
        yard.work(100)
        status = read_status(spool)
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
        old = status.generation
        until(lambda old=old: _generation(spool) > old, "another committer takes office")
    yard.work(100)
    yard.kill_agents(list(yard.agents))

    until(lambda: not spool.segment_names(), "the committer that the agents started finishes their work")
    until(lambda: not somebody_commits(spool), "it ends when nobody needs it")
    spool.close()
    ledger = Ledger(tmp_path)
    ledger.check()
    ledger.check_budget()
    assert ledger.history.losses() == []


def _generation(spool: SpoolDirectory) -> int:
    status = read_status(spool)
    return -1 if status is None or not status.is_fresh() else status.generation
