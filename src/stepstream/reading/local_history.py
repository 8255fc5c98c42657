"""LocalHistory: the questions that a history answers, asked of a file.

Knows which question goes where; the answers are made by the files beside it.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from stepstream.errors import EpisodeNotFound
from stepstream.reading import comparison, roles, statistics, timeline
from stepstream.reading.condition import ALWAYS, Condition, episode_condition, step_condition
from stepstream.reading.database import ReaderPool
from stepstream.reading.filter import Filter
from stepstream.reading.history import LAST, History
from stepstream.reading.information import HistoryInfo, describe
from stepstream.reading.recorders import RecorderPosition, find_recorder
from stepstream.reading.rows import EPISODE_COLUMNS, STEP_COLUMNS
from stepstream.reading.scan import PAGE_STEPS, StepScan
from stepstream.reading.search.finder import Wanted, find
from stepstream.reading.search.query import Query
from stepstream.reading.state import EpisodeState, gather, replay
from stepstream.reading.table import arrow_schema, columns, record_batches
from stepstream.reading.verification import Verification, Verifier
from stepstream.schemas.identity import id_bytes, id_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from stepstream.reading.content import Value
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import EpisodeRow, StepRow
    from stepstream.reading.search.hit import SearchPage
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

ANSWER_SECONDS_MAX = 10.0
"""When a question whose work grows with what it is about is given up."""

_CANDIDATES_MAX = 10
_PAGE_EPISODES = 100
_ID_DIGITS = 32


class LocalHistory(History):
    """A database to read: live, restored, or on media that cannot be written.

    May be used by any number of threads and after a fork; reads never hold up who writes. A file that is put
    in the place of the one that was opened is read from the next question on.
    """

    def __init__(self, path: Path) -> None:
        self._pool = ReaderPool(path)

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Self:
        """Open a file for reading.

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

    @property
    def address(self) -> str:
        return str(self.path)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def asking(self) -> Iterator[Reader]:
        """A reader for a question that may turn out to be too much.

        Raises:
            TimeoutError: It was.
            StoreError: The history cannot be read.
        """
        with self._pool.reader() as reader, reader.limited(ANSWER_SECONDS_MAX):
            yield reader

    # -- episodes

    def episodes(
        self,
        *,
        filter: str | Filter | None = None,
        limit: int | None = None,
        before: str | None = None,
        parent: str | None = None,
    ) -> list[Episode]:
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
        schema = arrow_schema()
        scan = self._scan(episode, kind, after, limit, filter)
        return record_batches(schema, scan.pages(self._pool, columns, batch_steps))

    def search(
        self,
        text: str,
        *,
        filter: str | Filter | None = None,
        episode: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> SearchPage:
        wanted = Wanted(
            query=Query.parse(text),
            condition=ALWAYS if filter is None else step_condition(_parsed(filter), time.time_ns()),
            episode=None if episode is None else id_bytes(self.episode(episode).id),
            before=before,
            limit=max(1, limit),
        )
        with self._pool.reader() as reader:
            return find(reader, wanted)

    # -- around one step

    def opener(self, step: Step) -> Step | None:
        return None if step.closes is None else self._first("id = ?", step.closes)

    def closer(self, step: Step) -> Step | None:
        return self._first("closes = ? ORDER BY cursor LIMIT 1", step.id)

    def has_ended(self, episode_id: str) -> bool:
        with self._pool.reader() as reader:
            sql = "SELECT ended_at FROM episode WHERE id = ?"
            return reader.first(sql, (id_bytes(episode_id),)) is not None

    def _first(self, condition: str, step_id: str) -> Step | None:
        with self._pool.reader() as reader:
            sql = f"SELECT {STEP_COLUMNS} FROM step WHERE {condition}"
            rows = cast("list[StepRow]", reader.select(sql, (id_bytes(step_id),)))
            return reader.rows.step(rows[0]) if rows else None

    # -- one episode

    def timeline(self, episode: str) -> timeline.EpisodeTimeline:
        found = self.episode(episode)
        return timeline.draw(found, self._by_sequence(found.id, timeline.MARK_COLUMNS))

    def roles(self, episode: str) -> roles.RoleGraph:
        found = self.episode(episode)
        with self._pool.reader() as reader:
            return roles.connect(reader, found.id)

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
        found = self.episode(episode)
        with self._pool.reader() as reader:
            moment = gather(reader, id_bytes(found.id), at)
            if moment is None:
                raise EpisodeNotFound(f"{found.id} at sequence {at}")
            return replay(*moment)

    def compare(self, a: str, b: str) -> comparison.EpisodeComparison:
        first, second = self.episode(a), self.episode(b)
        sides = (self._place(first)[1], first), (self._place(second)[1], second)
        with self.asking() as reader:
            return comparison.compare(reader, *sides)

    # -- who logged

    def recorder(self, recorder_id: str) -> RecorderPosition | None:
        """How far the steps of a recorder are stored; None where nobody has heard of it."""
        with self._pool.reader() as reader:
            return find_recorder(reader, recorder_id)

    # -- the whole

    def verify(self, episode: str | None = None, *, deep: bool = False) -> Verification:
        key = None if episode is None else self._place(self.episode(episode))[1]
        with self._pool.reader() as reader:
            return Verifier(reader, key).verify(deep=deep)

    def statistics(
        self, *, since: int = 0, filter: str | Filter | None = None
    ) -> statistics.HistoryStatistics:
        now = time.time_ns()
        condition = ALWAYS if filter is None else step_condition(_parsed(filter), now)
        with self.asking() as reader:
            return statistics.statistics(reader, condition, since, now)

    def info(self) -> HistoryInfo:
        with self._pool.reader() as reader:
            return describe(reader)

    def last_cursor(self) -> int:
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
