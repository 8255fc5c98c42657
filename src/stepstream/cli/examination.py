"""What ``doctor`` looks at: each check says ok, warn or fail, what it saw, and which command helps.

Knows everything that can be wrong around a history. Changes nothing.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import apsw

from stepstream.cli.access import pasted, program, shell_path, shown_path
from stepstream.cli.figures import age, bytes_held, counted, date_time
from stepstream.errors import StepstreamError
from stepstream.reading.backlog import waiting_bytes
from stepstream.reading.database import open_when_made
from stepstream.schemas.identity import id_bytes
from stepstream.schemas.release import RELEASE
from stepstream.settings import CommitterMode, Settings
from stepstream.spool.census import look_at_segments
from stepstream.spool.directory import COMMITTER_LOCK, DAMAGED, SERVER_LOCK, SpoolDirectory, artifacts_path
from stepstream.spool.location import check_location, file_system
from stepstream.store.election import COMMITTING, OPENING, is_locked, read_status
from stepstream.store.sqlite.connection import check_library
from stepstream.store.sqlite.migration import newest_version, schema_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.spool.census import Segment

LOG_BYTES_ALARM = 64 * 1024 * 1024
_QUICK_CHECK_S = 10.0
_QUICK_CHECK_STEPS = 100_000
_CLOCK_SLACK_NS = 2_000_000_000
_ROOM_FACTOR = 4
_ARTIFACTS_LOOKED_AT = 100
VOLATILE = frozenset({"tmpfs", "ramfs"})


class Level(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """One line of the examination.

    Attributes:
        name: What was looked at.
        level: How it went.
        seen: What was seen.
        fix: What to do; empty when there is nothing to do.
    """

    name: str
    level: Level
    seen: str
    fix: str = ""


def ok(name: str, seen: str) -> Check:
    """Nothing to do."""
    return Check(name, Level.OK, seen)


def warn(name: str, seen: str, fix: str) -> Check:
    """It works, but not for ever or not as one would think."""
    return Check(name, Level.WARN, seen, fix)


def fail(name: str, seen: str, fix: str) -> Check:
    """Steps are at risk, or cannot be read."""
    return Check(name, Level.FAIL, seen, fix)


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined; None stands for what is not there."""

    database: Path
    settings: Settings
    spool: SpoolDirectory | None
    reader: Reader | None


def examine(database: Path) -> Iterator[Check]:
    """Run every check; one that fails to run is a failed check."""
    yield from _versions()
    settings, spool, reader = Settings(), None, None
    try:
        settings = Settings.load(database)
        yield ok("settings", "sound")
    except StepstreamError as error:
        yield fail("settings", str(error), "correct the value")
    yield from _location(database, settings)
    try:
        spool = SpoolDirectory(database, shared_group=settings.spool_shared_group, create=False)
    except FileNotFoundError:
        yield ok("spool", "none, so nothing waits")
    except (StepstreamError, OSError) as error:
        yield fail("spool", str(error), "follow the advice; until then nothing can be recorded here")
    try:
        reader = open_when_made(database)
    except (StepstreamError, OSError) as error:
        yield fail("database", str(error), f"{program()} init --db another.db")
    else:
        if reader is None:
            yield warn("database", f"there is none at {shown_path(database)}", pasted("init", database))
    patient = Patient(database, settings, spool, reader)
    try:
        for check in _CHECKS:
            yield from _run(check, patient)
    finally:
        if reader is not None:
            reader.close()
        if spool is not None:
            spool.close()


def _run(check: Callable[[Patient], Iterator[Check]], patient: Patient) -> Iterator[Check]:
    try:
        yield from check(patient)
    except (StepstreamError, OSError, apsw.Error) as error:
        name = check.__name__.strip("_").replace("_", " ")
        yield fail(name, f"{type(error).__name__}: {error}", pasted("verify --deep", patient.database))


# -- the machine


def _versions() -> Iterator[Check]:
    yield ok("stepstream", f"{RELEASE} on Python {platform.python_version()}, {platform.system()}")
    try:
        check_library()
        yield ok("sqlite", f"{apsw.sqlite_lib_version()} inside apsw {apsw.apsw_version()}")
    except StepstreamError as error:
        yield fail("sqlite", str(error), "pip install --upgrade 'apsw>=3.51.3'")


def _location(database: Path, settings: Settings) -> Iterator[Check]:
    directory = database.parent
    if not directory.is_dir():
        yield fail(
            "location", f"there is no directory {shown_path(directory)}", f"mkdir -p {shell_path(directory)}"
        )
        return
    try:
        check_location(database, allow_unsafe=settings.unsafe_location)
    except StepstreamError as error:
        yield fail("location", str(error), "follow the advice; steps can be lost here")
        return
    kind = file_system(directory) or "unknown"
    where = f"{shown_path(database)}, file system {kind}"
    if kind in VOLATILE:
        yield warn(
            "location", f"{where}, which is memory and gone with the machine", "keep the database on a disk"
        )
    else:
        yield ok("location", where)
    if not os.access(directory, os.W_OK):
        yield warn(
            "directory",
            "cannot be written by this user: reading works, recording does not",
            "record as its owner",
        )


def _room(patient: Patient) -> Iterator[Check]:
    if not patient.database.parent.is_dir():
        return
    info = os.statvfs(patient.database.parent)
    free = info.f_bavail * info.f_frsize
    yield room(free, 100.0 * info.f_bavail / max(1, info.f_blocks), patient.settings)


def room(free: int, percent: float, settings: Settings) -> Check:
    """Whether the disk of a spool has so much room that recording goes on."""
    least, least_percent = settings.disk_free_bytes_min, settings.disk_free_percent_min
    limits = f"{bytes_held(least)} or {least_percent:g} %"
    seen = f"{bytes_held(free)} free, {percent:.0f} %; recording stops below {limits}"
    if free < least or percent < least_percent:
        return fail("room", seen, "make room on this disk; until then new steps are refused and counted")
    if free < _ROOM_FACTOR * least:
        return warn("room", seen, "make room on this disk soon")
    return ok("room", seen)


# -- the file


def _permissions(patient: Patient) -> Iterator[Check]:
    if not patient.database.exists():
        return
    info = patient.database.stat()
    mode = stat.filemode(info.st_mode)[1:]
    if info.st_uid != os.geteuid():
        yield warn("permissions", f"{mode}, owned by user {info.st_uid}", "record as its owner")
    elif info.st_mode & 0o077 and not patient.settings.spool_shared_group:
        yield warn(
            "permissions",
            f"{mode}: others can read what agents did",
            f"chmod 600 {shell_path(patient.database)}",
        )
    else:
        yield ok("permissions", mode)


def _schema(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    found, newest = schema_version(patient.reader.connection), newest_version()
    if found > newest:
        yield warn(
            "schema",
            f"{found}, newer than this release's {newest}: it can be read, not recorded into",
            "pip install --upgrade stepstream",
        )
    elif found < newest:
        yield warn("schema", f"{found}, this release writes {newest}", pasted("migrate", patient.database))
    else:
        yield ok("schema", str(found))


def _log(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    mode = str(patient.reader.first("PRAGMA journal_mode"))
    log = patient.database.with_name(patient.database.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    seen = f"{mode}, {bytes_held(size)}"
    if mode != "wal":
        yield ok("write-ahead log", f"{mode}: a copy that nobody records into")
    elif size > LOG_BYTES_ALARM:
        yield warn(
            "write-ahead log", f"{seen}: somebody reads for a long time", "end long queries and copies"
        )
    else:
        yield ok("write-ahead log", seen)


def _integrity(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    deadline = time.monotonic() + _QUICK_CHECK_S
    connection = patient.reader.connection
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _QUICK_CHECK_STEPS)
    size = bytes_held(patient.database.stat().st_size)
    try:
        found = [str(text) for (text,) in connection.execute("PRAGMA quick_check(3)")]
    except apsw.InterruptError:
        yield ok(
            "integrity",
            f"{size}: more than can be checked here; see {pasted('verify --deep', patient.database)}",
        )
        return
    finally:
        connection.set_progress_handler(None)
    if found == ["ok"]:
        yield ok("integrity", f"{size}, quick check passed")
    else:
        yield fail("integrity", "; ".join(found), pasted("verify --deep", patient.database))


def _artifacts(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    directory = artifacts_path(patient.database)
    kept = patient.reader.first("SELECT count(*) FROM artifact WHERE kept = 1") or 0
    if not kept:
        yield ok("artifacts", "none kept")
        return
    latest = patient.reader.select(
        "SELECT sha256 FROM artifact WHERE kept = 1 ORDER BY recorded_at DESC LIMIT ?",
        (_ARTIFACTS_LOOKED_AT,),
    )
    names = [str(name) for (name,) in latest]
    missing = [name for name in names if not (directory / name[:2] / name[2:]).is_file()]
    if missing:
        yield warn(
            "artifacts",
            f"{len(missing)} of the latest {len(names)} are not in {shown_path(directory)}",
            pasted("verify --deep", patient.database),
        )
    else:
        yield ok("artifacts", f"{counted(int(kept), 'file')} in {shown_path(directory)}")


# -- who writes


def _committer(patient: Patient) -> Iterator[Check]:
    spool = patient.spool
    if spool is None:
        return
    status = read_status(spool)
    held = is_locked(spool, COMMITTER_LOCK) or is_locked(spool, SERVER_LOCK)
    mode = patient.settings.committer
    if not held:
        waiting = waiting_bytes(patient.database, spool)
        if not waiting:
            yield ok("committer", "none runs and none is needed")
        elif mode is CommitterMode.NONE:
            yield warn(
                "committer",
                f"none runs, and the settings say committer = none; {bytes_held(waiting)} wait",
                f"STEPSTREAM_COMMITTER=process {pasted('ls', patient.database)}",
            )
        else:
            yield warn("committer", f"none runs, {bytes_held(waiting)} wait", pasted("ls", patient.database))
    elif status is None:
        yield ok("committer", "has only just been elected")
    elif not status.is_fresh():
        quiet = (
            age(time.monotonic_ns() - status.beat)
            if status.beat <= time.monotonic_ns()
            else "since another boot"
        )
        yield fail(
            "committer",
            f"process {status.pid} holds the office and has been silent for {quiet}: stopped or stuck",
            f"kill -CONT {status.pid}  (or kill -KILL {status.pid}: another one takes over, nothing is lost)",
        )
    elif status.state == OPENING:
        yield ok("committer", f"process {status.pid} is opening the database")
    elif status.state != COMMITTING:
        yield fail(
            "committer", f"process {status.pid}: {status.state}", pasted("verify --deep", patient.database)
        )
    else:
        yield ok("committer", f"process {status.pid}, release {status.release}, at cursor {status.cursor}")


def _waiting(patient: Patient) -> Iterator[Check]:
    spool = patient.spool
    if spool is None:
        return
    segments = look_at_segments(spool)
    own = _own_id(patient)
    ours = [segment for segment in segments if segment.belongs_to(own)]
    waiting = waiting_bytes(patient.database, spool)
    held = spool.bytes_held()
    bound = patient.settings.spool_bytes_max
    recording = counted(sum(each.is_owned for each in ours), "process", "processes")
    seen = f"{bytes_held(waiting)} wait, {recording} recording"
    if waiting:
        seen += f", the oldest segment is {age(time.time_ns() - min(each.changed_at for each in ours))} old"
    yield fullness(seen, held, bound, pasted("ls", patient.database))
    yield from _foreign(segments, own, patient.database)
    yield from refused_now(ours)


def fullness(seen: str, held: int, bound: int, fix: str) -> Check:
    """Whether a spool has room for more, said behind what else was seen of it."""
    if held >= bound:
        return fail("spool", f"{seen}; full at {bytes_held(bound)}: new steps are refused", fix)
    if held > bound // 2:
        return warn("spool", f"{seen}; {bytes_held(held)} of {bytes_held(bound)} used", fix)
    return ok("spool", seen)


def refused_now(segments: Iterable[Segment]) -> Iterator[Check]:
    """What was refused to processes that still record."""
    refused = sum(each.tally.refused for each in segments if each.tally is not None)
    if refused:
        seen = f"{counted(refused, 'step')} by processes that still record"
        yield warn("refused now", seen, "see room and spool")


def _foreign(segments: list[Segment], own: bytes | None, database: Path) -> Iterator[Check]:
    unreadable = [segment.name for segment in segments if segment.header is None]
    if unreadable:
        yield warn(
            "unreadable",
            f"{counted(len(unreadable), 'segment')} without a readable first block: {', '.join(unreadable)}",
            "they are left alone; keep a copy, then remove them",
        )
    foreign = [segment for segment in segments if not segment.belongs_to(own)]
    if foreign:
        amount = bytes_held(sum(segment.held_bytes for segment in foreign))
        yield warn(
            "other databases",
            f"{counted(len(foreign), 'segment')} with {amount} belong to a database that was here before",
            pasted("spool adopt", database),
        )


def _damaged(patient: Patient) -> Iterator[Check]:
    if patient.spool is not None:
        yield from damaged(patient.spool, "bytes of the spool that were no steps")


def damaged(spool: SpoolDirectory, what: str) -> Iterator[Check]:
    """The files that were set aside."""
    directory = spool.path / DAMAGED
    kept = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if kept:
        yield warn(
            "damaged",
            f"{counted(len(kept), 'file')} in {shown_path(directory)}: {what}",
            f"look at them, then: rm -r {shell_path(directory)}",
        )


def _losses(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    losses = patient.reader.first("SELECT count(*) FROM step WHERE kind = 'loss'") or 0
    refused = patient.reader.first("SELECT coalesce(sum(refused), 0) FROM recorder") or 0
    if losses or refused:
        yield warn(
            "losses",
            f"{counted(int(losses), 'Loss step')}, {counted(int(refused), 'step')} refused so far",
            pasted("tail kind:loss --no-follow", patient.database),
        )
    else:
        yield ok("losses", "none known")


def _clock(patient: Patient) -> Iterator[Check]:
    if patient.reader is None:
        return
    last = patient.reader.first("SELECT recorded_at FROM step ORDER BY cursor DESC LIMIT 1")
    if not isinstance(last, int):
        return
    behind = last - time.time_ns()
    if behind > _CLOCK_SLACK_NS:
        yield warn(
            "clock",
            f"the last step was recorded at {date_time(last)}, {age(behind)} ahead of this machine's clock",
            "set the clock; order does not depend on it",
        )
    else:
        yield ok(
            "clock", f"the last step was recorded {age(-behind)} ago" if behind < -(10**9) else "in step"
        )


def _redaction(patient: Patient) -> Iterator[Check]:
    settings = patient.settings.redaction
    counts = (
        []
        if patient.reader is None
        else patient.reader.select("SELECT kind, count FROM redaction ORDER BY kind")
    )
    taken_out = sum(int(count or 0) for _, count in counts)
    if not settings.enabled:
        yield warn(
            "redaction", "is off: secrets are stored as they are", "remove enabled = false from [redaction]"
        )
    else:
        own = len(settings.patterns) + len(settings.names)
        extra = f", {counted(own, 'rule')} of this project" if own else ""
        yield ok("redaction", f"on{extra}; {counted(taken_out, 'secret')} taken out so far")


def _own_id(patient: Patient) -> bytes | None:
    if patient.reader is not None:
        text = patient.reader.meta("database_id")
        return None if text is None else id_bytes(text)
    identity = None if patient.spool is None else patient.spool.identity()
    return None if identity is None else identity.database_id


_CHECKS = (
    _permissions,
    _schema,
    _log,
    _integrity,
    _committer,
    _waiting,
    _damaged,
    _losses,
    _room,
    _clock,
    _redaction,
    _artifacts,
)
