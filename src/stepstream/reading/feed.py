"""The feed: what a subscriber has not seen yet, page by page, from whatever file the path names.

Knows cursors, epochs and files that are replaced, and when to say Reset. Must not know how anybody waits.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, cast

from stepstream.reading.database import open_when_made
from stepstream.reading.rows import STEP_COLUMNS, put_together
from stepstream.schemas.event import Reset, ResetReason, StepRecorded

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.reading.rows import StepRow
    from stepstream.schemas.event import Event

PAGE_STEPS = 500
PAGE_BYTES = 4 * 1024 * 1024

_EVENT_FIELDS = set(StepRecorded.model_fields)

_PAGE = f"SELECT {STEP_COLUMNS} FROM step WHERE cursor > ? ORDER BY cursor LIMIT {PAGE_STEPS}"
_LIFE = (
    "SELECT (SELECT value FROM meta WHERE name = 'epoch'), (SELECT value FROM meta WHERE name = 'pruned_to'),"
    " (SELECT seq FROM sqlite_sequence WHERE name = 'step')"
)


class _Life(NamedTuple):
    """Which life of the database it is, and the cursors it has."""

    epoch: str
    pruned_to: int
    last: int


class Feed:
    """Events behind a cursor, as far as they are committed. Not thread-safe."""

    def __init__(self, database: Path, after: int | None, epoch: str | None = None) -> None:
        """Begin behind a cursor.

        Args:
            database: The database; it need not exist yet.
            after: The cursor of the last event seen; None for what is committed from now on.
            epoch: The epoch that cursor is of; None where it is not known.
        """
        self._database = database
        self._process = os.getpid()
        self._after = after
        self._epoch = epoch
        self._reader: Reader | None = None
        self._rows: list[StepRow] = []
        self._resets: list[Reset] = []
        self._was_replaced = False
        if after is None:
            self._begin_now()

    def _begin_now(self) -> None:
        """What exists now is not asked for; in a database that does not exist yet everything is new."""
        self._after = 0
        if self._open():
            life = self._life()
            if life is not None:
                self._after, self._epoch = life.last, life.epoch

    def take(self) -> Event | None:
        """The next event that was fetched; None when more must be fetched first.

        Raises:
            Corrupt: A step cannot be read; the next call goes on behind it.
        """
        self._check_process()
        if self._resets:
            return self._resets.pop(0)
        if not self._rows or self._reader is None:
            return None
        step = self._reader.rows.step(self._rows.pop())
        values: dict[str, object] = {
            "type": "step_recorded",
            "epoch": self._epoch,
            "cursor": step.cursor,
            "step": step,
        }
        return put_together(StepRecorded, values, _EVENT_FIELDS)

    def fetch(self) -> bool:
        """Look for more; at most one page.

        Returns:
            Whether there is anything to take.

        Raises:
            NotADatabase: The file at the path is no history.
            StoreError: The database cannot be read.
        """
        self._check_process()
        if self._reader is not None and not self._reader.is_current():
            self._reader.close()
            self._reader = None
            self._was_replaced = True
        if self._reader is None and not self._open():
            return False
        return self._read()

    def _open(self) -> bool:
        self._reader = open_when_made(self._database)
        return self._reader is not None

    def _life(self) -> _Life | None:
        """None while the committer has not written the first rows of the file."""
        reader = self._reader
        if reader is None:
            return None
        epoch, pruned_to, last = cast("tuple[str | None, str | None, int | None]", reader.select(_LIFE)[0])
        return None if epoch is None else _Life(epoch, int(pruned_to or 0), last or 0)

    def _read(self) -> bool:
        reader = self._reader
        if reader is None:
            return False
        with reader.snapshot():
            life = self._life()
            if life is None:
                return False
            self._check(life)
            page = reader.page(_PAGE, (self._after,), PAGE_BYTES)
        if page:
            self._after = page[-1][0]
            # The next one to take stands last, so that taking costs nothing.
            self._rows = page[::-1]
        return bool(page or self._resets)

    def _check(self, life: _Life) -> None:
        """Say Reset when the cursor means nothing in this life of the database."""
        after = self._after or 0
        unknown = self._epoch is not None and self._epoch != life.epoch
        if self._was_replaced or unknown or after > life.last:
            self._reset(life, ResetReason.EPOCH_CHANGED)
        elif after < life.pruned_to:
            self._reset(life, ResetReason.PRUNED)
        self._was_replaced = False
        self._epoch = life.epoch

    def _reset(self, life: _Life, reason: ResetReason) -> None:
        self._after = life.pruned_to
        self._resets.append(Reset(epoch=life.epoch, cursor=life.pruned_to, reason=reason))

    def _check_process(self) -> None:
        """In a forked child the connection is the parent's: what was not taken is fetched again."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._reader = None
        if self._rows:
            self._after = self._rows[-1][0] - 1
            self._rows = []

    def close(self) -> None:
        """Let go of the database."""
        self._check_process()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
