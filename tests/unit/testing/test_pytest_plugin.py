"""The plugin for suites of agents: strict watching, and a history for each test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
import math
from pathlib import Path
import pytest
from stepstream import Thought, ValidationFailed, log_event, tool
from stepstream.testing.spool_steps import logged_steps

@tool
def measure() -> float:
    return math.nan

def test_one(stepstream_database: Path) -> None:
    log_event(Thought(text="one"))
    assert [step.kind for step in logged_steps(stepstream_database)] == ["status_change", "thought"]

def test_two(stepstream_database: Path) -> None:
    assert logged_steps(stepstream_database) == []
    assert math.isnan(measure())
"""


def _pytest(directory: Path, configuration: str) -> str:
    (directory / "test_suite.py").write_text(SUITE)
    (directory / "pytest.ini").write_text(f"[pytest]\n{configuration}\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "stepstream.testing.pytest_plugin",
            "-p",
            "no:cacheprovider",
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.stdout


def test_each_test_has_a_history_of_its_own(tmp_path: Path) -> None:
    """Code without a provider logs into a directory of the test's, and watching is lenient by default."""
    assert "2 passed" in _pytest(tmp_path, "")


def test_strict_watching_is_an_option(tmp_path: Path) -> None:
    """stepstream_strict makes what could not be recorded as it was an error of the test."""
    output = _pytest(tmp_path, "stepstream_strict = true")

    assert "1 failed, 1 passed" in output
    assert "ValidationFailed: observation was not recorded" in output
