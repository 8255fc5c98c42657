"""The thread that flushes the write-ahead log and empties it, so that no commit waits for the disk.

Where no thread can be had, each commit waits.

Knows how far what is committed is on the disk; only what is there may be deleted from the spool.
"""

from __future__ import annotations

import threading
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
    """Flushes every few milliseconds while there are commits, and at once when somebody waits for it."""

    def __init__(self, store: Store, interval_ms: int) -> None:
        self._store = store
        self._interval_s = interval_ms / 1000
        self._wanted = threading.Event()
        self._urgent = threading.Event()
        self._stopping = False
        self.commits = 0
        self.synced = 0
        self.checkpoints = 0
        self.log_bytes = 0
        self.failed = False
        self._awaited: deque[_Awaited] = deque()
        self._thread = threading.Thread(target=self._run, name="stepstream-log-sync", daemon=True)
        self._is_beside = True
        try:
            self._thread.start()
        except RuntimeError:
            # None can be had any more: the interpreter is ending (since Python 3.12), or there are too many.
            self._is_beside = False

    def committed(self) -> int:
        """Something was committed; returns its number, which ``synced`` reaches when it is on the disk."""
        self.commits += 1
        self._wanted.set()
        if not self._is_beside and not self.failed:
            self._flush()
        return self.commits

    def tell(self, lasting: Callable[[], None], doubtful: Callable[[], None]) -> None:
        """Say, from the other thread, when all that is committed by now is on the disk.

        Args:
            lasting: Called when it is.
            doubtful: Called instead when nobody will know.
        """
        self._awaited.append(_Awaited(self.commits, lasting, doubtful))
        if not self._is_beside:
            self._tell(self.synced)
        self._wanted.set()
        self._urgent.set()

    def stop(self) -> None:
        """End the thread after its current flush."""
        self._stopping = True
        self._wanted.set()
        self._urgent.set()
        if self._is_beside:
            self._thread.join()
        self._tell(self.synced)
        while self._awaited:
            self._awaited.popleft().doubtful()

    def _flush(self) -> None:
        reached = self.commits
        if not self._store.sync_log():
            # After a failed flush a later success proves nothing (the pages may be gone).
            self.failed = True
            return
        self.synced = reached
        self._tell(reached)
        if self._store.log_bytes() > _CHECKPOINT_BYTES:
            self.log_bytes = self._store.checkpoint_aside()
            self.checkpoints += 1

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
            self._flush()
            if self.failed:
                return
            # Those who come while the disk is busy share the next flush.
            self._urgent.wait(self._interval_s)
            self._urgent.clear()
