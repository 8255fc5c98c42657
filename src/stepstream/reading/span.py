"""What takes time is two steps, one that opens and one that closes; this says how such a pair stands.

The same rules twice: over Step objects, and as SQL over the tables ``step`` and ``episode``. A step is closed
by the first step that names it; later ones are findings of ``verify``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.episode import Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, StatusChange
from stepstream.schemas.model_call import ModelReply

if TYPE_CHECKING:
    from stepstream.schemas.step import Step


class SpanStatus(StrEnum):
    """How something that takes time stands.

    ``CUT_OFF`` is what was open when its episode ended, by its own end or because its process died.
    """

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    CUT_OFF = "cut_off"


def of_closer(closer: Step) -> SpanStatus:
    """What the step that closes another says of it."""
    match closer.payload:
        case ErrorReport():
            return SpanStatus.ERROR
        case Observation(cancelled=True) | ModelReply(cancelled=True):
            return SpanStatus.CANCELLED
        case _:
            return SpanStatus.OK


def of_episode(status: Status) -> SpanStatus:
    """The state of an episode in the words of a span."""
    match status:
        case Status.RUNNING:
            return SpanStatus.RUNNING
        case Status.COMPLETED:
            return SpanStatus.OK
        case Status.FAILED:
            return SpanStatus.ERROR
        case Status.CANCELLED:
            return SpanStatus.CANCELLED
        case Status.INTERRUPTED:
            return SpanStatus.CUT_OFF
        case _:
            assert_never(status)


def of_step(step: Step, closer: Step | None, *, ended: bool) -> SpanStatus | None:
    """How a step stands; None for one that takes no time and tells of no end.

    Args:
        step: Any step.
        closer: The step that closes it, when there is one.
        ended: Whether its episode has ended.
    """
    if closer is not None:
        return of_closer(closer)
    if step.kind in OPENING_KINDS:
        return SpanStatus.CUT_OFF if ended else SpanStatus.RUNNING
    if isinstance(step.payload, StatusChange):
        return of_episode(step.payload.status)
    if step.closes is not None or isinstance(step.payload, ErrorReport):
        return of_closer(step)
    return None


_OPENING = ", ".join(f"'{kind}'" for kind in sorted(OPENING_KINDS))

EPISODE_STATUS_SQL = (
    "CASE {column} " + " ".join(f"WHEN '{status}' THEN '{of_episode(status)}'" for status in Status) + " END"
)
"""The state of an episode in the words of a span; ``{column}`` holds its own."""

CLOSER_STATUS_SQL = (
    f"CASE WHEN {{closer}}.kind = '{ErrorReport.kind}' THEN '{SpanStatus.ERROR}'"
    f" WHEN {{closer}}.kind IN ('{Observation.kind}', '{ModelReply.kind}')"
    f" AND {{closer}}.payload ->> '$.cancelled' THEN '{SpanStatus.CANCELLED}'"
    f" ELSE '{SpanStatus.OK}' END"
)
"""What a closing row says of the step it closes."""

CLOSER_SQL = (
    "(SELECT {value} FROM step AS closer WHERE closer.closes = step.id ORDER BY closer.cursor LIMIT 1)"
)
"""Something of the row that closes ``step``; NULL when nothing does."""

OPENER_SQL = "(SELECT {value} FROM step AS opener WHERE opener.id = step.closes)"
"""Something of the row that ``step`` closes; NULL when there is none."""

_STATED = EPISODE_STATUS_SQL.format(column="(step.payload ->> '$.status')")
STEP_STATUS_SQL = (
    f"coalesce({CLOSER_SQL.format(value=CLOSER_STATUS_SQL.format(closer='closer'))},"
    f" CASE WHEN step.kind IN ({_OPENING}) THEN"
    f" (SELECT CASE WHEN ended_at IS NULL THEN '{SpanStatus.RUNNING}' ELSE '{SpanStatus.CUT_OFF}' END"
    " FROM episode WHERE episode.key = step.episode)"
    f" WHEN step.kind = '{StatusChange.kind}' THEN {_STATED}"
    f" WHEN step.closes IS NOT NULL OR step.kind = '{ErrorReport.kind}'"
    f" THEN {CLOSER_STATUS_SQL.format(closer='step')} END)"
)
"""How a row of ``step`` stands; NULL as :func:`of_step` has None."""

DURATION_SQL = (
    f"coalesce({CLOSER_SQL.format(value='closer.occurred_at')} - step.occurred_at,"
    f" step.occurred_at - {OPENER_SQL.format(value='opener.occurred_at')})"
)
"""How long it took between ``step`` and its other half, in ns; NULL without one."""
