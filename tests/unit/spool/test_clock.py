"""Clocks: time of day that never runs backwards, and a stamp that orders processes."""

from __future__ import annotations

import time

import pytest

from stepstream.spool.clock import SystemClock, boot_id


class Hands:
    """The machine's two clocks, moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_000_000_000_000
        self.monotonic = 5_000

    def pass_by(self, ns: int) -> None:
        """Both clocks go on."""
        self.wall += ns
        self.monotonic += ns


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(time, "time_ns", lambda: hands.wall)
    monkeypatch.setattr(time, "monotonic_ns", lambda: hands.monotonic)
    return hands


def test_time_of_day_is_the_machines(hands: Hands) -> None:
    """While the wall clock goes on, its time is taken as it is."""
    clock = SystemClock()
    for _ in range(3):
        hands.pass_by(7)
        assert clock.now() == hands.wall


def test_a_step_backwards_is_not_shown(hands: Hands) -> None:
    """After the wall clock was set back, time stands still at most and never runs backwards."""
    clock = SystemClock()
    before = clock.now()
    hands.wall -= 3_600_000_000_000
    told = []
    for _ in range(1_000):
        hands.pass_by(1_000_000)
        told.append(clock.now())

    assert told == sorted(told)
    assert told[0] >= before


def test_it_goes_on_at_half_speed_until_the_clock_has_caught_up(hands: Hands) -> None:
    """The error of a step backwards shrinks, and then time is the machine's again."""
    clock = SystemClock()
    began = clock.now()
    hands.wall -= 1_000_000
    clock.now()
    hands.pass_by(500_000)
    assert clock.now() == began + 250_000
    hands.pass_by(500_000)
    assert clock.now() == began + 500_000
    hands.pass_by(1_100_000)
    assert clock.now() == hands.wall
    hands.pass_by(1)
    assert clock.now() == hands.wall


def test_a_second_step_backwards_begins_anew(hands: Hands) -> None:
    """What passed between two steps backwards is not counted twice."""
    clock = SystemClock()
    clock.now()
    hands.wall -= 10
    clock.now()
    hands.pass_by(1_000_000)
    caught_up = clock.now()
    assert caught_up == hands.wall
    hands.pass_by(1_000_000_000)
    hands.wall = caught_up - 50
    assert clock.now() == caught_up


def test_a_step_forwards_is_taken(hands: Hands) -> None:
    """A clock that was set forward is believed at once."""
    clock = SystemClock()
    clock.now()
    hands.wall += 10**15
    assert clock.now() == hands.wall


def test_the_stamp_is_shared_by_all_processes() -> None:
    """A stamp lies between two readings of CLOCK_MONOTONIC."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    stamp = SystemClock().stamp()
    assert before <= stamp <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_the_boot_has_one_id() -> None:
    """The id of this boot has sixteen bytes and does not change."""
    assert len(boot_id()) == 16
    assert boot_id() == boot_id() != bytes(16)
