"""The reference of the command line has every command, and its help as the command says it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from stepstream.cli.failure import ExitCode


@pytest.fixture(scope="module")
def tool(root: Path) -> Iterator[ModuleType]:
    """tools/cli_reference.py, which writes the blocks of the page."""
    sys.path.insert(0, str(root / "tools"))
    try:
        yield import_module("cli_reference")
    finally:
        sys.path.remove(str(root / "tools"))


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """The page."""
    return (root / "docs/reference/command-line.md").read_text("utf-8")


def test_every_command_has_a_section(tool: ModuleType, page: str) -> None:
    """Each command has its own heading and its help, and no section is about a command that is not there."""
    headings = re.findall(r"^#{2,3} (stepstream[a-z ]*)$", page, re.MULTILINE)

    assert sorted(headings) == sorted(set(tool.commands()) - {"stepstream"})
    assert sorted(tool.documented(page)) == sorted(tool.commands())


def test_the_help_on_the_page_is_what_the_command_says(tool: ModuleType, page: str) -> None:
    """No help text on the page has drifted: ./dev run python tools/cli_reference.py writes them anew."""
    assert tool.renewed(page) == page


def test_drift_is_noticed(tool: ModuleType, page: str) -> None:
    """A changed help text on the page is replaced by the true one."""
    changed = page.replace("List episodes", "Do something else with episodes", 1)

    assert changed != page
    assert tool.renewed(changed) == tool.renewed(page)


def test_every_exit_code_is_documented(page: str) -> None:
    """The page says what each exit code means."""
    assert [code for code in ExitCode if f"| {code.value} |" not in page] == []
