"""Sleep: how whoever empties a spool waits for the next frame without making anybody pay for it.

Knows the spool directory as something that changes. Must not know what is done with it.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from stepstream.bus.inotify import Inotify
from stepstream.store.election import HEARTBEAT_INTERVAL_S, somebody_commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.spool.directory import SpoolDirectory

_POLL_S = 0.005


def another_commits(spool: SpoolDirectory) -> bool:
    """Whether somebody does the work already, as far as can be seen."""
    try:
        return somebody_commits(spool)
    except OSError:
        # Whoever cannot look goes on.
        return False


class Sleeper:
    """Sleeps until the spool changes or the next heartbeat is due."""

    def __init__(self, spool: SpoolDirectory, *wakers: int) -> None:
        """Prepare to sleep.

        Args:
            spool: Whose changes wake.
            *wakers: Descriptors that wake too, when they can be read.
        """
        self._path = f"/proc/self/fd/{spool.descriptor}"
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._poll = select.poll()
            for descriptor in (self._inotify.fileno(), *wakers):
                self._poll.register(descriptor, select.POLLIN)

    def sleep(self, work: Callable[[], int]) -> None:
        """Sleep; watching begins with a last look, so that nothing written in between is missed."""
        if self._inotify is None:
            time.sleep(_POLL_S)
            return
        watch = self._inotify.watch(self._path)
        if watch is None:
            time.sleep(_POLL_S)
            return
        try:
            if work() == 0:
                self._inotify.drain()
                if work() == 0:
                    self._poll.poll(HEARTBEAT_INTERVAL_S * 1000)
        finally:
            self._inotify.forget(watch)
            self._inotify.drain()

    def close(self) -> None:
        """Let go of the watch."""
        if self._inotify is not None:
            self._inotify.close()
