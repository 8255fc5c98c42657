"""An episode in hand: what logs into it, opens calls in it, attaches files to it and ends it.

Knows one episode and the scope inside it. Must not know how steps are written or where files are kept.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Self, TypedDict, cast

from stepstream.errors import NotOpen, Problem, ValidationFailed
from stepstream.schemas.episode import CodeVersion, Ending, EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.identity import NO_ID, id_text, new_id
from stepstream.schemas.kinds import ArtifactAttached, StatusChange
from stepstream.schemas.record import short_repr
from stepstream.schemas.step import StepRef
from stepstream.sdk import context, failures
from stepstream.sdk.context import Scope, name_bytes
from stepstream.sdk.ending import status_after
from stepstream.sdk.open_call import OpenToolCall, write_report
from stepstream.sdk.step_writer import occurred_ns, reference_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Unpack

    from pydantic import BaseModel

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import DataUse
    from stepstream.schemas.model_call import ChatMessage, ModelIdentity, Sampling
    from stepstream.schemas.payload import StepPayload
    from stepstream.sdk.open_model_call import OfferedTool, OpenModelCall
    from stepstream.sdk.provider import ObservabilityProvider
    from stepstream.sdk.step_writer import StepWriter


_current = context.current.get


class EpisodeOptions(TypedDict, total=False):
    """What can be said of an episode beside its name, as ``ObservabilityProvider.episode`` explains it."""

    agent: str | None
    role: str | None
    problem: str | None
    attempt: int
    tags: Sequence[str]
    metadata: BaseModel | None
    data_use: DataUse | None
    parent: EpisodeScope | str | None


class ModelCallOptions(TypedDict, total=False):
    """What can be said of a model call beside the model, as :meth:`EpisodeScope.model_call` explains it."""

    provider: str | None
    messages: Sequence[ChatMessage | Mapping[str, object]]
    tools: Sequence[OfferedTool]
    sampling: Sampling | None
    rendered_prompt: str | None
    prompt_token_ids: Iterable[int] | None
    identity: ModelIdentity | None
    parent: StepRef | str | None


class EpisodeScope:
    """One episode, as a context manager and as what is called while it runs.

    The process that entered it ends it; in a forked child the end of the block writes nothing.
    """

    def __init__(
        self,
        provider: ObservabilityProvider,
        writer: StepWriter,
        start: EpisodeStart,
        *,
        agent: bytes = b"",
        role: bytes = b"",
        parent: bytes = NO_ID,
    ) -> None:
        """Prepare an episode; ``ObservabilityProvider.episode`` is the way to get one.

        Args:
            provider: Whose episode it is.
            writer: Where its steps go.
            start: What is stated when it begins.
            agent: Who logs in it unless somebody else says so.
            role: The agent's role.
            parent: The step of another episode under which it begins.
        """
        self.provider = provider
        self.raw = new_id()
        self.open_calls: dict[bytes, None] = {}
        self._write = writer.write
        self.write_delta = writer.write_delta
        self._start: EpisodeStart | None = start
        self._name = start.name
        self._started_under = parent
        self._inside = Scope(provider, self, NO_ID, agent, role, None, self)
        self._opened_by: int | None = None
        self._entered = False
        self._end = Lock()
        self._over = False

    @classmethod
    def begun_elsewhere(
        cls,
        provider: ObservabilityProvider,
        writer: StepWriter,
        episode: bytes,
        parent: bytes,
        agent: bytes,
        role: bytes,
    ) -> Self:
        """An episode that another process has opened and will end; here we stand under one of its steps."""
        scope = cls(provider, writer, EpisodeStart(name=id_text(episode)))
        scope.raw = episode
        scope._inside = Scope(provider, scope, parent, agent, role, None, None)
        scope._entered = True
        return scope

    @property
    def id(self) -> str:
        """The episode's id."""
        return id_text(self.raw)

    @property
    def name(self) -> str:
        """What the episode is about; its id where another process has opened it."""
        return self._name

    @property
    def is_over(self) -> bool:
        """Whether its block has been left."""
        return self._over

    def __repr__(self) -> str:
        return f"<episode {self.id} {self._name!r}>"

    def log_event(
        self,
        payload: StepPayload,
        *,
        parent: StepRef | str | None = None,
        closes: StepRef | str | None = None,
        agent: str | None = None,
        role: str | None = None,
        occurred_at: datetime | int | None = None,
    ) -> StepRef:
        """Log one step; when this returns, the operating system has it.

        Args:
            payload: What happened.
            parent: The step it is nested under; the current one by default.
            closes: The step that ends with this one.
            agent: Who logs; the current agent by default.
            role: The agent's role.
            occurred_at: When it happened, aware or in ns since 1970 UTC; now by default.

        Raises:
            ValidationFailed: The payload or an argument does not fit; nothing was logged.
            NotOpen: The episode has not been entered.
        """
        scope = _current()
        if scope is None or scope.episode is not self:
            scope = self._scope_for(scope)
        return self._write(
            payload,
            self.raw,
            scope.parent if parent is None else reference_bytes("parent", parent),
            NO_ID if closes is None else reference_bytes("closes", closes),
            scope.agent if agent is None else name_bytes("agent", agent),
            # Another agent's step does not take this agent's role.
            (scope.role if agent is None else b"") if role is None else name_bytes("role", role),
            0 if occurred_at is None else occurred_ns(occurred_at),
        )

    def tool_call(
        self,
        tool: str,
        arguments: Mapping[str, object] | None = None,
        *,
        call_id: str | None = None,
        parent: StepRef | str | None = None,
    ) -> OpenToolCall:
        """A tool at work, as a context manager.

        Args:
            tool: The tool's name.
            arguments: What it is called with, by parameter name; any values.
            call_id: The model's own id of this call.
            parent: The step it is nested under; the current one by default.
        """
        under = None if parent is None else reference_bytes("parent", parent)
        return OpenToolCall(self, tool, arguments, call_id, under)

    def model_call(
        self,
        model: str,
        *,
        provider: str | None = None,
        messages: Sequence[ChatMessage | Mapping[str, object]] = (),
        tools: Sequence[OfferedTool] = (),
        sampling: Sampling | None = None,
        rendered_prompt: str | None = None,
        prompt_token_ids: Iterable[int] | None = None,
        identity: ModelIdentity | None = None,
        parent: StepRef | str | None = None,
    ) -> OpenModelCall:
        """A language model at work, as a context manager.

        Args:
            model: Its name as it is asked for.
            provider: Who serves it.
            messages: The conversation sent: ChatMessages, or chat JSON as clients write it.
            tools: The tools offered, likewise.
            sampling: How tokens are drawn.
            rendered_prompt: The exact text after the chat template.
            prompt_token_ids: The exact token ids sent; they are kept as a file.
            identity: Revision, tokenizer, template and policy version.
            parent: The step it is nested under; the current one by default.
        """
        from stepstream.sdk.open_model_call import OpenModelCall, Question  # noqa: PLC0415 - many never ask a model

        under = None if parent is None else reference_bytes("parent", parent)
        question = Question(
            model, provider, messages, tools, sampling, rendered_prompt, prompt_token_ids, identity
        )
        return OpenModelCall(self, question, under)

    def attach(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        media_type: str | None = None,
        copy: bool = True,
        parent: StepRef | str | None = None,
    ) -> ArtifactRef:
        """Attach a file; its bytes are copied and hashed when this returns.

        Args:
            path: The file; no link, no special file, no ``..`` on the way.
            name: What to show instead of the file's own name.
            media_type: IANA media type; guessed from the name by default.
            copy: Whether to keep the bytes; else path, size and hash only.
            parent: The step it belongs to; the current one by default.

        Raises:
            ArtifactRefused: It cannot be attached; the message says why.
        """
        artifact = self.provider.artifacts.attach(path, name=name, media_type=media_type, copy=copy)
        self.log_event(ArtifactAttached(artifact=artifact), parent=parent)
        return artifact

    async def aattach(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        media_type: str | None = None,
        copy: bool = True,
        parent: StepRef | str | None = None,
    ) -> ArtifactRef:
        """Attach a file without holding up the event loop."""
        import asyncio  # noqa: PLC0415 - who awaits has it already

        return await asyncio.to_thread(
            self.attach, path, name=name, media_type=media_type, copy=copy, parent=parent
        )

    def episode(self, name: str, **options: Unpack[EpisodeOptions]) -> EpisodeScope:
        """A part or a retry of this episode; as :meth:`ObservabilityProvider.episode`."""
        options.setdefault("parent", self)
        return self.provider.episode(name, **options)

    def finish(
        self,
        outcome: str | None = None,
        *,
        score: float | None = None,
        reason: str | None = None,
        ending: Ending | str | None = None,
    ) -> StepRef:
        """End the episode as completed; it is written now, and the end of the block adds nothing to it.

        Args:
            outcome: A word of the project's, such as ``accepted``.
            score: A figure of the project's.
            reason: Why it ended, in words.
            ending: ``terminated`` when the task ended, ``truncated`` when it was cut off.

        Raises:
            ValidationFailed: An argument does not fit; the episode goes on.
            NotOpen: The episode has an end, has not been entered, or belongs to another process.
        """
        change = StatusChange(
            status=Status.COMPLETED,
            reason=reason,
            end=EpisodeEnd(
                outcome=outcome,
                score=score,
                ending=_ending(ending),
                open_steps=tuple(map(id_text, self.open_calls.copy())),
            ),
        )
        if self._opened_by != os.getpid():
            raise NotOpen(f"episode {self._name!r}", "only the process that entered it may finish it")
        if not self._end.acquire(blocking=False):
            raise NotOpen(f"episode {self._name!r}", "it has its end; log what comes later as Feedback")
        return self.write(change, NO_ID, NO_ID, self._inside.agent, self._inside.role)

    def __enter__(self) -> Self:
        scope = context.current.get()
        self.begin()
        context.enter(self._inside._replace(outer=scope))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        context.leave(self)
        self.end(exc)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def begin(self) -> None:
        """Write the episode's first step, without making it the current one.

        Raises:
            NotOpen: It has begun already.
            ValidationFailed: What is stated of it is too long for a step.
        """
        start, self._start = self._start, None
        if start is None or self._entered:
            raise NotOpen(
                f"episode {self._name!r}", "it was entered before; make a new one with provider.episode()"
            )
        self._opened_by = os.getpid()
        self._entered = True
        try:
            self._write_start(start)
        except ValidationFailed:
            if start.code_version is None:
                raise
            # Where steps must be very short, the packages are the first to give way.
            version = CodeVersion(**{**dict(start.code_version), "packages": ()})
            self._write_start(EpisodeStart(**{**dict(start), "code_version": version}))

    def end(self, exc: BaseException | None) -> None:
        """Write the episode's last step as its block ended, unless it has one or is another process's."""
        if self._opened_by != os.getpid():
            return
        try:
            if not self._end.acquire(blocking=False):
                if status_after(exc) is Status.FAILED:
                    self._report(cast("BaseException", exc))
                return
            status = status_after(exc)
            if status is Status.FAILED:
                self._report(cast("BaseException", exc))
            change = StatusChange(
                status=status,
                reason=None if exc is None or status is Status.COMPLETED else short_repr(exc),
                end=EpisodeEnd(open_steps=tuple(map(id_text, self.open_calls.copy()))),
            )
            self.write(change, NO_ID, NO_ID, self._inside.agent, self._inside.role)
        except Exception as error:  # noqa: BLE001 - the block's own exception must come through
            failures.note("the end of an episode", error, strict=self.provider.settings.strict)

    def write(self, payload: StepPayload, parent: bytes, closes: bytes, agent: bytes, role: bytes) -> StepRef:
        """Write a step whose place is known already."""
        return self._write(payload, self.raw, parent, closes, agent, role, 0)

    @property
    def inside(self) -> Scope:
        """The scope of its block."""
        return self._inside

    def scope_here(self) -> Scope:
        """The scope for what logs into this episode now, whatever else is going on around it."""
        scope = context.current.get()
        return scope if scope is not None and scope.episode is self else self._scope_for(scope)

    def _write_start(self, start: EpisodeStart) -> None:
        change = StatusChange(status=Status.RUNNING, start=start)
        self.write(change, self._started_under, NO_ID, self._inside.agent, self._inside.role)

    def _scope_for(self, scope: Scope | None) -> Scope:
        if not self._entered:
            raise NotOpen(f"episode {self._name!r}", "enter it first: with provider.episode(...) as episode")
        inside = self._inside
        if scope is None:
            return inside
        if scope.episode is None:
            return inside._replace(agent=scope.agent, role=scope.role) if scope.agent else inside
        return scope if scope.episode.raw == self.raw else inside

    def _report(self, exc: BaseException) -> None:
        inside = self._inside
        write_report(exc, lambda report: self.write(report, NO_ID, NO_ID, inside.agent, inside.role))


def _ending(ending: Ending | str | None) -> Ending | None:
    try:
        return None if ending is None else Ending(ending)
    except ValueError:
        reason = "Input should be 'terminated' or 'truncated'"
        raise ValidationFailed("episode_end", [Problem("ending", short_repr(ending), reason)]) from None
