"""``stepstream snapshot``: a consistent copy of a history, taken while agents write."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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
    from stepstream.cli.output import Output
    from stepstream.cli.progress import Progress

_LOOK_INTERVAL_S = 0.2


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
        StoreError: The database cannot be read.
        OSError: The copy cannot be written.
    """
    import apsw

    from stepstream.cli.progress import Progress
    from stepstream.export.whole_file import whole_file
    from stepstream.store.sqlite.connection import open_reader, translate

    connection = open_reader(database)
    try:
        pages = connection.execute(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).get
        with (
            Progress(output, f"copying to {shown_path(target)}", pages, "bytes") as progress,
            whole_file(target) as hidden,
        ):
            over = threading.Event()
            watcher = threading.Thread(target=_watch, args=(hidden, progress, over), daemon=True)
            watcher.start()
            try:
                # The file is open for reading only; what SQLite writes here is the copy.
                connection.execute("PRAGMA query_only = OFF")
                connection.execute("VACUUM INTO ?", (str(hidden),))
            finally:
                over.set()
                watcher.join()
            hidden.chmod(0o600)
            return _measure(hidden)
    except apsw.Error as error:
        raise translate(database, error) from error
    finally:
        connection.close()


def _watch(hidden: Path, progress: Progress, over: threading.Event) -> None:
    """Tell how far the copy is by its size; SQLite itself does not say."""
    while not over.wait(_LOOK_INTERVAL_S):
        try:
            size = hidden.stat().st_size
        except FileNotFoundError:
            continue
        progress.at(size, size)


def _measure(copy: Path) -> Snapshot:
    from stepstream.store.sqlite.connection import open_reader

    connection = open_reader(copy)
    try:
        cursor = connection.execute("SELECT coalesce(max(cursor), 0) FROM step").get
        steps = connection.execute("SELECT count(*) FROM step").get
    finally:
        connection.close()
    return Snapshot(copy.stat().st_size, cursor, steps)
