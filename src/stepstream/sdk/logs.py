"""Words for what is logged: one typed method a kind, and the records of logging and structlog as steps.

Knows payload kinds and log records. The methods of ``logger`` are direct calls and refuse bad data; handler
and processor merely watch: they never raise, never change a record, and never hear ourselves.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from stepstream.errors import ValidationFailed
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Feedback,
    Handoff,
    Intervention,
    InterventionKind,
    LogLevel,
    LogLine,
    Message,
    Observation,
    PlanItem,
    PlanUpdate,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.record import printable, short_repr
from stepstream.schemas.step import StepRef
from stepstream.sdk import failures
from stepstream.sdk.current import episode_here
from stepstream.sdk.json_value import convert_object
from stepstream.sdk.open_call import write_report

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Unpack

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import Status
    from stepstream.schemas.model_call import ModelCall, ModelReply
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.sdk.episode_scope import EpisodeScope

_EventDict = TypeVar("_EventDict", bound=MutableMapping[str, object])

OWN_LOGGER = "stepstream"
_OWN_FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "asctime",
    "message",
    "taskName",
}
_STRUCTLOG_FIELDS = frozenset({"event", "level", "logger", "exc_info", "exception", "timestamp"})
_LEVELS = (
    (logging.CRITICAL, LogLevel.CRITICAL),
    (logging.ERROR, LogLevel.ERROR),
    (logging.WARNING, LogLevel.WARNING),
    (logging.INFO, LogLevel.INFO),
)
_STRUCTLOG_LEVELS = {
    "warn": LogLevel.WARNING,
    "exception": LogLevel.ERROR,
    "fatal": LogLevel.CRITICAL,
} | {level.value: level for level in LogLevel}


class Place(TypedDict, total=False):
    """Where a step stands; :meth:`EpisodeScope.log_event` says what each means."""

    parent: StepRef | str | None
    closes: StepRef | str | None
    agent: str | None
    role: str | None
    occurred_at: datetime | int | None


class StepLogger:
    """One method for each kind of step; all log into the current episode and return the step.

    Every method raises ValidationFailed for bad data, as the payload's class does.
    """

    def log(self, payload: StepPayload, **place: Unpack[Place]) -> StepRef:
        """Log a payload of any kind, a project's own included."""
        return episode_here().log_event(payload, **place)

    def thought(self, text: str, **place: Unpack[Place]) -> StepRef:
        """Log what the agent thinks."""
        return self.log(Thought(text=text), **place)

    def tool_call(
        self,
        tool: str,
        arguments: JsonObject | None = None,
        *,
        call_id: str | None = None,
        **place: Unpack[Place],
    ) -> StepRef:
        """Log that a tool starts; ``with stepstream.tool_call(...)`` also sees to its end."""
        return self.log(ToolCall(tool=tool, arguments=arguments or {}, call_id=call_id), **place)

    def observation(self, result: JsonValue = None, **place: Unpack[Place]) -> StepRef:
        """Log what came back."""
        return self.log(Observation(result=result), **place)

    def error(self, error: BaseException | str, **place: Unpack[Place]) -> StepRef:
        """Log that something went wrong: an exception, or words."""
        if isinstance(error, BaseException):
            return write_report(error, lambda report: self.log(report, **place))
        return self.log(ErrorReport(message=error), **place)

    def model_call(self, call: ModelCall, **place: Unpack[Place]) -> StepRef:
        """Log that a model is asked; ``with stepstream.model_call(...)`` also sees to its end."""
        return self.log(call, **place)

    def model_reply(self, reply: ModelReply, **place: Unpack[Place]) -> StepRef:
        """Log what a model answered."""
        return self.log(reply, **place)

    def message(
        self, text: str, *, author: str, recipient: str | None = None, **place: Unpack[Place]
    ) -> StepRef:
        """Log a message from a person or another agent."""
        return self.log(Message(author=author, text=text, recipient=recipient), **place)

    def handoff(
        self, recipient: str, *, recipient_role: str | None = None, message: str = "", **place: Unpack[Place]
    ) -> StepRef:
        """Log that the work goes to another agent."""
        payload = Handoff(recipient=recipient, recipient_role=recipient_role, message=message)
        return self.log(payload, **place)

    def plan(self, items: Sequence[PlanItem | str], **place: Unpack[Place]) -> StepRef:
        """Log the plan as it stands now, whole."""
        whole = tuple(PlanItem(text=item) if isinstance(item, str) else item for item in items)
        return self.log(PlanUpdate(items=whole), **place)

    def status(self, status: Status, *, reason: str | None = None, **place: Unpack[Place]) -> StepRef:
        """Log a change of the episode's state; its end is ``episode.finish()``."""
        return self.log(StatusChange(status=status, reason=reason), **place)

    def feedback(
        self,
        author: str,
        *,
        target: StepRef | str | None = None,
        score: float | None = None,
        reward: float | None = None,
        label: str | None = None,
        comment: str | None = None,
        **place: Unpack[Place],
    ) -> StepRef:
        """Log a judgement of a step, or of the episode."""
        judged = target.id if isinstance(target, StepRef) else target
        payload = Feedback(
            author=author, target=judged, score=score, reward=reward, label=label, comment=comment
        )
        return self.log(payload, **place)

    def intervention(
        self,
        action: InterventionKind,
        *,
        author: str,
        text: str | None = None,
        target: StepRef | str | None = None,
        edited_arguments: JsonObject | None = None,
        **place: Unpack[Place],
    ) -> StepRef:
        """Log that a person stepped in."""
        aimed_at = target.id if isinstance(target, StepRef) else target
        payload = Intervention(
            action=action, author=author, text=text, target=aimed_at, edited_arguments=edited_arguments
        )
        return self.log(payload, **place)

    def artifact(self, artifact: ArtifactRef, **place: Unpack[Place]) -> StepRef:
        """Log that a file which is kept already belongs here; ``attach()`` also keeps it."""
        return self.log(ArtifactAttached(artifact=artifact), **place)

    def line(
        self,
        text: str,
        *,
        level: LogLevel = LogLevel.INFO,
        logger: str = "",
        fields: JsonObject | None = None,
        **place: Unpack[Place],
    ) -> StepRef:
        """Log a line of text."""
        return self.log(LogLine(level=level, logger=logger, text=text, fields=fields or {}), **place)


logger = StepLogger()


class StepHandler(logging.Handler):
    """Turns log records into LogLine steps, and the exceptions they carry into ErrorReports under them."""

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, unless it is our own, or was made while one was being logged."""
        if record.name.partition(".")[0] == OWN_LOGGER or getattr(self._busy, "is_true", False):
            return
        self._busy.is_true = True
        try:
            self._log(record)
        except Exception as error:  # noqa: BLE001 - whoever watches must not raise
            failures.note("a log record", error)
        finally:
            self._busy.is_true = False

    def _log(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 - the record's own arguments may raise anything
            text = f"{short_repr(record.msg)} with {short_repr(record.args)} raised {type(error).__name__}"
        level = next((level for number, level in _LEVELS if record.levelno >= number), LogLevel.DEBUG)
        fields = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        episode = episode_here()
        step = _write_line(episode, level, record.name, text, fields, (record.pathname, record.lineno))
        if record.exc_info and record.exc_info[1] is not None:
            write_report(record.exc_info[1], lambda report: episode.log_event(report, parent=step))


def structlog_processor(
    logger: object,  # noqa: ARG001 - what structlog hands to every processor
    method_name: str,
    event_dict: _EventDict,
) -> _EventDict:
    """Log an event of structlog and hand it on unchanged; stands anywhere before the renderer."""
    try:
        _log_event_dict(method_name, event_dict)
    except Exception as error:  # noqa: BLE001 - whoever watches must not raise
        failures.note("a structlog event", error)
    return event_dict


def _log_event_dict(method_name: str, event: Mapping[str, object]) -> None:
    level = str(event.get("level", method_name)).lower()
    fields = {
        name: value
        for name, value in event.items()
        if name not in _STRUCTLOG_FIELDS and not name.startswith("_")
    }
    name = event.get("logger", "")
    text = event.get("event", "")
    episode = episode_here()
    step = _write_line(
        episode,
        _STRUCTLOG_LEVELS.get(level, LogLevel.INFO),
        name if isinstance(name, str) else short_repr(name),
        text if isinstance(text, str) else short_repr(text),
        fields,
    )
    exc = _exception(event.get("exc_info"))
    if exc is not None:
        write_report(exc, lambda report: episode.log_event(report, parent=step))


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple) and len(exc_info) > 1:
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _write_line(
    episode: EpisodeScope,
    level: LogLevel,
    name: str,
    text: str,
    fields: dict[str, object],
    place: tuple[str | None, int | None] = (None, None),
) -> StepRef:
    """Write a line; whatever of it JSON cannot hold, or is too long, is told among its fields."""
    file, line = place
    try:
        plain = LogLine(
            level=level, logger=name, text=text, fields=cast("JsonObject", fields), file=file, line=line
        )
        return episode.log_event(plain)
    except ValidationFailed:
        provider = episode.provider
    converted = convert_object(
        {"text": text, **fields}, "log", provider.keep, provider.settings.step_bytes_max
    )
    provider.note_unstorable(LogLine.kind, converted)
    told = cast("JsonObject", converted.value)
    if told.get("text") == text:
        told = {key: value for key, value in told.items() if key != "text"}
        told |= {} if "text" not in fields else {"text": short_repr(fields["text"])}
    else:
        text = short_repr(text)
    return episode.log_event(
        LogLine(
            level=level,
            logger=printable(name),
            text=text,
            fields=told,
            file=None if file is None else printable(file),
            line=line,
        )
    )
