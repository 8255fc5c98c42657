"""How long ``import stepstream`` and ``stepstream --version`` take, as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 15
USED = "ObservabilityProvider, Thought, agent, log_event, tool"


def run(place: Path) -> list[Figure]:
    """Measure each against the bare interpreter."""
    bare = _seconds([sys.executable, "-c", "pass"], place)
    imported = _seconds([sys.executable, "-c", "import stepstream"], place)
    used = _seconds([sys.executable, "-c", f"from stepstream import {USED}"], place)
    version = _seconds([sys.executable, "-m", "stepstream", "--version"], place)
    return [
        Figure("import stepstream", (1000 * (imported - bare),), "ms", 150),
        Figure("the same, and what an agent that logs uses", (1000 * (used - bare),), "ms", 150),
        Figure("stepstream --version", (1000 * version,), "ms", 200),
        Figure("the bare interpreter", (1000 * bare,), "ms"),
    ]


def _seconds(command: list[str], place: Path) -> float:
    # As a user has it: modules compiled once, by the first of these runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return median(times)
