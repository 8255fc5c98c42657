"""Figures for people."""

from __future__ import annotations

import pytest

from stepstream.cli.figures import age, bytes_held, clock_time, counted, duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("nanoseconds", "told"),
    [
        (-5, "0 µs"),
        (850_000, "850 µs"),
        (12_300_000, "12 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.0 s"),
        (3_440_000_000, "3.4 s"),
        (59_960_000_000, "1 m 00 s"),
        (125 * SECOND, "2 m 05 s"),
        (3_725 * SECOND, "1 h 02 m"),
        (90_000 * SECOND, "1 d 01 h"),
    ],
)
def test_durations(nanoseconds: int, told: str) -> None:
    """A duration has about three digits and the unit that fits it."""
    assert duration(nanoseconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "now"), (12, "12 s"), (61, "1 m"), (7_300, "2 h"), (400_000, "4 d")]
)
def test_ages(seconds: float, told: str) -> None:
    """An age has one unit."""
    assert age(int(seconds * SECOND)) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(512, "512 B"), (1024, "1.0 KiB"), (1_048_550, "1.0 MiB"), (5 << 30, "5.0 GiB"), (1 << 42, "4.0 TiB")],
)
def test_bytes(count: int, told: str) -> None:
    """An amount of bytes is told in the largest unit that leaves a whole figure."""
    assert bytes_held(count) == told


def test_counts_have_a_plural() -> None:
    """One is singular, all else is plural, and thousands are set apart."""
    assert [counted(number, "step") for number in (0, 1, 12_345)] == ["0 steps", "1 step", "12,345 steps"]
    assert counted(2, "loss", "losses") == "2 losses"


def test_the_time_of_day_has_milliseconds() -> None:
    """The time of day ends with the milliseconds of the step."""
    assert clock_time(1_795_350_005_355_845_058).endswith(":05.355")
