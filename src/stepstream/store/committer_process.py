"""The committer as a process: ``python -m stepstream.store.committer_process DATABASE SETTINGS``."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import time
from pathlib import Path

from stepstream.settings import Settings
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory
from stepstream.store.election import is_locked, read_status
from stepstream.store.loop import run_committer

_TRIES = 3


def main() -> int:
    """Commit until nobody needs it."""
    os.closerange(3, 1024)
    database = Path(sys.argv[1])
    settings = Settings.model_validate_json(sys.argv[2])
    spool = SpoolDirectory(database, shared_group=settings.spool_shared_group)
    if not _has_a_chance(spool):
        return 0
    # The committer makes many tuples and no cycles.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    run_committer(database, spool, settings, until=lambda: bool(stopping), linger_s=settings.linger_s)
    return 0


def _has_a_chance(spool: SpoolDirectory) -> bool:
    """Whether to stand: of sixteen that are started at once, fifteen end here."""
    for _ in range(_TRIES):
        if not is_locked(spool, COMMITTER_LOCK):
            return True
        status = read_status(spool)
        if status is not None and not status.is_fresh():
            return True
        time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - jitter
    return False


if __name__ == "__main__":
    sys.exit(main())
