"""Migrations: they lead to schema.sql, run once whoever starts, and leave other files alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.players import PATH
from tests.support.rounds import open_files

from stepstream.errors import NotADatabase, SchemaTooNew
from stepstream.store.sqlite import migration
from stepstream.store.sqlite.connection import APPLICATION_ID, open_reader, open_writer
from stepstream.store.sqlite.migration import migrate, migrations, newest_version, schema_version
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def structure(connection: apsw.Connection) -> set[tuple[str, str, str]]:
    """Every table, index and view with the statement that made it."""
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in rows}


def test_the_migrations_lead_to_the_schema(database: Path) -> None:
    """A file brought up by all migrations is what schema.sql says."""
    connection = open_writer(database)
    applied = migrate(connection, database)
    fresh = apsw.Connection(":memory:")
    folder = migration.resources.files("stepstream.store.sqlite")
    fresh.execute((folder / "schema.sql").read_text("utf-8"))

    assert structure(connection) == structure(fresh)
    assert [each.version for each in applied] == [each.version for each in migrations()]
    assert schema_version(connection) == newest_version()
    assert connection.execute("PRAGMA application_id").get == APPLICATION_ID
    connection.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    """Migrations count from 1, each has a name, and none has a number twice."""
    assert [each.version for each in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(each.name for each in migrations())


def test_every_table_is_strict(database: Path) -> None:
    """No table takes a value of another type than it says, whoever writes."""
    connection = open_writer(database)
    migrate(connection, database)
    loose = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND NOT strict AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    connection.close()

    assert loose == []


def test_a_second_run_does_nothing(database: Path) -> None:
    """A file that is up to date is left as it is."""
    connection = open_writer(database)
    migrate(connection, database)
    before = connection.execute("SELECT * FROM schema_migration").fetchall()

    assert migrate(connection, database) == []
    assert connection.execute("SELECT * FROM schema_migration").fetchall() == before
    connection.close()


MIGRATE = """
import sys, time
from pathlib import Path
from stepstream.errors import Busy
from stepstream.store.sqlite.connection import open_writer
from stepstream.store.sqlite.migration import migrate

database = Path(sys.argv[1])
sys.stdin.read()
deadline = time.monotonic() + 30
while True:
    try:
        connection = open_writer(database)
        print(len(migrate(connection, database)))
        break
    except Exception as error:
        if time.monotonic() > deadline or type(error).__name__ not in {"Busy", "BusyError"}:
            raise
"""


def test_sixteen_migrators_at_once(database: Path) -> None:
    """Of sixteen processes that migrate one new file at once, one does it and fifteen find it done."""
    read, write = os.pipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, os.fspath(database)],
            stdin=read,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": PATH},
        )
        for _ in range(16)
    ]
    os.close(read)
    os.close(write)
    told = [int(process.communicate(timeout=50)[0]) for process in processes]

    assert [process.returncode for process in processes] == [0] * 16
    assert sorted(told) == [0] * 15 + [len(migrations())]
    connection = open_reader(database)
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    assert connection.execute("SELECT count(*) FROM schema_migration").get == len(migrations())
    connection.close()


def test_a_migration_that_fails_leaves_nothing(database: Path) -> None:
    """A migration is whole or not at all, its mark included."""
    connection = open_writer(database)
    connection.set_authorizer(
        lambda _action, name, *_: apsw.SQLITE_DENY if name == "redaction" else apsw.SQLITE_OK
    )
    with pytest.raises(apsw.Error):
        migrate(connection, database)
    connection.set_authorizer(None)

    assert schema_version(connection) == 0
    assert structure(connection) == set()
    migrate(connection, database)
    assert schema_version(connection) == newest_version()
    connection.close()


@pytest.mark.parametrize("user_version", [0, 1, 5])
def test_a_foreign_file_is_refused(database: Path, user_version: int) -> None:
    """Tables of another program are never added to, whatever number that program has left."""
    foreign = apsw.Connection(os.fspath(database))
    foreign.execute("CREATE TABLE meta (name TEXT, value TEXT)")
    foreign.execute(f"PRAGMA user_version = {user_version}")
    foreign.close()
    before = database.read_bytes()

    with pytest.raises(NotADatabase):
        SqliteStore(database)
    with pytest.raises(NotADatabase):
        open_reader(database)
    assert database.read_bytes() == before


def test_a_newer_file_is_not_written(database: Path) -> None:
    """A file of a newer release is read, and to record into it is refused with the command that helps."""
    SqliteStore(database).close(clean=True)
    connection = open_writer(database)
    connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    connection.close()

    with pytest.raises(SchemaTooNew, match="pip install --upgrade stepstream"):
        SqliteStore(database)
    reader = open_reader(database)
    assert reader.execute("SELECT count(*) FROM step").get == 0
    reader.close()


def test_opening_and_refusing_leaks_nothing(database: Path) -> None:
    """Refused files leave no descriptor open."""
    database.write_text("no database at all " * 300)
    for _ in range(2):
        with pytest.raises(NotADatabase):
            SqliteStore(database)
    before = open_files()
    for _ in range(5):
        with pytest.raises(NotADatabase):
            SqliteStore(database)
    assert open_files() == before
