"""The outline of an episode: its tree without payloads, page by page.

A node names the node it is under by its sequence, and stands behind it; so whoever has read the pages from
the beginning has the tree, and a page costs the same in an episode of any length.

Says the same of an episode as ``tree.grow`` says of its steps. Knows columns, not payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from stepstream.reading.span import STEP_STATUS_SQL, SpanStatus
from stepstream.reading.timeline import label_of
from stepstream.schemas.identity import Identifier, id_text
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.reading.database import Reader

_LOOKED_UP_AT_ONCE = 500


class OutlineNode(Record):
    """A step and what closed it, without their payloads.

    Attributes:
        sequence: The step's sequence.
        step_id: The step.
        under: The sequence of the node it is under; None for a root.
        closing_sequence: The sequence of the step that closes it, which has no node of its own.
        kind: The step's kind.
        label: A few words: the tool, the model, the beginning of a text.
        agent: Who logged it.
        role: The agent's role.
        status: How it stands; None for what takes no time.
        started_at: When it was logged; ns since 1970 UTC.
        ended_at: When it was closed; None while it is not.
    """

    sequence: int
    step_id: Identifier
    under: int | None
    closing_sequence: int | None
    kind: str
    label: str | None
    agent: str | None
    role: str | None
    status: SpanStatus | None
    started_at: int
    ended_at: int | None


class OutlinePage(Record):
    """Nodes in the order of their sequence.

    Attributes:
        items: The nodes.
        next: The sequence to pass as ``after`` for the next page; None when there is nothing more yet.
        steps: How many steps the episode has, those that close others among them.
        epoch: Which life of the database it is.
    """

    items: tuple[OutlineNode, ...]
    next: int | None
    steps: int
    epoch: str


_FIRST_CLOSER = (
    "(SELECT min(other.sequence) FROM step AS other"
    " WHERE other.closes = step.id AND +other.episode = step.episode AND +other.sequence > step.sequence)"
)
_NODES = (
    "SELECT step.sequence, step.id, step.parent_id, step.closes, closer.sequence, step.kind,"
    f" {label_of('step')}, step.agent, step.role, {STEP_STATUS_SQL}, step.occurred_at, closer.occurred_at"
    " FROM step LEFT JOIN step AS closer"
    f" ON closer.episode = step.episode AND closer.sequence = {_FIRST_CLOSER}"
    " WHERE step.episode = ? AND step.sequence > ? ORDER BY step.sequence LIMIT ?"
)
_NodeRow = tuple[
    int,  # sequence
    bytes,  # id
    bytes | None,  # parent_id
    bytes | None,  # closes
    int | None,  # sequence of what closes it
    str,  # kind
    str | None,  # label
    str | None,  # agent
    str | None,  # role
    str | None,  # status
    int,  # occurred_at
    int | None,  # when it was closed
]


class _Kin(NamedTuple):
    """What has to be known of a step that another one names."""

    sequence: int
    closes: bytes | None
    closed_by: int | None


class _Family:
    """Steps of an episode that a page's steps name, and those that these name in turn."""

    def __init__(self, reader: Reader, key: int) -> None:
        self._reader = reader
        self._key = key
        self._known: dict[bytes, _Kin | None] = {}
        self._folded: dict[int, bool] = {}

    def meet(self, ids: Iterable[bytes | None]) -> None:
        """Look steps up, together with all that they close."""
        waiting = {name for name in ids if name is not None and name not in self._known}
        while waiting:
            batch = [waiting.pop() for _ in range(min(len(waiting), _LOOKED_UP_AT_ONCE))]
            self._known |= dict.fromkeys(batch)
            rows = self._reader.select(
                f"SELECT step.id, step.sequence, step.closes, {_FIRST_CLOSER} FROM step"
                f" WHERE step.id IN ({', '.join('?' * len(batch))}) AND +step.episode = ?",
                (*batch, self._key),
            )
            for row in cast("list[tuple[bytes, int, bytes | None, int | None]]", rows):
                found = self._known[row[0]] = _Kin(row[1], row[2], row[3])
                if found.closes is not None and found.closes not in self._known:
                    waiting.add(found.closes)

    def folds(self, step: _Kin) -> bool:
        """Whether a step has no node of its own, since it is the first that closes another node's."""
        way = [step]
        while way[-1].sequence not in self._folded:
            opener = self._known.get(way[-1].closes or b"")
            if opener is None or opener.closed_by != way[-1].sequence:
                self._folded[way[-1].sequence] = False
            else:
                way.append(opener)
        is_folded = self._folded[way.pop().sequence]
        while way:
            # What closes a step that has no node is a node.
            is_folded = self._folded[way.pop().sequence] = not is_folded
        return is_folded

    def holder(self, step: _Kin, parent: bytes | None) -> int | None:
        """The sequence of the node that a step's node is under."""
        above = self._known.get(parent or b"")
        while above is not None and above.sequence < step.sequence:
            if not self.folds(above):
                return above.sequence
            above = self._known.get(above.closes or b"")
        return None


def outline(reader: Reader, key: int, after: int, limit: int) -> OutlinePage:
    """The nodes of the steps behind a sequence.

    Args:
        reader: The history.
        key: The episode's key.
        after: The sequence behind which the steps stand; -1 for all.
        limit: At most how many steps to look at.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = cast("list[_NodeRow]", reader.select(_NODES, (key, after, limit)))
    family = _Family(reader, key)
    family.meet(name for row in rows for name in (row[2], row[3]))
    items = []
    for row in rows:
        step = _Kin(row[0], row[3], row[4])
        if not family.folds(step):
            items.append(_node(row, family.holder(step, row[2])))
    last = cast("int | None", reader.first("SELECT max(sequence) FROM step WHERE episode = ?", (key,)))
    reached = rows[-1][0] if rows else after
    return OutlinePage(
        items=tuple(items),
        next=reached if last is not None and reached < last else None,
        steps=0 if last is None else last + 1,
        epoch=reader.meta("epoch") or "",
    )


def _node(row: _NodeRow, under: int | None) -> OutlineNode:
    sequence, step_id, _, _, closing, kind, label, agent, role, status, started_at, ended_at = row
    return OutlineNode(
        sequence=sequence,
        step_id=id_text(step_id),
        under=under,
        closing_sequence=closing,
        kind=kind,
        label=label,
        agent=agent,
        role=role,
        status=None if status is None else SpanStatus(status),
        started_at=started_at,
        ended_at=ended_at,
    )
