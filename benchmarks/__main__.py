"""Run the benchmarks: ``./dev bench [NAME ...] [--runs N] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.figure import Figure, merged, table

NAMES = (
    "startup",
    "hot_path",
    "throughput",
    "latency",
    "reading",
    "memory",
    "stream",
    "ingest",
    "answers",
    "page",
    "install",
)


def main() -> int:
    """Run what was asked for; the exit code tells whether every bar holds."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    chosen = parser.parse_args()
    words, console = Console(stderr=True), Console()
    figures: list[Figure] = []
    for name in chosen.names or NAMES:
        module = import_module(f"benchmarks.{name}")
        runs = []
        for number in range(chosen.runs):
            words.print(f"{name}: run {number + 1} of {chosen.runs}", style="dim")
            with tempfile.TemporaryDirectory(prefix="stepstream-bench-", ignore_cleanup_errors=True) as place:
                runs.append(module.run(Path(place)))
        figures += merged(runs)
    console.print(table(figures))
    if chosen.json:
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
        }
        document = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return 0 if all(figure.holds is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
