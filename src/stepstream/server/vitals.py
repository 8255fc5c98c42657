"""Vitals: how the committer, the spool, the database, the stream and the search index stand.

Knows where each says so. Changes nothing, and disturbs nobody.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, cast

import apsw

from stepstream.errors import StepstreamError
from stepstream.reading.backlog import waiting_bytes
from stepstream.reading.search.indexer import IndexProgress
from stepstream.schemas.record import Record
from stepstream.schemas.release import RELEASE
from stepstream.server.stream.figures import StreamReport
from stepstream.spool.census import look_at_segments
from stepstream.spool.directory import COMMITTER_LOCK, SERVER_LOCK, SpoolDirectory
from stepstream.store.election import COMMITTING, is_locked, read_status
from stepstream.store.sqlite.migration import newest_version, schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.server.services import Services
    from stepstream.spool.census import Segment

SEGMENTS_LISTED_MAX = 200


class Readiness(StrEnum):
    """Whether steps are taken in and can be read, in a word."""

    READY = "ready"
    NO_DATABASE = "no database yet"
    UNREADABLE = "the database cannot be read"
    NO_COMMITTER = "nobody commits"


class CommitterReport(Record):
    """What the committer last said of itself.

    Attributes:
        pid: Its process.
        state: `committing`, `opening`, or what keeps it from it.
        is_alive: Whether it holds the office and was heard of a moment ago.
        generation: Its term of office.
        cursor: The last cursor it committed.
        heartbeat_age_ns: How long ago it was heard of; None where that was before the machine's last start.
        release: The stepstream it is.
    """

    pid: int
    state: str
    is_alive: bool
    generation: int
    cursor: int
    heartbeat_age_ns: int | None
    release: str


class SegmentReport(Record):
    """A file of the spool.

    Attributes:
        name: The file.
        pid: The process that writes or wrote it; None where its first block cannot be read.
        host: That process's machine.
        held_bytes: What it holds.
        is_owned: Whether a process still writes to it.
        refused: How many steps its owner had to refuse.
        changed_at: When it was last written to; ns since 1970 UTC.
    """

    name: str
    pid: int | None
    host: str | None
    held_bytes: int
    is_owned: bool
    refused: int
    changed_at: int


class SpoolReport(Record):
    """What was logged on this machine and is not in the database yet.

    Attributes:
        waiting_bytes: How much waits to be committed.
        held_bytes: How much room all segments take.
        bytes_max: Beyond how much new steps are refused.
        segments_count: How many segments there are.
        segments: The oldest of them, at most two hundred.
    """

    waiting_bytes: int
    held_bytes: int
    bytes_max: int
    segments_count: int
    segments: tuple[SegmentReport, ...]


class MigrationReport(Record):
    """A change of the database's tables that was made.

    Attributes:
        version: The version they have had since.
        name: What it did.
        applied_at: When; ns since 1970 UTC.
        release: The stepstream that did it.
    """

    version: int
    name: str
    applied_at: int
    release: str


class SystemReport(Record):
    """How a server and what it serves stand.

    Attributes:
        release: This stepstream.
        sqlite: The SQLite inside.
        committer: Who commits; None when nobody ever did.
        spool: What waits on this machine; None when there is no spool.
        stream: The live stream; None where there is none.
        search: The search index; None where nobody keeps it here.
        recorders_running: How many processes have logged and not ended.
        losses: How many Loss steps there are.
        refused: How many steps were refused because there was no room.
        database_bytes: Size of the database.
        log_bytes: Size of its write-ahead log.
        disk_free_bytes: How much room is left beside it.
        disk_free_percent: The same as a share of the disk.
        disk_free_bytes_min: Below how much room new steps are refused.
        schema_version: Version of its tables.
        schema_version_newest: The version this release writes.
        migrations: How its tables came to be what they are.
    """

    release: str
    sqlite: str
    committer: CommitterReport | None
    spool: SpoolReport | None
    stream: StreamReport | None
    search: IndexProgress | None
    recorders_running: int
    losses: int
    refused: int
    database_bytes: int
    log_bytes: int
    disk_free_bytes: int
    disk_free_percent: float
    disk_free_bytes_min: int
    schema_version: int
    schema_version_newest: int
    migrations: tuple[MigrationReport, ...]


class _Ledger(NamedTuple):
    """What the database itself says."""

    recorders_running: int
    losses: int
    refused: int
    schema_version: int
    migrations: tuple[MigrationReport, ...]


def readiness(services: Services) -> Readiness:
    """Whether the database can be read and somebody commits into it."""
    try:
        with services.history.asking() as reader:
            reader.last_cursor()
    except FileNotFoundError:
        return Readiness.NO_DATABASE
    except (StepstreamError, TimeoutError):
        return Readiness.UNREADABLE
    report = committer(services)
    if report is None or not report.is_alive or report.state != COMMITTING:
        return Readiness.NO_COMMITTER
    return Readiness.READY


def examine(services: Services) -> SystemReport:
    """Look at everything.

    Raises:
        StepstreamError: Something cannot be read.
    """
    with services.history.asking() as reader:
        ledger = _read(reader)
    directory = os.statvfs(services.database.parent)
    return SystemReport(
        release=RELEASE,
        sqlite=apsw.sqlite_lib_version(),
        committer=committer(services),
        spool=_spool_report(services),
        stream=None if services.stream_figures is None else services.stream_figures(),
        search=None if services.index_progress is None else services.index_progress(),
        recorders_running=ledger.recorders_running,
        losses=ledger.losses,
        refused=ledger.refused,
        database_bytes=_size(services.database),
        log_bytes=_size(services.database.with_name(services.database.name + "-wal")),
        disk_free_bytes=directory.f_bavail * directory.f_frsize,
        disk_free_percent=round(100.0 * directory.f_bavail / max(1, directory.f_blocks), 2),
        disk_free_bytes_min=services.settings.disk_free_bytes_min,
        schema_version=ledger.schema_version,
        schema_version_newest=newest_version(),
        migrations=ledger.migrations,
    )


def committer(services: Services) -> CommitterReport | None:
    """What the committer last said of itself; None when nobody ever did."""
    with _spool(services) as spool:
        status = None if spool is None else read_status(spool)
        if spool is None or status is None:
            return None
        is_held = is_locked(spool, COMMITTER_LOCK) or is_locked(spool, SERVER_LOCK)
    age = time.monotonic_ns() - status.beat
    return CommitterReport(
        pid=status.pid,
        state=status.state,
        is_alive=is_held and status.is_fresh(),
        generation=status.generation,
        cursor=status.cursor,
        heartbeat_age_ns=max(0, age) if status.was_alive_after(0) else None,
        release=status.release,
    )


@contextmanager
def _spool(services: Services) -> Iterator[SpoolDirectory | None]:
    shared = services.settings.spool_shared_group
    try:
        spool = SpoolDirectory(services.database, shared_group=shared, create=False)
    except FileNotFoundError:
        yield None
        return
    try:
        yield spool
    finally:
        spool.close()


def _spool_report(services: Services) -> SpoolReport | None:
    with _spool(services) as spool:
        if spool is None:
            return None
        segments = look_at_segments(spool)
        return SpoolReport(
            waiting_bytes=waiting_bytes(services.database, spool),
            held_bytes=spool.bytes_held(),
            bytes_max=services.settings.spool_bytes_max,
            segments_count=len(segments),
            segments=tuple(_segment(each) for each in segments[:SEGMENTS_LISTED_MAX]),
        )


def _segment(segment: Segment) -> SegmentReport:
    return SegmentReport(
        name=segment.name,
        pid=None if segment.header is None else segment.header.pid,
        host=None if segment.header is None else segment.header.host,
        held_bytes=segment.held_bytes,
        is_owned=segment.is_owned,
        refused=0 if segment.tally is None else segment.tally.refused,
        changed_at=segment.changed_at,
    )


def _read(reader: Reader) -> _Ledger:
    counted = reader.select(
        "SELECT (SELECT count(*) FROM recorder WHERE ended_at IS NULL),"
        " (SELECT count(*) FROM step WHERE kind = 'loss'),"
        " (SELECT coalesce(sum(refused), 0) FROM recorder)"
    )
    running, losses, refused = cast("tuple[int, int, int]", counted[0])
    migrated = reader.select(
        "SELECT version, name, applied_at, release FROM schema_migration ORDER BY version"
    )
    return _Ledger(
        recorders_running=running,
        losses=losses,
        refused=refused,
        schema_version=schema_version(reader.connection),
        migrations=tuple(
            MigrationReport(version=version, name=name, applied_at=applied_at, release=release)
            for version, name, applied_at, release in cast("list[tuple[int, str, int, str]]", migrated)
        ),
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
