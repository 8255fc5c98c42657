"""Read-only connections to one history: opened when needed, used by one thread at a time, kept for the next.

Knows when a connection must not be used any more: after a fork, and when the path names another file. Must
not know what is asked.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import apsw

from stepstream.errors import Corrupt, NotADatabase, NotOpen, StoreError
from stepstream.reading.content import ContentDamaged, ContentPool
from stepstream.reading.functions import register
from stepstream.reading.rows import PAYLOAD, Rows
from stepstream.store.sqlite.connection import READER_BUSY_MS, is_unborn, open_reader, translate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stepstream.reading.content import Value
    from stepstream.reading.rows import StepRow

_PROGRESS_STEPS = 20_000


class Reader:
    """One connection, and what it has learnt about the file it is of."""

    def __init__(self, path: Path) -> None:
        """Open the history.

        Raises:
            FileNotFoundError: There is no such file.
            StoreError: It is no history, or cannot be read.
        """
        self.path = path
        # A file that is put in another's place meanwhile is opened instead.
        while True:
            self._file = _file(path)
            self.connection = open_reader(path)
            if self.is_current():
                break
            self.connection.close()
        self.content = ContentPool(self.select)
        self.rows = Rows(path, self.select, self.content)
        register(self.connection, self.content)
        _readers.add(self)

    def select(self, sql: str, arguments: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Every row of a query, in one short read transaction.

        Raises:
            StoreError: The database cannot answer.
        """
        try:
            return self.connection.execute(sql, arguments).fetchall()
        except ContentDamaged as error:
            raise Corrupt(self.path, str(error)) from error
        except apsw.Error as error:
            raise translate(self.path, error) from error

    def page(self, sql: str, arguments: Sequence[Value], bytes_max: int) -> list[StepRow]:
        """The first steps of a query, as many as hold a number of bytes, but at least one.

        Raises:
            StoreError: The database cannot answer.
        """
        rows: list[StepRow] = []
        size = 0
        try:
            cursor = self.connection.execute(sql, arguments)
            for row in cast("Iterator[StepRow]", cursor):
                rows.append(row)
                size += len(row[PAYLOAD])
                if size >= bytes_max:
                    break
            cursor.close()
        except ContentDamaged as error:
            raise Corrupt(self.path, str(error)) from error
        except apsw.Error as error:
            raise translate(self.path, error) from error
        return rows

    def first(self, sql: str, arguments: Sequence[Value] = ()) -> Value:
        """The first column of the first row; None when there is no row."""
        rows = self.select(sql, arguments)
        return rows[0][0] if rows else None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let several queries see one state; keep it short, since a log that is read cannot be emptied."""
        self.select("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def limited(self, seconds_max: float) -> Iterator[None]:
        """Give up queries that are not done in time.

        Raises:
            TimeoutError: One was not.
        """
        deadline = time.monotonic() + seconds_max
        self.connection.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
        try:
            yield
        except StoreError as error:
            if isinstance(error.__cause__, apsw.InterruptError):
                raise TimeoutError(f"the question took more than {seconds_max:g} s") from error
            raise
        finally:
            self.connection.set_progress_handler(None)

    def is_current(self) -> bool:
        """Whether the path still names the file that is open."""
        return _file(self.path) == self._file

    def last_cursor(self) -> int:
        """The highest cursor ever given out."""
        found = self.first("SELECT seq FROM sqlite_sequence WHERE name = 'step'")
        return found if isinstance(found, int) else 0

    def meta(self, name: str) -> str | None:
        """A row of the table ``meta``."""
        found = self.first("SELECT value FROM meta WHERE name = ?", (name,))
        return found if isinstance(found, str) else None

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()


def open_when_made(path: Path, *, is_last_try: bool = False) -> Reader | None:
    """A reader; None while there is no file, or one that its committer has not filled yet.

    Raises:
        NotADatabase: The file is something else.
        StoreError: It cannot be read.
    """
    try:
        return Reader(path)
    except FileNotFoundError:
        return None
    except NotADatabase:
        try:
            if is_unborn(path, busy_ms=READER_BUSY_MS):
                return None
        except apsw.Error as error:
            raise translate(path, error) from error
        if is_last_try:
            raise
    except StoreError:
        if not path.exists():
            return None
        raise
    # It may have been filled between the two looks.
    return open_when_made(path, is_last_try=True)


_readers: WeakSet[Reader] = WeakSet()


def _leak_inherited() -> None:
    """In a forked child: never close the parent's connections, not even by forgetting them."""
    for reader in _readers:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(reader.connection))
    _readers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leak_inherited)


def _file(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


class ReaderPool:
    """Readers of one history for any number of threads.

    A thread takes a reader for as long as one page lasts. So reads run side by side, there are as many
    connections as questions at a time, and a thread that ends leaves none behind. Nothing is locked: taking
    from and giving back to a deque are single operations, and may even happen inside a garbage collection.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: deque[Reader] = deque()
        self._process = os.getpid()
        self._closed = False

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """A reader of the file that the path names now.

        Raises:
            NotOpen: The pool was closed.
            FileNotFoundError: There is no file at the path.
            StoreError: It is no history, or cannot be read.
        """
        reader = self._take()
        process = self._process
        try:
            yield reader
        finally:
            if process == os.getpid():
                self._give_back(reader)

    def _take(self) -> Reader:
        if self._closed:
            raise NotOpen(f"the history {self.path}", "open it again with History.open")
        self._check_process()
        try:
            reader = self._idle.pop()
        except IndexError:
            return Reader(self.path)
        if reader.is_current():
            return reader
        reader.close()
        return Reader(self.path)

    def _give_back(self, reader: Reader) -> None:
        self._idle.append(reader)
        if self._closed:
            self._drop()

    def _check_process(self) -> None:
        """In a forked child: the connections are the parent's."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._idle = deque()

    def _drop(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close the connections; those in use follow when they are given back."""
        self._closed = True
        self._check_process()
        self._drop()
