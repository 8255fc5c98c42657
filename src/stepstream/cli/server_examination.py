"""What ``doctor`` looks at where steps go to a server: what waits here, who ships it, and is it taken?

Knows everything that can be wrong between an agent and its server. Changes nothing.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepstream.cli.access import shown_path
from stepstream.cli.examination import VOLATILE, damaged, fail, fullness, ok, refused_now, room, warn
from stepstream.cli.figures import age, bytes_held, counted, date_time
from stepstream.errors import AccessDenied, ConfigurationInvalid, StepstreamError, Unreachable
from stepstream.reading.remote.link import Link, Question
from stepstream.reading.search.indexer import IndexerState
from stepstream.schemas.record import Record
from stepstream.schemas.release import RELEASE
from stepstream.sdk.destination import ServerDestination
from stepstream.settings import DATABASE_VARIABLE, CommitterMode
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.client import Client, NoAnswer
from stepstream.shipping.hosting import REFUSED
from stepstream.shipping.office import SHIPPING
from stepstream.shipping.server import Server, TokenRefused, Unwilling
from stepstream.shipping.token import TOKEN_VARIABLE, read_token
from stepstream.spool.census import look_at_segments
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory, artifacts_path
from stepstream.spool.location import file_system
from stepstream.store.election import is_locked, read_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stepstream.cli.examination import Check
    from stepstream.settings import Settings

_ANSWER_S = 5.0
_CLOCK_SLACK_S = 5.0


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined; None stands for a spool that is not there."""

    place: Path
    server: ServerAddress
    settings: Settings
    spool: SpoolDirectory | None


def examine_server(address: str) -> Iterator[Check]:
    """Run every check; one that fails to run is a failed check."""
    yield ok("stepstream", f"{RELEASE} on Python {platform.python_version()}, {platform.system()}")
    try:
        server = ServerAddress.parse(address, f"--db or {DATABASE_VARIABLE}")
        destination = ServerDestination(address, f"--db or {DATABASE_VARIABLE}", {})
    except StepstreamError as error:
        yield fail("settings", str(error), "correct the value")
        return
    yield ok("settings", "sound")
    spool = None
    try:
        spool = SpoolDirectory(destination.database, create=False)
    except FileNotFoundError:
        yield ok("spool", "none, so nothing waits")
    except (StepstreamError, OSError) as error:
        yield fail("spool", str(error), "follow the advice; until then nothing can be recorded here")
    patient = Patient(destination.database, server, destination.settings, spool)
    try:
        for check in _CHECKS:
            yield from _run(check, patient)
    finally:
        if spool is not None:
            spool.close()


def _run(check: Callable[[Patient], Iterator[Check]], patient: Patient) -> Iterator[Check]:
    try:
        yield from check(patient)
    except (StepstreamError, OSError) as error:
        name = check.__name__.strip("_").replace("_", " ")
        yield fail(name, f"{type(error).__name__}: {error}", "correct what it says")


def _location(patient: Patient) -> Iterator[Check]:
    directory = patient.place.parent
    kind = file_system(directory) or "unknown"
    where = f"steps wait in {shown_path(directory)}, file system {kind}"
    if kind in VOLATILE:
        yield warn(
            "location",
            f"{where}, which is memory and gone with the machine",
            "set STEPSTREAM_SPOOL_DIRECTORY to a directory on a disk",
        )
    else:
        yield ok("location", where)


def _address(patient: Patient) -> Iterator[Check]:
    if patient.server.scheme == "http" and not patient.server.is_loopback:
        yield warn(
            "address",
            f"{patient.server.text}: the token and all steps can be read on their way",
            "let the server be reached by https, and use that address",
        )
    else:
        yield ok("address", patient.server.text)


def _token(patient: Patient) -> Iterator[Check]:
    try:
        token = read_token(patient.settings)
    except ConfigurationInvalid as error:
        yield fail("token", str(error), "stepstream token create --scope record  (where the server runs)")
        return
    if token is not None:
        yield ok("token", f"from {TOKEN_VARIABLE}, or else from the token file")
    else:
        yield ok("token", f"none: {TOKEN_VARIABLE} is not set, and no token file is named")


def _server(patient: Patient) -> Iterator[Check]:
    server = Server(patient.server, patient.settings, Client(patient.server, answer_s=_ANSWER_S))
    try:
        server.connect()
        ahead_s = server.look_in()
    except NoAnswer as reason:
        yield fail("server", f"no answer: {reason}", "see that it runs and can be reached from here")
    except TokenRefused as reason:
        yield fail("server", f"{REFUSED}: {reason}", f"set {TOKEN_VARIABLE} to one with the scope record")
    except Unwilling as reason:
        yield fail("server", str(reason), "see the server's log")
    else:
        yield ok("server", "answers, and lets us record")
        if ahead_s is not None and abs(ahead_s) > _CLOCK_SLACK_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            yield warn(
                "clock",
                f"the server's is {age(int(abs(ahead_s) * 1e9))} {way} this machine's",
                "set the clocks; order does not depend on them",
            )
        yield from _watching(patient)
    finally:
        server.close()


class _Stream(Record, extra="ignore"):
    trouble: str | None = None


class _Index(Record, extra="ignore"):
    state: str
    indexed_to: int
    last_cursor: int
    problem: str | None = None


class _Standing(Record, extra="ignore"):
    """What a server of any release may tell of how it stands."""

    stream: _Stream | None = None
    search: _Index | None = None


def _watching(patient: Patient) -> Iterator[Check]:
    """Whether people see there what is recorded; where the token may read, or else it is not known."""
    link = Link(patient.server, read_token(patient.settings))
    try:
        standing = link.ask(Question(("system",)), _Standing, answer_s=_ANSWER_S)
    except (AccessDenied, Unreachable):
        return
    finally:
        link.close()
    stream, index = standing.stream, standing.search
    if stream is not None and stream.trouble is not None:
        yield warn("stream", stream.trouble, "see the server's log")
    elif stream is not None:
        yield ok("stream", "tells everything")
    if index is None:
        return
    behind = counted(max(0, index.last_cursor - index.indexed_to), "step")
    seen = f"{index.state.replace('_', ' ')}, {behind} behind"
    if index.state == IndexerState.NO_ROOM:
        yield warn("search", seen, "make room on the server's disk")
    elif index.state == IndexerState.FAILED:
        yield warn("search", f"{seen}: {index.problem}", "see the server's log")
    else:
        yield ok("search", seen)


def _shipper(patient: Patient) -> Iterator[Check]:
    spool = patient.spool
    if spool is None:
        return
    status = read_status(spool)
    if not is_locked(spool, COMMITTER_LOCK):
        waiting = look_at_backlog(spool).bytes
        if not waiting:
            yield ok("shipper", "none runs and none is needed")
        elif patient.settings.committer is CommitterMode.NONE:
            seen = f"none runs, and the settings say committer = none; {bytes_held(waiting)} wait"
            yield warn("shipper", seen, "start any agent here with STEPSTREAM_COMMITTER=process")
        else:
            yield warn("shipper", f"none runs, {bytes_held(waiting)} wait", "the next agent here starts one")
    elif status is None:
        yield ok("shipper", "has only just been elected")
    elif not status.is_fresh():
        yield fail(
            "shipper",
            f"process {status.pid} holds the office and is silent: stopped or stuck",
            f"kill -CONT {status.pid}  (or kill -KILL {status.pid}: another one takes over, nothing is lost)",
        )
    elif status.state != SHIPPING:
        advice = "nothing: it tries again by itself, and at the latest in 30 s"
        yield fail("shipper", f"process {status.pid}: {status.state}", advice)
    else:
        yield ok("shipper", f"process {status.pid}, release {status.release}, at cursor {status.cursor}")


def _waiting(patient: Patient) -> Iterator[Check]:
    spool = patient.spool
    if spool is None:
        return
    segments = look_at_segments(spool)
    backlog = look_at_backlog(spool)
    held, bound = spool.bytes_held(), patient.settings.spool_bytes_max
    recording = counted(sum(each.is_owned for each in segments), "process", "processes")
    seen = f"{bytes_held(backlog.bytes)} wait, {recording} recording"
    if backlog.since is not None:
        waited = age(max(0, time.time_ns() - backlog.since))
        seen += f", the oldest since {date_time(backlog.since)}, {waited} ago"
    yield fullness(seen, held, bound, "see server above")
    yield from refused_now(segments)


def _files(patient: Patient) -> Iterator[Check]:
    files = [path for path in artifacts_path(patient.place).glob("??/*") if path.is_file()]
    held = sum(path.stat().st_size for path in files)
    yield ok("files", f"{counted(len(files), 'file')} with {bytes_held(held)} wait" if files else "none wait")


def _damaged(patient: Patient) -> Iterator[Check]:
    if patient.spool is not None:
        yield from damaged(patient.spool, "what was no step, or was refused")


def _room(patient: Patient) -> Iterator[Check]:
    if patient.spool is not None:
        yield room(*patient.spool.disk_free(), patient.settings)


def _redaction(patient: Patient) -> Iterator[Check]:
    settings = patient.settings.redaction
    if not settings.enabled:
        seen = "is off here: secrets leave this machine as they are, unless another agent's project has it on"
        yield warn("redaction", seen, "remove enabled = false from [redaction]")
    else:
        own = len(settings.patterns) + len(settings.names)
        yield ok(
            "redaction",
            "on, before anything leaves" + (f", {counted(own, 'rule')} of this project" if own else ""),
        )


_CHECKS = (
    _location,
    _address,
    _token,
    _server,
    _shipper,
    _waiting,
    _files,
    _damaged,
    _room,
    _redaction,
)
