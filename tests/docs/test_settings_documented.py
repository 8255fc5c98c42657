"""Every setting stands in docs/reference/settings.md with its environment name and its default."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path

import pytest

from stepstream.settings import (
    ENVIRONMENT_PREFIX,
    BackupSettings,
    RedactionPattern,
    RedactionSettings,
    Settings,
)

_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows(root: Path) -> dict[str, list[str]]:
    """The rows of the page's tables by what they are about."""
    text = (root / "docs/reference/settings.md").read_text("utf-8")
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in _ROW.findall(text)}


def _as_written(value: object) -> str:
    return value.value if isinstance(value, Enum) else json.dumps(value)


@pytest.mark.parametrize(
    "name", [name for name in Settings.model_fields if name not in {"redaction", "backup"}]
)
def test_a_setting_is_documented(name: str, rows: dict[str, list[str]]) -> None:
    """The page names the setting, its variable, its default as it is in the code, and what it means."""
    variable, default, meaning = rows[name]

    assert variable == f"`{ENVIRONMENT_PREFIX}{name.upper()}`"
    assert default.strip("`") == _as_written(Settings.model_fields[name].default)
    assert meaning.endswith(".")


@pytest.mark.parametrize("name", BackupSettings.model_fields)
def test_an_entry_of_backups_is_documented(name: str, rows: dict[str, list[str]]) -> None:
    """The page names the entry, its variable, its default as it is in the code, and what it means."""
    variable, default, meaning = rows[name]

    assert variable == f"`{ENVIRONMENT_PREFIX}BACKUP_{name.upper()}`"
    assert default.strip("`") == _as_written(BackupSettings.model_fields[name].default)
    assert meaning.endswith(".")


def test_the_redaction_table_is_documented(rows: dict[str, list[str]]) -> None:
    """The page names every entry of ``[redaction]`` and of its patterns."""
    entries = {
        *RedactionSettings.model_fields,
        *(f"patterns.*.{name}" for name in RedactionPattern.model_fields),
    }

    assert entries <= rows.keys()
    assert rows["enabled"][0] == _as_written(RedactionSettings().enabled)
    assert rows["patterns.*.every_step"][0] == _as_written(RedactionPattern(regex="x").every_step)


def test_no_setting_is_made_up(rows: dict[str, list[str]]) -> None:
    """Every row is about something that exists."""
    entries = {
        *BackupSettings.model_fields,
        *RedactionSettings.model_fields,
        *(f"patterns.*.{name}" for name in RedactionPattern.model_fields),
    }
    variables = {name for name in rows if name.startswith(ENVIRONMENT_PREFIX)}

    assert rows.keys() - entries - variables == set(Settings.model_fields)


def test_every_variable_of_the_code_is_documented(rows: dict[str, list[str]], root: Path) -> None:
    """Every environment variable that the package reads stands on the page."""
    in_code = {
        name
        for path in (root / "src").rglob("*.py")
        for name in re.findall(rf'"({ENVIRONMENT_PREFIX}[A-Z_]+[A-Z])"', path.read_text("utf-8"))
    }
    on_page = {name for name in rows if name.startswith(ENVIRONMENT_PREFIX)}
    on_page |= {cells[0].strip("`") for cells in rows.values()}

    assert in_code - on_page == set()
