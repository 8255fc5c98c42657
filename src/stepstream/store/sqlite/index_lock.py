"""A lock that says that the log's index is in use, and that nothing else in this process can drop.

By a lock on one byte of ``history.db-shm`` SQLite knows whether anybody uses the log. The lock is the
process's: a copy of the workspace, which opens and closes the file, drops it. The next program that opens the
database then empties the index under our feet, which the kernel answers with SIGBUS, or removes the log when
it closes. A lock of an open file description (man 2 fcntl) is dropped by its own close alone.

Knows one byte of a file format (sqlite.org/walformat.html, 2.3.1). Where the system has no such locks nothing
is held.
"""

from __future__ import annotations

import fcntl
import os
import threading
from struct import Struct
from typing import TYPE_CHECKING, Self

import apsw

if TYPE_CHECKING:
    from pathlib import Path

_BYTE_IN_USE = 128
_FLOCK = Struct("hhqqi4x")  # struct flock: l_type, l_whence, l_start, l_len, l_pid

_guard = threading.Lock()
_locks: dict[tuple[int, int], IndexLock] = {}


class IndexLock:
    """The lock on one index, shared by all connections of this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._users = 0

    @classmethod
    def hold(cls, database: Path) -> Self | None:
        """Hold the lock for one more connection; None where there is no index or no such lock."""
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return None
        with _guard:
            try:
                return cls._of(database)
            except OSError:
                return None

    @classmethod
    def _of(cls, database: Path) -> Self:
        path = database.with_name(database.name + "-shm")
        info = os.stat(path)
        found = _locks.get((info.st_dev, info.st_ino))
        if not isinstance(found, cls):
            # Never closed: that would drop SQLite's own locks.
            found = cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            info = os.fstat(found._descriptor)
            _locks[info.st_dev, info.st_ino] = found
        if found._users == 0:
            found._set(fcntl.F_RDLCK)
        found._users += 1
        return found

    def release(self) -> None:
        """One connection less uses the index."""
        with _guard:
            self._users -= 1
            if self._users == 0:
                self._set(fcntl.F_UNLCK)

    def _set(self, kind: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, _BYTE_IN_USE, 1, 0))


def _forget() -> None:
    """In a forked child: connections of the parent's are not used here, and its lock is its own to drop."""
    global _guard  # noqa: PLW0603 - another thread of the parent may have held it
    _guard = threading.Lock()
    _locks.clear()


os.register_at_fork(after_in_child=_forget)


class GuardedConnection(apsw.Connection):
    """A connection that holds the lock on its index while it is open."""

    _index_lock: IndexLock | None = None

    def hold_index(self, database: Path) -> None:
        """Hold the lock from here on; the index appears with the first transaction."""
        if self._index_lock is None:
            self._index_lock = IndexLock.hold(database)

    def close(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - apsw's signature
        """Close, and let go of the lock afterwards."""
        super().close(force)
        lock, self._index_lock = self._index_lock, None
        if lock is not None:
            lock.release()
