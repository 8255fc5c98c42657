"""An episode as a graph of roles: who worked, how much, and to whom the work went.

Knows a few columns of a step. Must not know payloads beyond a handoff's recipient.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import Identifier
from stepstream.schemas.kinds import Handoff, ToolCall
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.reading.content import Value

TURN_COLUMNS = (
    "step.sequence, step.kind, step.agent, step.role,"
    f" CASE step.kind WHEN '{Handoff.kind}'"
    " THEN coalesce(step.payload ->> '$.recipient_role', step.payload ->> '$.recipient') END,"
    f" CASE step.kind WHEN '{Handoff.kind}' THEN step.payload ->> '$.recipient' END"
)
TurnRow = tuple[
    int,  # sequence
    str,  # kind
    str | None,  # agent
    str | None,  # role
    str | None,  # a handoff's recipient, by role where one is stated
    str | None,  # a handoff's recipient
]


class RoleEdgeKind(StrEnum):
    """How work came from one role to another."""

    HANDOFF = "handoff"
    CHANGE = "change"


class RoleNode(Record):
    """A role, or an agent without one.

    Attributes:
        name: The role, or the agent where no role is stated.
        agents: Who acted in it, in the order of appearance.
        steps: How many steps it logged.
        errors: How many of them are errors.
        tool_calls: How many of them are tool calls.
    """

    name: str
    agents: tuple[str, ...]
    steps: int
    errors: int
    tool_calls: int


class RoleEdge(Record):
    """Work that went from one role to another.

    Attributes:
        source: The name of the role that had it.
        target: The name of the role that got it.
        kind: Handed over by a Handoff step, or another role simply logged the next step.
        count: How often.
    """

    source: str
    target: str
    kind: RoleEdgeKind
    count: int


class RoleGraph(Record):
    """The roles of an episode, in the order of appearance.

    Attributes:
        episode_id: The episode.
        nodes: The roles.
        edges: What went between them.
        current: The role that logged last.
    """

    episode_id: Identifier
    nodes: tuple[RoleNode, ...]
    edges: tuple[RoleEdge, ...]
    current: str | None


@dataclass(slots=True)
class _Tally:
    agents: dict[str, None] = field(default_factory=dict)
    steps: int = 0
    errors: int = 0
    tool_calls: int = 0


def connect(episode_id: str, rows: Iterable[tuple[Value, ...]]) -> RoleGraph:
    """Count the turns of an episode, whose steps come in the order of their sequence."""
    tallies: dict[str, _Tally] = {}
    edges: Counter[tuple[str, str, RoleEdgeKind]] = Counter()
    homes: dict[str, str] = {}
    handed: list[tuple[str, str, str]] = []
    current: str | None = None
    for _, kind, agent, role, recipient_role, recipient in cast("Iterable[TurnRow]", rows):
        name = role or agent
        if name is None:
            continue
        tally = tallies.setdefault(name, _Tally())
        tally.steps += 1
        tally.errors += kind == ErrorReport.kind
        tally.tool_calls += kind == ToolCall.kind
        if agent is not None:
            tally.agents[agent] = None
            homes[agent] = name
        if current is not None and current != name:
            edges[current, name, RoleEdgeKind.CHANGE] += 1
        current = name
        if recipient_role is not None and recipient is not None:
            handed.append((name, recipient_role, recipient))
    for source, target, recipient in handed:
        # A recipient stated by its agent's name alone stands for the role that agent had.
        home = target if target != recipient or target in tallies else homes.get(recipient, target)
        tallies.setdefault(home, _Tally())
        edges[source, home, RoleEdgeKind.HANDOFF] += 1
    return RoleGraph(
        episode_id=episode_id,
        nodes=tuple(
            RoleNode(
                name=name,
                agents=tuple(tally.agents),
                steps=tally.steps,
                errors=tally.errors,
                tool_calls=tally.tool_calls,
            )
            for name, tally in tallies.items()
        ),
        edges=tuple(
            RoleEdge(source=source, target=target, kind=kind, count=count)
            for (source, target, kind), count in edges.items()
        ),
        current=current,
    )
