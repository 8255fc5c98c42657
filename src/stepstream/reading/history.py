"""History: everything people ask of what was recorded, wherever it is, without writing to it.

Knows the questions, which are a contract for whoever answers them. How they are answered stands in
``local_history`` for a file, and in ``remote`` for a server.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from stepstream.reading.tree import EpisodeTree, grow

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa  # type: ignore[import-untyped]

    from stepstream.reading.comparison import EpisodeComparison
    from stepstream.reading.filter import Filter
    from stepstream.reading.information import HistoryInfo
    from stepstream.reading.roles import RoleGraph
    from stepstream.reading.search.hit import SearchPage
    from stepstream.reading.state import EpisodeState
    from stepstream.reading.statistics import HistoryStatistics
    from stepstream.reading.timeline import EpisodeTimeline
    from stepstream.reading.verification import Verification
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

LAST = "@last"


class History(ABC):
    """What was recorded, to be read: from a file, or from a server.

    May be used by any number of threads and after a fork. Any question raises StoreError where the database
    cannot be read, and of a server Unreachable where nobody answers, and AccessDenied where it wants another
    token.
    """

    @staticmethod
    def open(path: str | os.PathLike[str], *, token: str | None = None) -> History:
        """Open a history for reading.

        Args:
            path: The file, or the address of a server, as in ``https://host:8321``.
            token: What the server wants to see; by default ``STEPSTREAM_TOKEN``, or what the setting
                ``token_file`` names.

        Raises:
            FileNotFoundError: There is no such file.
            NotADatabase: It is something else.
            StoreError: It cannot be read.
            ConfigurationInvalid: The address or the token cannot be used.
            Unreachable: Nobody answers there.
            AccessDenied: The server wants another token.
        """
        place = os.fspath(path)
        if "://" in place:
            from stepstream.reading.remote.history import RemoteHistory  # noqa: PLC0415 - only who asks one pays

            return RemoteHistory.at(place, token)
        from stepstream.reading.local_history import LocalHistory  # noqa: PLC0415 - it is made of this class

        return LocalHistory.at(place)

    @property
    @abstractmethod
    def address(self) -> str:
        """What names it to people: a path, or a URL."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file, or of the connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- episodes

    @abstractmethod
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

    @abstractmethod
    def episode(self, wanted: str) -> Episode:
        """The episode that answers to an id.

        Args:
            wanted: A full id, the beginning of one with or without dashes, or ``@last`` for the one that
                started last.

        Raises:
            EpisodeNotFound: There is none, or the beginning fits several; the error names up to ten.
        """

    @abstractmethod
    def has_ended(self, episode_id: str) -> bool:
        """Whether an episode has ended."""

    # -- steps

    @abstractmethod
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
            StoreError: A step cannot be read; ``verify`` lists all of them.
        """

    @abstractmethod
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

    @abstractmethod
    def search(
        self,
        text: str,
        *,
        filter: str | Filter | None = None,
        episode: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> SearchPage:
        """The steps that have some words, the newest first, a page at a time.

        The words are looked up in the index, which a server keeps and ``stepstream search`` brings up to
        date. Steps that it does not reach are read one by one, so that pages are many where there is none.

        Args:
            text: The words, in the grammar of ``reading.search.query``.
            filter: What else holds for the steps, in the grammar of ``reading.filter``.
            episode: Only those of this episode, as for ``episode``.
            before: Only those before this cursor; pass the ``next`` of one page for the one behind it.
            limit: At most how many, one at least; a page that takes long may have fewer, even none.

        Raises:
            FilterInvalid: The words or the filter cannot be read.
            EpisodeNotFound: There is no such episode.
        """

    # -- around one step

    @abstractmethod
    def opener(self, step: Step) -> Step | None:
        """The step that a step closes; None when it closes none, or that one is not there."""

    @abstractmethod
    def closer(self, step: Step) -> Step | None:
        """The first step that closes a step; None while there is none."""

    # -- one episode

    def tree(self, episode: str) -> EpisodeTree:
        """An episode's steps, nested."""
        found = self.episode(episode)
        return grow(found, self.steps(episode=found.id, limit=None), self.episodes(parent=found.id)[::-1])

    @abstractmethod
    def timeline(self, episode: str) -> EpisodeTimeline:
        """An episode's spans and instants."""

    @abstractmethod
    def roles(self, episode: str) -> RoleGraph:
        """Who worked in an episode, and to whom the work went."""

    @abstractmethod
    def state(self, episode: str, *, at: int | None = None) -> EpisodeState:
        """An episode as it was when a step had just been logged.

        Args:
            episode: The episode.
            at: The step's sequence; None for the last one, and so for what lies beyond it.

        Raises:
            EpisodeNotFound: There is no such episode, or it has no step so early.
        """

    @abstractmethod
    def compare(self, a: str, b: str) -> EpisodeComparison:
        """Two episodes side by side.

        Raises:
            EpisodeNotFound: One of them is not there.
            TimeoutError: They are too much.
        """

    # -- the whole

    @abstractmethod
    def verify(self, episode: str | None = None, *, deep: bool = False) -> Verification:
        """Check that nothing is missing and that everything is what it says.

        Args:
            episode: Check this one only.
            deep: Also validate every payload, hash every kept artifact and check the file's own structure.

        Raises:
            EpisodeNotFound: There is no such episode.
            NotOpen: A server checks single episodes, and not deep.
        """

    @abstractmethod
    def statistics(self, *, since: int = 0, filter: str | Filter | None = None) -> HistoryStatistics:
        """Figures of the newest steps.

        Args:
            since: Leave out what was committed before; ns since 1970 UTC.
            filter: What else holds for the steps.

        Raises:
            FilterInvalid: The filter cannot be read.
            TimeoutError: The filter asks for too much.
        """

    @abstractmethod
    def info(self) -> HistoryInfo:
        """What the history is, in figures."""

    @abstractmethod
    def last_cursor(self) -> int:
        """The highest cursor ever given out."""
