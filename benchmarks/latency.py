"""How soon a step is committed, and seen by a subscriber in another process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, percentile
from benchmarks.fleet import Fleet, created, watcher
from stepstream import ObservabilityProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENTS = 16
RATE = 50
SECONDS = 10
FAST_RATE = 10_000
# So long that one stall of a shared machine, some 50 ms, is not a hundredth part.
FAST_SECONDS = 20


def run(place: Path) -> list[Figure]:
    """Measure sixteen slow agents, one fast one, and a process that holds its interpreter lock."""
    committed = _paced(place / "committed" / "history.db", "committed")
    subscribed = _paced(place / "subscribed" / "history.db", "subscribed")
    with lateness() as late:
        fast = _fast(place / "fast" / "history.db")
    seen, others = _held(place / "held" / "history.db")
    return [
        Figure("16 x 50 steps/s, call to committed, p99", (percentile(committed, 0.99),), "ms", 15),
        Figure("16 x 50 steps/s, call to committed, p50", (percentile(committed, 0.5),), "ms"),
        Figure("16 x 50 steps/s, call to a subscriber, p99", (percentile(subscribed, 0.99),), "ms", 30),
        Figure("16 x 50 steps/s, call to a subscriber, p50", (percentile(subscribed, 0.5),), "ms"),
        Figure("10,000 steps/s, call to published, p99", (percentile(fast, 0.99),), "ms", 10),
        Figure("10,000 steps/s, call to published, p50", (percentile(fast, 0.5),), "ms"),
        Figure("the machine meanwhile: how late a sleep of 1 ms ends, p99", (percentile(late, 0.99),), "ms"),
        Figure("the machine meanwhile: how late a sleep of 1 ms ends, worst", (max(late),), "ms"),
        Figure("a ToolCall before 5 s of held lock, to a subscriber", (seen,), "ms", 100),
        Figure("the other processes' steps meanwhile, p99", (percentile(others, 0.99),), "ms", 15),
    ]


@contextmanager
def lateness() -> Iterator[list[float]]:
    """Collect how late, in ms, the machine wakes a thread that sleeps for 1 ms at a time."""
    late: list[float] = []
    done = threading.Event()

    def doze() -> None:
        while not done.is_set():
            began = time.monotonic_ns()
            time.sleep(0.001)
            late.append((time.monotonic_ns() - began) / 1e6 - 1)

    thread = threading.Thread(target=doze)
    thread.start()
    try:
        yield late
    finally:
        done.set()
        thread.join()


def _create(database: Path) -> None:
    database.parent.mkdir()
    with ObservabilityProvider(database) as provider, provider.episode("create"):
        pass
    created(database).close()


def _paced(database: Path, how: str) -> list[float]:
    _create(database)
    fleet = Fleet(database, AGENTS, RATE * SECONDS, RATE)
    with watcher(database, how, AGENTS * RATE * SECONDS) as latencies:
        fleet.go()
        fleet.finish()
    return latencies


def _fast(database: Path) -> list[float]:
    _create(database)
    fleet = Fleet(database, 1, FAST_RATE * FAST_SECONDS, FAST_RATE)
    with watcher(database, "committed", FAST_RATE * FAST_SECONDS) as latencies:
        fleet.go()
        fleet.finish()
    return latencies


def _held(database: Path) -> tuple[float, list[float]]:
    _create(database)
    fleet = Fleet(database, AGENTS - 1, RATE * 7, RATE)
    with watcher(database, "committed", (AGENTS - 1) * RATE * 7) as latencies:
        fleet.go()
        time.sleep(1)
        holder = subprocess.run(
            [sys.executable, "-m", "benchmarks.holder", str(database)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        fleet.finish()
    return float(holder.stdout.strip().splitlines()[-1]), latencies
