"""The keeper: begins jobs when asked and when it is time, one at a time, each in a process of its own.

Knows when. Must not know how a backup is taken, nor who asks over which way.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.backup.journal import JobKind, JobState, Journal, Trigger, new_job
from stepstream.errors import BackupRunning, StepstreamError, TargetUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.backup.journal import Job
    from stepstream.settings import Settings

logger = logging.getLogger("stepstream")

_HOUR_NS = 3600 * 1_000_000_000
_MINUTE_NS = 60 * 1_000_000_000
_DAY_NS = 24 * _HOUR_NS
# After a failure, which has been patient itself, the next try comes no sooner.
_AFTER_FAILURE_NS = 15 * _MINUTE_NS
_LOOK_INTERVAL_S = 5.0
_END_S = 5.0
_STALE_NS = 26 * _HOUR_NS


class Keeper:
    """Takes care that there are backups of one database."""

    def __init__(self, database: Path, settings: Settings, *, now: Callable[[], int] = time.time_ns) -> None:
        """Prepare; nothing happens before ``begin`` or ``start``.

        Args:
            database: The database.
            settings: Where backups go, and how often.
            now: Wall time in ns.
        """
        self.journal = Journal(database)
        self._database = database
        self._settings = settings
        self._now = now
        self._guard = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- jobs

    def begin(self, kind: JobKind, trigger: Trigger) -> Job:
        """Begin a job, or name the one that runs already.

        Raises:
            TargetUnusable: Nobody says where backups go.
            BackupRunning: One runs that does not say which it is.
            StepstreamError: The journal cannot be used.
            OSError: No process can be started.
        """
        target = self._settings.backup.target
        if target is None:
            raise TargetUnusable(
                "the target", "nobody says where backups go", "state target of [backup] in stepstream.toml"
            )
        try:
            turn = self.journal.take_turn()
        except BackupRunning as running:
            job = None if running.job is None else self.journal.job(running.job)
            if job is None:
                raise
            return job
        with turn:
            job = new_job(kind, trigger, target, self._now())
            turn.name(job.id)
            self.journal.write(job)
            with self._guard:
                self._forget_ended()
                # The turn goes with the descriptor, and ends with the process.
                process = self._processes[job.id] = self._start(job, turn.descriptor)
            # Whoever ends is waited for, so that nothing of it is left.
            threading.Thread(target=process.wait, name="stepstream-backup", daemon=True).start()
        return job

    def _start(self, job: Job, turn: int) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).resolve().parents[2])
        paths = filter(None, [package, os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "stepstream.backup.worker",
                os.fspath(self._database),
                self._settings.model_dump_json(),
                job.model_dump_json(),
                str(turn),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(turn,),
            start_new_session=True,
        )

    def _forget_ended(self) -> None:
        for job, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[job]

    def is_stale(self) -> bool:
        """Whether backups are wanted and the last one that succeeded is more than 26 hours old."""
        if self._settings.backup.target is None:
            return False
        last = self.journal.last(JobKind.FULL, state=JobState.SUCCEEDED)
        return last is not None and self._now() - last.started_at > max(
            _STALE_NS, int(2 * self._settings.backup.every_hours * _HOUR_NS)
        )

    # -- the clock

    def start(self) -> None:
        """Begin jobs when it is time, where the settings say so."""
        backup = self._settings.backup
        if backup.target is None or not (backup.every_hours or backup.increment_minutes):
            return
        self._thread = threading.Thread(target=self._keep, name="stepstream-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a job that runs is cut off, and the next one begins anew."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_END_S)
        with self._guard:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                try:
                    process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _keep(self) -> None:
        while not self._stopping.wait(_LOOK_INTERVAL_S):
            try:
                kind = self.due()
                if kind is not None:
                    self.begin(kind, Trigger.SCHEDULE)
            except (StepstreamError, OSError) as error:
                logger.warning("no backup could be begun: %s", error)

    def due(self) -> JobKind | None:
        """The job for which it is time; None when it is for none."""
        if self.journal.running_id() is not None:
            return None
        backup = self._settings.backup
        every = int(backup.every_hours * _HOUR_NS)
        if every and self._is_time(every, JobKind.FULL):
            return JobKind.FULL
        minutes = int(backup.increment_minutes * _MINUTE_NS)
        if minutes and self._is_time(minutes, JobKind.FULL, JobKind.INCREMENT):
            return JobKind.INCREMENT
        days = int(backup.drill_days * _DAY_NS)
        is_there = self.journal.last(JobKind.FULL, state=JobState.SUCCEEDED) is not None
        if days and is_there and self._is_time(days, JobKind.DRILL):
            return JobKind.DRILL
        return None

    def _is_time(self, interval_ns: int, *kinds: JobKind) -> bool:
        last = self.journal.last(*kinds)
        if last is None:
            return True
        if last.state is JobState.FAILED:
            interval_ns = min(interval_ns, _AFTER_FAILURE_NS)
        # A clock that was set back must not keep us waiting for years.
        return not 0 <= self._now() - last.started_at < interval_ns
