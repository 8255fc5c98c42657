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
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from pathlib import Path

_BYTE_IN_USE = 128
_FLOCK = Struct("hhqqi4x")  # struct flock: l_type, l_whence, l_start, l_len, l_pid

_guard = threading.Lock()
_locks: dict[tuple[int, int], IndexLock] = {}


class IndexLock:
    """The lock on the index of one database file, shared by all connections of this process."""

    def __init__(self, file: tuple[int, int]) -> None:
        self._file = file
        self._descriptor = -1
        self._is_held = False
        self.users = 0

    @classmethod
    def join(cls, database: Path) -> IndexLock | None:
        """Count one more connection; None where there is no such file, or where there are no such locks."""
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return None
        with _guard:
            try:
                info = os.stat(database)
            except OSError:
                return None
            file = (info.st_dev, info.st_ino)
            lock = _locks.setdefault(file, cls(file))
            lock.users += 1
            return lock

    def hold(self, database: Path) -> None:
        """Take the lock, if nobody has and there is an index."""
        with _guard:
            if self._is_held:
                return
            with suppress(OSError):
                if self._descriptor < 0:
                    index = database.with_name(database.name + "-shm")
                    self._descriptor = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
                wanted = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, _BYTE_IN_USE, 1, 0)
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, wanted)
                self._is_held = True

    def leave(self) -> None:
        """Count one connection less; the last one lets go.

        Closing the descriptor drops the locks that SQLite holds on the index for this process: it must wait
        until there is no connection, nor one about to open.
        """
        with _guard:
            self.users -= 1
            if self.users == 0 and _locks.get(self._file) is self:
                del _locks[self._file]
                self.drop()

    def drop(self) -> None:
        """Let go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _forget() -> None:
    """In a forked child: connections of the parent's are not used here, and its lock is its own to drop."""
    global _guard  # noqa: PLW0603 - another thread of the parent may have held it
    _guard = threading.Lock()
    for lock in _locks.values():
        lock.drop()
    _locks.clear()


os.register_at_fork(after_in_child=_forget)


class GuardedConnection(apsw.Connection):
    """A connection that is counted from before it opens until it is closed, and can hold the lock."""

    def __init__(self, database: Path, name: str, flags: int) -> None:
        """Open the database, under a name that SQLite understands.

        Raises:
            apsw.Error: It cannot be opened.
        """
        self._database = database
        self._index_lock = IndexLock.join(database)
        try:
            super().__init__(name, flags=flags)
        except BaseException:
            self._leave()
            raise
        if self._index_lock is None:
            # It was created.
            self._index_lock = IndexLock.join(database)

    def hold_index(self) -> None:
        """Hold the lock from here on; the index appears with the first transaction."""
        if self._index_lock is not None:
            self._index_lock.hold(self._database)

    def close(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - apsw's signature
        """Close, and let go of the lock afterwards."""
        super().close(force)
        self._leave()

    def _leave(self) -> None:
        lock, self._index_lock = self._index_lock, None
        if lock is not None:
            lock.leave()
