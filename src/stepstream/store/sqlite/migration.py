"""Bringing history.db to the newest schema: numbered SQL files, each in one transaction.

Run by the committer only, which holds the lock; the table ``schema_migration`` and ``user_version`` say how
far a file is.
"""

from __future__ import annotations

import time
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from stepstream.errors import NotADatabase, SchemaTooNew
from stepstream.schemas.release import RELEASE
from stepstream.store.sqlite.connection import APPLICATION_ID, immediate

if TYPE_CHECKING:
    from pathlib import Path

    import apsw


class Migration(NamedTuple):
    """One numbered change of the schema."""

    version: int
    name: str
    sql: str


def migrations() -> tuple[Migration, ...]:
    """Every change there is, in order."""
    folder = resources.files("stepstream.store.sqlite") / "migrations"
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text("utf-8")))
    return tuple(sorted(found))


def newest_version() -> int:
    """The schema this release writes."""
    return migrations()[-1].version


def schema_version(connection: apsw.Connection) -> int:
    """The schema a file has; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").get)


def migrate(connection: apsw.Connection, path: Path) -> list[Migration]:
    """Apply what is missing.

    Returns:
        What was applied.

    Raises:
        NotADatabase: The file holds tables of another program.
        SchemaTooNew: A newer stepstream wrote the file.
    """
    known = migrations()
    applied = []
    for migration in known:
        with immediate(connection):
            found = schema_version(connection)
            if found == 0:
                _refuse_foreign(connection, path)
            if found > known[-1].version:
                raise SchemaTooNew(path, found, known[-1].version)
            if found >= migration.version:
                continue
        if found:
            _keep_copy(connection, path, found)
        with immediate(connection):
            if schema_version(connection) >= migration.version:
                continue
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO schema_migration VALUES (?, ?, ?, ?, ?)",
                (
                    migration.version,
                    migration.name,
                    sha256(migration.sql.encode()).hexdigest(),
                    time.time_ns(),
                    RELEASE,
                ),
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {migration.version}")
            applied.append(migration)
    return applied


def _keep_copy(connection: apsw.Connection, path: Path, version: int) -> None:
    """Keep the file as it was before its schema changes; one copy of each schema is enough."""
    copy = path.with_name(f"{path.name}-schema-{version}")
    if not copy.exists():
        connection.execute("VACUUM INTO ?", (str(copy),))


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_schema").get:
        raise NotADatabase(path, "it holds tables of another program")
