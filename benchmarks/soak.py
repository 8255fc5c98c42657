"""Hours under load with kills: ``./dev soak [--minutes N] [--agents N] [--database FILE]``.

Rounds of agents that log as fast as they like, while agents and the committer are killed or stopped at
random. After each round: what was acknowledged is stored exactly once, nothing else is missing, and the file
is sound.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from stepstream import ObservabilityProvider, Thought
from stepstream.reading.history import History
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

_ROUND_S = 20.0
_DRAIN_S = 120.0


def main() -> int:
    """Soak; the exit code tells whether every round held."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=6)
    parser.add_argument("--database", type=Path, help="keep the database there instead of a temporary place")
    chosen = parser.parse_args()
    words = Console(stderr=True)
    ends = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory(prefix="stepstream-soak-", ignore_cleanup_errors=True) as place:
        database = (chosen.database or Path(place) / "history.db").resolve()
        number, kills = 0, 0
        while time.monotonic() < ends:
            number += 1
            kills += _round(database, Path(place), number, chosen.agents)
            problems = _check(database, Path(place))
            verdict = "holds" if not problems else "BROKEN: " + "; ".join(problems)
            words.print(f"round {number}: {kills} kills so far, {_steps(database):,} steps: {verdict}")
            if problems:
                return 1
    return 0


def _round(database: Path, place: Path, number: int, agents: int) -> int:
    ends = time.monotonic() + _ROUND_S
    running = [_start(database, place, f"r{number}-a{n}", _ROUND_S) for n in range(agents)]
    kills = 0
    while time.monotonic() < ends:
        time.sleep(random.uniform(0.2, 2.0))
        if random.random() < 0.5:
            victim = random.randrange(len(running))
            running[victim].kill()
            running[victim].wait()
            running[victim] = _start(
                database, place, f"r{number}-k{kills}", max(1.0, ends - time.monotonic())
            )
            kills += 1
        else:
            kills += _trouble_committer(database)
    for process in running:
        process.wait()
    return kills


def _start(database: Path, place: Path, name: str, seconds: float) -> subprocess.Popen[bytes]:
    ledger = place / f"{name}.ledger"
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.soaked", str(database), str(ledger), name, str(seconds)]
    )


def _trouble_committer(database: Path) -> int:
    """Kill the committer, or stop it for longer than its heartbeat may be late."""
    spool = SpoolDirectory(database)
    try:
        status = read_status(spool)
    finally:
        spool.close()
    if status is None:
        return 0
    try:
        if random.random() < 0.7:
            os.kill(status.pid, signal.SIGKILL)
        else:
            os.kill(status.pid, signal.SIGSTOP)
            time.sleep(random.uniform(0.1, 3.0))
            os.kill(status.pid, signal.SIGCONT)
    except ProcessLookupError:
        return 0
    return 1


def _check(database: Path, place: Path) -> list[str]:
    with ObservabilityProvider(database) as provider:
        if not provider.flush(timeout_s=_DRAIN_S):
            return ["the spool was not drained in time"]
    with History.open(database) as history:
        verification = history.verify()
        problems = [str(found) for found in (*verification.findings, *verification.losses)]
        stored_numbers: dict[str, Counter[int]] = {}
        names = {episode.id: episode.name for episode in history.episodes()}
        cursor = 0
        while steps := history.steps(kind=Thought.kind, after=cursor, limit=5_000):
            cursor = steps[-1].cursor
            for step in steps:
                if isinstance(step.payload, Thought):
                    numbers = stored_numbers.setdefault(names[step.episode_id], Counter())
                    numbers[int(step.payload.text.split(" ", 1)[0])] += 1
    for ledger in place.glob("*.ledger"):
        stored = stored_numbers.get(ledger.stem, Counter())
        acknowledged = [int(line) for line in ledger.read_text("ascii").splitlines()]
        lost = [number for number in acknowledged if stored[number] == 0]
        doubled = [number for number, times in stored.items() if times > 1]
        if lost or doubled:
            problems.append(f"{ledger.stem}: {len(lost)} lost, {len(doubled)} doubled")
    return problems


def _steps(database: Path) -> int:
    with History.open(database) as history:
        return history.last_cursor()


if __name__ == "__main__":
    sys.exit(main())
