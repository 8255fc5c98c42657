"""Room kept for the worst moment: a file that is given up when the disk is full, so that draining can begin.

Without it a full disk would be final: the database cannot grow, so no segment is consumed, so none is
deleted.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

BALLAST = "ballast"
BALLAST_BYTES = 16 * 1024 * 1024

_ROOM_FACTOR = 16
_RESTORE_INTERVAL_S = 60.0


class Ballast:
    """The committer's reserve on the disk."""

    def __init__(self, spool: SpoolDirectory) -> None:
        self._spool = spool
        self._look_at = 0.0

    def restore(self) -> None:
        """Put the file in place while there is plenty of room; looks once a minute."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _RESTORE_INTERVAL_S
        free_bytes, _ = self._spool.disk_free()
        if free_bytes < _ROOM_FACTOR * BALLAST_BYTES:
            return
        descriptor = self._spool.open(BALLAST, os.O_WRONLY | os.O_CREAT)
        try:
            # Not every file system can reserve; then there is no reserve.
            with suppress(OSError):
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the room back."""
        with suppress(FileNotFoundError):
            os.unlink(BALLAST, dir_fd=self._spool.descriptor)
        self._look_at = time.monotonic() + _RESTORE_INTERVAL_S
