"""The shipper's day, as a function that a thread or a process runs.

Knows what a shipper is made of. How a day goes is ``store.workday``'s; while a server is out of reach nothing
wakes a shipper but the time of the next try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.shipping.shipper import Shipper
from stepstream.store.workday import spend_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.spool.directory import SpoolDirectory

_ENOUGH = 64


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
    spend_day(shipper, spool, until=until, linger_s=linger_s, enough=_ENOUGH)
