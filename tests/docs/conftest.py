"""What the tests of the documentation share: the pages, and a directory to run an example in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RunPage = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def pages() -> list[Path]:
    """Every page a reader may open."""
    return [
        ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
    ] + sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables of a person in a fresh shell, with our ``stepstream`` and ``python`` on the path."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, command in (("python", ""), ("stepstream", " -m stepstream")):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        script.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith("STEPSTREAM_")}
    return own | {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TZ": "UTC",
        # An example that starts pytest needs none of the plugins that are installed here.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # An idle committer need not wait for another example.
        "STEPSTREAM_LINGER_S": "0.2",
        # The machine of the tests may be slower than a reader's.
        "STEPSTREAM_FLUSH_TIMEOUT_S": "20",
    }


@pytest.fixture
def run_page(tmp_path: Path, environment: dict[str, str]) -> RunPage:
    """Run the examples of a page in an empty directory, as one program."""

    def run(page: Path) -> subprocess.CompletedProcess[str]:
        place = tmp_path / "place"
        place.mkdir()
        return subprocess.run(
            [sys.executable, Path(__file__).with_name("run_page.py"), page],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )

    return run
