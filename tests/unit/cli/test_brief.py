"""JSON values in few words."""

from __future__ import annotations

import pytest

from stepstream.cli.brief import brief, brief_arguments
from stepstream.schemas.record import JsonValue


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (True, "true"),
        (180.0, "180.0"),
        (1 / 3, "0.333333"),
        (1e-9, "1e-09"),
        (10**400, "a huge number"),
        ("as it is", "as it is"),
        ([3.0, 4.0], "[3.0 4.0]"),
        ([], "[]"),
        (list(range(20)), "[0 1 2 3 4 5 6 7 8 9 10 11 … 20 in all]"),
        ({"b": {"c": 1}, "a": "x"}, 'a="x" b={c=1}'),
        ({"a": [], "b": 1}, "b=1 a=[]"),
        ({"a": {"b": {"c": 1}}}, "a={b={…}}"),
        ({"a": {"b": [1, 2]}}, "a={b=[2]}"),
        ({}, ""),
    ],
)
def test_values(value: JsonValue, told: str) -> None:
    """A value is told by what it holds at once; what lies deeper is only hinted at."""
    assert brief(value) == told


def test_arguments_read_like_a_call() -> None:
    """Arguments stand in brackets, separated by commas."""
    assert brief_arguments({"thickness_mm": 4.0, "name": "x"}) == '(thickness_mm=4.0, name="x")'
    assert brief_arguments({}) == "()"


def test_an_endless_value_stays_short() -> None:
    """However large a value is, its words stay few."""
    huge: JsonValue = {f"key{number}": "x" * 10_000 for number in range(10_000)}

    assert len(brief(huge)) < 2_000
    assert brief(huge).endswith("…")
    assert len(brief("x" * 1_000_000)) < 1_000
