"""Allowances: how often and how many, for each of many clients, in bounded memory."""

from __future__ import annotations

from stepstream.server.guard.allowance import Allowance, Occupancy, Remembered, client_key


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_there_is_so_much_at_once_and_so_much_a_second() -> None:
    """A key may take its burst at once, then what comes back with time, and never saves up more than the burst."""
    clock = Clock()
    allowance = Allowance(2.0, 3, 10, clock=clock)
    assert [allowance.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    clock.now_s += 0.5
    assert (allowance.take("a"), allowance.take("a")) == (0.0, 0.5)
    clock.now_s += 1_000

    assert [allowance.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_whoever_is_refused_does_not_wait_longer_for_asking() -> None:
    """Asking in vain uses nothing up, so that the stated wait is right however often one asks."""
    clock = Clock()
    allowance = Allowance(1.0, 1, 10, clock=clock)
    allowance.take("a")
    for _ in range(100):
        assert allowance.take("a") == 1.0
    clock.now_s += 1.0

    assert allowance.take("a") == 0.0


def test_one_key_does_not_touch_another() -> None:
    """What one key has used up the others still have."""
    allowance = Allowance(1.0, 1, 10, clock=Clock())
    allowance.take("a")

    assert (allowance.take("a"), allowance.take("b")) == (1.0, 0.0)


def test_looking_uses_nothing_up() -> None:
    """How long the wait would be can be asked without taking anything."""
    clock = Clock()
    allowance = Allowance(0.5, 1, 10, clock=clock)
    assert [allowance.wait_s("a") for _ in range(3)] == [0.0] * 3
    allowance.take("a")
    assert allowance.wait_s("a") == 2.0
    clock.now_s += 1.5

    assert allowance.wait_s("a") == 0.5


def test_memory_is_bounded() -> None:
    """However many keys there are, only the latest are remembered, and one that comes often is among them."""
    allowance = Allowance(1.0, 1, 10, clock=Clock())
    for number in range(1_000):
        allowance.take("often")
        allowance.take(str(number))

    assert len(allowance._left) == 10
    assert allowance.take("often") == 1.0
    assert allowance.take("0") == 0.0


def test_what_was_remembered_longest_ago_is_forgotten() -> None:
    """Keys are remembered up to a number, those that came again before those that did not."""
    remembered = Remembered(2)
    for key in ("a", "b", "a", "c"):
        remembered.add(key)

    assert [key in remembered for key in "abc"] == [True, False, True]


def test_places_are_given_back() -> None:
    """There are so many places for a key and so many altogether, and whoever leaves makes room."""
    occupancy = Occupancy(3, 2)
    assert [occupancy.enter(key) for key in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    occupancy.leave("a")
    assert (occupancy.enter("b"), occupancy.enter("b")) == (True, False)
    for key in ("a", "b", "b"):
        occupancy.leave(key)

    assert occupancy._inside == {}
    assert [occupancy.enter(None) for _ in range(4)] == [True, True, True, False]


def test_a_client_is_counted_by_what_is_one_persons() -> None:
    """An address of IPv4 is one client, in whatever form; of IPv6 a network of 64 bits is."""
    assert client_key("192.0.2.1") == client_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_key("2001:db8::1") == client_key("2001:db8:0:0:ffff::2")
    assert client_key("2001:db8::1") != client_key("2001:db8:0:1::1")
    assert client_key("") == ""
