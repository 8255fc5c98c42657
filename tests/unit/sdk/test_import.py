"""`import stepstream` is cheap, its names are sorted, and each is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stepstream

HEAVY = (
    "ahocorasick_rs",
    "apsw",
    "asyncio",
    "jsonschema_rs",
    "multiprocessing",
    "pytest",
    "rich",
    "subprocess",
    "typer",
)

LIGHT = f"""
import sys
from stepstream import ObservabilityProvider, Thought, agent, log_event, tool
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_importing_loads_nothing_heavy() -> None:
    """A program that imports us pays for pydantic and our own types, and for nothing it may never need."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True, timeout=30
    )

    assert done.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    """__all__ is sorted and complete, and what is loaded on demand can be loaded."""
    assert stepstream.__all__ == sorted(stepstream.__all__)
    assert len(set(stepstream.__all__)) == len(stepstream.__all__)
    for name in stepstream.__all__:
        assert getattr(stepstream, name) is not None


def test_an_unknown_name_is_told_as_ever() -> None:
    """The module answers for a wrong name as any module does."""
    with pytest.raises(AttributeError, match=r"^module 'stepstream' has no attribute 'Nonsense'$"):
        stepstream.Nonsense  # noqa: B018 - the access is the test
