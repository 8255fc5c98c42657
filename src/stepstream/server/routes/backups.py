"""Backups: begun on request, and told as they stand.

Knows HTTP and the keeper. Must not know how a backup is taken; of files of this machine only names are told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from stepstream.backup.journal import Job, JobKind, JobState, Trigger
from stepstream.errors import BackupError, BackupRunning, SnapshotFailed, TargetUnreachable, TargetUnusable
from stepstream.schemas.record import Record
from stepstream.server.auth.access import Principal, Scope, require
from stepstream.server.problems import Refused
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf

if TYPE_CHECKING:
    from stepstream.backup.keeper import Keeper
    from stepstream.server.services import Services

_WAIT_S_MAX = 24 * 3600
_LOOK_INTERVAL_S = 0.2
_UPSTREAM = frozenset({TargetUnreachable.__name__, TargetUnusable.__name__})

router = APIRouter(tags=["backups"], dependencies=[Depends(known_parameters)])

Reader = Annotated[Principal, Depends(require(Scope.READ))]
Operator = Annotated[Principal, Depends(require(Scope.ADMIN))]


class BackupReport(Record):
    """How the backups of the database stand.

    Attributes:
        target: Where they go; None where nobody says.
        is_stale: Whether the last one that succeeded is older than it should be.
        last_success_at: When the last one was begun that succeeded; ns since 1970 UTC.
        last_drill_at: When one was last restored to see that it can be; ns since 1970 UTC.
        running: The job that runs.
        jobs: The last jobs, the newest first.
    """

    target: str | None
    is_stale: bool
    last_success_at: int | None
    last_drill_at: int | None
    running: Job | None
    jobs: tuple[Job, ...]


@router.post(
    "/backups",
    status_code=202,
    responses={200: {"model": Job, "description": "It is done"}},
)
async def begin_backup(
    services: ServicesOf,
    _: Operator,
    response: Response,
    kind: Annotated[JobKind, Query(description="What to do.")] = JobKind.FULL,
    wait: Annotated[
        int, Query(ge=0, le=_WAIT_S_MAX, description="For how many seconds to wait until it is done.")
    ] = 0,
) -> Job:
    """Begin a backup, or a drill; where one runs already, that one is told.

    The answer comes at once with 202, or within `wait` when the job has ended: with 200, or with a problem
    that says why it failed.
    """
    keeper = _keeper(services)
    job = await asyncio.to_thread(_begin, keeper, kind)
    deadline = time.monotonic() + wait
    while job.state is JobState.RUNNING and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_INTERVAL_S)
        found = await asyncio.to_thread(keeper.journal.job, job.id)
        job = job if found is None else found
    job = _shown(job, services)
    if job.state is JobState.FAILED:
        raise Refused(_status(job), f"backup {job.id} failed: {job.error}")
    if job.state is JobState.SUCCEEDED:
        response.status_code = 200
    return job


@router.get("/backups")
async def list_backups(
    services: ServicesOf,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most how many jobs.")] = 50,
) -> BackupReport:
    """Tell how backups stand, and what became of the last ones."""
    return await asyncio.to_thread(_report, services, limit)


@router.get("/backups/{job_id}")
async def get_backup(
    job_id: Annotated[str, Path(pattern="^[0-9a-f-]{36}$", description="A job.")],
    services: ServicesOf,
    _: Reader,
) -> Job:
    """Tell how a job stands, or what became of it."""
    job = await asyncio.to_thread(_keeper(services).journal.job, job_id)
    if job is None:
        raise Refused(404, f"there is no backup {job_id}")
    return _shown(job, services)


def _begin(keeper: Keeper, kind: JobKind) -> Job:
    try:
        return keeper.begin(kind, Trigger.REQUEST)
    except (BackupRunning, TargetUnusable) as error:
        raise Refused(409, str(error)) from error
    except (BackupError, OSError) as error:
        raise Refused(503, f"no backup can be begun: {error}") from error


def _report(services: Services, limit: int) -> BackupReport:
    keeper = _keeper(services)
    journal, succeeded = keeper.journal, JobState.SUCCEEDED
    success = journal.last(JobKind.FULL, JobKind.INCREMENT, state=succeeded)
    drill = journal.last(JobKind.DRILL, state=succeeded)
    running = journal.running_id()
    job = None if running is None else journal.job(running)
    return BackupReport(
        target=services.settings.backup.target,
        is_stale=keeper.is_stale(),
        last_success_at=None if success is None else success.started_at,
        last_drill_at=None if drill is None else drill.started_at,
        running=None if job is None else _shown(job, services),
        jobs=tuple(_shown(job, services) for job in journal.jobs(limit=limit)),
    )


def _keeper(services: Services) -> Keeper:
    if services.keeper is None:
        raise Refused(503, "this server takes no backups")
    return services.keeper


def _shown(job: Job, services: Services) -> Job:
    """A job without the directories of this machine, which its error may name."""
    directory = f"{services.database.parent}/"
    hidden = {
        name: text.replace(directory, "")
        for name in ("error", "note")
        if (text := getattr(job, name)) is not None
    }
    return job.model_copy(update=hidden)


def _status(job: Job) -> int:
    """Whose fault it is, as HTTP says it."""
    if job.error_type == SnapshotFailed.__name__:
        return 507
    return 502 if job.error_type in _UPSTREAM else 500
