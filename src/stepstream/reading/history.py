"""History: everything people ask of a database, without writing to it.

Knows which question goes where; the answers are made by the files beside it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from stepstream.errors import EpisodeNotFound
from stepstream.reading import roles, timeline, tree
from stepstream.reading.condition import ALWAYS, Condition, episode_condition, step_condition
from stepstream.reading.database import ReaderPool
from stepstream.reading.filter import Filter
from stepstream.reading.information import HistoryInfo, describe
from stepstream.reading.rows import EPISODE_COLUMNS, STEP_COLUMNS
from stepstream.reading.scan import PAGE_STEPS, StepScan
from stepstream.reading.state import EpisodeState, gather, replay
from stepstream.reading.table import arrow_schema, columns, record_batches
from stepstream.reading.verification import Verification, Verifier
from stepstream.schemas.identity import id_bytes, id_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import pyarrow as pa  # type: ignore[import-untyped]

    from stepstream.reading.content import Value
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import EpisodeRow, StepRow
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

LAST = "@last"
_CANDIDATES_MAX = 10
_PAGE_EPISODES = 100
_ID_DIGITS = 32


class History:
    """A database to read: live, restored, or on media that cannot be written.

    May be used by any number of threads and after a fork; reads never hold up who writes. A file that is put
    in the place of the one that was opened is read from the next question on.
    """

    def __init__(self, path: Path) -> None:
        self._pool = ReaderPool(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a history for reading.

        Raises:
            FileNotFoundError: There is no such file.
            NotADatabase: It is something else.
            StoreError: It cannot be read.
        """
        history = cls(Path(os.path.realpath(path)))
        with history._pool.reader():
            return history

    @property
    def path(self) -> Path:
        """The file."""
        return self._pool.path

    def close(self) -> None:
        """Let go of the file."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- episodes

    def episodes(
        self,
        *,
        filter: str | Filter | None = None,
        limit: int | None = None,
        before: str | None = None,
        parent: str | None = None,
    ) -> list[Episode]:
        """Episodes, the latest to start first.

        Args:
            filter: What holds for them, in the grammar of ``reading.filter``.
            limit: At most how many; None for all.
            before: Only those that come behind this episode in the list: its id, as for ``episode``.
            parent: Only those that name this episode as their parent.

        Raises:
            FilterInvalid: The filter cannot be read.
            EpisodeNotFound: ``before`` or ``parent`` names none.
        """
        condition = ALWAYS if filter is None else episode_condition(_parsed(filter), time.time_ns())
        if parent is not None:
            own = id_bytes(self.episode(parent).id)
            condition = Condition(f"({condition.sql}) AND episode.parent_id = ?", (*condition.arguments, own))
        place = None if before is None else self._place(self.episode(before))
        found: list[Episode] = []
        while limit is None or len(found) < limit:
            wanted = _PAGE_EPISODES if limit is None else min(_PAGE_EPISODES, limit - len(found))
            with self._pool.reader() as reader:
                rows = _episode_rows(reader, condition, place, wanted)
                found += [reader.rows.episode(row) for row in rows]
            if len(rows) < wanted:
                break
            place = (rows[-1][9], rows[-1][0])
        return found

    def _place(self, episode: Episode) -> tuple[int, int]:
        with self._pool.reader() as reader:
            key = reader.first("SELECT key FROM episode WHERE id = ?", (id_bytes(episode.id),))
        return episode.started_at, cast("int", key)

    def episode(self, wanted: str) -> Episode:
        """The episode that answers to an id.

        Args:
            wanted: A full id, the beginning of one with or without dashes, or ``@last`` for the one that
                started last.

        Raises:
            EpisodeNotFound: There is none, or the beginning fits several; the error names up to ten.
        """
        text = wanted.strip().lower()
        with self._pool.reader() as reader:
            if text == LAST:
                rows = _episode_rows(reader, ALWAYS, None, 1)
            else:
                bounds = _id_bounds(text)
                if bounds is None:
                    raise EpisodeNotFound(wanted)
                sql = f"SELECT {EPISODE_COLUMNS} FROM episode WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?"
                rows = cast("list[EpisodeRow]", reader.select(sql, (*bounds, _CANDIDATES_MAX)))
            if len(rows) != 1:
                raise EpisodeNotFound(wanted, [id_text(row[1]) for row in rows])
            return reader.rows.episode(rows[0])

    # -- steps

    def steps(
        self,
        *,
        episode: str | None = None,
        kind: str | None = None,
        after: int = 0,
        limit: int | None = 1000,
        filter: str | Filter | None = None,
    ) -> list[Step]:
        """Steps in the order of their cursors.

        Args:
            episode: Only those of this episode, as for ``episode``.
            kind: Only those of this kind.
            after: Only those behind this cursor; pass the last one seen to go on.
            limit: At most how many; None for all.
            filter: What else holds for them, in the grammar of ``reading.filter``.

        Raises:
            EpisodeNotFound: There is no such episode.
            FilterInvalid: The filter cannot be read.
            Corrupt: A step cannot be read; ``verify`` lists all of them.
        """
        scan = self._scan(episode, kind, after, limit, filter)
        return [step for page in scan.pages(self._pool, lambda rows, page: rows.steps(page)) for step in page]

    def _scan(
        self,
        episode: str | None,
        kind: str | None,
        after: int,
        limit: int | None,
        filter: str | Filter | None,
    ) -> StepScan:
        return StepScan(
            episode=None if episode is None else id_bytes(self.episode(episode).id),
            kind=kind,
            condition=ALWAYS if filter is None else step_condition(_parsed(filter), time.time_ns()),
            after=after,
            limit=limit,
        )

    def arrow(
        self,
        *,
        episode: str | None = None,
        kind: str | None = None,
        after: int = 0,
        limit: int | None = None,
        filter: str | Filter | None = None,
        batch_steps: int = 10_000,
    ) -> pa.RecordBatchReader:
        """Steps as Arrow record batches, read as they are asked for.

        The result can be iterated over; pandas (``.read_pandas()``), polars (``pl.from_arrow``) and DuckDB
        take it as it is. Payloads are columns of JSON.

        Args:
            episode: As for ``steps``.
            kind: As for ``steps``.
            after: As for ``steps``.
            limit: At most how many steps; None for all.
            filter: As for ``steps``.
            batch_steps: At most how many steps make a batch.

        Raises:
            MissingExtra: pyarrow is not installed.
            EpisodeNotFound: There is no such episode.
            FilterInvalid: The filter cannot be read.
        """
        schema = arrow_schema()
        scan = self._scan(episode, kind, after, limit, filter)
        return record_batches(schema, scan.pages(self._pool, columns, batch_steps))

    # -- around one step

    def opener(self, step: Step) -> Step | None:
        """The step that a step closes; None when it closes none, or that one is not there."""
        return None if step.closes is None else self._first("id = ?", step.closes)

    def closer(self, step: Step) -> Step | None:
        """The first step that closes a step; None while there is none."""
        return self._first("closes = ? ORDER BY cursor LIMIT 1", step.id)

    def has_ended(self, episode_id: str) -> bool:
        """Whether an episode has ended."""
        with self._pool.reader() as reader:
            sql = "SELECT ended_at FROM episode WHERE id = ?"
            return reader.first(sql, (id_bytes(episode_id),)) is not None

    def _first(self, condition: str, step_id: str) -> Step | None:
        with self._pool.reader() as reader:
            sql = f"SELECT {STEP_COLUMNS} FROM step WHERE {condition}"
            rows = cast("list[StepRow]", reader.select(sql, (id_bytes(step_id),)))
            return reader.rows.step(rows[0]) if rows else None

    # -- one episode

    def tree(self, episode: str) -> tree.EpisodeTree:
        """An episode's steps, nested."""
        found = self.episode(episode)
        return tree.grow(
            found, self.steps(episode=found.id, limit=None), self.episodes(parent=found.id)[::-1]
        )

    def timeline(self, episode: str) -> timeline.EpisodeTimeline:
        """An episode's spans and instants."""
        found = self.episode(episode)
        return timeline.draw(found, self._by_sequence(found.id, timeline.MARK_COLUMNS))

    def roles(self, episode: str) -> roles.RoleGraph:
        """Who worked in an episode, and to whom the work went."""
        found = self.episode(episode)
        return roles.connect(found.id, self._by_sequence(found.id, roles.TURN_COLUMNS))

    def _by_sequence(self, episode_id: str, selected: str) -> Iterator[tuple[Value, ...]]:
        """Some columns of an episode's steps; the first one is its sequence."""
        position = -1
        while True:
            with self._pool.reader() as reader:
                rows = reader.select(
                    f"SELECT {selected} FROM step WHERE step.episode = (SELECT key FROM episode WHERE id = ?)"
                    " AND step.sequence > ? ORDER BY step.sequence LIMIT ?",
                    (id_bytes(episode_id), position, PAGE_STEPS),
                )
            yield from rows
            if len(rows) < PAGE_STEPS:
                return
            position = cast("int", rows[-1][0])

    def state(self, episode: str, *, at: int | None = None) -> EpisodeState:
        """An episode as it was when a step had just been logged.

        Args:
            episode: The episode.
            at: The step's sequence; None for the last one, and so for what lies beyond it.

        Raises:
            EpisodeNotFound: There is no such episode, or it has no step so early.
        """
        found = self.episode(episode)
        with self._pool.reader() as reader:
            moment = gather(reader, id_bytes(found.id), at)
            if moment is None:
                raise EpisodeNotFound(f"{found.id} at sequence {at}")
            return replay(*moment)

    # -- the whole

    def verify(self, episode: str | None = None, *, deep: bool = False) -> Verification:
        """Check that nothing is missing and that everything is what it says.

        Args:
            episode: Check this one only.
            deep: Also validate every payload, hash every kept artifact and check the file's own structure.

        Raises:
            EpisodeNotFound: There is no such episode.
            StoreError: The database cannot be read at all.
        """
        key = None if episode is None else self._place(self.episode(episode))[1]
        with self._pool.reader() as reader:
            return Verifier(reader, key).verify(deep=deep)

    def info(self) -> HistoryInfo:
        """What the history is, in figures."""
        with self._pool.reader() as reader:
            return describe(reader)

    def last_cursor(self) -> int:
        """The highest cursor ever given out."""
        with self._pool.reader() as reader:
            return reader.last_cursor()


def _parsed(filter: str | Filter) -> Filter:
    return filter if isinstance(filter, Filter) else Filter.parse(filter)


def _episode_rows(
    reader: Reader, condition: Condition, place: tuple[int, int] | None, wanted: int
) -> list[EpisodeRow]:
    behind, arguments = ("1", ()) if place is None else ("(episode.started_at, episode.key) < (?, ?)", place)
    sql = (
        f"SELECT {EPISODE_COLUMNS} FROM episode WHERE {behind} AND ({condition.sql})"
        " ORDER BY episode.started_at DESC, episode.key DESC LIMIT ?"
    )
    return cast("list[EpisodeRow]", reader.select(sql, (*arguments, *condition.arguments, wanted)))


def _id_bounds(text: str) -> tuple[bytes, bytes] | None:
    """The lowest and the highest id that begin with some hex digits."""
    digits = text.replace("-", "")
    if not 0 < len(digits) <= _ID_DIGITS or not all(digit in "0123456789abcdef" for digit in digits):
        return None
    return bytes.fromhex(digits.ljust(_ID_DIGITS, "0")), bytes.fromhex(digits.ljust(_ID_DIGITS, "f"))
