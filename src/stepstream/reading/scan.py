"""Pages of steps in cursor order, each from one short read transaction.

By episode the index on (episode, sequence) is walked, since inside one episode sequence and cursor order are
the same; so a page costs as much in a history of a million steps as in one of a thousand. A question that
few rows answer is asked of a bounded number of rows at a time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from stepstream.reading.condition import ALWAYS
from stepstream.reading.rows import PAYLOAD, STEP_COLUMNS
from stepstream.schemas.error_report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader, ReaderPool
    from stepstream.reading.rows import Rows, StepRow
    from stepstream.schemas.step import Step

    T = TypeVar("T")

PAGE_STEPS = 1_000
_WINDOW_STEPS = 10_000
_FIRST_WINDOW_STEPS = 500
_CURSOR_COLUMN, _SEQUENCE_COLUMN = 0, 3


class BoundedPage(NamedTuple):
    """What one short look found.

    Attributes:
        steps: Steps that were wanted.
        cursor: Every step up to here was looked at.
        is_last: There was nothing behind it to look at.
    """

    steps: list[Step]
    cursor: int
    is_last: bool


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
        window = None if self._is_indexed() else _WINDOW_STEPS
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

    def bounded_page(self, reader: Reader, *, bytes_max: int, seconds_max: float) -> BoundedPage:
        """Look for a page that costs no more than it may, however few steps are wanted among many.

        Args:
            reader: The history.
            bytes_max: How much JSON the payloads may have, but for a single one that has more.
            seconds_max: When to be content with what was found.

        Raises:
            StoreError: The database cannot be read.
        """
        deadline = time.monotonic() + seconds_max
        seen = reader.last_cursor()
        position, end = self._bounds(reader)
        axis = _CURSOR_COLUMN if self.episode is None else _SEQUENCE_COLUMN
        window = None if self._is_indexed() else _FIRST_WINDOW_STEPS
        limit = PAGE_STEPS if self.limit is None else self.limit
        found: list[Step] = []
        size = 0
        while position < end and len(found) < limit:
            upper = end if window is None else min(end, position + window)
            wanted = limit - len(found)
            sql, arguments = self._query(position, upper, wanted)
            rows = reader.page(sql, arguments, bytes_max - size)
            before = len(found)
            size += take(found, reader.rows, rows, bytes_max - size)
            taken = len(found) - before
            if taken < len(rows) or len(rows) == wanted or size >= bytes_max:
                position = position if taken == 0 else cast("int", rows[taken - 1][axis])
                break
            position = upper
            if window is not None:
                window *= 2
                if time.monotonic() > deadline:
                    break
        is_last = position >= end
        if self.episode is None:
            cursor = min(position, end)
        elif is_last:
            cursor = max(seen, found[-1].cursor if found else 0)
        else:
            cursor = self._cursor_at(reader, position)
        return BoundedPage(found, cursor, is_last)

    def _is_indexed(self) -> bool:
        """Whether every row that is walked over is wanted."""
        if self.condition != ALWAYS:
            return False
        # A partial index holds the errors of every episode.
        return self.kind is None or (self.episode is not None and self.kind == ErrorReport.kind)

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

    def _cursor_at(self, reader: Reader, sequence: int) -> int:
        """The cursor of the episode's last step up to a sequence."""
        found = reader.first(
            f"SELECT cursor FROM step WHERE {_OF_EPISODE} AND sequence <= ? ORDER BY sequence DESC LIMIT 1",
            (self.episode, sequence),
        )
        return found if isinstance(found, int) else 0

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


def take(steps: list[Step], rows: Rows, found: list[StepRow], bytes_max: int, *, steps_min: int = 1) -> int:
    """Add the steps of some rows as far as their payloads fit.

    Args:
        steps: Where to add them.
        rows: Reads them.
        found: The rows.
        bytes_max: How much JSON the added payloads may have.
        steps_min: So many steps there shall be in any case.

    Returns:
        How much JSON the payloads of the added steps have.

    Raises:
        Corrupt: A row cannot be read; the message names it.
    """
    size = 0
    for row in found:
        step = rows.step(row)
        text, pooled = row[PAYLOAD], row[PAYLOAD + 1]
        weight = len(text) if text.isascii() else len(text.encode())
        if pooled is not None:
            # What is kept elsewhere comes back as often as it is referred to.
            weight = max(weight, len(step.payload.encoded()))
        if len(steps) >= steps_min and size + weight > bytes_max:
            break
        steps.append(step)
        size += weight
    return size


_OF_EPISODE = "episode = (SELECT key FROM episode WHERE id = ?)"
