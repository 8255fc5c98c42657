"""The shipper as a process: ``python -m stepstream.shipping.shipper_process PLACE URL SETTINGS``.

The token is in its environment, or in the file that the settings name; arguments can be read by anybody.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

from stepstream.settings import Settings
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.loop import run_shipper
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.hosting import has_a_chance


def main() -> int:
    """Ship until nobody needs it."""
    os.closerange(3, 1024)
    database = Path(sys.argv[1])
    address = ServerAddress.parse(sys.argv[2], "the argument URL")
    settings = Settings.model_validate_json(sys.argv[3])
    spool = SpoolDirectory(database, shared_group=settings.spool_shared_group)
    if not has_a_chance(spool):
        return 0
    # The shipper makes many tuples and no cycles.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    run_shipper(spool, address, settings, until=lambda: bool(stopping), linger_s=settings.linger_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
