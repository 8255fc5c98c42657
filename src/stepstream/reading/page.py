"""Pages: a bounded part of a list, and where the next part begins.

A page is bounded in items, in bytes and in the time it takes to find, so that it costs the same in a history
of any length. One that a filter leaves little of may hold fewer items than were asked for, even none, and
still has a next one.

Knows how lists go on. Must not know who asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, cast

from stepstream.reading.condition import ALWAYS
from stepstream.reading.rows import EPISODE_COLUMNS, STEP_COLUMNS
from stepstream.reading.scan import take
from stepstream.reading.timeline import label_of
from stepstream.schemas.episode import Episode
from stepstream.schemas.identity import Identifier, id_bytes, id_text
from stepstream.schemas.record import Record
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from stepstream.reading.condition import Condition
    from stepstream.reading.content import Value
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import EpisodeRow, StepRow
    from stepstream.reading.scan import BoundedPage

PAGE_BYTES = 4 * 1024 * 1024
LOOK_SECONDS_MAX = 0.025
"""How long a page is looked for among what a filter leaves out."""

_FIRST_WINDOW_EPISODES = 100
_WINDOW_EPISODES_MAX = 2_000
_EPISODE_BYTES = 800
_GLANCE_BYTES_MAX = 64 * 1024
_END = (1 << 63) - 1


class StepPage(Record):
    """Steps in the order of their cursors.

    Attributes:
        items: The steps.
        next: The cursor to pass as ``after`` for the next page; None when there is nothing more yet.
        cursor: Everything up to here was looked at; what is recorded later stands behind it.
        epoch: Which life of the database the cursors belong to.
    """

    items: tuple[Step, ...]
    next: int | None
    cursor: int
    epoch: str


class StepWindow(Record):
    """Steps of one episode, in the order of their sequence and without a gap.

    Attributes:
        items: The steps.
        next: The sequence with which the next window begins; None when there is nothing more yet.
        previous: The sequence with which the window before ends; None when there is none.
        steps: How many steps the episode has.
        epoch: Which life of the database it is.
    """

    items: tuple[Step, ...]
    next: int | None
    previous: int | None
    steps: int
    epoch: str


class StepContext(Record):
    """A step, and the other half of what takes time.

    Attributes:
        step: The step.
        opener: The step that it closes.
        closer: The step that closes it.
    """

    step: Step
    opener: Step | None
    closer: Step | None


class StepGlance(Record):
    """A step in a few words, without its payload.

    Attributes:
        sequence: Its sequence.
        kind: What it is.
        label: A tool, a model or the beginning of a text; of a step that closes another, that one's.
        agent: Who logged it.
        role: The agent's role.
        occurred_at: When; ns since 1970 UTC.
    """

    sequence: int
    kind: str
    label: str | None
    agent: str | None
    role: str | None
    occurred_at: int


class EpisodeSummary(Record):
    """An episode as a list shows it.

    Attributes:
        episode: The episode, with the number of its steps and errors.
        latest: The step that was logged last.
    """

    episode: Episode
    latest: StepGlance | None


class EpisodePage(Record):
    """Episodes, the latest to start first.

    Attributes:
        items: The episodes.
        next: The episode id to pass as ``before`` for the next page; None when there is nothing more.
        epoch: Which life of the database it is.
    """

    items: tuple[EpisodeSummary, ...]
    next: Identifier | None
    epoch: str


class Place(NamedTuple):
    """Where an episode stands in the list."""

    started_at: int
    key: int


class EpisodeWalk:
    """Goes through the list of episodes, the latest first.

    Where a condition may hold for few of many episodes, it goes in windows that grow, until its time is over.
    """

    def __init__(
        self,
        reader: Reader,
        condition: Condition,
        place: Place | None = None,
        *,
        parent: bytes | None = None,
        seconds_max: float,
    ) -> None:
        """Begin.

        Args:
            reader: The history.
            condition: What holds for the episodes.
            place: Behind which episode to begin; None for the beginning of the list.
            parent: The id of the episode they name as their parent; None for any.
            seconds_max: When not to begin another window.
        """
        self._reader = reader
        self._where = f"({condition.sql})" + ("" if parent is None else " AND episode.parent_id = ?")
        self._arguments = (*condition.arguments, *(() if parent is None else (parent,)))
        # By parent there is an index.
        self._is_narrow = condition != ALWAYS and parent is None
        self._deadline = time.monotonic() + seconds_max
        self._window = _FIRST_WINDOW_EPISODES
        self.place = Place(_END, _END) if place is None else place
        self.is_last = False

    def rows(self, columns: str, joins: str, limit: int) -> list[tuple[Value, ...]]:
        """The next rows; key and start stand before the columns.

        Raises:
            StoreError: The database cannot be read.
        """
        found: list[tuple[Value, ...]] = []
        while not self.is_last and len(found) < limit:
            wanted = limit - len(found)
            bound = self._bound() if self._is_narrow else None
            # Chosen first, so that nothing is looked up for those that are left out.
            rows = self._reader.select(
                f"SELECT episode.key, episode.started_at, {columns} FROM (SELECT key AS chosen FROM episode"
                " WHERE (episode.started_at, episode.key) < (?, ?)"
                f" AND (episode.started_at, episode.key) >= (?, ?) AND {self._where}"
                " ORDER BY episode.started_at DESC, episode.key DESC LIMIT ?)"
                f" JOIN episode ON episode.key = chosen {joins}"
                " ORDER BY episode.started_at DESC, episode.key DESC",
                (*self.place, *(bound or Place(-_END, 0)), *self._arguments, wanted + 1),
            )
            found += rows[:wanted]
            if len(rows) > wanted:
                self.place = place_of(rows[wanted - 1])
            elif bound is None:
                self.is_last = True
            else:
                self.place = bound
            if time.monotonic() > self._deadline:
                break
        return found

    def _bound(self) -> Place | None:
        """The last episode of the next window; None when the window reaches the end of the list."""
        rows = self._reader.select(
            "SELECT key, started_at FROM episode WHERE (started_at, key) < (?, ?)"
            " ORDER BY started_at DESC, key DESC LIMIT 1 OFFSET ?",
            (*self.place, self._window - 1),
        )
        self._window = min(2 * self._window, _WINDOW_EPISODES_MAX)
        return place_of(rows[0]) if rows else None


def place_of(row: tuple[Value, ...]) -> Place:
    """The place of an episode whose row begins with its key and its start."""
    return Place(cast("int", row[1]), cast("int", row[0]))


_JOINS = (
    "LEFT JOIN step AS latest ON latest.cursor = episode.last_cursor"
    " LEFT JOIN step AS opener ON opener.id = latest.closes"
)


def _glanced(row: str) -> str:
    return f"CASE WHEN octet_length({row}.payload) <= {_GLANCE_BYTES_MAX} THEN {label_of(row)} END"


_GLANCE = (
    f"latest.sequence, latest.kind, coalesce({_glanced('latest')}, {_glanced('opener')}), latest.agent,"
    " latest.role, latest.occurred_at"
)
_EPISODE_WIDTH = EPISODE_COLUMNS.count(",") + 1


def episode_page(reader: Reader, walk: EpisodeWalk, limit: int, bytes_max: int = PAGE_BYTES) -> EpisodePage:
    """The next episodes of a walk.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = walk.rows(f"{EPISODE_COLUMNS}, {_GLANCE}", _JOINS, limit)
    items: list[EpisodeSummary] = []
    size = 0
    last: bytes | None = None
    for row in rows:
        size += _EPISODE_BYTES + sum(len(value) for value in row if isinstance(value, str))
        episode = cast("EpisodeRow", row[2 : 2 + _EPISODE_WIDTH])
        if episode[14] is not None:
            size += len(reader.content.json(episode[14]))
        if items and size > bytes_max:
            break
        items.append(_summary(reader, episode, row[2 + _EPISODE_WIDTH :]))
        last = episode[1]
    else:
        last = None if walk.is_last else _id_at(reader, walk.place)
    return EpisodePage(
        items=tuple(items),
        next=None if last is None else id_text(last),
        epoch=reader.meta("epoch") or "",
    )


def summary(reader: Reader, key: int) -> EpisodeSummary:
    """One episode as a list shows it.

    Raises:
        StoreError: The database cannot be read.
    """
    sql = f"SELECT {EPISODE_COLUMNS}, {_GLANCE} FROM episode {_JOINS} WHERE episode.key = ?"
    row = reader.select(sql, (key,))[0]
    return _summary(reader, cast("EpisodeRow", row[:_EPISODE_WIDTH]), row[_EPISODE_WIDTH:])


def _summary(reader: Reader, episode: EpisodeRow, glance: tuple[Value, ...]) -> EpisodeSummary:
    latest = None
    if glance[0] is not None:
        sequence, kind, label, agent, role, occurred_at = cast(
            "tuple[int, str, str | None, str | None, str | None, int]", glance
        )
        latest = StepGlance(
            sequence=sequence, kind=kind, label=label, agent=agent, role=role, occurred_at=occurred_at
        )
    return EpisodeSummary(episode=reader.rows.episode(episode), latest=latest)


def _id_at(reader: Reader, place: Place) -> bytes | None:
    return cast("bytes | None", reader.first("SELECT id FROM episode WHERE key = ?", (place.key,)))


def step_page(reader: Reader, found: BoundedPage) -> StepPage:
    """A page of what a scan found."""
    return StepPage(
        items=tuple(found.steps),
        next=None if found.is_last else found.cursor,
        cursor=found.cursor,
        epoch=reader.meta("epoch") or "",
    )


def context(reader: Reader, step_id: bytes) -> StepContext | None:
    """A step, and the other half of what takes time; None when there is no such step.

    Raises:
        StoreError: The database cannot be read.
    """
    step = _first_step(reader, "id = ?", step_id)
    if step is None:
        return None
    return StepContext(
        step=step,
        opener=None if step.closes is None else _first_step(reader, "id = ?", id_bytes(step.closes)),
        closer=_first_step(reader, "closes = ? ORDER BY cursor LIMIT 1", step_id),
    )


def _first_step(reader: Reader, condition: str, step_id: bytes) -> Step | None:
    rows = reader.select(f"SELECT {STEP_COLUMNS} FROM step WHERE {condition}", (step_id,))
    return reader.rows.step(cast("StepRow", rows[0])) if rows else None


class SequenceWindow(NamedTuple):
    """Which steps of an episode are wanted, both ends among them."""

    first: int = 0
    last: int = _END


def window_around(
    reader: Reader,
    key: int,
    window: SequenceWindow,
    limit: int,
    around: int | None,
    bytes_max: int = PAGE_BYTES,
) -> StepWindow:
    """The steps of a window.

    Args:
        reader: The history.
        key: The episode's key.
        window: Which steps.
        limit: At most how many.
        around: The sequence that shall stand in the middle; None to begin with the first of the window.
        bytes_max: How much JSON the payloads may have, but for a single one that has more.

    Raises:
        StoreError: The database cannot be read.
    """
    last = cast("int | None", reader.first("SELECT max(sequence) FROM step WHERE episode = ?", (key,)))
    count = 0 if last is None else last + 1
    end = min(window.last, count - 1)
    steps: list[Step] = []
    earlier: list[Step] = []
    if around is None or min(around, end) <= window.first:
        _read(steps, reader, key, window, limit, bytes_max)
    else:
        middle = min(around, end)
        behind, before = SequenceWindow(middle, window.last), SequenceWindow(window.first, middle - 1)
        size = _read(steps, reader, key, behind, limit - limit // 2, bytes_max // 2)
        _read(earlier, reader, key, before, limit // 2, bytes_max - size, backwards=True)
    steps = earlier[::-1] + steps
    return StepWindow(
        items=tuple(steps),
        next=steps[-1].sequence + 1 if steps and steps[-1].sequence < end else None,
        previous=steps[0].sequence - 1 if steps and steps[0].sequence > 0 else None,
        steps=count,
        epoch=reader.meta("epoch") or "",
    )


def _read(
    steps: list[Step],
    reader: Reader,
    key: int,
    window: SequenceWindow,
    limit: int,
    bytes_max: int,
    *,
    backwards: bool = False,
) -> int:
    """Add steps from one end of a window on; returns how many bytes they have."""
    rows = reader.page(
        f"SELECT {STEP_COLUMNS} FROM step WHERE episode = ? AND sequence >= ? AND sequence <= ?"
        f" ORDER BY sequence {'DESC' if backwards else ''} LIMIT ?",
        (key, *window, limit),
        bytes_max,
    )
    # What comes before the steps that were asked for may be left out whole.
    return take(steps, reader.rows, rows, bytes_max, steps_min=0 if backwards else 1)


def sequence_at(reader: Reader, key: int, moment: int) -> int:
    """The sequence of the first step that occurred at a moment or later, or the one behind the last step.

    It is found by halving, which takes an episode's clock to run forward. Where several machines' clocks
    disagree it is near that step.
    """
    last = reader.first("SELECT max(sequence) FROM step WHERE episode = ?", (key,))
    low, high = 0, 0 if last is None else cast("int", last) + 1
    while low < high:
        middle = (low + high) // 2
        at = reader.first(
            "SELECT occurred_at FROM step WHERE episode = ? AND sequence >= ? ORDER BY sequence LIMIT 1",
            (key, middle),
        )
        if isinstance(at, int) and at < moment:
            low = middle + 1
        else:
            high = middle
    return low
