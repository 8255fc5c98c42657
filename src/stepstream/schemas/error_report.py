"""An exception as a step: message, traceback as text and as frames, causes and groups."""

from __future__ import annotations

import linecache
import traceback
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from stepstream.schemas.payload import StepPayload
from stepstream.schemas.record import Record, printable

if TYPE_CHECKING:
    from types import TracebackType

_DEPTH_MAX = 16
_FRAMES_MAX = 200
_TRACEBACK_CHARACTERS_MAX = 256 * 1024
_GROUP_MAX = 64
_REPORTS_MAX = 256


class Frame(Record):
    """One line of a traceback, outermost first."""

    file: str
    line: int
    function: str
    code: str | None = None


class Relation(StrEnum):
    """How an earlier exception belongs to a later one."""

    CAUSE = "cause"
    CONTEXT = "context"


class ExceptionReport(Record):
    """An exception inside another one: its cause, its context or a member of its group."""

    message: str
    exception_type: str
    frames: tuple[Frame, ...] = ()
    relation: Relation | None = None
    cause: ExceptionReport | None = None
    exceptions: tuple[ExceptionReport, ...] = ()


class ErrorReport(StepPayload, kind="error_report"):
    """Something went wrong.

    Attributes:
        message: What the exception says.
        exception_type: Its class, with the module unless it is a builtin.
        traceback: The full text as the interpreter prints it, causes included.
        frames: The same as data, outermost first.
        cause: The exception it was raised from, or while handling which it was raised.
        exceptions: The members of an exception group.
    """

    message: str
    exception_type: str | None = None
    traceback: str | None = None
    frames: tuple[Frame, ...] = ()
    cause: ExceptionReport | None = None
    exceptions: tuple[ExceptionReport, ...] = ()

    @classmethod
    def from_exception(cls, exc: BaseException) -> Self:
        """Describe an exception; never raises, whatever the exception's own methods do."""
        seen = {id(exc)}
        return cls(
            message=_message(exc),
            exception_type=_type_name(exc),
            traceback=_traceback_text(exc),
            frames=_frames(exc.__traceback__),
            cause=_cause(exc, 0, seen),
            exceptions=_members(exc, 0, seen),
        )


def _report(exc: BaseException, relation: Relation | None, depth: int, seen: set[int]) -> ExceptionReport:
    seen.add(id(exc))
    return ExceptionReport(
        message=_message(exc),
        exception_type=_type_name(exc),
        frames=_frames(exc.__traceback__),
        relation=relation,
        cause=_cause(exc, depth, seen),
        exceptions=_members(exc, depth, seen),
    )


def _cause(exc: BaseException, depth: int, seen: set[int]) -> ExceptionReport | None:
    if exc.__cause__ is not None:
        earlier, relation = exc.__cause__, Relation.CAUSE
    elif exc.__context__ is not None and not exc.__suppress_context__:
        earlier, relation = exc.__context__, Relation.CONTEXT
    else:
        return None
    if not _has_room(earlier, depth, seen):
        return None
    return _report(earlier, relation, depth + 1, seen)


def _members(exc: BaseException, depth: int, seen: set[int]) -> tuple[ExceptionReport, ...]:
    if not isinstance(exc, BaseExceptionGroup):
        return ()
    return tuple(
        _report(member, None, depth + 1, seen)
        for member in exc.exceptions[:_GROUP_MAX]
        if _has_room(member, depth, seen)
    )


def _has_room(exc: BaseException, depth: int, seen: set[int]) -> bool:
    """Whether an exception is still to be told: each one once, and not without end where groups nest."""
    return depth < _DEPTH_MAX and len(seen) < _REPORTS_MAX and id(exc) not in seen


def _message(exc: BaseException) -> str:
    try:
        return printable(str(exc))
    except Exception as error:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{type(exc).__name__} whose str() raised {type(error).__name__}>"


def _type_name(exc: BaseException) -> str:
    cls = type(exc)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _traceback_text(exc: BaseException) -> str:
    try:
        text = printable("".join(traceback.format_exception(exc)))
    except Exception as error:  # noqa: BLE001 - formatting runs foreign code
        return f"<the traceback of {type(exc).__name__} could not be formatted: {type(error).__name__}>"
    if len(text) <= _TRACEBACK_CHARACTERS_MAX:
        return text
    half = _TRACEBACK_CHARACTERS_MAX // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _frames(tb: TracebackType | None) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    while tb is not None:
        code = tb.tb_frame.f_code
        line = linecache.getline(code.co_filename, tb.tb_lineno, tb.tb_frame.f_globals).strip()
        frames.append(
            Frame(
                file=printable(code.co_filename),
                line=tb.tb_lineno or 0,
                function=printable(code.co_name),
                code=printable(line) or None,
            )
        )
        tb = tb.tb_next
    if len(frames) > _FRAMES_MAX:
        half = _FRAMES_MAX // 2
        frames = frames[:half] + frames[-half:]
    return tuple(frames)
