"""Two episodes side by side: which steps are the same, which changed, which only one of them has.

A call and what closed it are one entry. Entries are the same when agent, kind, tool or model, arguments and
result are; what differs from run to run anyhow, such as ids and places in the code, does not count.

Knows which parts of a payload can be the same in two episodes. How lists are aligned is ``alignment``'s.
"""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from hashlib import blake2b
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic_core import from_json, to_json

from stepstream.reading.alignment import Likeness, align
from stepstream.reading.rows import STEP_COLUMNS
from stepstream.reading.statistics import CostFigures
from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.episode import Episode
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    Feedback,
    Handoff,
    Intervention,
    LogLine,
    Loss,
    Message,
    Observation,
    StatusChange,
    ToolCall,
)
from stepstream.schemas.model_call import ModelCall, ModelReply
from stepstream.schemas.record import JsonObject, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stepstream.reading.alignment import Pair
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import StepRow

STEPS_MAX = 20_000
"""At most so many steps of each episode are compared, from its first one on."""

CHANGES_TOLD_MAX = 500
PATHS_MAX = 20
_PAGE_STEPS = 500
_PAGE_BYTES = 4 * 1024 * 1024
_TOLD_BYTES_MAX = 16 * 1024 * 1024
_VALUE_CHARACTERS_MAX = 200
_PATH_CHARACTERS_MAX = 300

_NAMES = {
    ErrorReport.kind: "exception_type",
    Feedback.kind: "author",
    Handoff.kind: "recipient",
    Intervention.kind: "action",
    LogLine.kind: "logger",
    Loss.kind: "reason",
    Message.kind: "author",
    ModelCall.kind: "model",
    StatusChange.kind: "status",
    ToolCall.kind: "tool",
}
# Ids, places in the code and what ran differ from run to run, and mean nothing here.
_COMPARED = {
    ErrorReport.kind: ("message", "exception_type"),
    LogLine.kind: ("level", "text", "fields"),
    Loss.kind: ("reason",),
    ModelCall.kind: ("messages", "tools", "sampling"),
    ModelReply.kind: ("message", "finish_reason", "cancelled"),
    Observation.kind: ("result", "cancelled"),
    StatusChange.kind: ("status", "reason"),
    ToolCall.kind: ("arguments",),
}


class BlockRelation(StrEnum):
    """How entries of two episodes belong together."""

    SAME = "same"
    CHANGED = "changed"
    ONLY_A = "only_a"
    ONLY_B = "only_b"


class ValueDifference(Record):
    """A place in a value that is not the same on both sides.

    Attributes:
        path: JSON pointer of the place.
        a: The beginning of its JSON in the first episode; None where there is no such place.
        b: The same in the second.
    """

    path: str
    a: str | None
    b: str | None


class ComparedStep(Record):
    """One side of a changed entry.

    Attributes:
        sequence: The step.
        closing_sequence: The step that closes it.
        duration_ns: How long it took.
        tokens: Tokens of a model's call, sent and received.
        cost: What that cost.
    """

    sequence: int
    closing_sequence: int | None
    duration_ns: int | None
    tokens: int | None
    cost: float | None


class StepDifference(Record):
    """What is not the same in a changed entry; of each value the first twenty places.

    Attributes:
        a: The entry in the first episode.
        b: The entry in the second.
        arguments: What it was called with, or what it says.
        result: What came back.
    """

    a: ComparedStep
    b: ComparedStep
    arguments: tuple[ValueDifference, ...]
    result: tuple[ValueDifference, ...]


class AlignedBlock(Record):
    """Entries that stand side by side, and have one relation.

    Attributes:
        relation: How they belong together.
        entries: How many they are; always one where it is changed.
        a_first: The sequence of the first one in the first episode; None where that has none of them.
        a_last: The sequence of the last one.
        b_first: The sequence of the first one in the second episode.
        b_last: The sequence of the last one.
        difference: What changed; None beyond the first of many changes.
    """

    relation: BlockRelation
    entries: int
    a_first: int | None
    a_last: int | None
    b_first: int | None
    b_last: int | None
    difference: StepDifference | None


class ComparedEpisode(Record):
    """One of the two episodes.

    Attributes:
        episode: The episode.
        steps: How many of its steps were compared; at most 20,000.
        entries: How many entries these are.
        is_complete: Whether that is all of them.
        duration_ns: From its first step to its last.
        tokens: Tokens of its model calls, sent and received.
        costs: What these cost, by currency.
    """

    episode: Episode
    steps: int
    entries: int
    is_complete: bool
    duration_ns: int
    tokens: int
    costs: tuple[CostFigures, ...]


class Divergence(Record):
    """The first place at which two episodes are not the same.

    Attributes:
        a_sequence: The step of the first episode; None where it is at its end.
        b_sequence: The step of the second.
    """

    a_sequence: int | None
    b_sequence: int | None


class EpisodeComparison(Record):
    """Two episodes side by side.

    Attributes:
        a: The first.
        b: The second.
        same: How many entries are the same.
        changed: How many changed.
        only_a: How many only the first one has.
        only_b: How many only the second one has.
        first_divergence: Where they part; None when they never do.
        is_minimal: Whether no shorter alignment of what lies between the matches exists.
        blocks: The alignment, from beginning to end.
    """

    a: ComparedEpisode
    b: ComparedEpisode
    same: int
    changed: int
    only_a: int
    only_b: int
    first_divergence: Divergence | None
    is_minimal: bool
    blocks: tuple[AlignedBlock, ...]


class Entry(NamedTuple):
    """A step and what closed it, as far as they are compared.

    Attributes:
        sequence: The step.
        closing_sequence: The step that closed it.
        nature: Agent, kind and name.
        arguments: A digest of what it was called with, or of what it says.
        result: A digest of what came back; None while nothing did.
        duration_ns: How long it took.
        tokens: Tokens of a model's call.
        cost: Amount and currency.
    """

    sequence: int
    closing_sequence: int | None
    nature: tuple[str | None, str, str | None]
    arguments: bytes
    result: bytes | None = None
    duration_ns: int | None = None
    tokens: int | None = None
    cost: tuple[float, str] | None = None


class Entries:
    """The entries of an episode; its rows are added in the order of their sequence."""

    def __init__(self) -> None:
        self.all: list[Entry] = []
        self.steps = 0
        self._began_at = self._ended_at = 0
        self._open: dict[bytes, tuple[int, int]] = {}

    @property
    def duration_ns(self) -> int:
        """From the first row to the last."""
        return self._ended_at - self._began_at

    def add(self, row: StepRow) -> None:
        """One more row."""
        _, step_id, _, sequence, kind, _, occurred_at, _, agent, _, _, closes, _, _, text, pooled = row
        self._began_at = self._began_at if self.steps else occurred_at
        self._ended_at = occurred_at
        self.steps += 1
        payload = _object(text)
        digest = _digest(kind, payload, pooled)
        opened = None if closes is None else self._open.pop(closes, None)
        if opened is None:
            name = payload.get(_NAMES[kind]) if kind in _NAMES else None
            nature = (agent, kind, name if isinstance(name, str) else None)
            if kind in OPENING_KINDS:
                self._open[step_id] = (len(self.all), occurred_at)
            self.all.append(Entry(sequence, None, nature, digest))
        else:
            place, opened_at = opened
            self.all[place] = self.all[place]._replace(
                closing_sequence=sequence,
                result=digest,
                duration_ns=occurred_at - opened_at,
                tokens=_tokens(payload) if kind == ModelReply.kind else None,
                cost=_cost(payload) if kind == ModelReply.kind else None,
            )


def compare(reader: Reader, a: tuple[int, Episode], b: tuple[int, Episode]) -> EpisodeComparison:
    """Put two episodes, each with its key, side by side.

    Raises:
        StoreError: The database cannot be read.
    """
    sides = _read(reader, a[0]), _read(reader, b[0])
    entries_a, entries_b = sides[0].all, sides[1].all
    numbers: dict[object, int] = {}
    pairs, is_minimal = align(_likenesses(entries_a, numbers), _likenesses(entries_b, numbers))
    blocks = _blocks(entries_a, entries_b, pairs, _Changes(reader, a[0], b[0]))
    counts: Counter[BlockRelation] = Counter()
    for block in blocks:
        counts[block.relation] += block.entries
    return EpisodeComparison(
        a=_side(a[1], sides[0]),
        b=_side(b[1], sides[1]),
        same=counts[BlockRelation.SAME],
        changed=counts[BlockRelation.CHANGED],
        only_a=counts[BlockRelation.ONLY_A],
        only_b=counts[BlockRelation.ONLY_B],
        first_divergence=_divergence(blocks, entries_a, entries_b),
        is_minimal=is_minimal,
        blocks=tuple(blocks),
    )


def _read(reader: Reader, key: int) -> Entries:
    entries = Entries()
    position = -1
    while entries.steps < STEPS_MAX:
        rows = reader.page(
            f"SELECT {STEP_COLUMNS} FROM step WHERE episode = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (key, position, min(_PAGE_STEPS, STEPS_MAX - entries.steps)),
            _PAGE_BYTES,
        )
        if not rows:
            break
        for row in rows:
            entries.add(row)
        position = rows[-1][3]
    return entries


def _likenesses(entries: Iterable[Entry], numbers: dict[object, int]) -> list[Likeness]:
    return [
        Likeness(
            exact=numbers.setdefault((entry.nature, entry.arguments), len(numbers)),
            weak=numbers.setdefault(entry.nature, len(numbers)),
        )
        for entry in entries
    ]


def _side(episode: Episode, entries: Entries) -> ComparedEpisode:
    costs: dict[str, float] = {}
    for entry in entries.all:
        if entry.cost is not None:
            amount, currency = entry.cost
            costs[currency] = costs.get(currency, 0.0) + amount
    return ComparedEpisode(
        episode=episode,
        steps=entries.steps,
        entries=len(entries.all),
        is_complete=entries.steps >= episode.steps,
        duration_ns=entries.duration_ns,
        tokens=sum(entry.tokens or 0 for entry in entries.all),
        costs=tuple(
            CostFigures(currency=currency, amount=amount) for currency, amount in sorted(costs.items())
        ),
    )


def _relation(a: Entry | None, b: Entry | None) -> BlockRelation:
    if a is None:
        return BlockRelation.ONLY_B
    if b is None:
        return BlockRelation.ONLY_A
    same = a.arguments == b.arguments and a.result == b.result
    return BlockRelation.SAME if same else BlockRelation.CHANGED


def _blocks(
    a: Sequence[Entry], b: Sequence[Entry], pairs: Iterable[Pair], changes: _Changes
) -> list[AlignedBlock]:
    """Gather what stands side by side and has one relation."""
    blocks: list[AlignedBlock] = []
    sides = ((_at(a, pair.a), _at(b, pair.b)) for pair in pairs)
    for relation, members in groupby(sides, key=lambda side: _relation(*side)):
        together = list(members)
        for run in [[pair] for pair in together] if relation is BlockRelation.CHANGED else [together]:
            (first_a, first_b), (last_a, last_b) = run[0], run[-1]
            blocks.append(
                AlignedBlock(
                    relation=relation,
                    entries=len(run),
                    a_first=None if first_a is None else first_a.sequence,
                    a_last=None if last_a is None else last_a.sequence,
                    b_first=None if first_b is None else first_b.sequence,
                    b_last=None if last_b is None else last_b.sequence,
                    difference=changes.tell(first_a, first_b) if relation is BlockRelation.CHANGED else None,
                )
            )
    return blocks


def _at(entries: Sequence[Entry], place: int | None) -> Entry | None:
    return None if place is None else entries[place]


def _divergence(blocks: Sequence[AlignedBlock], a: Sequence[Entry], b: Sequence[Entry]) -> Divergence | None:
    """The first place at which the episodes are not the same."""
    if not blocks or (blocks[0].relation is BlockRelation.SAME and len(blocks) == 1):
        return None
    shared = blocks[0].entries if blocks[0].relation is BlockRelation.SAME else 0
    return Divergence(
        a_sequence=a[shared].sequence if shared < len(a) else None,
        b_sequence=b[shared].sequence if shared < len(b) else None,
    )


class _Changes:
    """Tells what changed in the first entries that did, as far as that stays brief."""

    def __init__(self, reader: Reader, key_a: int, key_b: int) -> None:
        self._reader = reader
        self._keys = (key_a, key_b)
        self._told = 0
        self._bytes = 0

    def tell(self, a: Entry | None, b: Entry | None) -> StepDifference | None:
        """What changed from one entry to the other; None when enough was told."""
        if a is None or b is None or self._told >= CHANGES_TOLD_MAX or self._bytes >= _TOLD_BYTES_MAX:
            return None
        self._told += 1
        return StepDifference(
            a=_compared(a),
            b=_compared(b),
            arguments=self._between(a.sequence, b.sequence) if a.arguments != b.arguments else (),
            result=self._between(a.closing_sequence, b.closing_sequence) if a.result != b.result else (),
        )

    def _between(self, a: int | None, b: int | None) -> tuple[ValueDifference, ...]:
        return differences(self._value(self._keys[0], a), self._value(self._keys[1], b))

    def _value(self, key: int, sequence: int | None) -> JsonObject:
        """What is compared of a step's payload; nothing where there is no step."""
        if sequence is None:
            return {}
        sql = f"SELECT {STEP_COLUMNS} FROM step WHERE episode = ? AND sequence = ?"
        row = cast("StepRow", self._reader.select(sql, (key, sequence))[0])
        whole = self._reader.rows.payload_json(row)
        self._bytes += len(whole)
        return _selected(row[4], _object(whole))


def differences(a: JsonObject, b: JsonObject) -> tuple[ValueDifference, ...]:
    """The first places at which two values are not the same."""
    found: list[ValueDifference] = []
    waiting: list[tuple[str, object, object]] = [("", a, b)]
    while waiting and len(found) < PATHS_MAX:
        path, left, right = waiting.pop()
        if left == right:
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            keys: list[object] = list(dict.fromkeys((*left, *right)))
            below = [(key, (left.get(key, _MISSING), right.get(key, _MISSING))) for key in keys]
        elif isinstance(left, list) and isinstance(right, list):
            below = list(enumerate(zip_longest(left, right, fillvalue=_MISSING)))
        else:
            place = path[:_PATH_CHARACTERS_MAX]
            found.append(ValueDifference(path=place, a=_shown(left), b=_shown(right)))
            continue
        waiting += [(f"{path}/{_escaped(key)}", *sides) for key, sides in reversed(below)]
    return tuple(found)


_MISSING = object()


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> str | None:
    if value is _MISSING:
        return None
    # A long text is cut before it is written.
    brief = value[:_VALUE_CHARACTERS_MAX] if isinstance(value, str) else value
    return to_json(brief).decode()[:_VALUE_CHARACTERS_MAX]


def _compared(entry: Entry) -> ComparedStep:
    return ComparedStep(
        sequence=entry.sequence,
        closing_sequence=entry.closing_sequence,
        duration_ns=entry.duration_ns,
        tokens=entry.tokens,
        cost=None if entry.cost is None else entry.cost[0],
    )


def _selected(kind: str, payload: JsonObject) -> JsonObject:
    """What of a payload is compared."""
    fields = _COMPARED.get(kind)
    return payload if fields is None else {name: payload.get(name) for name in fields}


def _object(payload: str) -> JsonObject:
    value = from_json(payload)
    return value if isinstance(value, dict) else {}


def _digest(kind: str, payload: JsonObject, pooled: str | None) -> bytes:
    """Tells apart what is compared; what is kept elsewhere by its hash, the same for equal values."""
    value = _selected(kind, payload)
    kept = [] if pooled is None else [place for place in from_json(pooled) if place[0][0] in value]
    text = json.dumps([value, kept], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).digest()


def _tokens(reply: JsonObject) -> int | None:
    match reply.get("usage"):
        case {"input_tokens": sent, "output_tokens": received} if sent is not None or received is not None:
            return sum(count for count in (sent, received) if isinstance(count, int))
        case _:
            return None


def _cost(reply: JsonObject) -> tuple[float, str] | None:
    match reply.get("cost"):
        case {"amount": float() | int() as amount, "currency": str(currency)}:
            return float(amount), currency
        case _:
            return None
