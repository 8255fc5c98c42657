"""``stepstream backup``: a backup, taken here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, drain, require
from stepstream.cli.failure import CommandFailed, ExitCode
from stepstream.settings import BackupLevel

if TYPE_CHECKING:
    from types import TracebackType

    from stepstream.backup.journal import Job, Stage
    from stepstream.backup.target import Target
    from stepstream.cli.output import Output
    from stepstream.cli.progress import Progress
    from stepstream.settings import Settings

TargetOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="s3://bucket/prefix or file:///directory; by default what the settings say.",
        show_default=False,
    ),
]


def backup(
    target: TargetOption = None,
    level: Annotated[
        BackupLevel | None, typer.Option(help="How hard to compress; by default what the settings say.")
    ] = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what is new since the last backup.")
    ] = False,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Take a backup while agents go on writing.

    What lies on the target is read again before it counts. Plain `zstd -d` turns it into a database that any
    SQLite opens.
    """
    import time

    from stepstream.backup.job import BackupRun, step_back
    from stepstream.backup.journal import JobKind, Journal, Trigger, new_job
    from stepstream.cli.output import Output
    from stepstream.settings import Settings

    output = Output()
    database = database_path(db)
    settings = Settings.load(database)
    if level is not None:
        chosen = settings.backup.model_copy(update={"level": level})
        settings = settings.model_copy(update={"backup": chosen})
    place = open_target(settings, target)
    drain(database, output)
    require(database)
    step_back()
    journal = Journal(database)
    with journal.take_turn() as turn, StageProgress(output) as progress:
        run = BackupRun(database, settings, place, journal, told=progress.told)
        kind = JobKind.INCREMENT if incremental else JobKind.FULL
        job = run.run(new_job(kind, Trigger.COMMAND, place.url, time.time_ns()), turn)
    if as_json:
        output.json(job.model_dump(mode="json"))
    else:
        _tell(job, output)


def open_target(settings: Settings, stated: str | None) -> Target:
    """The target that is meant.

    Raises:
        CommandFailed: None is stated anywhere.
        BackupError: It cannot be used.
    """
    import os

    from stepstream.backup.target import Target

    url = stated or settings.backup.target
    if url is None:
        raise CommandFailed(
            "nobody says where backups are: name the place as s3://bucket/prefix or file:///directory, "
            "in STEPSTREAM_BACKUP_TARGET or as target of [backup] in stepstream.toml",
            ExitCode.USAGE,
        )
    return Target.open(url, settings.backup, os.environ)


class StageProgress:
    """Draws how far each stage of a job is."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stage: Stage | None = None
        self._progress: Progress | None = None

    def told(self, job: Job) -> None:
        """Hear how a job stands."""
        from stepstream.backup.journal import Stage
        from stepstream.cli.progress import Progress

        if job.stage is not self._stage:
            self._end()
            self._stage = job.stage
            unit = "files" if job.stage is Stage.ATTACHING else "bytes"
            self._progress = Progress(self._output, job.stage.value, job.total_bytes, unit).__enter__()
        if self._progress is not None and job.done_bytes:
            self._progress.at(job.done_bytes, job.done_bytes)

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()


def _tell(job: Job, output: Output) -> None:
    from stepstream.cli.figures import bytes_held, counted
    from stepstream.cli.output import bold

    size, stored = job.size_bytes or 0, job.stored_bytes or 0
    files = f", {counted(job.artifacts_sent, 'new file')}" if job.artifacts_sent else ""
    output.line(bold(job.backup or ""))
    output.say(
        f"{counted(job.steps or 0, 'step')} up to cursor {job.cursor}: {bytes_held(size)} as "
        f"{bytes_held(stored)}{_saved(size, stored)}{files}; read again and found whole"
    )
    if job.note:
        output.say(job.note)


def _saved(size: int, stored: int) -> str:
    return f", {100 * (1 - stored / size):.0f} % smaller" if size > stored > 0 else ""
