"""``stepstream backups``: what there is to restore."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, pasted
from stepstream.cli.backup import TargetOption, open_target

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.backup.catalogue import Catalogue, Listed
    from stepstream.backup.manifest import Manifest
    from stepstream.backup.target import Target
    from stepstream.cli.output import Output

DatabaseIdOption = Annotated[
    str | None,
    typer.Option("--database", metavar="ID", help="Whose backups, where the target has several databases'."),
]


def backups(
    target: TargetOption = None,
    database_id: DatabaseIdOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most how many; 0 for all.")] = 20,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """List backups, the latest first."""
    from stepstream.backup.catalogue import Catalogue
    from stepstream.cli.output import Output
    from stepstream.settings import Settings

    output = Output()
    database = database_path(db)
    place = open_target(Settings.load(database), target)
    catalogue = Catalogue(place, whose_backups(place, database_id, database))
    listed = catalogue.listed[::-1][: limit or None]
    if as_json:
        output.json(
            {
                "target": place.url,
                "database_id": catalogue.layout.database_id,
                "backups": [
                    {"id": each.id, "kind": each.kind.value, **_stated(_load(catalogue, each))}
                    for each in listed
                ],
            }
        )
        return
    _show(catalogue, listed, output)
    if len(listed) < len(catalogue.listed):
        output.say(f"the latest {limit} of {len(catalogue.listed)}; all with --limit 0")
    _tell_last_failure(database, output)


def whose_backups(target: Target, stated: str | None, database: Path) -> str:
    """The database whose backups are meant: the one stated, else the one here, else the only one.

    Raises:
        BackupNotFound: There is none, or it has to be named.
    """
    from stepstream.backup.catalogue import databases, the_database
    from stepstream.errors import StepstreamError
    from stepstream.reading.database import Reader

    if stated is None:
        try:
            reader = Reader(database)
        except (FileNotFoundError, StepstreamError):
            # A database that is lost or damaged is just why somebody asks.
            return the_database(target, None)
        try:
            own = reader.meta("database_id")
        finally:
            reader.close()
        if own in databases(target):
            return own or ""
    return the_database(target, stated)


def _load(catalogue: Catalogue, listed: Listed) -> Manifest | None:
    from stepstream.errors import BackupDamaged

    try:
        return catalogue.load(listed)
    except BackupDamaged:
        return None


def _stated(manifest: Manifest | None) -> dict[str, str | int | float | bool | None]:
    if manifest is None:
        return {"is_damaged": True}
    return {
        "is_damaged": False,
        "parent": manifest.parent,
        "taken_at": manifest.taken_at,
        "epoch": manifest.contents.epoch,
        "after_cursor": manifest.after_cursor,
        "cursor": manifest.contents.cursor,
        "steps": manifest.contents.steps,
        "episodes": manifest.contents.episodes,
        "size_bytes": manifest.data.size_bytes,
        "stored_bytes": manifest.data.stored_bytes,
        "artifacts": len(manifest.artifacts),
        "lacking": len(manifest.lacking),
        "object": manifest.data.path,
        "release": manifest.release,
    }


def _show(catalogue: Catalogue, listed: list[Listed], output: Output) -> None:
    from stepstream.cli.figures import age, bytes_held
    from stepstream.cli.output import dim, red
    from stepstream.cli.table import Column, Table

    table = Table(
        Column("BACKUP"),
        Column("AGE", is_right=True),
        Column("KIND", drop=2),
        Column("STEPS", is_right=True),
        Column("FILES", is_right=True, drop=3),
        Column("SIZE", is_right=True, drop=1),
        Column("STORED", is_right=True),
    )
    now = time.time_ns()
    for each in listed:
        manifest = _load(catalogue, each)
        figures = (
            (red("damaged"), "", "", "")
            if manifest is None
            else (
                f"{manifest.contents.steps:,}",
                f"{len(manifest.artifacts):,}",
                bytes_held(manifest.data.size_bytes),
                bytes_held(manifest.data.stored_bytes),
            )
        )
        table.add(each.id, age(now - each.taken_at), dim(each.kind.value), *figures)
    output.show(table.lines(output.width))


def _tell_last_failure(database: Path, output: Output) -> None:
    """Whoever looks for backups should hear that the last one failed."""
    from stepstream.backup.journal import JobState, Journal
    from stepstream.cli.figures import age

    jobs = Journal(database).jobs(limit=1)
    if jobs and jobs[0].state is JobState.FAILED:
        ago = age(time.time_ns() - jobs[0].started_at)
        output.say(
            f"the last one failed ({ago} ago): {jobs[0].error}; try again: {pasted('backup', database)}"
        )
