"""What was so at a step: the conversations, what was open, the files known, the plan, the status.

Knows how the kinds of the core change a state, and which of an episode's rows that takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stepstream.reading.rows import STEP_COLUMNS
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.episode import Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import Identifier
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Message,
    Observation,
    PlanItem,
    PlanUpdate,
    StatusChange,
    ToolCall,
)
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    ModelCall,
    ModelReply,
    TextPart,
    ToolResultPart,
)
from stepstream.schemas.record import JsonValue, Record
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stepstream.reading.database import Reader
    from stepstream.reading.rows import StepRow

_PAGE_STEPS = 500

_RELEVANT_KINDS = (
    ArtifactAttached.kind,
    ErrorReport.kind,
    Message.kind,
    ModelCall.kind,
    ModelReply.kind,
    Observation.kind,
    PlanUpdate.kind,
    StatusChange.kind,
    ToolCall.kind,
)
_RELEVANT = ", ".join(f"'{kind}'" for kind in _RELEVANT_KINDS)


class Conversation(Record):
    """What one agent had said and been told.

    Attributes:
        agent: The agent.
        role: Its role when it last took part.
        changed_at_sequence: The step that changed it last.
        messages: In order, as the agent's next model call would have been sent them.
    """

    agent: str | None
    role: str | None
    changed_at_sequence: int
    messages: tuple[ChatMessage, ...]


class EpisodeState(Record):
    """An episode as it was when a step had just been logged.

    Attributes:
        episode_id: The episode.
        sequence: The step's sequence.
        occurred_at: When it was logged; ns since 1970 UTC.
        status: The episode's status.
        reason: Why it had that status, where it was said.
        agent: Who logged the step.
        role: That agent's role.
        conversations: Every agent's; the one that changed last stands last.
        open_steps: Calls that nothing had closed.
        artifacts: The files known, each once, in the order in which they came.
        plan: The plan; empty where none was made.
    """

    episode_id: Identifier
    sequence: int
    occurred_at: int
    status: Status
    reason: str | None
    agent: str | None
    role: str | None
    conversations: tuple[Conversation, ...]
    open_steps: tuple[Step, ...]
    artifacts: tuple[ArtifactRef, ...]
    plan: tuple[PlanItem, ...]

    @property
    def conversation(self) -> tuple[ChatMessage, ...]:
        """The messages of the conversation that changed last."""
        return self.conversations[-1].messages if self.conversations else ()


class _Conversations:
    """Every agent's conversation while steps go by."""

    def __init__(self) -> None:
        self._messages: dict[str | None, list[ChatMessage]] = {}
        self._roles: dict[str | None, str | None] = {}
        self._changed_at: dict[str | None, int] = {}

    def replace(self, step: Step, messages: tuple[ChatMessage, ...]) -> None:
        """What was sent to the model is what the agent knows."""
        self._touch(step, step.agent)[:] = messages

    def add(self, step: Step, agent: str | None, message: ChatMessage) -> None:
        """One more message for an agent."""
        self._touch(step, agent).append(message)

    def tell(self, step: Step, message: Message) -> None:
        """A message reaches the conversation of its recipient, and stays in that of its author."""
        part = (TextPart(text=message.text),)
        listener = step.agent if message.recipient is None else message.recipient
        if listener != message.author:
            self.add(step, listener, ChatMessage(role=ChatRole.USER, parts=part, name=message.author))
        if message.author in (step.agent, listener) or message.author in self._messages:
            self.add(
                step, message.author, ChatMessage(role=ChatRole.ASSISTANT, parts=part, name=message.author)
            )

    def _touch(self, step: Step, agent: str | None) -> list[ChatMessage]:
        self._changed_at[agent] = step.sequence
        if agent == step.agent:
            self._roles[agent] = step.role
        return self._messages.setdefault(agent, [])

    def all(self) -> tuple[Conversation, ...]:
        """The conversations so far."""
        return tuple(
            Conversation(
                agent=agent,
                role=self._roles.get(agent),
                changed_at_sequence=self._changed_at[agent],
                messages=tuple(messages),
            )
            for agent, messages in sorted(self._messages.items(), key=lambda item: self._changed_at[item[0]])
        )


class _State:
    """An episode's state while steps go by."""

    def __init__(self) -> None:
        self.status = Status.RUNNING
        self.reason: str | None = None
        self.conversations = _Conversations()
        self.open: dict[str, Step] = {}
        self.artifacts: dict[tuple[str, str], ArtifactRef] = {}
        self.plan: tuple[PlanItem, ...] = ()

    def apply(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case a kind
        """Let one step happen."""
        opener = None if step.closes is None else self.open.pop(step.closes, None)
        if step.kind in OPENING_KINDS:
            self.open[step.id] = step
        match step.payload:
            case StatusChange(status=status, reason=reason):
                if self.status is Status.RUNNING:
                    self.status, self.reason = status, reason
            case PlanUpdate(items=items):
                self.plan = items
            case ArtifactAttached(artifact=artifact):
                self._know(artifact)
            case Message() as message:
                self.conversations.tell(step, message)
            case ModelCall(messages=messages):
                if messages:
                    self.conversations.replace(step, messages)
            case ModelReply(message=reply):
                if reply is not None:
                    self.conversations.add(step, step.agent, reply)
            case ToolCall(artifacts=artifacts):
                for artifact in artifacts:
                    self._know(artifact)
            case Observation(artifacts=artifacts, result=result):
                for artifact in artifacts:
                    self._know(artifact)
                self._answer(step, opener, result, is_error=False)
            case ErrorReport(message=text):
                self._answer(step, opener, text, is_error=True)
            case _:
                pass

    def _know(self, artifact: ArtifactRef) -> None:
        self.artifacts.setdefault((artifact.sha256, artifact.name), artifact)

    def _answer(self, step: Step, opener: Step | None, result: JsonValue, *, is_error: bool) -> None:
        """The result of a tool that a model asked for is part of what the agent knows next."""
        if opener is None or not isinstance(opener.payload, ToolCall) or opener.payload.call_id is None:
            return
        part = ToolResultPart(id=opener.payload.call_id, result=result, is_error=is_error)
        message = ChatMessage(role=ChatRole.TOOL, parts=(part,), name=opener.payload.tool)
        self.conversations.add(step, opener.agent, message)


def replay(last: Step, steps: Iterable[Step]) -> EpisodeState:
    """Rebuild the state at a step.

    Args:
        last: The step at which the state is wanted.
        steps: The steps of the relevant kinds up to it, in the order of their sequence.
    """
    state = _State()
    for step in steps:
        state.apply(step)
    return EpisodeState(
        episode_id=last.episode_id,
        sequence=last.sequence,
        occurred_at=last.occurred_at,
        status=state.status,
        reason=state.reason,
        agent=last.agent,
        role=last.role,
        conversations=state.conversations.all(),
        open_steps=tuple(state.open.values()),
        artifacts=tuple(state.artifacts.values()),
        plan=state.plan,
    )


def gather(reader: Reader, episode_id: bytes, at: int | None) -> tuple[Step, Iterator[Step]] | None:
    """What ``replay`` needs, for the last step up to a sequence; None when there is none."""
    upper = (1 << 62) if at is None else at
    rows = reader.select(
        f"SELECT {STEP_COLUMNS} FROM step WHERE episode = (SELECT key FROM episode WHERE id = ?)"
        " AND sequence <= ? ORDER BY sequence DESC LIMIT 1",
        (episode_id, upper),
    )
    if not rows:
        return None
    last = cast("StepRow", rows[0])
    return reader.rows.step(last), _relevant(reader, episode=last[2], upper=last[3])


def _relevant(reader: Reader, episode: int, upper: int) -> Iterator[Step]:
    superseded = _superseded(reader, episode, upper)
    position = -1
    while True:
        rows = cast(
            "list[StepRow]",
            reader.select(
                f"SELECT {STEP_COLUMNS} FROM step WHERE episode = ? AND sequence > ? AND sequence <= ?"
                f" AND kind IN ({_RELEVANT}) ORDER BY sequence LIMIT ?",
                (episode, position, upper, _PAGE_STEPS),
            ),
        )
        yield from (reader.rows.step(row) for row in rows if row[3] not in superseded)
        if len(rows) < _PAGE_STEPS:
            return
        position = rows[-1][3]


def _superseded(reader: Reader, episode: int, upper: int) -> set[int]:
    """The sequences of finished model calls, with their replies, that a later call of their agent repeats.

    A loop that resends its history would otherwise be read once for every turn, which grows quadratically.
    """
    rows = reader.select(
        "SELECT sequence, id, agent, closes, kind = ? AND (payload -> '$.messages') <> '[]' FROM step"
        " WHERE episode = ? AND sequence <= ? AND kind IN (?, ?) ORDER BY sequence",
        (ModelCall.kind, episode, upper, ModelCall.kind, ModelReply.kind),
    )
    turns = cast("list[tuple[int, bytes, str | None, bytes | None, int | None]]", rows)
    latest = {agent: sequence for sequence, _, agent, _, has_messages in turns if has_messages}
    replies = {closes: sequence for sequence, _, _, closes, _ in turns if closes is not None}
    superseded: set[int] = set()
    for sequence, step_id, agent, _, _ in turns:
        reply = replies.get(step_id)
        if reply is not None and max(sequence, reply) < latest.get(agent, -1):
            superseded |= {sequence, reply}
    return superseded
