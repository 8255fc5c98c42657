"""What takes time: a call that is open from the step that starts it to the one that closes it.

Knows how a block ends and that a call is answered once. Must not know where steps go. Merely watching, it
raises for nothing that is observed; only a second answer, the caller's own mistake, is refused.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Self, cast

from pydantic_core import to_json

from stepstream.errors import NotOpen, ValidationFailed
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import NO_ID, new_id
from stepstream.schemas.kinds import Observation, ToolCall
from stepstream.schemas.record import printable, short_repr
from stepstream.schemas.step import StepRef
from stepstream.sdk import context, failures
from stepstream.sdk.context import Scope
from stepstream.sdk.ending import is_cancellation
from stepstream.sdk.json_value import Converted, convert, convert_object, is_vast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.schemas.stream import DeltaPart
    from stepstream.sdk.episode_scope import EpisodeScope
    from stepstream.sdk.json_value import Keep

_REPORT_CHARACTERS_MAX = 64 * 1024
_NOT_PLAIN = "values that were not plain JSON"
_NOT_SHOWN = "deltas that were not shown"
_SHORT = 4096


class OpenCall(ABC):
    """Something that takes time, as a context manager; what is logged inside is nested under it."""

    _made: ClassVar[str]
    """Which part of an answer is made, where nobody says."""

    def __init__(self, episode: EpisodeScope, parent: bytes | None) -> None:
        self._episode = episode
        self._given_parent = parent
        self._step: StepRef | None = None
        self._agent = b""
        self._role = b""
        self._answer = Lock()
        self._opened_by = 0
        self._over = False
        self._delta_heads: dict[str | None, bytes] = {}
        self._is_shown = True

    @property
    def ref(self) -> StepRef:
        """The step that opened the call.

        Raises:
            NotOpen: The block has not been entered.
        """
        if self._step is None:
            raise NotOpen("the call", "enter it first: with ... as call")
        return self._step

    @property
    def id(self) -> str:
        """The id of the step that opened the call."""
        return self.ref.id

    @property
    def is_over(self) -> bool:
        """Whether the block has been left."""
        return self._over

    def fail(self, exc: BaseException) -> StepRef:
        """Close the call with an exception that was caught.

        Raises:
            NotOpen: The call has been answered.
        """
        self._claim("fail")
        return self._report(exc, closes=True)

    def delta(self, text: str, part: DeltaPart | None = None) -> None:
        """Show a piece of the answer, while it is being made, to who watches now; it is never stored.

        The answer itself is still to be given in full. Outside of the block, behind the answer, and where
        nothing can be recorded, nothing is shown; nor is anything behind a piece that had to be cut, because
        of what might begin in what is missing.

        Args:
            text: What has come since the last piece.
            part: Of which part of the answer; a model's content, or a tool's output, by default.
        """
        if self._step is None or self._over or self._answer.locked() or not self._is_shown:
            failures.count(_NOT_SHOWN)
            return
        try:
            if type(text) is not str or len(text) > _SHORT:
                text, self._is_shown = _delta_text(text)
            if text:
                head = self._delta_heads.get(part) or self._delta_head(part)
                try:
                    body = head + to_json(text)
                except ValueError:
                    body = head + to_json(printable(text))
                self._is_shown &= self._episode.write_delta(body + b"}")
        except Exception as error:  # noqa: BLE001 - whoever watches must not raise
            failures.note("a delta", error, strict=self._episode.provider.settings.strict)

    def attach(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        media_type: str | None = None,
        copy: bool = True,
    ) -> ArtifactRef:
        """Attach a file to the call, as :meth:`EpisodeScope.attach` does."""
        return self._episode.attach(path, name=name, media_type=media_type, copy=copy, parent=self.ref)

    async def aattach(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        media_type: str | None = None,
        copy: bool = True,
    ) -> ArtifactRef:
        """Attach a file without holding up the event loop."""
        return await self._episode.aattach(path, name=name, media_type=media_type, copy=copy, parent=self.ref)

    def __enter__(self) -> Self:
        if self._step is not None:
            raise NotOpen("a call that was entered before", "make a new one for each call")
        scope = self._episode.scope_here()
        self._opened_by = os.getpid()
        self._agent, self._role = scope.agent, scope.role
        parent = scope.parent if self._given_parent is None else self._given_parent
        self._step = self._watch("the start of a call", lambda: self._open(parent))
        self._episode.open_calls[self._step.raw] = None
        self.resume()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause()
        self.end(exc)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def resume(self) -> None:
        """Nest what follows under the call."""
        episode, outer = self._episode, context.current.get()
        context.enter(Scope(episode.provider, episode, self.ref.raw, self._agent, self._role, outer, self))

    def pause(self) -> None:
        """Nest nothing more under the call, until it is resumed."""
        context.leave(self)

    def end(self, exc: BaseException | None) -> None:
        """Close the call as its block ended, unless it has been answered or is another process's."""
        self._over = True
        if self._opened_by != os.getpid():
            return
        unanswered = self._answer.acquire(blocking=False)
        if exc is not None and not is_cancellation(exc):
            self._report(exc, closes=unanswered)
        elif unanswered:
            payload = self._empty_answer(cancelled=exc is not None)
            self._watch("the end of a call", lambda: self._log(payload, closes=True))

    @abstractmethod
    def _open(self, parent: bytes) -> StepRef:
        """Log the step that opens the call."""

    @abstractmethod
    def _empty_answer(self, *, cancelled: bool) -> StepPayload:
        """What closes a call that was left without an answer."""

    def _delta_head(self, part: DeltaPart | None) -> bytes:
        """What all deltas of a part have in common, as JSON up to the text."""
        from stepstream.schemas.stream import Delta, DeltaPart  # noqa: PLC0415 - few show what is being made

        step = self.ref
        delta = Delta(
            step_id=step.id, episode_id=step.episode_id, text="", part=DeltaPart(part or self._made)
        )
        common = delta.model_dump_json(exclude={"text"}).removesuffix("}")
        head = self._delta_heads[part] = f'{common},"text":'.encode()
        return head

    def _claim(self, verb: str) -> None:
        step = self.ref
        if not self._answer.acquire(blocking=False):
            raise NotOpen(f"the call {step.id}", f"it has its answer, and {verb}() would be a second one")

    def _log(self, payload: StepPayload, *, closes: bool) -> StepRef:
        raw = self.ref.raw
        if closes:
            self._episode.open_calls.pop(raw, None)
        return self._episode.write(payload, raw, raw if closes else NO_ID, self._agent, self._role)

    def _report(self, exc: BaseException, *, closes: bool) -> StepRef:
        return self._watch(
            "an exception", lambda: write_report(exc, lambda report: self._log(report, closes=closes))
        )

    def _watch(self, what: str, record: Callable[[], StepRef]) -> StepRef:
        """Record something; a failure of ours is noted, and answered with a step that was not written."""
        try:
            return record()
        except Exception as error:  # noqa: BLE001 - whoever watches must not raise
            failures.note(what, error, strict=self._episode.provider.settings.strict)
            return StepRef(new_id(), self._episode.raw)


class OpenToolCall(OpenCall):
    """A tool at work; an Observation or an ErrorReport closes it."""

    _made = "output"

    def __init__(
        self,
        episode: EpisodeScope,
        tool: str,
        arguments: Mapping[str, object] | None,
        call_id: str | None,
        parent: bytes | None,
    ) -> None:
        super().__init__(episode, parent)
        self._tool = tool
        self._arguments = arguments
        self._call_id = call_id

    def observe(self, value: object = None) -> StepRef:
        """Close the call with what came back: any value; what JSON cannot hold is told in its place.

        Raises:
            NotOpen: The call has been answered.
        """
        self._claim("observe")
        return self._watch("an observation", lambda: self._observe(value))

    @property
    def keep(self) -> Keep:
        """Where parts of a value go that are too long for a step."""
        return self._episode.provider.keep

    def end_with(self, value: object) -> None:
        """Close the call with a value, unless it has been answered."""
        self._over = True
        if self._opened_by == os.getpid() and self._answer.acquire(blocking=False):
            self._watch("an observation", lambda: self._observe(value))

    def end_with_converted(self, converted: Converted, *, cancelled: bool) -> None:
        """The same with a value that is JSON already."""
        self._over = True
        if self._opened_by == os.getpid() and self._answer.acquire(blocking=False):
            self._watch("an observation", lambda: self._write_converted(converted, cancelled=cancelled))

    def _open(self, parent: bytes) -> StepRef:
        arguments: object = {} if self._arguments is None else self._arguments
        self._arguments = None
        tool = self._tool if isinstance(self._tool, str) else short_repr(self._tool)
        call_id = None if self._call_id is None else str(self._call_id)
        provider, write = self._episode.provider, self._episode.write
        if type(arguments) is dict and not is_vast(arguments):
            try:
                plain = ToolCall(tool=tool, arguments=cast("JsonObject", arguments), call_id=call_id)
                return write(plain, parent, NO_ID, self._agent, self._role)
            except Exception:  # noqa: BLE001 - foreign types; the long way tells what is wrong where
                failures.count(_NOT_PLAIN)
        if not isinstance(arguments, Mapping):
            arguments = {"": arguments}
        converted = convert_object(
            arguments, f"{tool}.arguments", provider.keep, provider.settings.step_bytes_max
        )
        provider.note_unstorable("tool_call", converted)
        call = ToolCall(
            tool=printable(tool),
            arguments=cast("JsonObject", converted.value),
            call_id=None if call_id is None else printable(call_id),
            unstorable=converted.unstorable,
            artifacts=converted.artifacts,
        )
        return write(call, parent, NO_ID, self._agent, self._role)

    def _observe(self, value: object) -> StepRef:
        provider = self._episode.provider
        if not is_vast(value):
            try:
                return self._log(Observation(result=cast("JsonValue", value)), closes=True)
            except Exception:  # noqa: BLE001 - foreign types; the long way tells what is wrong where
                failures.count(_NOT_PLAIN)
        converted = convert(value, "result", provider.keep, provider.settings.step_bytes_max)
        return self._write_converted(converted, cancelled=False)

    def _write_converted(self, converted: Converted, *, cancelled: bool) -> StepRef:
        self._episode.provider.note_unstorable("observation", converted)
        observation = Observation(
            result=converted.value,
            cancelled=cancelled,
            unstorable=converted.unstorable,
            artifacts=converted.artifacts,
        )
        return self._log(observation, closes=True)

    def _empty_answer(self, *, cancelled: bool) -> StepPayload:
        return Observation(cancelled=cancelled)


def _delta_text(value: object) -> tuple[str, bool]:
    """What is shown of a piece, and whether that is all; of None, which clients give for empty, nothing."""
    from stepstream.schemas.stream import DELTA_CHARACTERS_MAX  # noqa: PLC0415 - as above

    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, bytes | bytearray):
        text = value[: 4 * DELTA_CHARACTERS_MAX + 4].decode("utf-8", "backslashreplace")
    else:
        text = "" if value is None else short_repr(value)
    text = printable(text[: DELTA_CHARACTERS_MAX + 1])
    return text[:DELTA_CHARACTERS_MAX], len(text) <= DELTA_CHARACTERS_MAX


def write_report(exc: BaseException, write: Callable[[ErrorReport], StepRef]) -> StepRef:
    """Write an exception as an ErrorReport, shortened where it is too long for a step."""
    report = ErrorReport.from_exception(exc)
    try:
        return write(report)
    except ValidationFailed:
        return write(
            ErrorReport(
                message=_shortened(report.message),
                exception_type=report.exception_type,
                traceback=None if report.traceback is None else _shortened(report.traceback),
                frames=report.frames,
            )
        )


def _shortened(text: str) -> str:
    if len(text) <= _REPORT_CHARACTERS_MAX:
        return text
    half = _REPORT_CHARACTERS_MAX // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
