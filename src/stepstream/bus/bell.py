"""The bell: one small file whose change tells other processes that something was committed.

The committer writes the last cursor after every commit; whoever waits sleeps in inotify on Linux and looks
every few milliseconds elsewhere. The bell only wakes; the table is the truth.

Knows one file. Must not know steps.
"""

from __future__ import annotations

import os
import select
import time
from struct import Struct
from typing import TYPE_CHECKING

from stepstream.bus.inotify import Inotify
from stepstream.spool.directory import BELL

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

_CURSOR = Struct("<q")
_POLL_S = 0.005
BACKSTOP_S = 0.05


class Bell:
    """The committer's side: ring after a commit."""

    def __init__(self, spool: SpoolDirectory) -> None:
        self._descriptor = spool.open(BELL, os.O_RDWR | os.O_CREAT)

    def publish(self, cursor: int) -> None:
        """Tell everybody who waits that steps up to this cursor can be read."""
        os.pwrite(self._descriptor, _CURSOR.pack(cursor), 0)

    def published(self) -> int:
        """The cursor that was told last, by whichever committer; 0 when none was."""
        raw = os.pread(self._descriptor, _CURSOR.size, 0)
        return _CURSOR.unpack(raw)[0] if len(raw) == _CURSOR.size else 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Listener:
    """A reader's side: wait until the bell rings."""

    def __init__(self, spool: SpoolDirectory) -> None:
        self._descriptor = spool.open(BELL, os.O_RDWR | os.O_CREAT)
        self._inotify = Inotify.open()
        if self._inotify is not None and self._inotify.watch(f"/proc/self/fd/{self._descriptor}") is None:
            # The system has no watches left.
            self._inotify.close()
            self._inotify = None
        if self._inotify is not None:
            # Not select(): an agent may hold more than 1,024 descriptors.
            self._poll = select.poll()
            self._poll.register(self._inotify.fileno(), select.POLLIN)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the bell rings; -1 where there is none."""
        return -1 if self._inotify is None else self._inotify.fileno()

    def wait(self, timeout_s: float) -> None:
        """Sleep until the bell rings, or at most so long; rings since the last wait count."""
        if self._inotify is None:
            time.sleep(min(timeout_s, _POLL_S))
            return
        if self._poll.poll(1000 * min(timeout_s, BACKSTOP_S)):
            self._inotify.drain()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
