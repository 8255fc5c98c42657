"""How large an installation is: the wheel with its dashboard, and all that it requires."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parent.parent


def run(place: Path) -> list[Figure]:
    """Build the wheel, install it into an empty environment, and look at what is there."""
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT)
    (wheel,) = place.glob("stepstream-*.whl")
    _run(sys.executable, "-m", "venv", "--without-pip", place / "environment")
    python = place / "environment/bin/python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-compile")
    _run(*pip, "--require-hashes", "--only-binary=:all:", "-r", ROOT / "requirements/runtime.txt")
    _run(*pip, "--no-deps", wheel)
    (packages,) = (place / "environment").glob("lib/python3*/site-packages")
    held = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    return [
        Figure("an installation, dashboard and all", (held / 1e6,), "MB", 80),
        Figure("distributions in it", (float(len(list(packages.glob("*.dist-info")))),), "", 32),
    ]


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
