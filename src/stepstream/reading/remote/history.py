"""RemoteHistory: the questions that a history answers, asked of a server.

A list goes on page by page, unseen; what a server has no page for is made here of the steps, by the same
functions that make it beside the file.

Knows the API's routes. Must not know HTTP.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from stepstream.errors import EpisodeNotFound, NotOpen
from stepstream.reading.buckets import BucketTimeline, ExactTimeline, TimelineView
from stepstream.reading.comparison import EpisodeComparison
from stepstream.reading.filter import CHARACTERS_MAX, Filter
from stepstream.reading.history import LAST, History
from stepstream.reading.information import HistoryInfo
from stepstream.reading.page import EpisodePage, EpisodeSummary
from stepstream.reading.remote.answers import read_step_context, read_step_page
from stepstream.reading.remote.link import Link, Question
from stepstream.reading.roles import RoleGraph
from stepstream.reading.search.hit import SearchPage
from stepstream.reading.state import EpisodeState
from stepstream.reading.statistics import HistoryStatistics
from stepstream.reading.table import arrow_schema, record_batches, step_columns
from stepstream.reading.timeline import EpisodeTimeline, draw, mark_of
from stepstream.reading.verification import Verification
from stepstream.schemas.identity import is_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from stepstream.reading.page import StepContext, StepPage
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

    _Wanted = dict[str, str | None]

_BEHIND_EVERYTHING = (1 << 63) - 1
_PAGE_STEPS = 1_000
_PAGE_EPISODES = 500
_PAGE_HITS = 200
_VERIFIED_WITHIN_S = 600.0
_ID = re.compile(r"[0-9a-f-]{1,36}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}")

_timeline_view: TypeAdapter[ExactTimeline | BucketTimeline] = TypeAdapter(TimelineView)


class RemoteHistory(History):
    """A history at a server. May be used by any number of threads and after a fork.

    Busy is raised where the server has no time, or gave up a question that was too much.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    @classmethod
    def at(cls, url: str, token: str | None = None) -> Self:
        """Ask the server at a URL.

        Args:
            url: Where the server is.
            token: The token; by default that of the environment or the settings.

        Raises:
            ConfigurationInvalid: The URL or the token cannot be used.
            Unreachable: Nobody answers there.
            AccessDenied: The server does not let us.
        """
        history = cls(Link.open(url, token))
        history.last_cursor()
        return history

    @property
    def address(self) -> str:
        return self._link.address.text

    def close(self) -> None:
        self._link.close()

    # -- episodes

    def episodes(
        self,
        *,
        filter: str | Filter | None = None,
        limit: int | None = None,
        before: str | None = None,
        parent: str | None = None,
    ) -> list[Episode]:
        above = None if parent is None else self.episode(parent).id
        place = None if before is None else self.episode(before).id
        wanted = {"filter": _text(filter), "parent": above}
        found: list[Episode] = []
        while True:
            size = _PAGE_EPISODES if limit is None else max(1, min(_PAGE_EPISODES, limit - len(found)))
            question = Question(
                ("episodes",), {**wanted, "before": place, "limit": size}, episode=place or above
            )
            page = self._link.ask(question, EpisodePage)
            found += [each.episode for each in page.items]
            place = page.next
            if place is None or (limit is not None and len(found) >= limit):
                return found if limit is None else found[: max(0, limit)]

    def episode(self, wanted: str) -> Episode:
        return self._link.ask(_about(wanted), EpisodeSummary).episode

    def has_ended(self, episode_id: str) -> bool:
        try:
            return self.episode(episode_id).ended_at is not None
        except EpisodeNotFound:
            return False

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
        pages = self._pages(self._wanted(episode, kind, filter), after, limit)
        return [step for page in pages for step in page]

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
        pages = self._pages(self._wanted(episode, kind, filter), after, limit, batch_steps)
        # What cannot be asked is told now, not when the first batch is taken.
        first = next(pages, ())
        return record_batches(schema, (step_columns(page) for page in chain((first,), pages) if page))

    def _wanted(self, episode: str | None, kind: str | None, filter: str | Filter | None) -> _Wanted:
        own = episode if episode is None or is_id(episode) else self.episode(episode).id
        return {"episode": own, "kind": kind, "filter": _text(filter)}

    def _pages(
        self,
        wanted: _Wanted,
        after: int,
        limit: int | None,
        page_steps: int = _PAGE_STEPS,
    ) -> Iterator[tuple[Step, ...]]:
        """Page after page, as far as there are steps now."""
        kind = wanted["kind"]
        if (limit is not None and limit <= 0) or (kind is not None and not _KIND.fullmatch(kind)):
            # There is nothing to answer, but what else is asked for may be wrong all the same.
            self._page({**wanted, "kind": None}, after, 1)
            return
        end: int | None = None
        while True:
            size = min(page_steps, _PAGE_STEPS) if limit is None else min(page_steps, _PAGE_STEPS, limit)
            page = self._page(wanted, after, size)
            yield page.items
            limit = None if limit is None else limit - len(page.items)
            if page.next is None or limit == 0:
                return
            # Whoever logs faster than we read is not followed for ever.
            end = self.last_cursor() if end is None else end
            after = page.next
            if after >= end:
                return

    def _page(self, wanted: _Wanted, after: int, limit: int) -> StepPage:
        parameters = {**wanted, "after": max(0, after), "limit": limit}
        question = Question(("steps",), parameters, episode=wanted["episode"])
        return self._link.ask_as(question, read_step_page)

    # -- around one step

    def opener(self, step: Step) -> Step | None:
        context = None if step.closes is None else self._context(step.closes)
        return None if context is None else context.step

    def closer(self, step: Step) -> Step | None:
        context = self._context(step.id)
        return None if context is None else context.closer

    def _context(self, step_id: str) -> StepContext | None:
        try:
            return self._link.ask_as(Question(("steps", step_id), episode=step_id), read_step_context)
        except EpisodeNotFound:
            return None

    # -- one episode

    def timeline(self, episode: str) -> EpisodeTimeline:
        view = self._link.ask_as(_about(episode, "timeline", buckets=1), _timeline_view.validate_json)
        if isinstance(view, ExactTimeline):
            return view.timeline
        pages = self._pages(self._wanted(view.episode.id, None, None), 0, None)
        return draw(view.episode, (mark_of(step) for page in pages for step in page))

    def roles(self, episode: str) -> RoleGraph:
        return self._link.ask(_about(episode, "roles"), RoleGraph)

    def state(self, episode: str, *, at: int | None = None) -> EpisodeState:
        found = self.episode(episode)
        missing = f"{found.id} at sequence {at}"
        if at is not None and at < 0:
            raise EpisodeNotFound(missing)
        return self._link.ask(_about(found.id, "state", at=at)._replace(episode=missing), EpisodeState)

    def compare(self, a: str, b: str) -> EpisodeComparison:
        one, other = self.episode(a).id, self.episode(b).id
        return self._link.ask(Question(("compare",), {"a": one, "b": other}, episode=one), EpisodeComparison)

    # -- the whole

    def search(
        self,
        text: str,
        *,
        filter: str | Filter | None = None,
        episode: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> SearchPage:
        own = None if episode is None else self.episode(episode).id
        parameters = {"q": text, "filter": _text(filter), "episode": own, "before": before}
        size = min(_PAGE_HITS, max(1, limit))
        return self._link.ask(Question(("search",), {**parameters, "limit": size}, episode=own), SearchPage)

    def statistics(self, *, since: int = 0, filter: str | Filter | None = None) -> HistoryStatistics:
        question = Question(("statistics",), {"since": max(0, since), "filter": _text(filter)})
        return self._link.ask(question, HistoryStatistics)

    def verify(self, episode: str | None = None, *, deep: bool = False) -> Verification:
        """Check one episode.

        Raises:
            EpisodeNotFound: There is no such episode.
            NotOpen: More than that is asked for, which takes the file itself.
        """
        if episode is None or deep:
            command = f"stepstream verify {episode or ''} {'--deep' if deep else ''}"
            raise NotOpen(
                f"this check of {self.address}", f"where the server runs, use: {' '.join(command.split())}"
            )
        return self._link.ask(_about(episode, "verify"), Verification, answer_s=_VERIFIED_WITHIN_S)

    def info(self) -> HistoryInfo:
        return self._link.ask(Question(("info",)), HistoryInfo)

    def last_cursor(self) -> int:
        return self._page({"episode": None}, _BEHIND_EVERYTHING, 1).cursor


def _about(episode: str, *path: str, **parameters: int | None) -> Question:
    """A question about one episode.

    Raises:
        EpisodeNotFound: Nothing can answer to such an id.
    """
    text = episode.strip().lower()
    if text != LAST and not _ID.fullmatch(text):
        raise EpisodeNotFound(episode)
    return Question(("episodes", text, *path), parameters, episode=episode)


def _text(filter: str | Filter | None) -> str | None:
    text = filter.text if isinstance(filter, Filter) else filter
    if text is not None and len(text) > CHARACTERS_MAX:
        # Said here, for no server reads so long an address to its end.
        Filter.parse(text)
    return text
