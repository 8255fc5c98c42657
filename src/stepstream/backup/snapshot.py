"""A consistent, compact copy of a history, taken while agents write.

Knows how SQLite copies, and what a copy holds. Must not know where the copy goes from there. The live file is
only ever opened as every reader opens it; a copy is a file of nobody else's and may be read like any other.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

import apsw

from stepstream.errors import SnapshotFailed
from stepstream.store.sqlite.connection import open_reader, translate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_INTERVAL_S = 0.2
_MIB = 1024 * 1024


class Snapshot(NamedTuple):
    """A copy that was taken.

    Attributes:
        bytes: How large it is.
        cursor: The last step in it.
        steps: How many there are.
    """

    bytes: int
    cursor: int
    steps: int


def copy_database(
    database: Path, copy: Path, told: Callable[[int, int], None], free_bytes_min: int = 0
) -> Snapshot:
    """Copy a database into a new file that only its owner may read.

    Args:
        database: The database; whoever writes into it is not held up.
        copy: The file, which must not be there.
        told: Hears how many bytes there are of about how many.
        free_bytes_min: What the copy leaves free on its disk.

    Raises:
        FileNotFoundError: There is no database.
        SnapshotFailed: The copy cannot be written.
        StoreError: The database cannot be read.
    """
    connection = open_reader(database)
    try:
        expected = bytes_in_use(connection)
        _ask_for_room(database, copy.parent, expected, free_bytes_min)
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(copy, expected, told, over), daemon=True)
        watcher.start()
        try:
            # The file is open for reading only; what SQLite writes here is the copy.
            connection.execute("PRAGMA query_only = OFF")
            connection.execute("VACUUM INTO ?", (os.fspath(copy),))
        finally:
            over.set()
            watcher.join()
    except (apsw.FullError, apsw.CantOpenError) as error:
        raise SnapshotFailed(
            database, f"{copy.parent} takes no copy ({error})", "make room there, and see who may write there"
        ) from error
    except apsw.Error as error:
        raise translate(database, error) from error
    finally:
        connection.close()
    copy.chmod(0o600)
    return _measure(copy)


def bytes_in_use(connection: apsw.Connection) -> int:
    """How large a compact copy of a database would be, about."""
    size = connection.execute(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).get
    return int(size)


def _ask_for_room(database: Path, directory: Path, size: int, free_bytes_min: int) -> None:
    """Never take the agents' last byte."""
    info = os.statvfs(directory)
    free = info.f_bavail * info.f_frsize
    if free < size + free_bytes_min:
        raise SnapshotFailed(
            database,
            f"the copy has {size // _MIB} MiB, {free // _MIB} MiB are free in {directory} "
            f"and {free_bytes_min // _MIB} MiB of them stay free",
            "make room there",
        )


def _watch(copy: Path, expected: int, told: Callable[[int, int], None], over: threading.Event) -> None:
    """Tell how far the copy is by its size; SQLite itself does not say."""
    while not over.wait(_LOOK_INTERVAL_S):
        try:
            told(copy.stat().st_size, expected)
        except FileNotFoundError:
            continue


def _measure(copy: Path) -> Snapshot:
    connection = open_reader(copy)
    try:
        cursor = connection.execute("SELECT coalesce(max(cursor), 0) FROM step").get
        steps = connection.execute("SELECT count(*) FROM step").get
    finally:
        connection.close()
    return Snapshot(copy.stat().st_size, cursor, steps)
