"""The schemas of the core's kinds are pinned: what is stored can be read for ever."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from stepstream.schemas.core import CORE_KINDS

TOOL = Path(__file__).parents[2] / "tools" / "pin_schemas.py"


@pytest.fixture
def pinning() -> ModuleType:
    """The tool that pins."""
    spec = importlib.util.spec_from_file_location("pin_schemas", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_core_kind_is_pinned_as_it_is(pinning: ModuleType) -> None:
    """A class that changes without a new version fails here; see tools/pin_schemas.py."""
    pins = pinning.read_pins()

    assert pinning.changed(pins) == []
    assert set(pins) == set(CORE_KINDS)
    for kind, cls in CORE_KINDS.items():
        assert set(pins[kind]) >= {str(version) for version in range(1, cls.schema_version + 1)}


def test_a_change_without_a_new_version_is_found(pinning: ModuleType) -> None:
    """The check above can fail."""
    pins = pinning.read_pins()
    pins["thought"]["1"]["properties"]["text"] = {"type": "integer"}

    assert pinning.changed(pins) == ["thought version 1"]


def test_pinned_schemas_are_small_enough_to_read_at_start(pinning: ModuleType) -> None:
    """Every process that logs reads the file once, so it stays below 256 KiB."""
    assert pinning.PINS.stat().st_size < 256 * 1024
    assert "pin_schemas" not in sys.modules
