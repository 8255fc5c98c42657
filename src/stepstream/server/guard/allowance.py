"""Allowances: how often, and how many at a time, for each of many clients, in bounded memory.

Knows keys and counts. Must not know what is counted.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from stepstream.server.auth.authority import address

if TYPE_CHECKING:
    from collections.abc import Callable

_NETWORK_BITS = 64


def client_key(client: str) -> str:
    """What a client is counted by: its address, or its network where one person has a whole one."""
    found = address(client)
    if isinstance(found, IPv6Address):
        return f"{int(found) >> _NETWORK_BITS:016x}/64"
    return client if found is None else str(found)


class Allowance:
    """So many at once, and so many a second in the long run, for each key."""

    def __init__(
        self, a_second: float, burst: int, keys_max: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Give every key all it may have at once.

        Args:
            a_second: How much comes back in a second.
            burst: How much there is at most.
            keys_max: How many keys are remembered; the one that was not used for longest is forgotten.
            clock: Seconds that never run backwards.
        """
        self._a_second = a_second
        self._burst = float(burst)
        self._keys_max = keys_max
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Use one up; returns 0.0, or after how many seconds there is one again."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._a_second)
        wait_s = 0.0
        if left >= 1.0:
            left -= 1.0
        else:
            wait_s = (1.0 - left) / self._a_second
        self._remember(key, left, now)
        return wait_s

    def wait_s(self, key: str) -> float:
        """After how many seconds there is one again, without using it up."""
        left, at = self._left.get(key, (self._burst, 0.0))
        left += (self._clock() - at) * self._a_second
        return 0.0 if left >= 1.0 else (1.0 - left) / self._a_second

    def _remember(self, key: str, left: float, now: float) -> None:
        self._left[key] = (left, now)
        if len(self._left) > self._keys_max:
            self._left.popitem(last=False)


class Remembered:
    """Which keys were here, as far as that can be remembered."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._keys: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        """Remember a key; forget the one that was not here for longest."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._keys_max:
            self._keys.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        return key in self._keys


class Occupancy:
    """How many are inside: altogether, and by key."""

    def __init__(self, in_all_max: int, a_key_max: int) -> None:
        self._in_all_max = in_all_max
        self._a_key_max = a_key_max
        self._inside: Counter[str] = Counter()
        self._in_all = 0

    def enter(self, key: str | None) -> bool:
        """Let one more in, unless that would be too many; None for one that counts towards all only."""
        if self._in_all >= self._in_all_max or (key is not None and self._inside[key] >= self._a_key_max):
            return False
        self._in_all += 1
        if key is not None:
            self._inside[key] += 1
        return True

    def leave(self, key: str | None) -> None:
        """Take out one that was let in."""
        self._in_all -= 1
        if key is not None:
            self._inside[key] -= 1
            if self._inside[key] <= 0:
                del self._inside[key]
