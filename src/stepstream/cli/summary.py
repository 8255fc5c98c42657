"""A step in a line: a sign, a name and some words.

Knows every kind of the core, and how a kind nobody knows is told by its fields. What comes out is raw text of
agents; whoever shows it makes it neutral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json

from stepstream.cli.brief import brief, brief_arguments, brief_fields
from stepstream.cli.figures import bytes_held, counted
from stepstream.cli.output import Ink
from stepstream.cli.untrusted import columns, fit, one_line
from stepstream.reading.span import SpanStatus
from stepstream.schemas.episode import Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Feedback,
    Handoff,
    Intervention,
    LogLine,
    Loss,
    Message,
    Observation,
    PlanStatus,
    PlanUpdate,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import ModelCall, ModelReply, ReasoningPart, TextPart, ToolCallPart
from stepstream.schemas.payload import UnknownPayload

if TYPE_CHECKING:
    from stepstream.schemas.model_call import ChatMessage
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.step import Step

ARROW = "→"


class Mark(NamedTuple):
    """A sign and its ink."""

    glyph: str
    ink: str = Ink.PLAIN


SPAN_MARKS = {
    SpanStatus.RUNNING: Mark("▸", Ink.CYAN),
    SpanStatus.OK: Mark("✓", Ink.GREEN),
    SpanStatus.ERROR: Mark("✗", Ink.ERROR),
    SpanStatus.CANCELLED: Mark("⊘", Ink.YELLOW),
    SpanStatus.CUT_OFF: Mark("‖", Ink.YELLOW),
}
EPISODE_MARKS = {
    Status.RUNNING: SPAN_MARKS[SpanStatus.RUNNING],
    Status.COMPLETED: SPAN_MARKS[SpanStatus.OK],
    Status.FAILED: SPAN_MARKS[SpanStatus.ERROR],
    Status.CANCELLED: SPAN_MARKS[SpanStatus.CANCELLED],
    Status.INTERRUPTED: SPAN_MARKS[SpanStatus.CUT_OFF],
}
PLAN_SIGNS = {
    PlanStatus.PENDING: "○",
    PlanStatus.ACTIVE: "▸",
    PlanStatus.DONE: "✓",
    PlanStatus.DROPPED: "⊘",
}


class Summary(NamedTuple):
    """A step in a line.

    Attributes:
        mark: The sign before it.
        name: What it is about: a tool, a model, a kind.
        text: What there is to say.
        is_error: Whether it should stand out.
        answer: What came of it; beside a long text it keeps a part of the line to itself.
    """

    mark: Mark
    name: str
    text: str
    is_error: bool = False
    answer: str = ""

    def fitted(self, columns_max: int) -> tuple[str, str]:
        """Name and words, neutral, in one line of at most so many columns."""
        name = one_line(self.name, columns_max)
        room = columns_max - columns(name)
        gap = "" if not name or self.text.startswith("(") else " "
        room -= len(gap)
        if room <= 0 or not (self.text or self.answer):
            return name, ""
        text, answer = one_line(self.text, columns_max), one_line(self.answer, columns_max)
        if answer:
            answer = f" {answer}" if text else answer
            half = max(room // 2, room - columns(answer))
            text = fit(text, half)
            answer = fit(answer, room - columns(text))
        return name, gap + fit(text, room) + answer


def summarise(step: Step, opener: Step | None = None) -> Summary:
    """Tell a step; where it closes another one, in that one's name."""
    about = name_of(opener) if opener is not None else ""
    match step.payload:
        case Observation(cancelled=True):
            return Summary(SPAN_MARKS[SpanStatus.CANCELLED], about, "cancelled")
        case Observation(result=result, artifacts=artifacts):
            kept = f"  {', '.join(artifact.name for artifact in artifacts)}" if artifacts else ""
            text = f"{ARROW} {brief(result)}{kept}" if result is not None or kept else ""
            return Summary(SPAN_MARKS[SpanStatus.OK], about, text)
        case ErrorReport() as error:
            return Summary(SPAN_MARKS[SpanStatus.ERROR], about, error_text(error), is_error=True)
        case ModelReply() as reply:
            cancelled = SPAN_MARKS[SpanStatus.CANCELLED]
            mark = cancelled if reply.cancelled else SPAN_MARKS[SpanStatus.OK]
            return Summary(mark, about or reply.model or "", f"{ARROW} {_reply(reply)}")
        case payload:
            return _told(payload, step)


def summarise_pair(step: Step, closing: Step | None, status: SpanStatus | None) -> Summary:
    """Tell what takes time together with what closed it."""
    if status is None or isinstance(step.payload, StatusChange | ErrorReport):
        return summarise(step)
    opening = _told(step.payload, step)
    answer = "cut off" if status is SpanStatus.CUT_OFF else ""
    if closing is not None:
        end = summarise(closing, step)
        answer = "" if end.is_error else end.text
    return Summary(SPAN_MARKS[status], opening.name, opening.text, answer=answer)


def name_of(step: Step) -> str:
    """What a step that takes time is called."""
    match step.payload:
        case ToolCall(tool=tool):
            return tool
        case ModelCall(model=model):
            return model
        case payload:
            return payload.kind


def error_text(error: ErrorReport) -> str:
    """An error's type, without its module, and its message."""
    kind = (error.exception_type or "").rpartition(".")[2]
    return ": ".join(part for part in (kind, error.message) if part) or "an error without a message"


def status_text(status: Status, outcome: str | None, score: float | None, reason: str | None) -> str:
    """How an episode stands or ended, in words."""
    said = [outcome] if outcome else [status.value]
    if score is not None:
        said.append(f"score {score:g}")
    if reason:
        said.append(reason)
    return ", ".join(said)


def message_text(message: ChatMessage) -> str:
    """What a message of a conversation says."""
    said = []
    for part in message.parts:
        match part:
            case TextPart(text=text) | ReasoningPart(text=text):
                said.append(text)
            case ToolCallPart(name=name, arguments=arguments):
                said.append(f"{name}{brief_arguments(arguments)}")
            case other:
                fields = from_json(other.model_dump_json(exclude={"type"}, exclude_none=True))
                said.append(f"{other.type}: {brief_fields(fields)}")
    return " ".join(said)


def _told(payload: StepPayload, step: Step) -> Summary:  # noqa: C901, PLR0911, PLR0912 - one case a kind
    match payload:
        case Thought(text=text):
            return Summary(Mark("·", Ink.DIM), "", text)
        case ToolCall(tool=tool, arguments=arguments):
            return Summary(SPAN_MARKS[SpanStatus.RUNNING], tool, brief_arguments(arguments))
        case ModelCall(model=model, messages=messages):
            last = message_text(messages[-1]) if messages else ""
            sent = f"({counted(len(messages), 'message')}) {last}" if messages else ""
            return Summary(Mark("◇", Ink.CYAN), model, sent)
        case Message(author=author, recipient=recipient, text=text):
            way = f"{author} {ARROW} {recipient}" if recipient else author
            return Summary(Mark("»"), way, text)
        case Handoff(recipient=recipient, message=message):
            return Summary(Mark(ARROW, Ink.BOLD), recipient, message)
        case PlanUpdate(items=items):
            return Summary(Mark("≡"), "plan", _plan(payload) if items else "emptied")
        case StatusChange():
            return _status(payload)
        case Feedback():
            author = "" if payload.author in {step.agent, step.role} else payload.author
            return Summary(Mark("★", Ink.YELLOW), author, _feedback(payload))
        case Intervention(action=action, author=author, text=text):
            return Summary(
                Mark("!", Ink.YELLOW), action.value, " ".join(filter(None, (f"by {author}", text)))
            )
        case ArtifactAttached(artifact=file):
            where = f" at {file.path}" if file.path else ""
            return Summary(Mark("▤"), file.name, f"{bytes_held(file.size_bytes)} {file.media_type}{where}")
        case LogLine(level=level, logger=logger, text=text):
            return Summary(Mark("│", Ink.DIM), level.value, f"{logger}: {text}")
        case Loss() as loss:
            return Summary(Mark("▲", Ink.ERROR), "steps lost", loss_text(loss), is_error=True)
        case UnknownPayload(raw=raw):
            return Summary(Mark("◦"), step.kind, brief_fields(raw))
        case _:
            return Summary(Mark("◦"), step.kind, brief_fields(from_json(payload.encoded())))


def loss_text(loss: Loss) -> str:
    """Which steps are missing and why."""
    match loss.last:
        case None:
            which = f"from number {loss.first}, how many nobody knows"
        case last if last == loss.first:
            which = f"number {last}"
        case last:
            which = f"numbers {loss.first} to {last}"
    kept = f"; the bytes are in {loss.kept_as}" if loss.kept_as else ""
    return f"{loss.reason.value}: {which} of recorder {loss.recorder_id}: {loss.detail}{kept}"


def _status(change: StatusChange) -> Summary:
    if change.start is not None:
        text = ", ".join(
            filter(None, (change.start.name, change.start.problem and f"problem {change.start.problem}"))
        )
        return Summary(Mark("○", Ink.BOLD), "started", text)
    end = change.end
    outcome, score = (None, None) if end is None else (end.outcome, end.score)
    text = status_text(change.status, outcome, score, change.reason)
    mark = EPISODE_MARKS[change.status]
    is_error = change.status is Status.FAILED
    return Summary(
        mark, "ended" if change.status is not Status.RUNNING else "running", text, is_error=is_error
    )


def _plan(plan: PlanUpdate) -> str:
    over = sum(item.status in {PlanStatus.DONE, PlanStatus.DROPPED} for item in plan.items)
    if over == len(plan.items):
        return f"all {over} done"
    active = [item for item in plan.items if item.status is PlanStatus.ACTIVE]
    shown = active or plan.items
    told = "  ".join(f"{PLAN_SIGNS[item.status]} {item.text}" for item in shown)
    return f"{over} of {len(plan.items)} done  {told}" if over or active else told


def _feedback(feedback: Feedback) -> str:
    figures = (("score", feedback.score), ("reward", feedback.reward))
    said = [f"{name} {value:g}" for name, value in figures if value is not None]
    return ", ".join([*filter(None, (feedback.label,)), *said, *filter(None, (feedback.comment,))])


def _reply(reply: ModelReply) -> str:
    said = [message_text(reply.message)] if reply.message is not None else []
    if reply.usage is not None:
        used = (reply.usage.input_tokens, reply.usage.output_tokens)
        said.append(f"({'?' if used[0] is None else used[0]} + {'?' if used[1] is None else used[1]} tokens)")
    if reply.cost is not None:
        said.append(f"{reply.cost.amount:g} {reply.cost.currency}")
    if reply.cancelled:
        said.append("cancelled")
    return " ".join(said)
