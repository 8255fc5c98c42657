"""A step in a line, for every kind of the core and for kinds nobody knows."""

from __future__ import annotations

import pytest

from stepstream.cli.summary import Summary, error_text, summarise, summarise_pair
from stepstream.reading.span import SpanStatus
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Feedback,
    Handoff,
    Intervention,
    InterventionKind,
    LogLevel,
    LogLine,
    Loss,
    LossReason,
    Message,
    Observation,
    PlanItem,
    PlanStatus,
    PlanUpdate,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    Cost,
    ModelCall,
    ModelReply,
    TextPart,
    ToolCallPart,
    Usage,
)
from stepstream.schemas.payload import StepPayload, UnknownPayload
from stepstream.schemas.step import Origin, Step

IDENTITY = "0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11"
FILE = ArtifactRef(sha256="0" * 64, name="bracket.stl", media_type="model/stl", size_bytes=2048)
QUESTION = ChatMessage(role=ChatRole.USER, parts=(TextPart(text="which steel?"),))


def step(payload: StepPayload, *, kind: str | None = None, agent: str | None = "engineer") -> Step:
    """A step that carries a payload."""
    return Step(
        id=id_text(new_id()),
        episode_id=IDENTITY,
        sequence=1,
        cursor=1,
        kind=kind or payload.kind,
        occurred_at=1,
        recorded_at=2,
        agent=agent,
        role=None,
        parent_id=None,
        closes=None,
        schema_version=1,
        origin=Origin(recorder_id=IDENTITY, pid=1, host="here"),
        payload=payload,
    )


CALL = step(ToolCall(tool="simulate", arguments={"thickness_mm": 4.0}))
LINES: list[tuple[StepPayload, Step | None, str]] = [
    (Thought(text="Start."), None, "·||Start."),
    (CALL.payload, None, "▸|simulate|(thickness_mm=4.0)"),
    (Observation(result={"mpa": 180.0}), CALL, "✓|simulate|→ mpa=180.0"),
    (Observation(), CALL, "✓|simulate|"),
    (Observation(cancelled=True), CALL, "⊘|simulate|cancelled"),
    (Observation(result=1, artifacts=(FILE,)), CALL, "✓|simulate|→ 1  bracket.stl"),
    (ErrorReport(message="no", exception_type="a.b.Bad"), CALL, "✗|simulate|Bad: no"),
    (ErrorReport(message="no"), None, "✗||no"),
    (ModelCall(model="small", messages=(QUESTION,)), None, "◇|small|(1 message) which steel?"),
    (
        ModelReply(
            message=ChatMessage(
                role=ChatRole.ASSISTANT,
                parts=(TextPart(text="S355"), ToolCallPart(name="weigh", arguments={"mm": 4})),
            ),
            usage=Usage(input_tokens=12, output_tokens=None),
            cost=Cost(amount=0.02, source="list"),
        ),
        step(ModelCall(model="small")),
        "✓|small|→ S355 weigh(mm=4) (12 + ? tokens) 0.02 USD",
    ),
    (Message(author="anna", text="hello", recipient="engineer"), None, "»|anna → engineer|hello"),
    (Handoff(recipient="reviewer", message="look"), None, "→|reviewer|look"),
    (PlanUpdate(items=(PlanItem(text="a"), PlanItem(text="b"))), None, "≡|plan|○ a  ○ b"),
    (
        PlanUpdate(
            items=(PlanItem(text="a", status=PlanStatus.DONE), PlanItem(text="b", status=PlanStatus.ACTIVE))
        ),
        None,
        "≡|plan|1 of 2 done  ▸ b",
    ),
    (StatusChange(status=Status.RUNNING, start=EpisodeStart(name="a")), None, "○|started|a"),
    (
        StatusChange(status=Status.COMPLETED, end=EpisodeEnd(outcome="accepted", score=0.5)),
        None,
        "✓|ended|accepted, score 0.5",
    ),
    (StatusChange(status=Status.FAILED, reason="why"), None, "✗|ended|failed, why"),
    (Feedback(author="anna", score=0.5, label="good", comment="nice"), None, "★|anna|good, score 0.5, nice"),
    (Feedback(author="engineer", reward=1.0), None, "★||reward 1"),
    (Intervention(action=InterventionKind.PAUSE, author="anna"), None, "!|pause|by anna"),
    (ArtifactAttached(artifact=FILE), None, "▤|bracket.stl|2.0 KiB model/stl"),
    (LogLine(level=LogLevel.INFO, logger="x", text="y"), None, "│|info|x: y"),
    (
        Loss(recorder_id=IDENTITY, first=3, last=4, reason=LossReason.REFUSED, detail="no room"),
        None,
        f"▲|steps lost|refused: numbers 3 to 4 of recorder {IDENTITY}: no room",
    ),
]


def told(summary: Summary) -> str:
    """A summary as one string."""
    return f"{summary.mark.glyph}|{summary.name}|{summary.text}"


@pytest.mark.parametrize(("payload", "opener", "line"), LINES)
def test_every_kind_has_its_line(payload: StepPayload, opener: Step | None, line: str) -> None:
    """A step is told by its sign, what it is about and what there is to say."""
    assert told(summarise(step(payload), opener)) == line


def test_no_kind_of_the_core_is_left_out() -> None:
    """Every kind of the core is among the examples above."""
    assert {payload.kind for payload, _, _ in LINES} == set(CORE_KINDS)


def test_a_kind_nobody_knows_is_told_by_its_fields() -> None:
    """A project's kind is told by its name and fields, with its class and without."""
    unknown = UnknownPayload(unknown_kind="weighing", unknown_version=1, raw={"mass_g": 412.0})

    assert told(summarise(step(unknown, kind="weighing"))) == "◦|weighing|mass_g=412.0"


def test_a_call_and_its_answer_are_one_line() -> None:
    """A call that was answered is told with its answer, a cut-off one with what became of it."""
    answered = summarise_pair(CALL, step(Observation(result=1)), SpanStatus.OK)
    cut_off = summarise_pair(CALL, None, SpanStatus.CUT_OFF)

    assert (answered.mark.glyph, answered.name, answered.text, answered.answer) == (
        "✓",
        "simulate",
        "(thickness_mm=4.0)",
        "→ 1",
    )
    assert (cut_off.mark.glyph, cut_off.answer) == ("‖", "cut off")


def test_a_long_call_leaves_room_for_its_answer() -> None:
    """Where both do not fit, a call's arguments take at most half of what is left."""
    call = step(ToolCall(tool="simulate", arguments={"design": "x" * 300}))
    name, words = summarise_pair(call, step(Observation(result="y" * 300)), SpanStatus.OK).fitted(60)

    assert len(name) + len(words) == 60
    assert "… → yyyy" in words


def test_errors_stand_out() -> None:
    """What went wrong is marked as such, and an error without words still says that it is one."""
    assert summarise(step(ErrorReport(message="no"))).is_error
    assert not summarise(step(Thought(text="fine"))).is_error
    assert error_text(ErrorReport(message="")) == "an error without a message"
