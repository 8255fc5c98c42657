"""A history as a server reads it: in pages, each bounded in items, in bytes and in time.

Knows which question goes where; the answers are made by the files beside it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from stepstream.errors import EpisodeNotFound
from stepstream.reading import buckets, facets, inventory, outline, page, strip
from stepstream.reading.condition import episode_condition, step_condition
from stepstream.reading.filter import Filter
from stepstream.reading.scan import StepScan
from stepstream.schemas.identity import id_bytes

if TYPE_CHECKING:
    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader
    from stepstream.reading.local_history import LocalHistory
    from stepstream.schemas.episode import Episode

_KIND_BEGINS = ("", 0)


class BoundedHistory:
    """Questions to a history whose answers cost the same however long it is.

    Each raises FilterInvalid for a filter that cannot be read, EpisodeNotFound for an episode that is not
    there, TimeoutError where a filter asks for too much, and StoreError where the database cannot be read.
    """

    def __init__(self, history: LocalHistory) -> None:
        self._history = history

    # -- episodes

    def episodes(
        self,
        *,
        filter: str = "",
        limit: int = 100,
        before: str | None = None,
        parent: str | None = None,
    ) -> page.EpisodePage:
        """A page of episodes, the latest to start first; the arguments are those of ``History.episodes``."""
        condition = _episodes_that(filter)
        last = None if before is None else self._history.episode(before)
        above = None if parent is None else id_bytes(self._history.episode(parent).id)
        with self._history.asking() as reader:
            place = None if last is None else page.Place(last.started_at, _key(reader, last))
            walk = page.EpisodeWalk(reader, condition, place, parent=above, seconds_max=page.LOOK_SECONDS_MAX)
            return page.episode_page(reader, walk, limit)

    def episode(self, wanted: str) -> page.EpisodeSummary:
        """The episode that answers to an id, as a list shows it."""
        found = self._history.episode(wanted)
        with self._history.asking() as reader:
            return page.summary(reader, _key(reader, found))

    def facets(self, *, filter: str = "") -> facets.EpisodeFacets:
        """Which values the newest episodes have, and how many have each."""
        condition = _episodes_that(filter)
        with self._history.asking() as reader:
            return facets.facets(reader, condition)

    # -- steps

    def steps(
        self,
        *,
        episode: str | None = None,
        kind: str | None = None,
        after: int = 0,
        limit: int = 200,
        filter: str = "",
    ) -> page.StepPage:
        """A page of steps in the order of their cursors; the arguments are those of ``History.steps``."""
        scan = StepScan(
            episode=None if episode is None else id_bytes(self._history.episode(episode).id),
            kind=kind,
            condition=step_condition(Filter.parse(filter), time.time_ns()),
            after=after,
            limit=limit,
        )
        with self._history.asking() as reader:
            found = scan.bounded_page(reader, bytes_max=page.PAGE_BYTES, seconds_max=page.LOOK_SECONDS_MAX)
            return page.step_page(reader, found)

    def step(self, step_id: str) -> page.StepContext | None:
        """A step, and the other half of what takes time; None when there is no such step."""
        with self._history.asking() as reader:
            return page.context(reader, id_bytes(step_id))

    def window(
        self,
        episode: str,
        *,
        first: int = 0,
        last: int | None = None,
        since: int | None = None,
        until: int | None = None,
        around: int | None = None,
        limit: int = 200,
    ) -> page.StepWindow:
        """The steps of an episode from one sequence to another, as many as a page holds.

        Args:
            episode: The episode.
            first: The lowest sequence.
            last: The highest one; None for the last step.
            since: Begin with the first step that occurred at this moment or later; ns since 1970 UTC. Where
                the clocks of several machines disagree the place is near and not exact.
            until: End before the first step that occurred at this moment or later.
            around: The sequence that shall stand in the middle of the page.
            limit: At most how many steps.
        """
        found = self._history.episode(episode)
        with self._history.asking() as reader:
            key = _key(reader, found)
            wanted = page.SequenceWindow(first) if last is None else page.SequenceWindow(first, last)
            if since is not None:
                wanted = wanted._replace(first=max(first, page.sequence_at(reader, key, since)))
            if until is not None:
                end = page.sequence_at(reader, key, until)
                wanted = wanted._replace(last=min(wanted.last, end - 1))
            return page.window_around(reader, key, wanted, limit, around)

    # -- one episode

    def outline(self, episode: str, *, after: int = -1, limit: int = 1000) -> outline.OutlinePage:
        """An episode's tree without payloads, page by page.

        Args:
            episode: The episode.
            after: Only the steps behind this sequence.
            limit: At most how many steps to look at.
        """
        found = self._history.episode(episode)
        with self._history.asking() as reader:
            return outline.outline(reader, _key(reader, found), after, limit)

    def timeline(
        self, episode: str, *, since: int | None = None, until: int | None = None, count: int = 500
    ) -> buckets.TimelineView:
        """An episode along its clock, or a part of it: bar by bar when it is short, else in buckets.

        Args:
            episode: The episode.
            since: Where the part begins; ns since 1970 UTC.
            until: Where it ends.
            count: Into at most how many buckets a long one is gathered.
        """
        found = self._history.episode(episode)
        with self._history.asking() as reader:
            return buckets.view(reader, _key(reader, found), found, buckets.Stretch(since, until), count)

    def strip(self, episode: str, *, count: int = 240) -> strip.EpisodeStrip:
        """An episode in equal parts of its time, with how many steps and errors each holds.

        Args:
            episode: The episode.
            count: How many parts.
        """
        found = self._history.episode(episode)
        with self._history.asking() as reader:
            return strip.strip(reader, _key(reader, found), found, count)

    # -- what lies beside the steps

    def kinds(self, *, after: tuple[str, int] = _KIND_BEGINS, limit: int = 100) -> inventory.KindPage:
        """The JSON schemas of the kinds behind a kind and version."""
        with self._history.asking() as reader:
            return inventory.kind_page(reader, after, limit, page.PAGE_BYTES)

    def artifact(self, sha256: str) -> inventory.StoredArtifact | None:
        """What is known of the file whose bytes have a hash; None when nothing is."""
        with self._history.asking() as reader:
            return inventory.artifact(reader, sha256)


def _episodes_that(filter: str) -> Condition:
    return episode_condition(Filter.parse(filter), time.time_ns())


def _key(reader: Reader, episode: Episode) -> int:
    """The key of an episode that was there a moment ago.

    Raises:
        EpisodeNotFound: Another file was put in its place meanwhile.
    """
    key = reader.first("SELECT key FROM episode WHERE id = ?", (id_bytes(episode.id),))
    if key is None:
        raise EpisodeNotFound(episode.id)
    return cast("int", key)
