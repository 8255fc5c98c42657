"""``stepstream snapshot``: a consistent copy of a history, taken while agents write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import (
    DatabaseOption,
    JsonOption,
    database_path,
    drain,
    refuse_own_files,
    require,
    shown_path,
)
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from stepstream.backup.snapshot import Snapshot
    from stepstream.cli.output import Output


def snapshot(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Copy the database while agents go on writing.

    The copy is consistent, compact, and opens with any SQLite.
    """
    from stepstream.cli.figures import bytes_held, counted
    from stepstream.cli.output import Output

    output = Output()
    database = database_path(db)
    target = file.expanduser()
    refuse_own_files(target, database)
    if target.is_dir():
        raise CommandFailed(f"{shown_path(target)} is a directory; name a file in it", ExitCode.USAGE)
    if target.exists() and not force:
        raise CommandFailed(
            f"{shown_path(target)} is there already; name another file, or replace it with --force",
            ExitCode.REFUSED,
        )
    drain(database, output)
    require(database)
    taken = take(database, target, output)
    if as_json:
        output.json({"path": str(target.resolve()), **taken._asdict()})
    else:
        output.say(
            f"{shown_path(target)}: {bytes_held(taken.bytes)}, {counted(taken.steps, 'step')} "
            f"up to cursor {taken.cursor}"
        )


def take(database: Path, target: Path, output: Output) -> Snapshot:
    """Copy a database into a file that appears whole or not at all.

    Raises:
        SnapshotFailed: The copy cannot be written.
        StoreError: The database cannot be read.
        OSError: The directory cannot be written.
    """
    from stepstream.backup.snapshot import copy_database
    from stepstream.cli.progress import Progress
    from stepstream.export.whole_file import whole_file
    from stepstream.reading.database import Reader

    reader = Reader(database)
    try:
        pages = reader.first("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    finally:
        reader.close()
    with (
        Progress(output, f"copying to {shown_path(target)}", int(pages or 0), "bytes") as progress,
        whole_file(target) as hidden,
    ):
        return copy_database(database, hidden, lambda done, _: progress.at(done, done))
