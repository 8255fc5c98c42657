"""The account of a job: how far it is, told a few times a second, and how it ended.

Knows the journal. Must not know what a job does.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepstream.backup.journal import JobState, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.backup.journal import Job, Journal

_NOTE_INTERVAL_S = 0.3


class Account:
    """Keeps the account of one job."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        told: Callable[[Job], None],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Begin.

        Args:
            job: The job as it stands.
            journal: Where it is noted.
            told: Hears how it stands.
            now: Wall time in ns.
        """
        self.job = job
        self.now = now
        self._journal = journal
        self._told = told
        self._note_at = 0.0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Note how the job ends: with the block, or with what is raised in it."""
        self.note()
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        self.update(state=JobState.SUCCEEDED, stage=Stage.DONE, ended_at=self.now())
        self.note(lasting=True)

    def fail(self, error: BaseException) -> None:
        """The job ends so."""
        self.update(
            state=JobState.FAILED,
            ended_at=self.now(),
            error=str(error) or type(error).__name__,
            error_type=type(error).__name__,
        )
        self.note(lasting=True)

    def enter(self, stage: Stage, total: int = 0) -> None:
        """The next stage begins."""
        self.update(stage=stage, done_bytes=0, total_bytes=total)
        self.note()

    def progress(self, done: int, total: int) -> None:
        """So much of the stage is done."""
        if time.monotonic() >= self._note_at:
            self.update(done_bytes=done, total_bytes=total)
            self.note()

    def update(self, **changes: object) -> None:
        """More is known of the job."""
        self.job = self.job.model_copy(update=changes)

    def note(self, *, lasting: bool = False) -> None:
        """Write down how it stands; ``lasting`` also for after a power cut."""
        self._note_at = time.monotonic() + _NOTE_INTERVAL_S
        self._journal.write(self.job, lasting=lasting)
        self._told(self.job)
