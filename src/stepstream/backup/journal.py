"""The journal: what became of each backup, kept beside the database, and the lock that allows one at a time.

Knows the directory ``history.db-backups``. Must not know how a backup is taken. Records of jobs survive the
process that runs them; whoever asks reads them from there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import ValidationError

from stepstream.errors import BackupRunning, UnsafeLocation
from stepstream.schemas.identity import Identifier, id_text, new_id
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

logger = logging.getLogger("stepstream")

# Of each kind: increments of each minute must not push out the one backup of the day.
_RECORDS_KEPT = 500
_REPORTED_MAX = 1_000
_LOCK_BYTES = 36
_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


class Trigger(StrEnum):
    """Who asked for a job."""

    COMMAND = "command"
    REQUEST = "request"
    SCHEDULE = "schedule"


class JobKind(StrEnum):
    """What a job does."""

    FULL = "full"
    INCREMENT = "increment"
    DRILL = "drill"


class JobState(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Stage(StrEnum):
    """What a job is at."""

    PROBING = "probing"
    COPYING = "copying"
    ATTACHING = "attaching"
    UPLOADING = "uploading"
    VERIFYING = "verifying"
    FINISHING = "finishing"
    TIDYING = "tidying"
    RESTORING = "restoring"
    DONE = "done"


class Job(Record):
    """A backup or a drill, as it stands or as it ended.

    Attributes:
        id: What it is called.
        kind: What it does.
        trigger: Who asked for it.
        target: Where the backups are.
        state: How it stands.
        stage: What it is at, or was at when it ended.
        started_at: ns since 1970 UTC.
        ended_at: ns since 1970 UTC.
        done_bytes: How far the stage is.
        total_bytes: How far it goes; 0 when nobody knows.
        backup: The backup that was taken, or restored.
        size_bytes: How many bytes the database has, or what was added to it.
        stored_bytes: How many bytes of it lie on the target.
        steps: How many steps the database holds.
        cursor: Its last cursor.
        artifacts_sent: How many files travelled with it.
        artifacts_lacking: How many should have, and could not be had.
        is_verified: Whether what lies on the target was read again and is what was sent.
        note: What else is worth knowing.
        error: Why it failed.
        error_type: Of which kind that is.
    """

    id: Identifier
    kind: JobKind
    trigger: Trigger
    target: str
    state: JobState = JobState.RUNNING
    stage: Stage = Stage.PROBING
    started_at: int
    ended_at: int | None = None
    done_bytes: int = 0
    total_bytes: int = 0
    backup: str | None = None
    size_bytes: int | None = None
    stored_bytes: int | None = None
    steps: int | None = None
    cursor: int | None = None
    artifacts_sent: int = 0
    artifacts_lacking: int = 0
    is_verified: bool = False
    note: str | None = None
    error: str | None = None
    error_type: str | None = None


def backups_path(database: Path) -> Path:
    """Where the journal of a database's backups lies."""
    return database.with_name(database.name + "-backups")


class Turn:
    """The right to take a backup: held until it is closed, or until its process ends."""

    def __init__(self, descriptor: int, work: Path) -> None:
        self.descriptor = descriptor
        self.work = work

    def name(self, job: str) -> None:
        """Say which job it is for."""
        os.pwrite(self.descriptor, job.encode().ljust(_LOCK_BYTES), 0)

    def close(self) -> None:
        """Let somebody else take one; by closing, which leaves the lock to a child that inherited it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Journal:
    """The jobs of one database."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.path = backups_path(database)
        self._lock = self.path / "lock"
        self._jobs = self.path / "jobs"
        self._work = self.path / "work"

    def take_turn(self) -> Turn:
        """Begin the one backup that may be taken at a time; what an earlier one left is swept away.

        Raises:
            BackupRunning: One is being taken.
            UnsafeLocation: The directory is not ours alone.
            OSError: It cannot be written.
        """
        self._make()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise BackupRunning(self.database, self.running_id()) from None
        turn = Turn(descriptor, self._work)
        try:
            turn.name("")
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(mode=0o700)
            self._forget_old()
        except BaseException:
            turn.close()
            raise
        return turn

    def join_turn(self, descriptor: int) -> Turn:
        """Take over a turn whose descriptor was inherited."""
        return Turn(descriptor, self._work)

    def _make(self) -> None:
        for directory in (self.path, self._jobs):
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
            info = directory.lstat()
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
                raise UnsafeLocation(directory, "it is not a directory of ours", "move it away")
            if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise UnsafeLocation(directory, "others may write there", f"run: chmod 700 {directory}")

    def _forget_old(self) -> None:
        for kind in JobKind:
            for name in self._names(kind)[_RECORDS_KEPT:]:
                with suppress(FileNotFoundError):
                    (self._jobs / name).unlink()

    # -- records

    def running_id(self) -> str | None:
        """The job that is running; None when none is."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | _SAFE)
        except OSError:
            return None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return os.pread(descriptor, _LOCK_BYTES, 0).decode("ascii", "replace").strip() or None
            return None
        finally:
            os.close(descriptor)

    def write(self, job: Job, *, lasting: bool = False) -> None:
        """Note how a job stands; a disk that takes no note does not end it."""
        hidden = self._jobs / f".{job.id}"
        try:
            with hidden.open("wb") as file:
                file.write(job.model_dump_json().encode())
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
            hidden.replace(self._jobs / f"{job.id}.{job.kind.value}.json")
        except OSError as error:
            logger.warning("how backup %s stands cannot be noted: %s", job.id, error)

    def job(self, job_id: str) -> Job | None:
        """A job by id; None when there is none."""
        running = self.running_id()
        found = (self._read(f"{job_id}.{kind.value}.json", running) for kind in JobKind)
        return next((job for job in found if job is not None), None)

    def jobs(self, *kinds: JobKind, limit: int = _REPORTED_MAX) -> list[Job]:
        """The last jobs, of all kinds or of some, the newest first."""
        return list(islice(self._jobs_of(kinds or tuple(JobKind)), limit))

    def last(self, *kinds: JobKind, state: JobState | None = None) -> Job | None:
        """The last job of some kinds; where a state is stated, the last that stands so."""
        return next((job for job in self._jobs_of(kinds) if state in {None, job.state}), None)

    def _jobs_of(self, kinds: tuple[JobKind, ...]) -> Iterator[Job]:
        running = self.running_id()
        for name in sorted((name for kind in kinds for name in self._names(kind)), reverse=True):
            job = self._read(name, running)
            if job is not None:
                yield job

    def _names(self, kind: JobKind) -> list[str]:
        """The records of a kind, the newest first: their ids are in the order of time."""
        try:
            names = os.listdir(self._jobs)  # noqa: PTH208 - names are all it needs
        except FileNotFoundError:
            return []
        return sorted((name for name in names if name.endswith(f".{kind.value}.json")), reverse=True)

    def _read(self, name: str, running: str | None) -> Job | None:
        try:
            job = Job.model_validate_json((self._jobs / name).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        if job.state is not JobState.RUNNING or job.id in {running, self.running_id()}:
            # Asked again: it may have begun since the first look.
            return job
        # Whoever ran it is gone: a record that says running would say so for ever.
        return job.model_copy(
            update={
                "state": JobState.FAILED,
                "error": f"its process ended while it was {job.stage.value}; take the backup again",
                "error_type": "Interrupted",
            }
        )


def new_job(kind: JobKind, trigger: Trigger, target: str, now_ns: int) -> Job:
    """A job that begins now."""
    return Job(id=id_text(new_id()), kind=kind, trigger=trigger, target=target, started_at=now_ns)
