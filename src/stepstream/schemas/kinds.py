"""The core's payload kinds, but for errors and model calls, which have files of their own.

Knows what agents do. Must not know how any of it is stored or shown.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue

from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.identity import Identifier
from stepstream.schemas.payload import StepPayload
from stepstream.schemas.record import JsonObject, Record


class Thought(StepPayload, kind="thought"):
    """What an agent thinks, in its own words."""

    text: str


class ToolCall(StepPayload, kind="tool_call"):
    """A tool starts; an Observation or an ErrorReport closes it.

    Attributes:
        tool: The tool's name.
        arguments: What it was called with, by parameter name.
        call_id: The model's own id of this call, when a model asked for it.
        unstorable: JSON pointers into ``arguments`` where an :class:`Unstorable` stands for a value.
        artifacts: Values that were too long for a step, kept as files.
    """

    tool: str
    arguments: JsonObject = Field(default_factory=dict)
    call_id: str | None = None
    unstorable: tuple[str, ...] = ()
    artifacts: tuple[ArtifactRef, ...] = ()


class Observation(StepPayload, kind="observation"):
    """What came back; it closes the step it answers.

    Attributes:
        result: Any JSON value.
        cancelled: The work was cancelled before it had a result; that is not an error.
        unstorable: JSON pointers into ``result`` where an :class:`Unstorable` stands for a value.
        artifacts: Values that were too long for a step, kept as files.
    """

    result: JsonValue = None
    cancelled: bool = False
    unstorable: tuple[str, ...] = ()
    artifacts: tuple[ArtifactRef, ...] = ()


class Unstorable(Record):
    """What stands in a recorded value at a place whose content could not be kept as it was.

    Attributes:
        path: JSON pointer of the place, from the root of the recorded value.
        type: The Python type, with its module.
        reason: Why it could not be kept.
        repr: A short repr of it.
    """

    path: str
    type: str
    reason: str
    repr: str


class Message(StepPayload, kind="message"):
    """A message from a person or another agent."""

    author: str
    text: str
    recipient: str | None = None


class Handoff(StepPayload, kind="handoff"):
    """One agent hands the work to another."""

    recipient: str
    recipient_role: str | None = None
    message: str = ""


class PlanStatus(StrEnum):
    """How far an item of a plan is."""

    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    DROPPED = "dropped"


class PlanItem(Record):
    """One line of a plan."""

    text: str
    status: PlanStatus = PlanStatus.PENDING


class PlanUpdate(StepPayload, kind="plan_update"):
    """The plan as it stands now, whole."""

    items: tuple[PlanItem, ...]


class StatusChange(StepPayload, kind="status_change"):
    """An episode begins, changes its state or ends.

    Attributes:
        status: The state from here on.
        reason: Why, in words.
        start: What the episode is; on its first step only.
        end: How it went; on its last step only.
    """

    status: Status
    reason: str | None = None
    start: EpisodeStart | None = None
    end: EpisodeEnd | None = None


class Feedback(StepPayload, kind="feedback"):
    """A judgement of a step or an episode by a person, a reviewer agent or a reward model.

    Attributes:
        author: Who judged.
        target: The step that is judged; None means the episode.
        score: A figure on the author's own scale.
        reward: The figure a learner shall see.
        label: A class, such as ``accepted``.
        comment: Words.
    """

    author: str
    target: Identifier | None = None
    score: float | None = None
    reward: float | None = None
    label: str | None = None
    comment: str | None = None


class InterventionKind(StrEnum):
    """What a person ordered."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    MESSAGE = "message"
    APPROVE = "approve"
    DENY = "deny"


class Intervention(StepPayload, kind="intervention"):
    """A person stepped in; what the agent does afterwards is no longer its own policy."""

    action: InterventionKind
    author: str
    text: str | None = None
    target: Identifier | None = None
    edited_arguments: JsonObject | None = None


class ArtifactAttached(StepPayload, kind="artifact_attached"):
    """A file belongs to the episode from here on."""

    artifact: ArtifactRef


class LogLevel(StrEnum):
    """The standard library's levels, by name."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogLine(StepPayload, kind="log_line"):
    """One record of the logging or structlog packages."""

    level: LogLevel
    logger: str
    text: str
    fields: JsonObject = Field(default_factory=dict)
    file: str | None = None
    line: int | None = None


class LossReason(StrEnum):
    """How steps came to be missing."""

    REFUSED = "refused"
    DAMAGED = "damaged"
    MISSING = "missing"
    INVALID = "invalid"


class Loss(StepPayload, kind="loss"):
    """Steps of one recorder that are known to be missing.

    Attributes:
        recorder_id: Whose numbers they are.
        first: The first missing number.
        last: The last missing number; None when nobody can know.
        reason: How they came to be missing.
        detail: What is known about it.
        kept_as: File under ``damaged`` in the spool that keeps the bytes, when there are any.
    """

    recorder_id: Identifier
    first: int
    last: int | None
    reason: LossReason
    detail: str
    kept_as: str | None = None
