"""``stepstream restore``: a database from its backup, or the proof that it can be had."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, shown_path
from stepstream.cli.backup import open_target
from stepstream.cli.backups import DatabaseIdOption, whose_backups
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from stepstream.backup.catalogue import Moment
    from stepstream.backup.drill import Drilled
    from stepstream.backup.restore import Restored
    from stepstream.backup.target import Target
    from stepstream.cli.output import Output
    from stepstream.schemas.record import JsonObject

_NS = 1_000_000_000


def restore(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where the database goes.", show_default=False)
    ] = None,
    *,
    target: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="Where the backups are; by default what the settings say.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|CURSOR|ID",
            help="The last backup before a time, the first that reaches a cursor, or that one; the latest by "
            "default.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only see that it can be restored; nothing stays.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Let a file that is there make way; it is kept beside.")
    ] = False,
    database_id: DatabaseIdOption = None,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Restore a database and its files from a backup.

    Every hash, every page, every reference and every count is checked before the file appears. What comes
    back is a database of its own, with a new id.
    """
    from stepstream.cli.output import Output
    from stepstream.settings import Settings

    output = Output()
    database = database_path(db)
    if (file is None) == (not verify):
        raise CommandFailed("name a file to restore to, or take --verify in its place", ExitCode.USAGE)
    settings = Settings.load(database if file is None else file.expanduser().absolute())
    if settings.backup.target is None:
        settings = Settings.load(database)
    place = open_target(settings, target)
    moment = _moment(at)
    whose = whose_backups(place, database_id, database)
    if file is None:
        _drill(place, whose, moment, output, as_json=as_json)
    else:
        _restore(place, whose, moment, file, output, force=force, as_json=as_json)


def _moment(text: str | None) -> Moment:
    from stepstream.backup.catalogue import Moment
    from stepstream.backup.layout import is_backup_id

    if text is None:
        return Moment()
    if is_backup_id(text):
        return Moment(id=text)
    if text.isascii() and text.isdigit():
        return Moment(cursor=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"--at {text!r} is no time, as 2026-11-22T03:00, no cursor, and no backup; "
            "see what there is with: stepstream backups",
            ExitCode.USAGE,
        ) from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return Moment(at_ns=int(moment.timestamp() * _NS))


def _restore(
    place: Target,
    whose: str,
    moment: Moment,
    file: Path,
    output: Output,
    *,
    force: bool,
    as_json: bool,
) -> None:
    from stepstream.backup.restore import restore as restore_backup
    from stepstream.cli.progress import Progress

    # Links are followed, as whoever opens the database follows them.
    goal = file.expanduser().resolve()
    if goal.is_dir():
        raise CommandFailed(f"{shown_path(goal)} is a directory; name a file in it", ExitCode.USAGE)
    with Progress(output, f"restoring {shown_path(goal)}", 0, "bytes") as progress:
        done = restore_backup(
            place, whose, moment, goal, force=force, told=lambda count, _: progress.at(count, count)
        )
    if as_json:
        output.json(
            {**_stated(done), "path": str(goal), "kept": None if done.kept is None else str(done.kept)}
        )
        return
    _tell(done, output, f"{shown_path(goal)} is restored")
    if done.kept is not None:
        output.say(f"what was there before: {shown_path(done.kept)}")


def _drill(place: Target, whose: str, moment: Moment, output: Output, *, as_json: bool) -> None:
    import tempfile

    from stepstream.backup.drill import drill
    from stepstream.cli.progress import Progress

    with (
        tempfile.TemporaryDirectory(prefix="stepstream-") as scratch,
        Progress(output, "restoring to look", 0, "bytes") as progress,
    ):
        done = drill(place, whose, moment, Path(scratch), lambda count, _: progress.at(count, count))
    if as_json:
        output.json(_stated(done))
    else:
        _tell(done, output, "the backup can be restored")


def _stated(done: Restored | Drilled) -> JsonObject:
    return {
        "backup": done.backup,
        "steps": done.contents.steps,
        "episodes": done.contents.episodes,
        "cursor": done.contents.cursor,
        "size_bytes": done.size_bytes,
        "artifacts": done.artifacts,
        "lacking": done.lacking,
    }


def _tell(done: Restored | Drilled, output: Output, what: str) -> None:
    from stepstream.backup.layout import taken_at_of
    from stepstream.cli.figures import bytes_held, counted

    when = datetime.fromtimestamp(taken_at_of(done.backup) // _NS, UTC).astimezone()
    output.say(
        f"{what}: {counted(done.contents.steps, 'step')} up to cursor {done.contents.cursor}, "
        f"{bytes_held(done.size_bytes)}, {counted(done.artifacts, 'file')}, as of {when:%Y-%m-%d %H:%M:%S}"
    )
    if done.lacking:
        output.say(f"{counted(done.lacking, 'file')} could not be had when the backup was taken")
