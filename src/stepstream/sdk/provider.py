"""The provider: one history to record into, and everything of it an agent can reach.

The only composition root of the SDK. Knows how a history is opened, forked and closed. Nothing that goes
wrong with the place, the disk, the committer or the network raises into an agent; it is counted and told in
the log.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypedDict, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from stepstream.errors import ArtifactRefused, Problem, StepstreamError, ValidationFailed
from stepstream.schemas.episode import EpisodeStart, MetadataRef
from stepstream.schemas.identity import NO_ID
from stepstream.schemas.record import short_repr
from stepstream.sdk import context, failures, open_providers
from stepstream.sdk.context import Scope, name_bytes
from stepstream.sdk.destination import DEFAULT_DATABASE, FileDestination, PlacedWriter, destination_of
from stepstream.sdk.episode_scope import EpisodeScope
from stepstream.sdk.step_writer import RefusingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Unpack

    from stepstream.reading.history import History
    from stepstream.reading.subscription import Events
    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import DataUse
    from stepstream.schemas.record import JsonObject
    from stepstream.schemas.step import Step
    from stepstream.sdk.artifacts import ArtifactStore
    from stepstream.sdk.destination import Destination
    from stepstream.sdk.json_value import Converted
    from stepstream.sdk.step_writer import StepWriter
    from stepstream.settings import CommitterMode, Durability
    from stepstream.spool.directory import SpoolDirectory

logger = logging.getLogger("stepstream")


class ProviderOptions(TypedDict, total=False):
    """Settings given in code; :class:`Settings` says what each means and which beats which."""

    committer: CommitterMode | Literal["process", "thread", "none"] | None
    durability: Durability | Literal["process", "power"] | None
    step_bytes_max: int | None
    segment_bytes_max: int | None
    spool_bytes_max: int | None
    disk_free_bytes_min: int | None
    disk_free_percent_min: float | None
    log_sync_interval_ms: int | None
    pool_bytes_min: int | None
    linger_s: float | None
    flush_timeout_s: float | None
    spool_shared_group: bool | None
    unsafe_location: bool | None
    strict: bool | None
    spool_directory: str | None
    token_file: str | None


class ObservabilityProvider:
    """Records into one history; a context manager, with and without ``async``.

    Nothing is created before the first step. Leaving the block waits, within ``flush_timeout_s``, until what
    was logged is committed, by a server where one was named. May be used from any thread, and in forked
    children.
    """

    def __init__(
        self, database: str | os.PathLike[str] | None = None, **options: Unpack[ProviderOptions]
    ) -> None:
        """Name the history.

        Args:
            database: Path of the file, or address of a server, whose token is in ``STEPSTREAM_TOKEN``;
                ``STEPSTREAM_DB``, else ``./history.db``, by default.
            **options: Settings that beat the environment and ``stepstream.toml``.

        Raises:
            ConfigurationInvalid: The path, the address or an option cannot be used.
            UnsafeLocation: Steps could be lost there.
        """
        destination = destination_of(database, options)
        self._set_up(destination, options, PlacedWriter(destination, self._identify, self._check))

    def _set_up(self, destination: Destination, options: ProviderOptions, writer: StepWriter) -> None:
        self.database = destination.database
        self.address = destination.address
        self.options = options
        self.settings = destination.settings
        self._destination = destination
        self._writer = writer
        self._lock = threading.RLock()
        self._artifacts: ArtifactStore | None = None
        self._history: History | None = None
        self._reading_spool: SpoolDirectory | None = None
        self._ambient: EpisodeScope | None = None
        open_providers.know(self)

    def __repr__(self) -> str:
        return f"<stepstream provider of {self.address}>"

    # -- lifetime

    def open(self) -> Self:
        """Make sure that the place can hold a history.

        A directory that cannot be written raises nothing: it is told in the log, and steps are refused and
        counted until it can.

        Raises:
            StepstreamError: The spool is not safe there, or the file is something else than a history.
        """
        open_providers.remember(self, is_choice=True)
        try:
            self._writer.open()
        except OSError as error:
            logger.warning("%s cannot be recorded to: %s; steps are refused and counted", self.address, error)
        return self

    def close(self) -> None:
        """End the ambient episode, wait for what was logged to be committed, and let go of everything.

        Never raises, and waits at most ``flush_timeout_s``. A step that is logged later opens it again.
        """
        open_providers.forget(self)
        with self._lock:
            ambient, self._ambient = self._ambient, None
            history, self._history = self._history, None
        if ambient is not None:
            ambient.end(None)
        has_written = self._writer.has_written
        self._writer.close()
        if has_written and self.settings.committer != "none":
            self.flush()
        self._release()
        if history is not None:
            history.close()

    def __enter__(self) -> Self:
        self.open()
        outer = context.current.get()
        context.enter(Scope(self, None, NO_ID, b"", b"", outer, self))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.leave(self)
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio  # noqa: PLC0415 - who awaits has it already

        context.leave(self)
        await asyncio.to_thread(self.close)

    @property
    def is_over(self) -> bool:
        """Whether it is no place to come back to; a provider always is one."""
        return False

    # -- recording

    def episode(
        self,
        name: str,
        *,
        agent: str | None = None,
        role: str | None = None,
        problem: str | None = None,
        attempt: int = 1,
        tags: Sequence[str] = (),
        metadata: BaseModel | None = None,
        data_use: DataUse | None = None,
        parent: EpisodeScope | str | None = None,
    ) -> EpisodeScope:
        """An episode, as a context manager; it begins when the block is entered.

        Args:
            name: What it is about, for people.
            agent: Who logs in it unless somebody else says so.
            role: The agent's role.
            problem: The benchmark item or task it works on.
            attempt: 1 for the first try at the problem.
            tags: Free labels.
            metadata: A model of the project's own.
            data_use: What may be done with it in training.
            parent: The episode it is a part or a retry of; the current one by default.

        Raises:
            ValidationFailed: An argument does not fit.
        """
        from stepstream.sdk.code_version import code_version  # noqa: PLC0415 - only who opens an episode pays
        from stepstream.sdk.crossing import ride_along  # noqa: PLC0415 - it needs providers itself

        open_providers.remember(self, is_choice=True)
        ride_along()
        scope = context.current.get()
        around = self._around(scope)
        parent_id = _episode_id(parent)
        if parent is None and around is not None and around.episode is not None:
            parent_id = around.episode.id
        start = EpisodeStart(
            name=name,
            problem=problem,
            attempt=attempt,
            parent_id=parent_id,
            tags=_tags(tags),
            metadata=_metadata(metadata),
            code_version=code_version(),
            data_use=data_use,
        )
        inherited = scope is not None and agent is None
        return EpisodeScope(
            self,
            self._writer,
            start,
            agent=scope.agent if scope is not None and inherited else name_bytes("agent", agent),
            role=scope.role if scope is not None and inherited and role is None else name_bytes("role", role),
            parent=NO_ID if around is None else around.parent,
        )

    def _around(self, scope: Scope | None) -> Scope | None:
        """The scope of this database's episode that we are in, here or where this process was started."""
        from stepstream.sdk.crossing import inherited_scope  # noqa: PLC0415 - it needs providers itself

        for candidate in (scope, inherited_scope()):
            if (
                candidate is not None
                and candidate.episode is not None
                and self.is_same_as(candidate.provider)
            ):
                return candidate
        return None

    def ambient_episode(self) -> tuple[EpisodeScope, bool]:
        """The marked episode of this process that takes what is logged outside any, and whether it is new."""
        ambient = self._ambient
        if ambient is not None:
            return ambient, False
        with self._lock:
            if self._ambient is not None:
                return self._ambient, False
            from stepstream.sdk.code_version import code_version  # noqa: PLC0415 - as above

            open_providers.remember(self, is_choice=True)
            version = code_version()
            program = Path(version.program).name or "python"
            start = EpisodeStart(name=f"ambient: {program}", code_version=version, ambient=True)
            self._ambient = EpisodeScope(self, self._writer, start)
            self._ambient.begin()
            return self._ambient, True

    def begun_elsewhere(self, episode: bytes, parent: bytes, agent: bytes, role: bytes) -> EpisodeScope:
        """An episode that another process has opened in this database, seen from under one of its steps."""
        return EpisodeScope.begun_elsewhere(self, self._writer, episode, parent, agent, role)

    def is_same_as(self, other: ObservabilityProvider | None) -> bool:
        """Whether another provider records into the same history."""
        return other is not None and self.address == other.address

    @property
    def artifacts(self) -> ArtifactStore:
        """Where attached files are kept."""
        if self._artifacts is None:
            from stepstream.sdk.artifacts import ArtifactStore  # noqa: PLC0415 - many never attach

            self._artifacts = ArtifactStore(
                self.database,
                self.settings,
                bytes_max=self._destination.waiting_files_bytes_max,
                make_place=self._destination.make_place,
            )
        return self._artifacts

    def keep(self, data: bytes, name: str, media_type: str) -> ArtifactRef | None:
        """Store bytes as an artifact; None, and a count, when that is not possible."""
        try:
            return self.artifacts.keep(data, name, media_type)
        except ArtifactRefused as error:
            failures.note("content too long for a step", error, strict=self.settings.strict)
            return None

    def note_unstorable(self, kind: str, converted: Converted) -> None:
        """Count the places where an Unstorable stands.

        Raises:
            ValidationFailed: There are some, and watching is strict.
        """
        if converted.unstorable:
            failures.count("values stored as Unstorable", len(converted.unstorable))
            if self.settings.strict:
                problems = [
                    Problem(place or "/", "…", "JSON cannot hold it as it is")
                    for place in converted.unstorable
                ]
                raise ValidationFailed(kind, problems)

    @property
    def refused(self) -> int:
        """How many steps of this process were refused: no room, no right to write."""
        return self._writer.refused

    @property
    def refusal(self) -> str | None:
        """Why steps are refused at the moment; None when they are not."""
        return self._writer.refusal

    @property
    def failures(self) -> dict[str, int]:
        """What this process could not record as it was, by what it is."""
        return failures.counts()

    # -- reading

    @property
    def history(self) -> History:
        """Everything people ask of the history; what is not committed yet is waited for when it is opened.

        Raises:
            FileNotFoundError: Nobody has committed anything.
            StoreError: The database cannot be read.
            ConfigurationInvalid: The token for the server cannot be used.
        """
        if self._history is None:
            self.flush()
            self._history = self._destination.open_history()
        return self._history

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that any process had logged by this call is committed.

        Args:
            timeout_s: At most how long; the setting ``flush_timeout_s`` by default.

        Returns:
            Whether it is. Never raises.
        """
        timeout_s = self.settings.flush_timeout_s if timeout_s is None else timeout_s
        try:
            spool = self._spool(create=False)
            self._see_to_committer(spool)
            return self._destination.wait(spool, timeout_s)
        except FileNotFoundError:
            # Nobody has ever logged anything here.
            return True
        except Exception as error:  # noqa: BLE001 - waiting is no reason for an agent to fail
            logger.warning("waiting for the steps of %s to be committed failed: %s", self.address, error)
            return False

    async def aflush(self, timeout_s: float | None = None) -> bool:
        """Wait as :meth:`flush` does, without holding up the event loop."""
        import asyncio  # noqa: PLC0415 - who awaits has it already

        return await asyncio.to_thread(self.flush, timeout_s)

    def read(self, after: int = 0, limit: int = 1000) -> list[Step]:
        """Steps behind a cursor, in cursor order, all that was logged by now among them.

        Raises:
            StoreError: The database cannot be read.
        """
        self.flush()
        try:
            return self.history.steps(after=after, limit=limit)
        except FileNotFoundError:
            return []

    async def aread(self, after: int = 0, limit: int = 1000) -> list[Step]:
        """Read as :meth:`read` does, without holding up the event loop."""
        import asyncio  # noqa: PLC0415 - who awaits has it already

        return await asyncio.to_thread(self.read, after, limit)

    def subscribe(self, after: int | None = None, *, epoch: str | None = None) -> Events:
        """Events behind a cursor: those that are committed, then each as it is committed.

        While a server is away the iteration waits.

        Args:
            after: The cursor of the last event seen; 0 for everything, None for what comes from now on.
            epoch: The epoch that cursor is of, as the event said.

        Raises:
            OSError: The spool, where readers are woken, cannot be made.
            StoreError: The database cannot be read.
            AccessDenied: The server wants another token; the iteration raises it too.
        """
        spool = self._spool(create=True)
        self._see_to_committer(spool)
        return self._destination.subscribe(spool, after, epoch)

    def asubscribe(self, after: int | None = None, *, epoch: str | None = None) -> Events:
        """The same; it is iterated with ``async for`` as well as with ``for``."""
        return self.subscribe(after, epoch=epoch)

    # -- what the parts need

    def _identify(self, spool: SpoolDirectory) -> bytes:
        # A step after close() opens us again, and then the end of the process must close us again.
        open_providers.remember(self, is_choice=False)
        return self._destination.identify(spool)

    def _check(self, spool: SpoolDirectory) -> None:
        """Once a second while steps are written: does anybody commit, and for the database we write for?"""
        self._see_to_committer(spool)
        try:
            identity = spool.identity()
        except OSError as error:
            logger.debug("the identity of %s cannot be read: %s", spool.path, error)
            return
        if identity is not None:
            self._writer.follow(identity.database_id)

    def _see_to_committer(self, spool: SpoolDirectory) -> None:
        self._destination.see_to_worker(spool)

    def _release(self) -> None:
        spool, self._reading_spool = self._reading_spool, None
        if self.settings.committer == "thread" and not open_providers.is_open(self.database):
            from stepstream.store.hosting import release_committer  # noqa: PLC0415 - only who records pays

            release_committer(self.database)
        if spool is not None:
            spool.close()

    def _spool(self, *, create: bool) -> SpoolDirectory:
        """The spool, for reading what is in it."""
        spool = self._writer.spool or self._reading_spool
        if spool is None:
            from stepstream.spool.directory import SpoolDirectory  # noqa: PLC0415 - only who records pays

            if create:
                self._destination.make_place()
            spool = SpoolDirectory(
                self.database, shared_group=self.settings.spool_shared_group, create=create
            )
            self._reading_spool = spool
        return spool

    def forget_after_fork(self) -> None:
        """In a forked child: new locks, a recorder and an ambient episode of our own; nothing is closed."""
        self._lock = threading.RLock()
        self._ambient = None
        self._reading_spool = None
        self._writer.forget_after_fork()


class RefusingProvider(ObservabilityProvider):
    """What code gets that asked for no provider and cannot have one: it refuses every step, and says why."""

    def __init__(self, reason: StepstreamError) -> None:
        from stepstream.settings import Settings  # noqa: PLC0415 - as above

        path, settings = Path(DEFAULT_DATABASE).absolute(), Settings()
        self._set_up(FileDestination(path, settings), {}, RefusingWriter(path, settings, reason))


def _episode_id(parent: EpisodeScope | str | None) -> str | None:
    return parent.id if isinstance(parent, EpisodeScope) else parent


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        problem = Problem("tags", short_repr(tags), "Input should be several texts, as in ('demo',)")
        raise ValidationFailed("episode_start", [problem])
    return tuple(tags)


def _metadata(metadata: BaseModel | None) -> MetadataRef | None:
    if metadata is None:
        return None
    cls = type(metadata)
    try:
        if not isinstance(metadata, BaseModel):
            raise TypeError("Input should be a pydantic model")
        value = cast("JsonObject", metadata.model_dump(mode="json", warnings=False))
    except (TypeError, ValueError, PydanticSerializationError) as error:
        problem = Problem("metadata", short_repr(metadata), str(error))
        raise ValidationFailed("episode_start", [problem]) from None
    return MetadataRef(model=f"{cls.__module__}.{cls.__qualname__}", value=value)
