"""How soon a step reaches who watches over HTTP: one client, a thousand, a thousand that return."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Self

from benchmarks.agent import thought
from benchmarks.figure import Figure, percentile
from benchmarks.fleet import Fleet
from benchmarks.served import Served
from stepstream import ObservabilityProvider

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

RATE = 1_000
SECONDS = 10
CLIENTS = 1_000
SLOW_RATE = 10
SLOW_SECONDS = 15
FILTER = "kind:thought agent:agent-*"
_CALLS = 2_000
_CALLS_RATE = 500


def run(place: Path) -> list[Figure]:
    """Measure one client, then a crowd."""
    return [*_one(place / "one"), *_many(place / "many")]


def _one(place: Path) -> list[Figure]:
    place.mkdir()
    database = place / "history.db"
    with Served(database) as served, Crowd(served.port, 1) as crowd:
        fleet = Fleet(database, 1, RATE * SECONDS, RATE)
        crowd.mark()
        fleet.go()
        fleet.finish()
        report = crowd.report(RATE * SECONDS)
    late = report["samples"]
    return [
        Figure(
            f"log_event to the byte at an SSE client, {RATE:,}/s filtered, p50",
            (percentile(late, 0.5),),
            "ms",
            5,
        ),
        Figure("the same, p99", (percentile(late, 0.99),), "ms", 20),
    ]


def _many(place: Path) -> list[Figure]:
    place.mkdir()
    database = place / "history.db"
    with Served(database) as served:
        alone = _cost_of_a_call(database)
        # The first client has the ring filled, which all of them share.
        with Crowd(served.port, 1):
            before = served.resident_bytes
        with Crowd(served.port, CLIENTS) as crowd:
            memory = (served.resident_bytes - before) / CLIENTS
            fleet = Fleet(database, 1, SLOW_RATE * SLOW_SECONDS, SLOW_RATE)
            crowd.mark()
            fleet.go()
            fleet.finish()
            report = crowd.report(SLOW_RATE * SLOW_SECONDS)
            watched = _cost_of_a_call(database)
            storm_s = _storm(database, served, crowd)
    late = report["samples"]
    return [
        Figure(f"{CLIENTS:,} SSE clients at {SLOW_RATE} steps/s, p99", (percentile(late, 0.99),), "ms", 100),
        Figure("the same, p50", (percentile(late, 0.5),), "ms"),
        Figure("memory of the server a client", (memory / 1000,), "kB", 20),
        Figure(f"log_event p50 beside {CLIENTS:,} clients / beside none", (watched / alone,), "x"),
        Figure(f"{CLIENTS:,} clients after a restart: all live, none with a gap", (storm_s,), "s", 5),
    ]


def _cost_of_a_call(database: Path) -> float:
    """The median of log_event in us, paced."""
    times = []
    with ObservabilityProvider(database) as provider, provider.episode("cost", agent="other") as episode:
        for _ in range(_CALLS):
            payload = thought()
            before = time.perf_counter_ns()
            episode.log_event(payload)
            times.append((time.perf_counter_ns() - before) / 1000)
            time.sleep(1 / _CALLS_RATE)
    return median(times)


def _storm(database: Path, served: Served, crowd: Crowd) -> float:
    """Kill the server and start it on the same port while an agent logs; how long until all are live."""
    fleet = Fleet(database, 1, SLOW_RATE * SLOW_SECONDS, SLOW_RATE)
    crowd.mark()
    fleet.go()
    time.sleep(2)
    port = served.port
    served.kill()
    time.sleep(1)
    with Served(database, port) as again:
        began = time.monotonic_ns()
        live_at = crowd.wait_live()
        fleet.finish()
        crowd.report(SLOW_RATE * SLOW_SECONDS)
        del again
        return (live_at - began) / 1e9


class Crowd:
    """A process of clients."""

    def __init__(self, port: int, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crowd", str(port), str(count), FILTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("live")

    def mark(self) -> None:
        """Forget what was measured."""
        self._say("mark")
        self._expect("marked")

    def wait_live(self) -> int:
        """Wait until every client is live; the moment, by the monotonic clock."""
        self._say("live")
        return int(self._line())

    def report(self, steps: int) -> dict[str, list[float]]:
        """What was measured, once every client has all the steps, each once.

        Raises:
            RuntimeError: A client has lost a step, or has one twice.
        """
        deadline = time.monotonic() + 30
        while True:
            self._say("report")
            report: dict[str, list[float]] = json.loads(self._line())
            least, most = min(report["steps"]), max(report["steps"])
            # Each agent logs one thought before it is told to go.
            if least >= steps and most <= steps + 1:
                return report
            if time.monotonic() > deadline or most > steps + 1:
                raise RuntimeError(f"clients have between {least} and {most} of {steps} steps")
            time.sleep(0.2)

    def _say(self, word: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()

    def _line(self) -> str:
        return "" if self._process.stdout is None else self._process.stdout.readline().strip()

    def _expect(self, word: str) -> None:
        if self._line() != word:
            raise RuntimeError("the crowd of the benchmark failed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._say("end")
        self._process.wait(30)
