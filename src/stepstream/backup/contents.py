"""What a copy of a database holds, and whether it is sound.

Knows tables. Must not know where the copy came from. A copy is a file that nobody else has open.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import apsw

from stepstream.backup.manifest import Contents, SegmentPosition
from stepstream.store.sqlite.connection import APPLICATION_ID, check_library, translate
from stepstream.store.sqlite.migration import schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FINDINGS_MAX = 5


@contextmanager
def open_copy(path: Path) -> Iterator[apsw.Connection]:
    """A connection to a file of our own; what is changed there leaves no log beside it.

    Raises:
        StoreError: It cannot be read or written.
    """
    check_library()
    try:
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            connection.execute("PRAGMA mmap_size = 0")
            connection.execute("PRAGMA temp_store = MEMORY")
            yield connection
        finally:
            connection.close()
    except apsw.Error as error:
        raise translate(path, error) from error


def read_contents(connection: apsw.Connection) -> Contents:
    """Count what a database holds."""
    meta = {str(name): str(value) for name, value in connection.execute("SELECT name, value FROM meta")}
    unfinished = connection.execute(
        "SELECT name, consumed FROM segment WHERE finished_at IS NULL ORDER BY name"
    )
    return Contents(
        database_id=meta["database_id"],
        epoch=meta["epoch"],
        schema_version=schema_version(connection),
        cursor=_figure(connection, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'step'"),
        steps=_figure(connection, "SELECT count(*) FROM step"),
        episodes=_figure(connection, "SELECT count(*) FROM episode"),
        contents=_figure(connection, "SELECT count(*) FROM content"),
        segments=tuple(SegmentPosition(name=str(name), consumed=int(at)) for name, at in unfinished),
    )


def kept_artifacts(connection: apsw.Connection, since_ns: int = 0) -> list[tuple[str, int]]:
    """The files whose bytes were kept beside the database since a moment: hash and size."""
    rows = connection.execute(
        "SELECT sha256, size_bytes FROM artifact WHERE kept = 1 AND recorded_at >= ? ORDER BY sha256",
        (since_ns,),
    )
    return [(str(sha256), int(size)) for sha256, size in rows]


def findings(connection: apsw.Connection) -> list[str]:
    """What is wrong with a database: with its pages, its indexes, its references."""
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        return ["it is no history"]
    checked = connection.execute(f"PRAGMA integrity_check({_FINDINGS_MAX})").fetchall()
    found = [str(row[0]) for row in checked if row[0] != "ok"]
    broken = islice(connection.execute("PRAGMA foreign_key_check"), _FINDINGS_MAX)
    return found + [f"row {row} of {table} refers to no {parent}" for table, row, parent, _ in broken]


def _figure(connection: apsw.Connection, sql: str) -> int:
    return int(connection.execute(sql).get)
