"""A long episode along its clock, gathered into buckets as wide as a pixel; a short one bar by bar.

The rows are counted in SQL, and an episode's calls go by in pages, so that memory does not grow with an
episode's length.

Knows columns, not payloads. How a bar is made of them is ``timeline``'s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

from pydantic import Field

from stepstream.reading.page import sequence_at
from stepstream.reading.timeline import MARK_COLUMNS, EpisodeTimeline, draw, lane
from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.episode import Episode
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.reading.content import Value
    from stepstream.reading.database import Reader

EXACT_STEPS_MAX = 2_000
"""What has at most so many steps is drawn bar by bar."""

LANES_MAX = 20
KINDS_MAX = 30
OTHER = "other"

_PAGE_CALLS = 1_000
_OPENING = ", ".join(f"'{kind}'" for kind in sorted(OPENING_KINDS))
_CLOSED = (
    "LEFT JOIN step AS closer ON closer.cursor ="
    " (SELECT min(other.cursor) FROM step AS other WHERE other.closes = step.id)"
)


class KindCount(Record):
    """How many steps are of a kind.

    Attributes:
        kind: The kind; ``other`` stands for those beyond the thirty most frequent ones.
        steps: How many steps are of it.
    """

    kind: str
    steps: int


class TimeBucket(Record):
    """What happened in a stretch of time.

    Attributes:
        index: Its place: it begins at ``since + index * width_ns``.
        steps: How many steps occurred in it.
        errors: How many of them are errors.
        busy: The share of it in which some call was open, from 0 to 1.
        kinds: Its steps by kind.
        first: The lowest sequence among its steps; None when it has none.
        last: The highest.
    """

    index: int
    steps: int
    errors: int
    busy: float
    kinds: tuple[KindCount, ...]
    first: int | None
    last: int | None


class LaneCell(Record):
    """What happened in one lane in a stretch of time.

    Attributes:
        index: The place of the bucket.
        steps: How many steps occurred in it.
        errors: How many of them are errors.
        busy: The share of it in which some call was open, from 0 to 1.
    """

    index: int
    steps: int
    errors: int
    busy: float


class BucketLane(Record):
    """An agent in a role.

    Attributes:
        name: What to write beside it; ``other`` holds the lanes beyond the twenty busiest ones.
        agent: The agent.
        role: Its role.
        cells: The stretches in which something happened.
    """

    name: str
    agent: str | None
    role: str | None
    cells: tuple[LaneCell, ...]


class BucketTimeline(Record):
    """An episode, or a part of one, too long to be drawn bar by bar.

    Attributes:
        type: Which answer it is.
        episode: The episode.
        since: Where the first bucket begins; ns since 1970 UTC.
        until: Where the last bucket ends.
        width_ns: How long a bucket is.
        buckets: Those in which something happened.
        lanes: The same by agent.
    """

    type: Literal["buckets"] = "buckets"
    episode: Episode
    since: int
    until: int
    width_ns: int
    buckets: tuple[TimeBucket, ...]
    lanes: tuple[BucketLane, ...]


class ExactTimeline(Record):
    """An episode, or a part of one, bar by bar.

    Attributes:
        type: Which answer it is.
        timeline: Its spans and instants.
    """

    type: Literal["exact"] = "exact"
    timeline: EpisodeTimeline


TimelineView = Annotated[ExactTimeline | BucketTimeline, Field(discriminator="type")]


class Stretch(NamedTuple):
    """A part of an episode's time; None where the episode's own end is meant."""

    since: int | None = None
    until: int | None = None


class _Range(NamedTuple):
    """The sequences that lie in a stretch, the last one not among them."""

    first: int
    end: int


def view(reader: Reader, key: int, episode: Episode, stretch: Stretch, buckets: int) -> TimelineView:
    """Draw a part of an episode, bar by bar where it is short enough.

    Args:
        reader: The history.
        key: The episode's key.
        episode: The episode.
        stretch: Which part.
        buckets: Into at most how many buckets a long one is gathered.

    Raises:
        StoreError: The database cannot be read.
    """
    first = 0 if stretch.since is None else sequence_at(reader, key, stretch.since)
    end = episode.steps if stretch.until is None else sequence_at(reader, key, stretch.until)
    within = _Range(first, max(first, end))
    if within.end - within.first <= EXACT_STEPS_MAX:
        return ExactTimeline(timeline=draw(episode, _marks(reader, key, within)))
    since = episode.started_at if stretch.since is None else stretch.since
    until = max(since + 1, _end(episode) if stretch.until is None else stretch.until)
    width = -(-(until - since) // buckets)
    tally = _Tally(since, width, buckets)
    tally.count(reader, key, within)
    tally.spend(_calls(reader, key, within, until))
    return BucketTimeline(
        episode=episode,
        since=since,
        until=until,
        width_ns=width,
        buckets=tally.buckets(),
        lanes=tally.lanes(),
    )


def _end(episode: Episode) -> int:
    return max(episode.last_at, episode.ended_at or 0) + 1


def _marks(reader: Reader, key: int, within: _Range) -> list[tuple[Value, ...]]:
    """The rows of a range, with the calls that were open when it began, and what closes its calls later."""
    inside = reader.select(
        f"SELECT {MARK_COLUMNS} FROM step WHERE episode = ? AND sequence >= ? AND sequence < ?"
        " ORDER BY sequence",
        (key, *within),
    )
    open_before = reader.select(
        f"SELECT {MARK_COLUMNS} FROM step {_CLOSED} WHERE step.episode = ? AND step.sequence < ?"
        f" AND step.kind IN ({_OPENING}) AND coalesce(closer.sequence, ?) >= ?"
        " ORDER BY step.sequence DESC LIMIT ?",
        (key, within.first, within.end, within.first, EXACT_STEPS_MAX),
    )
    rows = open_before[::-1] + inside
    closers = reader.select(
        f"SELECT {MARK_COLUMNS} FROM step WHERE episode = ? AND sequence >= ? AND closes IN"
        f" ({', '.join('?' * len(rows))}) ORDER BY sequence",
        (key, within.end, *(row[1] for row in rows)),
    )
    return rows + closers


_Call = tuple[str | None, str | None, int, int]
"""An agent, its role, and from when to when its call was open."""


def _calls(reader: Reader, key: int, within: _Range, until: int) -> Iterator[_Call]:
    """The calls that were open at some time of a range; one that nothing closed is open to its end."""
    after = -1
    while True:
        rows = cast(
            "list[tuple[int, str | None, str | None, int, int, int]]",
            reader.select(
                "SELECT step.sequence, step.agent, step.role, step.occurred_at,"
                " coalesce(closer.occurred_at, ?), coalesce(closer.sequence, ?)"
                f" FROM step {_CLOSED} WHERE step.episode = ? AND step.sequence > ? AND step.sequence < ?"
                f" AND step.kind IN ({_OPENING}) ORDER BY step.sequence LIMIT ?",
                (until, within.end, key, after, within.end, _PAGE_CALLS),
            ),
        )
        for _, agent, role, started_at, ended_at, closed in rows:
            if closed >= within.first:
                yield agent, role, started_at, ended_at
        if len(rows) < _PAGE_CALLS:
            return
        after = rows[-1][0]


@dataclass(slots=True)
class _Cell:
    """One bucket while it is being filled."""

    steps: int = 0
    errors: int = 0
    busy_ns: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None


_Lane = tuple[str | None, str | None]


class _Busy:
    """Adds up the time in which at least one call was open; the calls come in the order of their starts."""

    def __init__(self, since: int, width: int, count: int) -> None:
        self._since = since
        self._width = width
        self._end = since + width * count
        self._began_at = self._ended_at = since
        self._spent: dict[int, int] = {}

    def add(self, started_at: int, ended_at: int) -> None:
        """One more call."""
        if started_at <= self._ended_at:
            self._ended_at = max(self._ended_at, ended_at)
        else:
            self._settle()
            self._began_at, self._ended_at = started_at, ended_at

    def _settle(self) -> None:
        """Spread what was gathered over the buckets it lies in."""
        at, end = self._began_at, min(self._ended_at, self._end)
        while at < end:
            index = (at - self._since) // self._width
            stop = min(end, self._since + (index + 1) * self._width)
            self._spent[index] = self._spent.get(index, 0) + stop - at
            at = stop

    def spread(self, cells: dict[int, _Cell]) -> None:
        """Add the time to the buckets it was spent in."""
        self._settle()
        for index, spent in self._spent.items():
            cells.setdefault(index, _Cell()).busy_ns += spent


class _Tally:
    """The buckets of a timeline while they are being filled."""

    def __init__(self, since: int, width: int, count: int) -> None:
        self._since = since
        self._width = width
        self._count = count
        self._all: dict[int, _Cell] = {}
        self._lanes: dict[_Lane, dict[int, _Cell]] = {}
        self._homes: dict[_Lane, _Lane] = {}

    def count(self, reader: Reader, key: int, within: _Range) -> None:
        """Count the steps of a range."""
        rows = reader.select(
            "SELECT min(max((occurred_at - ?) / ?, 0), ? - 1), agent, role, kind, count(*), min(sequence),"
            " max(sequence) FROM step WHERE episode = ? AND sequence >= ? AND sequence < ?"
            " GROUP BY 1, 2, 3, 4",
            (self._since, self._width, self._count, key, *within),
        )
        counted = cast("list[tuple[int, str | None, str | None, str, int, int, int]]", rows)
        by_lane: Counter[_Lane] = Counter()
        by_kind: Counter[str] = Counter()
        for _, agent, role, kind, steps, _, _ in counted:
            by_lane[agent, role] += steps
            by_kind[kind] += steps
        self._homes = {name: name for name, _ in by_lane.most_common(LANES_MAX)}
        named = {kind for kind, _ in by_kind.most_common(KINDS_MAX)}
        for index, agent, role, kind, steps, first, last in counted:
            errors = steps if kind == ErrorReport.kind else 0
            cell = self._all.setdefault(index, _Cell())
            cell.kinds[kind if kind in named else OTHER] += steps
            cell.first = first if cell.first is None else min(cell.first, first)
            cell.last = last if cell.last is None else max(cell.last, last)
            for each in (cell, self._cells((agent, role)).setdefault(index, _Cell())):
                each.steps += steps
                each.errors += errors

    def _cells(self, name: _Lane) -> dict[int, _Cell]:
        return self._lanes.setdefault(self._homes.get(name, (OTHER, None)), {})

    def spend(self, calls: Iterator[_Call]) -> None:
        """Add the time that calls took."""
        everything = _Busy(self._since, self._width, self._count)
        by_lane: dict[_Lane, _Busy] = {}
        for agent, role, started_at, ended_at in calls:
            everything.add(started_at, ended_at)
            home = self._homes.get((agent, role), (OTHER, None))
            busy = by_lane.get(home)
            if busy is None:
                busy = by_lane[home] = _Busy(self._since, self._width, self._count)
            busy.add(started_at, ended_at)
        everything.spread(self._all)
        for home, busy in by_lane.items():
            busy.spread(self._lanes.setdefault(home, {}))

    def buckets(self) -> tuple[TimeBucket, ...]:
        """Every bucket in which something happened, in order."""
        return tuple(
            TimeBucket(
                index=index,
                steps=cell.steps,
                errors=cell.errors,
                busy=self._share(cell),
                kinds=tuple(KindCount(kind=kind, steps=steps) for kind, steps in cell.kinds.most_common()),
                first=cell.first,
                last=cell.last,
            )
            for index, cell in sorted(self._all.items())
        )

    def lanes(self) -> tuple[BucketLane, ...]:
        """Every lane, the one that comes first in the episode first."""
        return tuple(
            BucketLane(
                name=lane(agent, role),
                agent=agent,
                role=role,
                cells=tuple(
                    LaneCell(index=index, steps=cell.steps, errors=cell.errors, busy=self._share(cell))
                    for index, cell in sorted(cells.items())
                ),
            )
            for (agent, role), cells in sorted(self._lanes.items(), key=lambda item: min(item[1], default=0))
        )

    def _share(self, cell: _Cell) -> float:
        return round(min(1.0, cell.busy_ns / self._width), 4)
