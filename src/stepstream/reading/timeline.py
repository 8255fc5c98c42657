"""An episode along its clock: a bar for what took time, a mark for what did not.

Knows which columns a bar needs; payloads stay where they are, so that a long episode is drawn fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stepstream.reading.span import CLOSER_STATUS_SQL, SpanStatus, of_closer
from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.episode import Episode, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import Identifier, id_bytes, id_text
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Feedback,
    Handoff,
    Intervention,
    LogLine,
    Loss,
    Message,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import ModelCall
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.reading.content import Value
    from stepstream.schemas.step import Step

LABEL_CHARACTERS_MAX = 120

_LABELS = {
    ArtifactAttached.kind: "$.artifact.name",
    ErrorReport.kind: "$.message",
    Feedback.kind: "$.label",
    Handoff.kind: "$.recipient",
    Intervention.kind: "$.action",
    LogLine.kind: "$.text",
    Loss.kind: "$.detail",
    Message.kind: "$.text",
    ModelCall.kind: "$.model",
    StatusChange.kind: "$.status",
    Thought.kind: "$.text",
    ToolCall.kind: "$.tool",
}
_PATH = " ".join(f"WHEN '{kind}' THEN '{path}'" for kind, path in _LABELS.items())


def label_of(row: str) -> str:
    """SQL for a few words about a row of ``step``; NULL where its kind has none."""
    return f"substr({row}.payload ->> (CASE {row}.kind {_PATH} END), 1, {LABEL_CHARACTERS_MAX})"


MARK_COLUMNS = (
    "step.sequence, step.id, step.kind, step.agent, step.role, step.parent_id, step.closes, step.occurred_at,"
    f" {label_of('step')}, {CLOSER_STATUS_SQL.format(closer='step')}"
)
MarkRow = tuple[
    int,  # sequence
    bytes,  # id
    str,  # kind
    str | None,  # agent
    str | None,  # role
    bytes | None,  # parent_id
    bytes | None,  # closes
    int,  # occurred_at
    str | None,  # label
    str,  # what it says of the step it closes
]


def mark_of(step: Step) -> MarkRow:
    """The same row of a step at hand."""
    return (
        step.sequence,
        id_bytes(step.id),
        step.kind,
        step.agent,
        step.role,
        None if step.parent_id is None else id_bytes(step.parent_id),
        None if step.closes is None else id_bytes(step.closes),
        step.occurred_at,
        _label(step),
        of_closer(step),
    )


def _label(step: Step) -> str | None:
    found: object = step.payload
    for name in _LABELS.get(step.kind, "$.").removeprefix("$.").split("."):
        found = getattr(found, name, None)
    return None if found is None else str(found)[:LABEL_CHARACTERS_MAX]


class Span(Record):
    """Something that took time, or is taking it.

    Attributes:
        step_id: The step that opened it.
        sequence: That step's sequence.
        closing_id: The step that closed it.
        kind: The kind of the step that opened it.
        label: A few words: the tool, the model.
        lane: Where to draw it: the agent and its role.
        agent: Who did it.
        role: The agent's role.
        parent_id: The step it is nested under.
        started_at: ns since 1970 UTC.
        ended_at: The same; None while it is open. What was cut off ends with its episode.
        status: How it stands.
    """

    step_id: Identifier
    sequence: int
    closing_id: Identifier | None
    kind: str
    label: str | None
    lane: str
    agent: str | None
    role: str | None
    parent_id: Identifier | None
    started_at: int
    ended_at: int | None
    status: SpanStatus


class Instant(Record):
    """Something that happened at one moment; the attributes are those of a span."""

    step_id: Identifier
    sequence: int
    kind: str
    label: str | None
    lane: str
    agent: str | None
    role: str | None
    parent_id: Identifier | None
    at: int


class EpisodeTimeline(Record):
    """The spans and instants of an episode, each in the order of their sequence.

    Attributes:
        episode: The episode.
        lanes: Every lane, in the order of appearance.
        spans: What took time.
        instants: What did not.
    """

    episode: Episode
    lanes: tuple[str, ...]
    spans: tuple[Span, ...]
    instants: tuple[Instant, ...]


def lane(agent: str | None, role: str | None) -> str:
    """The name of a lane; empty for what nobody in particular did."""
    return " / ".join(part for part in (agent, role) if part)


def draw(episode: Episode, rows: Iterable[tuple[Value, ...]]) -> EpisodeTimeline:
    """Pair the steps of an episode, which come in the order of their sequence."""
    marks = cast("list[MarkRow]", list(rows))
    closers: dict[bytes, MarkRow] = {}
    passed: set[bytes] = set()
    folded: set[bytes] = set()
    for mark in marks:
        opener = mark[6]
        if opener is not None and opener in passed and opener not in folded and opener not in closers:
            closers[opener] = mark
            folded.add(mark[1])
        passed.add(mark[1])
    spans: list[Span] = []
    instants: list[Instant] = []
    lanes: dict[str, None] = {}
    for mark in marks:
        if mark[1] in folded:
            continue
        closer = closers.get(mark[1])
        if closer is not None or mark[2] in OPENING_KINDS:
            spans.append(_span(episode, mark, closer))
            lanes[spans[-1].lane] = None
        else:
            instants.append(_instant(mark))
            lanes[instants[-1].lane] = None
    return EpisodeTimeline(episode=episode, lanes=tuple(lanes), spans=tuple(spans), instants=tuple(instants))


def _span(episode: Episode, mark: MarkRow, closer: MarkRow | None) -> Span:
    sequence, step_id, kind, agent, role, parent, _, occurred_at, label, _ = mark
    if closer is not None:
        ended_at, status = closer[7], SpanStatus(closer[9])
    elif episode.status is Status.RUNNING:
        ended_at, status = None, SpanStatus.RUNNING
    else:
        ended_at, status = episode.ended_at, SpanStatus.CUT_OFF
    return Span(
        step_id=id_text(step_id),
        sequence=sequence,
        closing_id=None if closer is None else id_text(closer[1]),
        kind=kind,
        label=label,
        lane=lane(agent, role),
        agent=agent,
        role=role,
        parent_id=None if parent is None else id_text(parent),
        started_at=occurred_at,
        ended_at=ended_at,
        status=status,
    )


def _instant(mark: MarkRow) -> Instant:
    sequence, step_id, kind, agent, role, parent, _, occurred_at, label, _ = mark
    return Instant(
        step_id=id_text(step_id),
        sequence=sequence,
        kind=kind,
        label=label,
        lane=lane(agent, role),
        agent=agent,
        role=role,
        parent_id=None if parent is None else id_text(parent),
        at=occurred_at,
    )
