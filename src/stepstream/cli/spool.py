"""``stepstream spool``: the segments there are, and taking over those of another database."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import (
    DatabaseOption,
    JsonOption,
    commit_soon,
    database_path,
    existing_spool,
    pasted,
    shown_path,
)
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.cli.output import Output
    from stepstream.schemas.record import JsonObject
    from stepstream.spool.census import Segment
    from stepstream.spool.directory import SpoolDirectory

_COPY_BYTES = 1 << 20
_COMMIT_WAIT_S = 10.0


def ls(as_json: JsonOption = False, db: DatabaseOption = None) -> None:
    """List what waits in the spool."""
    from stepstream.cli.output import Output
    from stepstream.settings import Settings
    from stepstream.spool.census import look_at_segments

    output = Output()
    database = database_path(db)
    with existing_spool(database, Settings.load(database)) as spool:
        segments = [] if spool is None else look_at_segments(spool)
        own = None if spool is None else _database_id(database, spool)
    if as_json:
        output.json({"segments": [_json(segment, own) for segment in segments]})
    elif segments:
        _show(segments, own, output)
    else:
        output.say("the spool is empty: nobody is logging, and everything is in the database")


def adopt(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken over.")] = False,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Take over the segments of another database.

    Their steps become this database's; where their episode is unknown it is made, and marked.
    """
    from stepstream.cli.output import Output
    from stepstream.settings import Settings
    from stepstream.spool.census import look_at_segments

    output = Output()
    database = database_path(db)
    settings = Settings.load(database)
    with existing_spool(database, settings) as spool:
        own = None if spool is None else _database_id(database, spool)
        if spool is None or own is None:
            raise CommandFailed(
                f"there is no history at {shown_path(database)} to take steps into; "
                f"create it with: {pasted('init', database)}",
                ExitCode.NOT_FOUND,
            )
        foreign = [segment for segment in look_at_segments(spool) if not segment.belongs_to(own)]
        owned = [segment for segment in foreign if segment.is_owned]
        free = [segment for segment in foreign if not segment.is_owned]
        if not dry_run:
            free = [segment for segment in free if _take_over(spool, segment, own)]
            if free:
                hindrance = commit_soon(database, spool, settings)
                if hindrance is not None:
                    output.say(f"they wait in the spool: {hindrance}")
                else:
                    _wait(database, spool, output)
    if as_json:
        output.json(
            {
                "is_dry_run": dry_run,
                "adopted": [_json(segment, own) for segment in free],
                "still_owned": [_json(segment, own) for segment in owned],
            }
        )
    else:
        _tell(free, owned, database, output, dry_run=dry_run)
    if owned:
        raise typer.Exit(ExitCode.REFUSED)


def _database_id(database: Path, spool: SpoolDirectory) -> bytes | None:
    """The id the file at the path has; what the spool expects where there is no file yet."""
    from stepstream.reading.database import open_when_made
    from stepstream.schemas.identity import id_bytes

    reader = open_when_made(database)
    if reader is None:
        identity = spool.identity()
        return None if identity is None else identity.database_id
    try:
        text = reader.meta("database_id")
    finally:
        reader.close()
    return None if text is None else id_bytes(text)


def _take_over(spool: SpoolDirectory, segment: Segment, database_id: bytes) -> bool:
    """Put a copy of a segment in place that is of this database, then remove the old one.

    Frames keep their numbers, so that a crash between the two, which leaves both, stores no step twice.

    Returns:
        Whether it was taken over; False when somebody was faster.
    """
    from stepstream.schemas.identity import id_text, new_id
    from stepstream.spool.directory import SEGMENT_SUFFIX
    from stepstream.spool.segment import BLOCK_BYTES, SegmentState, Tally, encode_block

    if segment.header is None:
        return False
    header = segment.header.model_copy(update={"database_id": id_text(database_id)})
    tally = segment.tally or Tally(header.first_number, 0, SegmentState.CLOSED)
    name = new_id().hex() + SEGMENT_SUFFIX
    hidden = f".{name}.new"
    source = spool.open(segment.name, os.O_RDWR)
    target = -1
    try:
        fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        target = spool.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        _write(target, encode_block(header, tally))
        offset = BLOCK_BYTES
        while data := os.pread(source, _COPY_BYTES, offset):
            _write(target, data)
            offset += len(data)
        os.fsync(target)
        os.rename(hidden, name, src_dir_fd=spool.descriptor, dst_dir_fd=spool.descriptor)
        spool.sync()
        os.unlink(segment.name, dir_fd=spool.descriptor)
        spool.sync()
    except BlockingIOError:
        return False
    finally:
        if target >= 0:
            os.close(target)
        os.close(source)
    return True


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _wait(database: Path, spool: SpoolDirectory, output: Output) -> None:
    from stepstream.reading.backlog import wait_until_committed

    if not wait_until_committed(database, spool, _COMMIT_WAIT_S):
        output.say(f"not all of it is in the database yet; see: {pasted('doctor', database)}")


def _json(segment: Segment, own: bytes | None) -> JsonObject:
    header = segment.header
    return {
        "name": segment.name,
        "bytes": segment.held_bytes,
        "is_owned": segment.is_owned,
        "is_of_this_database": segment.belongs_to(own),
        "changed_at": segment.changed_at,
        "refused": None if segment.tally is None else segment.tally.refused,
        "database_id": None if header is None else header.database_id,
        "recorder_id": None if header is None else header.recorder_id,
        "pid": None if header is None else header.pid,
        "host": None if header is None else header.host,
        "release": None if header is None else header.release,
    }


def _show(segments: list[Segment], own: bytes | None, output: Output) -> None:
    from stepstream.cli.figures import age, bytes_held
    from stepstream.cli.output import Ink, Span, dim
    from stepstream.cli.table import Column, Table

    table = Table(
        Column("SEGMENT", width_min=12),
        Column("PROCESS"),
        Column("STATE"),
        Column("SIZE", is_right=True),
        Column("QUIET FOR", is_right=True),
        Column("DATABASE"),
    )
    now = time.time_ns()
    for segment in segments:
        header = segment.header
        foreign = not segment.belongs_to(own)
        table.add(
            dim(segment.name),
            "unreadable" if header is None else f"{header.pid} on {header.host}",
            Span("writing", Ink.CYAN) if segment.is_owned else "left",
            bytes_held(segment.held_bytes),
            age(now - segment.changed_at),
            Span("another", Ink.YELLOW) if foreign else "this",
        )
    output.show(table.lines(output.width))


def _tell(
    free: list[Segment], owned: list[Segment], database: Path, output: Output, *, dry_run: bool
) -> None:
    from stepstream.cli.figures import bytes_held, counted

    if not free and not owned:
        output.say("every segment in the spool is of this database")
    if free:
        amount = bytes_held(sum(segment.held_bytes for segment in free))
        verb = "would be taken" if dry_run else "taken"
        output.say(f"{counted(len(free), 'segment')} with {amount} {verb} into {shown_path(database)}")
        if not dry_run:
            output.say(f"see them with: {pasted('ls', database)}")
    for segment in owned:
        pid = "unknown" if segment.header is None else str(segment.header.pid)
        output.say(f"{segment.name} is still written to by process {pid}; end it, then adopt again")
