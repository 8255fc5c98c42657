"""The shipper's day: work while there is work, sleep in inotify when there is none, end when told.

While a server is out of reach nothing wakes it but the time of the next try.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stepstream.shipping.shipper import Shipper
from stepstream.store.election import HEARTBEAT_INTERVAL_S
from stepstream.store.sleeper import Sleeper, another_commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.spool.directory import SpoolDirectory

_PAUSE_S = 0.001
# A pass of so many frames has behind it what a pause would gather.
_ENOUGH = 64
_IDLE_PASSES = 30
_DRAIN_S = 3.0


def run_shipper(
    spool: SpoolDirectory,
    address: ServerAddress,
    settings: Settings,
    *,
    until: Callable[[], bool],
    linger_s: float | None = None,
) -> None:
    """Ship until told to stop and drained, or until nobody has needed it for a while.

    Args:
        spool: What is shipped.
        address: Where to.
        settings: Bounds, and where the token is.
        until: Whether to stop; asked between passes, and by another thread. What was logged before is shipped
            first, as far as the server takes it.
        linger_s: End after so long without owners; None stays.
    """
    shipper = Shipper(spool, address, settings, is_stopping=until)
    sleeper = Sleeper(spool)
    idle = 0
    needed_at = time.monotonic()
    ends_at = 0.0
    try:
        while True:
            stopping = until()
            count = shipper.work()
            if stopping:
                ends_at = ends_at or time.monotonic() + _DRAIN_S
                # Agents that go on logging are their next shipper's business.
                if count == 0 or not shipper.elected or time.monotonic() > ends_at:
                    return
            if count:
                idle = 0
                if count < _ENOUGH:
                    time.sleep(_PAUSE_S)
                continue
            idle += 1
            now = time.monotonic()
            if linger_s is not None and not shipper.elected and another_commits(spool):
                return
            if shipper.has_owners():
                needed_at = now
            elif linger_s is not None and now - needed_at > linger_s and _nobody_came(shipper):
                return
            _rest(shipper, sleeper, idle)
    finally:
        sleeper.close()
        shipper.close()


def _rest(shipper: Shipper, sleeper: Sleeper, idle: int) -> None:
    """Wait as long as there is probably nothing to do."""
    if shipper.pause_s > _PAUSE_S:
        time.sleep(min(shipper.pause_s, HEARTBEAT_INTERVAL_S))
    elif idle < _IDLE_PASSES:
        time.sleep(_PAUSE_S)
    else:
        sleeper.sleep(shipper.work)


def _nobody_came(shipper: Shipper) -> bool:
    """Give up the office, then look once more: an agent that came meanwhile saw the lock held."""
    shipper.leave()
    try:
        return not shipper.has_segments()
    except OSError:
        return False
