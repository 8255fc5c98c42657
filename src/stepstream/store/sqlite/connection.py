"""How a connection to history.db is opened: one library, WAL, and nothing that could remove a live log.

Knows SQLite's traps (see docs/explanation/sqlite.md): a second SQLite library in one process, or a plain
``open`` and ``close`` of the file, drops the locks of every connection; a library older than 3.51.3 may lose
commits in WAL mode; the last connection to close removes the log unless told not to.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import apsw

from stepstream.errors import Busy, Corrupt, Full, NotADatabase, StoreError
from stepstream.store.sqlite.index_lock import GuardedConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION_ID = 0x53535452
"""Stands in the file's header, as ``file history.db`` shows."""

_CREATE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_READ_ONLY = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI

_FIXED_SINCE = 3_051_003
_BACK_PORTS = frozenset({3_044_006, 3_050_007})

READER_BUSY_MS = 5_000
WRITER_BUSY_MS = 2_000


def check_library() -> None:
    """Refuse an SQLite that may lose commits.

    Raises:
        StoreError: The library has the WAL-reset bug (sqlite.org/wal.html#walresetbug).
    """
    version = apsw.SQLITE_VERSION_NUMBER
    if version < _FIXED_SINCE and version not in _BACK_PORTS:
        raise StoreError(
            f"SQLite {apsw.sqlite_lib_version()} inside apsw can lose commits in WAL mode; "
            "run: pip install --upgrade 'apsw>=3.51.3'"
        )


def open_writer(path: Path, mode: int = 0o600) -> GuardedConnection:
    """Open, or create, the database for the one committer.

    Args:
        path: The database.
        mode: Who may read and write it.

    Raises:
        NotADatabase: The file is something else.
        StoreError: It cannot be opened.
    """
    check_library()
    with _opening(path, os.fspath(path)) as connection:
        _configure(connection, WRITER_BUSY_MS)
        _refuse_foreign(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.hold_index()
    if stat.S_IMODE(os.stat(path).st_mode) != mode:
        os.chmod(path, mode)
    return connection


def open_reader(
    path: Path, *, immutable: bool | None = None, busy_ms: int = READER_BUSY_MS
) -> apsw.Connection:
    """Open the database for reading only.

    Args:
        path: The database.
        immutable: The file cannot change, as on read-only media; None finds out.
        busy_ms: How long to wait for whoever holds it.

    Raises:
        FileNotFoundError: There is no such file.
        NotADatabase: The file is something else.
        StoreError: It cannot be read.
    """
    check_library()
    if not path.exists():
        raise FileNotFoundError(2, "there is no history", os.fspath(path))
    if immutable is None:
        immutable = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    name = f"file:{quote(os.fspath(path))}?mode=ro" + ("&immutable=1" if immutable else "")
    with _opening(path, name, _READ_ONLY) as connection:
        _configure(connection, busy_ms)
        if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
            raise NotADatabase(path, "it is an SQLite file of another program")
        connection.execute("PRAGMA query_only = ON")
        if not immutable:
            connection.hold_index()
    return connection


@contextmanager
def _opening(path: Path, name: str, flags: int = _CREATE) -> Iterator[GuardedConnection]:
    """A new connection, closed again when it is refused."""
    try:
        connection = GuardedConnection(path, name, flags)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
    except apsw.NotADBError as error:
        raise NotADatabase(path, "its header is not SQLite's") from error
    except apsw.Error as error:
        raise translate(path, error) from error


def is_unborn(path: Path, *, busy_ms: int = 0) -> bool:
    """Whether a file is what its first committer leaves between creating the database and filling it.

    Args:
        path: The database.
        busy_ms: How long to wait for whoever holds it.

    Raises:
        apsw.Error: It cannot be read.
    """
    name = f"file:{quote(os.fspath(path))}?mode=ro"
    connection = GuardedConnection(path, name, _READ_ONLY)
    try:
        _configure(connection, busy_ms)
        return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_schema").get)
    except apsw.NotADBError:
        return False
    finally:
        connection.close()


@contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its beginning, whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def translate(path: Path, error: apsw.Error) -> StoreError:
    """Our error for one of the driver's."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return Busy(path, WRITER_BUSY_MS / 1000)
        case apsw.FullError():
            return Full(path)
        case apsw.CorruptError() | apsw.NotADBError():
            return Corrupt(path, str(error))
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    """Refuse another program's file before anything in it is changed."""
    if connection.execute("PRAGMA application_id").get == APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    # Our own transaction that creates the tables may have ended between the two questions.
    if tables and connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        connection.close()
        raise NotADatabase(path, "it is an SQLite file of another program")


def _configure(connection: apsw.Connection, busy_ms: int) -> None:
    connection.set_busy_timeout(busy_ms)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.execute("PRAGMA mmap_size = 0")
