"""Clocks that step: time as told never runs backwards, and order never depends on it."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import pytest
from tests.support.agents import Agent, new_journal, settings, step_body, thought
from tests.support.ledger import Ledger, drain

from stepstream.spool.clock import SystemClock

pytestmark = pytest.mark.fault

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000


class SteppingWall:
    """A wall clock that somebody keeps setting, forwards and backwards."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._offset = 0

    def __call__(self) -> int:
        if self._chance.random() < 0.2:
            self._offset = self._chance.randrange(-48 * HOUR_NS, 48 * HOUR_NS)
        return NOON_NS + self._offset + time.monotonic_ns()


@pytest.mark.parametrize("seed", range(3))
def test_time_never_runs_backwards_and_order_is_as_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """While the wall clock is set back and forth, times rise and steps of two agents keep their order."""
    monkeypatch.setattr(time, "time_ns", SteppingWall(seed))
    options = settings(segment_bytes_max=16 * 1024)
    episode = b"\1" * 16
    agents = [
        Agent(tmp_path / "history.db", new_journal(tmp_path, name, 500), options, episode=episode)
        for name in ("question", "answer")
    ]
    for turn in itertools.islice(itertools.cycle(agents), 200):
        turn.log(300)
    for each in agents:
        each.close()
    drain(tmp_path)

    ledger = Ledger(tmp_path)
    ledger.check()
    rows = [row for row in ledger.history.rows if row.kind == "thought"]
    speakers = [str(row.payload["text"]).split(" ", 1)[0] for row in rows]
    assert speakers == ["question", "answer"] * 100
    for each in agents:
        times = [row.occurred_at for row in rows if row.recorder == each.recorder.id]
        assert times == sorted(times)
    assert ledger.history.losses() == []


class Stepping(SystemClock):
    """A clock of a test's own: its wall time is whatever a list says."""

    def __init__(self, walls: list[int]) -> None:
        super().__init__()
        self._walls = iter(walls)

    def now(self) -> int:
        return next(self._walls, NOON_NS)


def test_order_is_right_whatever_a_clock_says(tmp_path: Path) -> None:
    """A clock whose wall time runs backwards with every step changes no sequence."""
    falling = [NOON_NS - number * HOUR_NS for number in range(200)]
    journal = new_journal(tmp_path, "agent", 100)
    clock = Stepping(falling)
    with Agent(
        tmp_path / "history.db", journal, settings(segment_bytes_max=16 * 1024), clock=clock
    ) as writer:
        writer.log_many(100, 400)
    drain(tmp_path)

    Ledger(tmp_path).check()


def test_the_time_of_day_comes_back_to_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the wall clock was set back an hour, time goes on at half speed until the clocks agree again."""
    wall, stamp = [NOON_NS], [0]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: stamp[0])
    clock = SystemClock()
    told = [clock.now()]
    wall[0] -= HOUR_NS
    for _ in range(130):
        wall[0] += HOUR_NS // 60
        stamp[0] += HOUR_NS // 60
        told.append(clock.now())

    assert told == sorted(told)
    assert told[-1] == wall[0]


def test_a_step_that_is_logged_with_a_stamp_of_the_future_is_not_forgotten(tmp_path: Path) -> None:
    """A stamp ahead of the committer's clock, as after a move between machines, holds a step up and no longer."""
    body = step_body(b"\2" * 16, thought("agent", 0, 20))
    journal = new_journal(tmp_path, "agent", 10)
    ahead = SystemClock()
    ahead.stamp = lambda: time.monotonic_ns() + 300_000_000  # type: ignore[method-assign]
    writer = Agent(tmp_path / "history.db", journal, settings(), clock=ahead)
    journal.note(0, 2)
    assert writer.recorder.append(1, body)
    writer.close()

    drain(tmp_path)

    Ledger(tmp_path).check()
