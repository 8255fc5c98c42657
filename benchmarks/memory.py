"""How much the committer's memory grows over 1,000,000 steps."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.agent import thought
from benchmarks.figure import Figure
from stepstream import ObservabilityProvider
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

WARM_UP = 100_000
STEPS = 1_000_000
_BURST = 20_000


def run(place: Path) -> list[Figure]:
    """Measure the resident size after the warm-up and at the end."""
    database = place / "history.db"
    with ObservabilityProvider(database) as provider, provider.episode("bench") as episode:
        sizes = []
        for number in range(0, STEPS + WARM_UP, _BURST):
            for _ in range(_BURST):
                episode.log_event(thought())
            provider.flush(timeout_s=600)
            if number + _BURST >= WARM_UP:
                sizes.append(_resident_mb(database))
    return [
        Figure("committer's memory, growth over 1,000,000 steps", (max(sizes[1:]) - sizes[0],), "MB", 20),
        Figure("committer's memory after warm-up", (sizes[0],), "MB"),
    ]


def _resident_mb(database: Path) -> float:
    spool = SpoolDirectory(database)
    try:
        status = read_status(spool)
    finally:
        spool.close()
    if status is None:
        raise RuntimeError("nobody commits")
    time.sleep(0.05)
    for line in Path(f"/proc/{status.pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the committer's memory cannot be read")
