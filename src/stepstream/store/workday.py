"""The day of whoever empties a spool: work while there is work, sleep when there is none, end when told.

Under load it makes a pass about every millisecond; nobody pays for being watched. After some idle passes it
watches the spool directory and sleeps in inotify until a file there changes. Who waits for something else
than the spool is woken by time alone.

Knows when a pass is made. Must not know what becomes of what is in the spool.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from stepstream.store.election import HEARTBEAT_INTERVAL_S
from stepstream.store.sleeper import Sleeper, another_commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.spool.directory import SpoolDirectory

_PAUSE_S = 0.001
_IDLE_PASSES = 30
_DRAIN_S = 3.0


class Worker(Protocol):
    """Whoever empties a spool while it holds the office: used by one thread, and never raising."""

    @property
    def elected(self) -> bool:
        """Whether it holds the office."""
        ...

    @property
    def holds_lock(self) -> bool:
        """Whether the office's lock is its own, even if it cannot work at the moment."""
        ...

    @property
    def pause_s(self) -> float:
        """How long there is nothing to try."""
        ...

    def work(self) -> int:
        """Make one pass; returns how many frames it took care of."""
        ...

    def settle(self) -> int:
        """Make a pass as ``work`` does, with the housekeeping that would be due during a sleep."""
        ...

    def has_owners(self) -> bool:
        """Whether anybody may still log, or anything is left to finish."""
        ...

    def has_segments(self) -> bool:
        """Whether the spool holds any segment that it could take care of."""
        ...

    def leave(self) -> None:
        """Give up the office."""
        ...

    def close(self) -> None:
        """Leave the election."""
        ...


def spend_day(
    worker: Worker,
    spool: SpoolDirectory,
    *,
    until: Callable[[], bool],
    linger_s: float | None,
    enough: int,
    wakers: tuple[int, ...] = (),
) -> None:
    """Work until told to stop and drained, or until nobody has needed it for a while; then close the worker.

    Args:
        worker: Who works.
        spool: What is emptied.
        until: Whether to stop; asked between passes. What was logged before is taken care of first, for as
            long as a few seconds.
        linger_s: End after so long without owners; None stays.
        enough: A pass of so many frames has behind it what a pause would gather.
        wakers: Descriptors that wake too, when they can be read.
    """
    sleeper = Sleeper(spool, *wakers)
    idle = 0
    needed_at = time.monotonic()
    ends_at = 0.0
    try:
        while True:
            stopping = until()
            count = worker.work()
            if stopping:
                ends_at = ends_at or time.monotonic() + _DRAIN_S
                # Agents that go on logging are the business of whoever comes next.
                if count == 0 or not worker.elected or time.monotonic() > ends_at:
                    return
            if count:
                idle = 0
                if count < enough:
                    time.sleep(_PAUSE_S)
                continue
            idle += 1
            now = time.monotonic()
            # While it waits for a database that is busy, the lock that is held is its own.
            waits = worker.elected or worker.holds_lock
            if linger_s is not None and not waits and another_commits(spool):
                return
            if worker.has_owners():
                needed_at = now
            elif linger_s is not None and now - needed_at > linger_s and _nobody_came(worker):
                return
            _rest(worker, sleeper, idle)
    finally:
        sleeper.close()
        worker.close()


def _rest(worker: Worker, sleeper: Sleeper, idle: int) -> None:
    """Wait as long as there is probably nothing to do."""
    if worker.pause_s > _PAUSE_S:
        time.sleep(min(worker.pause_s, HEARTBEAT_INTERVAL_S))
    elif idle < _IDLE_PASSES:
        time.sleep(_PAUSE_S)
    else:
        sleeper.sleep(worker.settle)


def _nobody_came(worker: Worker) -> bool:
    """Give up the office, then look once more: an agent that came meanwhile saw the lock held."""
    worker.leave()
    try:
        return not worker.has_segments()
    except OSError:
        return False
