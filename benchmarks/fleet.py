"""Several agent processes at once, and a watcher that notes when their steps can be read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.agent import called_at
from stepstream.errors import NotADatabase
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import apsw


class Fleet:
    """Agent processes that start on a word."""

    def __init__(self, database: Path, agents: int, count: int, rate: float) -> None:
        """Start the processes and wait until each is ready."""
        self._processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.agent",
                    str(database),
                    str(count),
                    str(rate),
                    f"agent-{n}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(agents)
        ]
        for process in self._processes:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise RuntimeError("an agent of the benchmark did not start")

    def go(self) -> None:
        """Let them log."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.write("go\n")
                process.stdin.flush()

    def finish(self) -> list[dict[str, float]]:
        """Wait for all; returns what each measured."""
        answers = []
        for process in self._processes:
            out, _ = process.communicate(timeout=600)
            if process.returncode:
                raise RuntimeError(f"an agent of the benchmark failed: {process.returncode}")
            answers.append(json.loads(out.strip().splitlines()[-1]))
        return answers


@contextmanager
def watcher(database: Path, how: str, expected: int) -> Iterator[list[float]]:
    """Collect latencies in ms, in another process, until ``expected`` thoughts were seen.

    Args:
        database: The database.
        how: ``committed`` reads rows as soon as the bell rings; ``subscribed`` uses the SDK's subscribe().
        expected: How many thoughts to wait for.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watch", str(database), how, str(expected)],
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise RuntimeError("the watcher of the benchmark did not start")
    latencies: list[float] = []

    def collect() -> None:
        out, _ = process.communicate(timeout=600)
        latencies.extend(json.loads(out))

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield latencies
    finally:
        thread.join(timeout=60)
        if process.poll() is None:
            process.kill()


def created(database: Path) -> apsw.Connection:
    """A connection to a database, once its committer has made it."""
    while True:
        try:
            return open_reader(database)
        except (FileNotFoundError, NotADatabase):
            time.sleep(0.01)


def latencies_of(texts: Sequence[str], now: int) -> list[float]:
    """How long ago, in ms, thoughts were called that can be read now."""
    return [(now - called_at(text)) / 1e6 for text in texts]
