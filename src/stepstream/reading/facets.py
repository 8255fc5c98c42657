"""Facets: which values the episodes of a list have, and how many have each.

Counts a bounded number of the newest episodes, and says so. Knows a few columns of ``episode``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from pydantic_core import from_json

from stepstream.reading.page import EpisodeWalk
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader

EPISODES_MAX = 10_000
VALUES_MAX = 100
_COUNT_SECONDS_MAX = 0.05


class FacetValue(Record):
    """A value of a facet.

    Attributes:
        value: The value.
        episodes: How many episodes have it.
    """

    value: str
    episodes: int


class EpisodeFacets(Record):
    """What the episodes of a list have; of each facet the hundred most frequent values.

    Attributes:
        episodes: How many episodes were counted.
        is_complete: Whether these are all; else the older ones were left out.
        status: By state.
        role: By the role of the agent that began them.
        agent: By that agent.
        problem: By problem.
        tag: By tag.
    """

    episodes: int
    is_complete: bool
    status: tuple[FacetValue, ...]
    role: tuple[FacetValue, ...]
    agent: tuple[FacetValue, ...]
    problem: tuple[FacetValue, ...]
    tag: tuple[FacetValue, ...]


def facets(reader: Reader, condition: Condition) -> EpisodeFacets:
    """Count the newest episodes that a condition holds for.

    Raises:
        StoreError: The database cannot be read.
    """
    walk = EpisodeWalk(reader, condition, seconds_max=_COUNT_SECONDS_MAX)
    columns = "episode.status, episode.role, episode.agent, episode.problem, episode.tags"
    rows = walk.rows(columns, "", EPISODES_MAX)
    found = cast("list[tuple[int, int, str, str | None, str | None, str | None, str]]", rows)
    tags: Counter[str] = Counter()
    for stated, episodes in Counter(row[6] for row in found).items():
        for tag in set(from_json(stated)):
            tags[tag] += episodes
    return EpisodeFacets(
        episodes=len(found),
        is_complete=walk.is_last,
        status=_values(Counter(row[2] for row in found)),
        role=_values(Counter(row[3] for row in found)),
        agent=_values(Counter(row[4] for row in found)),
        problem=_values(Counter(row[5] for row in found)),
        tag=_values(tags),
    )


def _values(counted: Counter[str | None] | Counter[str]) -> tuple[FacetValue, ...]:
    return tuple(
        FacetValue(value=value, episodes=episodes)
        for value, episodes in counted.most_common(VALUES_MAX + 1)
        if value is not None
    )[:VALUES_MAX]
