"""``stepstream migrate``: bring a database to this release's schema, with a snapshot taken first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, pasted, require, shown_path
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.cli.output import Output
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.store.sqlite.migration import Migration

_OFFICE_WAIT_S = 3.0
_LOOK_INTERVAL_S = 0.1


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be applied.")] = False,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Bring the database to the schema of this release.

    A snapshot is taken first. While another committer runs, it does this itself.
    """
    from stepstream.cli.output import Output
    from stepstream.errors import SchemaTooNew
    from stepstream.settings import Settings
    from stepstream.store.sqlite.migration import migrations, newest_version

    output = Output()
    database = database_path(db)
    require(database)
    found = schema_of(database)
    if found > newest_version():
        raise SchemaTooNew(database, found, newest_version())
    missing = [migration for migration in migrations() if migration.version > found]
    copy: Path | None = None
    if missing and not dry_run:
        copy = _apply(database, Settings.load(database), found, output)
    if as_json:
        output.json(
            {
                "schema_version": found if dry_run else schema_of(database),
                "is_dry_run": dry_run,
                "migrations": [{"version": each.version, "name": each.name} for each in missing],
                "snapshot": None if copy is None else str(copy),
            }
        )
    else:
        _tell(missing, found, copy, output, dry_run=dry_run)


def schema_of(database: Path) -> int:
    """The schema a file has.

    Raises:
        StoreError: It cannot be read.
    """
    from stepstream.reading.database import Reader
    from stepstream.store.sqlite.migration import schema_version

    reader = Reader(database)
    try:
        return schema_version(reader.connection)
    finally:
        reader.close()


def _apply(database: Path, settings: Settings, found: int, output: Output) -> Path:
    """Copy the database, then stand for the committer's office, whose first act is to migrate."""
    from stepstream.cli.snapshot import take
    from stepstream.spool.directory import SpoolDirectory

    copy = database.with_name(f"{database.name}.schema-{found}")
    if not copy.exists():
        take(database, copy, output)
    spool = SpoolDirectory(database, shared_group=settings.spool_shared_group)
    try:
        hold_office(database, spool, settings)
    finally:
        spool.close()
    return copy


def hold_office(database: Path, spool: SpoolDirectory, settings: Settings) -> None:
    """Be the committer for a moment: whoever takes the office creates the file and brings it up to date.

    Raises:
        CommandFailed: Somebody else holds the office, or the database cannot be opened.
    """
    from stepstream.store.committer import Committer
    from stepstream.store.election import read_status

    committer = Committer(database, spool, settings)
    deadline = time.monotonic() + _OFFICE_WAIT_S
    try:
        while not committer.stand():
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_INTERVAL_S)
        else:
            return
        state = committer.state
    finally:
        committer.close()
    status = read_status(spool)
    if status is not None and status.is_fresh() and not state.partition(":")[2]:
        raise CommandFailed(
            f"process {status.pid}, a committer of release {status.release}, holds {shown_path(database)} "
            "and does this itself when its release knows how; "
            f"else end the agents, then run: {pasted('migrate', database)}",
            ExitCode.REFUSED,
        )
    raise CommandFailed(f"{shown_path(database)} cannot be opened for writing: {state}")


def _tell(missing: list[Migration], found: int, copy: Path | None, output: Output, *, dry_run: bool) -> None:
    if not missing:
        output.say(f"schema {found} is what this release writes; there is nothing to do")
        return
    for migration in missing:
        verb = "would apply" if dry_run else "applied"
        output.line(f"{verb} {migration.version:04} {migration.name.replace('_', ' ')}")
    if copy is not None:
        output.say(f"the database as it was before: {shown_path(copy)}")
