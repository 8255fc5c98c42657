"""The thread that flushes the write-ahead log and empties it, so that no commit waits for the disk.

Knows how far what is committed is on the disk; only what is there may be deleted from the spool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.store.store import Store


_CHECKPOINT_BYTES = 8 * 1024 * 1024


class _Awaited(NamedTuple):
    """Somebody who waits for a commit to be on the disk."""

    commit: int
    lasting: Callable[[], None]
    doubtful: Callable[[], None]


class LogSync:
    """Flushes at most every few milliseconds, and only when something was committed."""

    def __init__(self, store: Store, interval_ms: int) -> None:
        self._store = store
        self._interval_s = interval_ms / 1000
        self._wanted = threading.Event()
        self._stopping = False
        self.commits = 0
        self.synced = 0
        self.checkpoints = 0
        self.log_bytes = 0
        self.failed = False
        self._awaited: deque[_Awaited] = deque()
        self._thread = threading.Thread(target=self._run, name="stepstream-log-sync", daemon=True)
        self._thread.start()

    def committed(self) -> int:
        """Something was committed; returns its number, which ``synced`` reaches when it is on the disk."""
        self.commits += 1
        self._wanted.set()
        return self.commits

    def tell(self, lasting: Callable[[], None], doubtful: Callable[[], None]) -> None:
        """Say, from the other thread, when all that is committed by now is on the disk.

        Args:
            lasting: Called when it is.
            doubtful: Called instead when nobody will know.
        """
        self._awaited.append(_Awaited(self.commits, lasting, doubtful))
        self._wanted.set()

    def stop(self) -> None:
        """End the thread after its current flush."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        self._tell(self.synced)
        while self._awaited:
            self._awaited.popleft().doubtful()

    def _tell(self, reached: int) -> None:
        while self._awaited and self._awaited[0].commit <= reached:
            self._awaited.popleft().lasting()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_stopping():
                return
            reached = self.commits
            if self._store.sync_log():
                self.synced = reached
                self._tell(reached)
            else:
                # After a failed flush a later success proves nothing (the pages may be gone).
                self.failed = True
                return
            if self._store.log_bytes() > _CHECKPOINT_BYTES:
                self.log_bytes = self._store.checkpoint_aside()
                self.checkpoints += 1
            time.sleep(self._interval_s)
