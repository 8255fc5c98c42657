"""An increment: what was added to a database since its last backup, as a small database of its own.

Knows which rows are new: of the log and of the pool what stands behind the last backup, of the projections
what new steps may have changed. Must not know targets. An increment may hold rows that the backup before it
has too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import apsw

from stepstream.backup.contents import kept_artifacts, read_contents
from stepstream.errors import BackupDamaged, SnapshotFailed
from stepstream.store.sqlite.connection import open_reader, translate

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.backup.manifest import Contents

_NEVER = 2**62
# What is taken twice does no harm.
_EARLIER_NS = 60 * 1_000_000_000
_NEW_STEP = "cursor > :cursor"
# By table: which rows an increment takes, and what happens to one that is there already.
_TABLES = {
    "meta": ("true", "REPLACE"),
    "recorder": (
        f"ended_at IS NULL OR ended_at >= :since OR key IN (SELECT recorder FROM step WHERE {_NEW_STEP})",
        "REPLACE",
    ),
    "episode": ("last_cursor > :cursor", "REPLACE"),
    "step": (_NEW_STEP, "ABORT"),
    # Rows of the pool are numbered as they come and never fewer than there are: none that is new is missed.
    "content": ("rowid > :contents", "IGNORE"),
    "artifact": ("recorded_at >= :since", "REPLACE"),
    "payload_schema": ("true", "REPLACE"),
    "redaction": ("true", "REPLACE"),
}


class Added(NamedTuple):
    """What a database holds, and the files that a backup of it has to bring along."""

    contents: Contents
    artifacts: list[tuple[str, int]]


def copy_increment(database: Path, file: Path, before: Contents) -> Added | None:
    """Write what was added since a backup into a new file.

    Args:
        database: The database; whoever writes into it is not held up.
        file: The file, which must not be there.
        before: What the backup holds.

    Returns:
        What the database holds now; None where only a full backup will do, because something else happened to
        it than that steps were added.

    Raises:
        SnapshotFailed: The file cannot be written.
        StoreError: The database cannot be read.
    """
    source = open_reader(database)
    try:
        source.execute("BEGIN")
        now = read_contents(source)
        bindings = {
            "cursor": before.cursor,
            "contents": before.contents,
            "since": _since(source, before.cursor),
        }
        new = source.execute(f"SELECT count(*) FROM step WHERE {_NEW_STEP}", bindings).get
        if not _is_continued(before, now, int(new)):
            return None
        _write(source, file, bindings)
        return Added(now, kept_artifacts(source, bindings["since"]))
    except (apsw.FullError, apsw.CantOpenError) as error:
        raise SnapshotFailed(
            database, f"{file.parent} takes no copy ({error})", "make room there, and see who may write there"
        ) from error
    except apsw.Error as error:
        raise translate(database, error) from error
    finally:
        source.close()


def _since(source: apsw.Connection, cursor: int) -> int:
    """Before the first new step was committed, and all that came with it; by the clock as it was then."""
    found = source.execute("SELECT min(recorded_at) FROM step WHERE cursor > ?", (cursor,)).get
    return _NEVER if found is None else int(found) - _EARLIER_NS


def _is_continued(before: Contents, now: Contents, new: int) -> bool:
    same = ("database_id", "epoch", "schema_version")
    return (
        all(getattr(before, name) == getattr(now, name) for name in same) and now.steps - new == before.steps
    )


def _write(source: apsw.Connection, file: Path, bindings: dict[str, int]) -> None:
    copy = apsw.Connection(os.fspath(file))
    try:
        # A file of ours that is made anew when we die: nothing of it has to outlast a power cut.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        copy.execute("BEGIN")
        for table, (condition, _) in _TABLES.items():
            columns = _columns(source, table)
            copy.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            rows = source.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {condition}", bindings)
            copy.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(columns))})", rows)
        copy.execute("COMMIT")
    finally:
        copy.close()
    file.chmod(0o600)


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    return [str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def add_increment(connection: apsw.Connection, file: Path, where: str) -> None:
    """Add an increment to a copy of the database that it continues, whole or not at all.

    Args:
        connection: The copy.
        file: The increment.
        where: What it is called, for errors.

    Raises:
        BackupDamaged: It does not fit.
    """
    connection.execute("ATTACH ? AS increment", (os.fspath(file),))
    try:
        connection.execute("BEGIN")
        for table, (_, otherwise) in _TABLES.items():
            columns = ", ".join(_columns(connection, table))
            connection.execute(
                f"INSERT OR {otherwise} INTO main.{table} ({columns}) SELECT {columns} FROM increment.{table}"
            )
        connection.execute("COMMIT")
    except (apsw.ConstraintError, apsw.SQLError, apsw.CorruptError, apsw.NotADBError) as error:
        raise BackupDamaged(where, f"it does not continue what is before it ({error})") from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DETACH increment")
