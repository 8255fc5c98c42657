"""An episode as a strip: how many steps and errors each part of its time holds, as quickly at any length.

Where a part begins is found by halving, as sequences follow the clock; errors are counted in an index of
theirs. No step is read.

Knows columns, not payloads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

from stepstream.reading.page import sequence_at
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from stepstream.reading.database import Reader
    from stepstream.schemas.episode import Episode


class StripBucket(Record):
    """One part of an episode's time.

    Attributes:
        first: The sequence it begins with: that of its first step, or of the next one behind it.
        steps: How many steps occurred in it.
        errors: How many of them are error reports.
    """

    first: int
    steps: int
    errors: int


class EpisodeStrip(Record):
    """An episode in equal parts of its time.

    Where the clocks of several machines disagree a step may be counted in a part beside its own; none is
    missing.

    Attributes:
        steps: How many steps there are.
        since: When the first part begins; ns since 1970 UTC.
        width_ns: How long each part is.
        buckets: The parts, empty ones too.
    """

    steps: int
    since: int
    width_ns: int
    buckets: tuple[StripBucket, ...]


def strip(reader: Reader, key: int, episode: Episode, buckets: int) -> EpisodeStrip:
    """Cut an episode's time into equal parts.

    Args:
        reader: The history.
        key: The episode's key.
        episode: The episode.
        buckets: How many parts.

    Raises:
        StoreError: The database cannot be read.
    """
    since = episode.started_at
    until = max(episode.last_at, episode.ended_at or 0, since) + 1
    width = -(-(until - since) // buckets)
    inner = [sequence_at(reader, key, since + number * width) for number in range(1, buckets)]
    bounds = [0, *inner, episode.steps]
    for place in range(1, len(bounds)):
        # A step may have come since the episode was looked at, and clocks may disagree.
        bounds[place] = max(bounds[place - 1], min(bounds[place], episode.steps))
    return EpisodeStrip(
        steps=episode.steps,
        since=since,
        width_ns=width,
        buckets=tuple(
            StripBucket(first=first, steps=end - first, errors=_errors(reader, key, first, end))
            for first, end in pairwise(bounds)
        ),
    )


def _errors(reader: Reader, key: int, first: int, end: int) -> int:
    if first == end:
        return 0
    found = reader.first(
        "SELECT count(*) FROM step"
        " WHERE episode = ? AND kind = 'error_report' AND sequence >= ? AND sequence < ?",
        (key, first, end),
    )
    return cast("int", found)
