"""An episode as a graph of roles: who worked, how much, and to whom the work went.

Counted in SQL, so that a long episode is not carried through Python step by step. Knows a few columns of a
step. Must not know payloads beyond a handoff's recipient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import Identifier, id_bytes
from stepstream.schemas.kinds import Handoff, ToolCall
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from stepstream.reading.database import Reader

_NAMED = (
    "named AS (SELECT sequence, kind, nullif(agent, '') AS agent,"
    " coalesce(nullif(role, ''), nullif(agent, '')) AS name, payload FROM step"
    " WHERE episode = (SELECT key FROM episode WHERE id = ?))"
)
_WORKED = (
    f"WITH {_NAMED} SELECT name, agent, count(*), sum(kind = '{ErrorReport.kind}'),"
    f" sum(kind = '{ToolCall.kind}'), max(sequence) FROM named WHERE name IS NOT NULL"
    " GROUP BY name, agent ORDER BY min(sequence)"
)
_CHANGED = (
    f"WITH {_NAMED}, turned AS (SELECT sequence, name, lag(name) OVER (ORDER BY sequence) AS before"
    " FROM named WHERE name IS NOT NULL) SELECT before, name, count(*) FROM turned WHERE before <> name"
    " GROUP BY before, name ORDER BY min(sequence)"
)
_HANDED = (
    f"WITH {_NAMED} SELECT name, payload ->> '$.recipient_role', payload ->> '$.recipient', count(*)"
    f" FROM named WHERE name IS NOT NULL AND kind = '{Handoff.kind}'"
    " AND payload ->> '$.recipient' IS NOT NULL"
    " GROUP BY 1, 2, 3 ORDER BY min(sequence)"
)


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
    agents: list[str] = field(default_factory=list)
    steps: int = 0
    errors: int = 0
    tool_calls: int = 0


def connect(reader: Reader, episode_id: str) -> RoleGraph:
    """Count the turns of an episode.

    Raises:
        StoreError: The database cannot be read.
    """
    asked = (id_bytes(episode_id),)
    tallies: dict[str, _Tally] = {}
    homes: dict[str, tuple[int, str]] = {}
    latest = (-1, "")
    worked = cast("list[tuple[str, str | None, int, int, int, int]]", reader.select(_WORKED, asked))
    for name, agent, steps, errors, tool_calls, last in worked:
        tally = tallies.setdefault(name, _Tally())
        tally.steps += steps
        tally.errors += errors
        tally.tool_calls += tool_calls
        latest = max(latest, (last, name))
        if agent is not None:
            tally.agents.append(agent)
            homes[agent] = max(homes.get(agent, (-1, "")), (last, name))
    edges: dict[tuple[str, str, RoleEdgeKind], int] = {}
    for source, target, count in cast("list[tuple[str, str, int]]", reader.select(_CHANGED, asked)):
        edges[source, target, RoleEdgeKind.CHANGE] = count
    handed = cast("list[tuple[str, str | None, str, int]]", reader.select(_HANDED, asked))
    for source, role, recipient, count in handed:
        # A recipient stated by its agent's name alone stands for the role that agent had.
        target = recipient if role is None else role
        home = target if target != recipient or target in tallies else homes.get(recipient, (0, target))[1]
        tallies.setdefault(home, _Tally())
        edge = (source, home, RoleEdgeKind.HANDOFF)
        edges[edge] = edges.get(edge, 0) + count
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
        current=latest[1] if tallies and latest[0] >= 0 else None,
    )
