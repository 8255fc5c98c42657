"""The finder: from a query to a page of steps, the newest first.

What the index does not reach yet is read and asked by itself, so that what was committed a moment ago is
found too, and without any index everything, only slowly. (More than one page of such steps is not seen as a
whole: then a message is found in each call that repeats it.) Every hit is confirmed by the step's own text,
in which the words are marked; an index that names a step without them is damaged, and thrown away. A page is
bounded in time and in the steps that are looked at.

Knows how an answer is put together. Must not know who asks.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic_core import to_json

from stepstream.reading.condition import ALWAYS
from stepstream.reading.rows import PAYLOAD, STEP_COLUMNS
from stepstream.reading.search.hit import SearchHit, SearchPage
from stepstream.reading.search.index import (
    PART_CURSORS,
    IndexDamaged,
    IndexUnavailable,
    SearchIndex,
    index_path,
    life_of,
)
from stepstream.reading.search.lens import Lens
from stepstream.reading.search.words import Said, StepWords
from stepstream.schemas.identity import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import StepRow
    from stepstream.reading.search.index import Life
    from stepstream.reading.search.query import Query

logger = logging.getLogger("stepstream")

BUDGET_S = 0.12
"""When a page ends with what it has."""

CANDIDATES_MAX = 20_000
"""How many steps with the words a page looks at for those that pass the filter."""

UNINDEXED_STEPS = 1_000
"""How many steps that the index does not reach yet are read at a time, at most."""

_UNINDEXED_BYTES = 2 * 1024 * 1024
_CHUNK_STEPS = 32
_CHUNK_BYTES = 1024 * 1024


class Wanted(NamedTuple):
    """Which steps are looked for.

    Attributes:
        query: The words they have.
        condition: What else holds for them.
        episode: The id of the episode they belong to.
        before: The cursor before which they stand.
        limit: At most how many.
    """

    query: Query
    condition: Condition = ALWAYS
    episode: bytes | None = None
    before: int | None = None
    limit: int = 50


class _Range(NamedTuple):
    """The cursors between two others."""

    after: int
    before: int


class _Chunk(NamedTuple):
    """Some steps that have the words, and the cursor down to which there are no others."""

    cursors: list[int]
    looked_to: int


def find(reader: Reader, wanted: Wanted, budget_s: float = BUDGET_S) -> SearchPage:
    """A page of the steps that are wanted.

    Args:
        reader: The history.
        wanted: Which steps.
        budget_s: When to end the page with what it has.

    Raises:
        StoreError: The history cannot be read.
    """
    deadline = time.monotonic() + budget_s
    with ExitStack() as stack:
        index = SearchIndex.open(index_path(reader.path))
        if index is not None:
            stack.callback(index.close)
        # Asked second, so that the index does not reach further than what is known of the history.
        life = life_of(reader)
        if life is None:
            return _nothing()
        try:
            if index is not None and index.is_of(life):
                return _Finding(reader, index, life, wanted, deadline).page()
        except IndexDamaged as damage:
            logger.warning("%s; it is thrown away", damage)
            if index is not None:
                index.discard()
        except IndexUnavailable as refusal:
            logger.debug("a search went without its index: %s", refusal)
        return _Finding(reader, None, life, wanted, deadline).page()


def _nothing() -> SearchPage:
    return SearchPage(
        items=(), next=None, searched_to=0, is_complete=True, indexed_to=0, last_cursor=0, epoch=""
    )


class _Finding:
    """One page in the making."""

    def __init__(
        self, reader: Reader, index: SearchIndex | None, life: Life, wanted: Wanted, deadline: float
    ) -> None:
        self._reader = reader
        self._index = index
        self._life = life
        self._wanted = wanted
        self._deadline = deadline
        self._lens = Lens(wanted.query)
        self._words = StepWords(reader.content, Said(None if index is None else index.said))
        self._indexed_to = life.pruned_to if index is None else max(life.pruned_to, index.state().reached)
        self._episodes: dict[int, tuple[bytes, str]] = {}

    def page(self) -> SearchPage:
        """Gather hits until there are enough, or it has taken long enough."""
        with closing(self._lens):
            range_ = self._range()
            hits, searched_to = self._gather(range_)
        is_complete = searched_to <= range_.after + 1
        return SearchPage(
            items=tuple(hits),
            next=None if is_complete else searched_to,
            searched_to=searched_to,
            is_complete=is_complete,
            indexed_to=self._indexed_to,
            last_cursor=self._life.last_cursor,
            epoch=self._life.epoch,
        )

    def _gather(self, range_: _Range) -> tuple[list[SearchHit], int]:
        """The hits of the page, and the cursor down to which there are no others."""
        hits: list[SearchHit] = []
        candidates = 0
        searched_to = range_.before
        for chunk in self._chunks(range_):
            for row in self._passing(chunk.cursors):
                if len(hits) == self._wanted.limit or (hits and self._is_late()):
                    return hits, hits[-1].cursor
                hits.append(self._hit(row))
            searched_to = chunk.looked_to
            candidates += len(chunk.cursors)
            if candidates >= CANDIDATES_MAX or self._is_late():
                break
        return hits, searched_to

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _range(self) -> _Range:
        """Between which cursors the steps stand."""
        after, before = self._life.pruned_to, self._life.last_cursor + 1
        if self._wanted.before is not None:
            before = min(before, self._wanted.before)
        if self._wanted.episode is not None:
            first = "SELECT cursor FROM step WHERE episode = episode.key ORDER BY sequence LIMIT 1"
            rows = self._reader.select(
                f"SELECT coalesce(({first}), 1), last_cursor FROM episode WHERE id = ?",
                (self._wanted.episode,),
            )
            for lowest, highest in cast("list[tuple[int, int]]", rows):
                after, before = max(after, lowest - 1), min(before, highest + 1)
        return _Range(after, max(before, after + 1))

    # -- which steps have the words

    def _chunks(self, range_: _Range) -> Iterator[_Chunk]:
        """The steps that have the words, a few at a time, the newest first."""
        before = range_.before
        floor = max(self._indexed_to, range_.after)
        while before > floor + 1:
            fresh, looked_to = self._fresh(_Range(floor, before))
            yield from _chunked(iter(fresh), looked_to)
            before = looked_to
        index = self._index
        for part in () if index is None else index.parts():
            lowest = max(part * PART_CURSORS, range_.after + 1)
            if index is not None and lowest < before:
                yield from _chunked(index.cursors(part, self._wanted.query, range_.after, before), lowest)
        yield _Chunk([], range_.after + 1)

    def _fresh(self, range_: _Range) -> tuple[list[int], int]:
        """The steps with the words among the newest of a range, and the first one that was looked at."""
        rows = self._reader.page(
            f"SELECT {STEP_COLUMNS} FROM step WHERE cursor > ? AND cursor < ? ORDER BY cursor DESC LIMIT ?",
            (*range_, UNINDEXED_STEPS),
            _UNINDEXED_BYTES,
        )
        if not rows:
            return [], range_.after + 1
        texts = [(row[0], self._words.text_of(row).whole) for row in reversed(rows)]
        return self._lens.matching(texts), rows[-1][0]

    # -- from a cursor to a hit

    def _passing(self, cursors: list[int]) -> Iterator[StepRow]:
        """The rows of some steps that also pass the filter, the newest first."""
        condition = self._wanted.condition
        sql = (
            f"SELECT {STEP_COLUMNS} FROM step WHERE cursor IN (SELECT value FROM json_each(?))"
            f" AND ({condition.sql}) AND ({_OF_EPISODE if self._wanted.episode is not None else 1})"
            " ORDER BY cursor DESC"
        )
        episode = () if self._wanted.episode is None else (self._wanted.episode,)
        while cursors:
            arguments = (to_json(cursors).decode(), *condition.arguments, *episode)
            rows = self._reader.page(sql, arguments, _CHUNK_BYTES)
            yield from rows
            if sum(len(row[PAYLOAD]) for row in rows) < _CHUNK_BYTES:
                return
            cursors = [cursor for cursor in cursors if cursor < rows[-1][0]]

    def _hit(self, row: StepRow) -> SearchHit:
        snippet = self._lens.snippet(self._words.text_of(row))
        if snippet is None:
            raise IndexDamaged(
                index_path(self._reader.path), f"the step at cursor {row[0]} does not have the words"
            )
        episode_id, name = self._episode(row[2])
        return SearchHit(
            id=id_text(row[1]),
            cursor=row[0],
            episode_id=id_text(episode_id),
            episode_name=name,
            sequence=row[3],
            kind=row[4],
            agent=row[8],
            role=row[9],
            occurred_at=row[6],
            snippet=snippet,
        )

    def _episode(self, key: int) -> tuple[bytes, str]:
        if key not in self._episodes:
            rows = self._reader.select("SELECT id, name FROM episode WHERE key = ?", (key,))
            self._episodes[key] = cast("tuple[bytes, str]", rows[0])
        return self._episodes[key]


_OF_EPISODE = "step.episode = (SELECT key FROM episode WHERE id = ?)"


def _chunked(cursors: Iterator[int], lowest: int) -> Iterator[_Chunk]:
    """Cursors a few at a time; behind the last one nothing was left out down to the lowest."""
    while True:
        chunk = list(islice(cursors, _CHUNK_STEPS))
        if len(chunk) < _CHUNK_STEPS:
            yield _Chunk(chunk, lowest)
            return
        yield _Chunk(chunk, chunk[-1])
