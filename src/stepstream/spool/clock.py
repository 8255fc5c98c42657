"""The two clocks of a recorder: one that orders, one that tells the time.

Knows how to keep wall time from running backwards. Fakes take its place in tests.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Protocol


class Clock(Protocol):
    """Where stamps and times come from."""

    def stamp(self) -> int:
        """CLOCK_MONOTONIC in ns, shared by all processes of a boot."""
        ...

    def now(self) -> int:
        """Wall time in ns since 1970 UTC, never running backwards in this process."""
        ...


class SystemClock:
    """The machine's clocks.

    After a step of the wall clock backwards, time goes on from where it was at half speed until the wall
    clock has caught up: order is kept, and the error shrinks. Not thread-safe: the recorder asks inside its
    write lock.
    """

    stamp = staticmethod(time.monotonic_ns)

    def __init__(self) -> None:
        self._last = 0
        self._last_stamp = 0

    def now(self) -> int:
        """Wall time in ns since 1970 UTC, never running backwards in this process."""
        wall = time.time_ns()
        if wall < self._last:
            return self._slow()
        self._last = wall
        self._last_stamp = 0
        return wall

    def _slow(self) -> int:
        stamp = time.monotonic_ns()
        elapsed = stamp - self._last_stamp if self._last_stamp else 0
        self._last_stamp = stamp
        self._last += elapsed // 2
        return self._last


@cache
def boot_id() -> bytes:
    """Sixteen bytes that differ between boots, whose monotonic clocks cannot be compared.

    Raises:
        OSError: They cannot be read now, as when descriptors have run out. A guess would be another boot,
            and what was written under it would be put before all that came first.
    """
    try:
        # As bytes: a signal handler that logs may come between, and an import of a codec is not re-entrant.
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return bytes.fromhex(file.read().decode("ascii").strip().replace("-", ""))
    except (FileNotFoundError, ValueError):
        started = int(time.time() - time.monotonic())
        return started.to_bytes(16, "big")
