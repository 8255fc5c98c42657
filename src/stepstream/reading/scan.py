"""Pages of steps in cursor order, each from one short read transaction.

By episode the index on (episode, sequence) is walked, since inside one episode sequence and cursor order are
the same; so a page costs as much in a history of a million steps as in one of a thousand. A question that
few rows answer is asked of a bounded number of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from stepstream.reading.condition import ALWAYS
from stepstream.reading.rows import STEP_COLUMNS
from stepstream.schemas.error_report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader, ReaderPool
    from stepstream.reading.rows import Rows, StepRow

    T = TypeVar("T")

PAGE_STEPS = 1_000
_WINDOW_STEPS = 10_000
_CURSOR_COLUMN, _SEQUENCE_COLUMN = 0, 3


@dataclass(frozen=True, slots=True)
class StepScan:
    """Which steps are wanted.

    Attributes:
        episode: The id of the episode they belong to.
        kind: Their kind.
        condition: What else holds for them.
        after: The cursor behind which they stand.
        limit: At most how many; None for all.
    """

    episode: bytes | None = None
    kind: str | None = None
    condition: Condition = ALWAYS
    after: int = 0
    limit: int | None = None

    def pages(
        self, pool: ReaderPool, read: Callable[[Rows, list[StepRow]], T], page_steps: int = PAGE_STEPS
    ) -> Iterator[T]:
        """Read page after page.

        Args:
            pool: The history.
            read: What to make of a page; called while the page's reader is held.
            page_steps: At most how many steps make a page.
        """
        by_episode = self.episode is not None
        axis = _SEQUENCE_COLUMN if by_episode else _CURSOR_COLUMN
        with pool.reader() as reader:
            position, end = self._bounds(reader)
        # A partial index holds the errors of every episode.
        is_indexed = by_episode and self.kind == ErrorReport.kind and self.condition == ALWAYS
        window = None if is_indexed or (self.kind is None and self.condition == ALWAYS) else _WINDOW_STEPS
        remaining = self.limit
        while remaining is None or remaining > 0:
            wanted = page_steps if remaining is None else min(page_steps, remaining)
            upper = end if window is None else min(end, position + window)
            sql, arguments = self._query(position, upper, wanted)
            with pool.reader() as reader:
                rows = cast("list[StepRow]", reader.select(sql, arguments))
                page = read(reader.rows, rows) if rows else None
            if page is not None:
                yield page
            if remaining is not None:
                remaining -= len(rows)
            position = cast("int", rows[-1][axis]) if len(rows) == wanted else upper
            if position >= end:
                return

    def _bounds(self, reader: Reader) -> tuple[int, int]:
        """The position to start behind and the last one there is."""
        if self.episode is None:
            return self.after, reader.last_cursor()
        last = reader.first(f"SELECT max(sequence) FROM step WHERE {_OF_EPISODE}", (self.episode,))
        if not isinstance(last, int):
            return -1, -1
        return self._sequence_at(reader, self.after, last), last

    def _sequence_at(self, reader: Reader, cursor: int, last: int) -> int:
        """The sequence of the episode's last step up to a cursor; -1 when there is none.

        Whoever pages asks with the cursor of a step of the episode, which is one look-up. Any other cursor
        is found by halving, in twenty look-ups for a million steps.
        """
        if cursor <= 0:
            return -1
        exact = reader.first(
            f"SELECT sequence FROM step WHERE cursor = ? AND {_OF_EPISODE}", (cursor, self.episode)
        )
        if isinstance(exact, int):
            return exact
        low, high = -1, last
        while low < high:
            middle = (low + high + 1) // 2
            at = reader.first(
                f"SELECT cursor FROM step WHERE {_OF_EPISODE} AND sequence >= ? ORDER BY sequence LIMIT 1",
                (self.episode, middle),
            )
            if not isinstance(at, int) or at <= cursor:
                low = middle
            else:
                high = middle - 1
        return low

    def _query(
        self, position: int, upper: int, wanted: int
    ) -> tuple[str, tuple[str | int | float | bytes, ...]]:
        conditions: list[str] = []
        arguments: list[str | int | float | bytes] = []
        axis = "step.cursor"
        if self.episode is not None:
            axis = "step.sequence"
            conditions.append(f"step.{_OF_EPISODE}")
            arguments.append(self.episode)
        conditions.append(f"{axis} > ? AND {axis} <= ?")
        arguments += (position, upper)
        if self.kind == ErrorReport.kind:
            # Written out, so that the partial index on errors serves.
            conditions.append(f"step.kind = '{ErrorReport.kind}'")
        elif self.kind is not None:
            conditions.append("step.kind = ?")
            arguments.append(self.kind)
        if self.condition != ALWAYS:
            conditions.append(self.condition.sql)
            arguments += self.condition.arguments
        arguments.append(wanted)
        where = " AND ".join(conditions)
        return f"SELECT {STEP_COLUMNS} FROM step WHERE {where} ORDER BY {axis} LIMIT ?", tuple(arguments)


_OF_EPISODE = "episode = (SELECT key FROM episode WHERE id = ?)"
