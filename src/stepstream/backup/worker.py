"""A job as a process of its own: ``python -m stepstream.backup.worker DATABASE SETTINGS JOB TURN``.

Knows how a job is handed over. A server's interpreter is never held up by it, its memory goes when it ends,
and everybody else goes first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.backup.account import Account
from stepstream.backup.catalogue import Moment
from stepstream.backup.drill import drill
from stepstream.backup.job import BackupRun, step_back
from stepstream.backup.journal import Job, JobKind, Journal, Stage
from stepstream.backup.target import Target
from stepstream.errors import StepstreamError
from stepstream.reading.database import Reader
from stepstream.settings import Settings

if TYPE_CHECKING:
    from stepstream.backup.journal import Turn

FAILED = 1


def main() -> int:
    """Do the job; how it ended stands in the journal."""
    database = Path(sys.argv[1])
    settings = Settings.model_validate_json(sys.argv[2])
    job = Job.model_validate_json(sys.argv[3])
    os.umask(0o077)
    step_back()
    journal = Journal(database)
    with journal.join_turn(int(sys.argv[4])) as turn:
        try:
            _do(job, database, settings, journal, turn)
        except (StepstreamError, OSError) as error:
            sys.stderr.write(f"backup {job.id} failed: {error}\n")
            return FAILED
    return 0


def _do(job: Job, database: Path, settings: Settings, journal: Journal, turn: Turn) -> None:
    target = _open(job, settings, journal)
    if job.kind is JobKind.DRILL:
        _drill(job, database, target, journal, turn)
    else:
        BackupRun(database, settings, target, journal, told=_nobody).run(job, turn)


def _open(job: Job, settings: Settings, journal: Journal) -> Target:
    try:
        return Target.open(job.target, settings.backup, os.environ)
    except StepstreamError as error:
        Account(job, journal, _nobody).fail(error)
        raise


def _drill(job: Job, database: Path, target: Target, journal: Journal, turn: Turn) -> None:
    account = Account(job, journal, _nobody)
    with account.open():
        reader = Reader(database)
        try:
            database_id = reader.meta("database_id") or ""
        finally:
            reader.close()
        account.enter(Stage.RESTORING)
        done = drill(target, database_id, Moment(), turn.work, account.progress)
        account.update(
            backup=done.backup,
            steps=done.contents.steps,
            cursor=done.contents.cursor,
            size_bytes=done.size_bytes,
            stored_bytes=done.stored_bytes,
            artifacts_lacking=done.lacking,
            is_verified=True,
        )


def _nobody(_: Job) -> None:
    """Whoever wants to know reads the journal."""


if __name__ == "__main__":
    sys.exit(main())
