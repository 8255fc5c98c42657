"""From frames to a batch: whole, in order, and nothing missing that is not told.

Knows what a frame means. Must not know files or SQL, nor how a step gets its place: that is the ledger's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepstream.schemas.identity import NO_ID
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.record import refusal
from stepstream.spool.frame import ENVELOPE, FrameKind, is_torn
from stepstream.spool.segment import SegmentState
from stepstream.store.batch import OffsetMove, RecorderState
from stepstream.store.ledger import WITHHELD
from stepstream.store.validation import Invalid, SchemaAnnouncement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.spool.frame import Frame
    from stepstream.spool.reader import SegmentReader
    from stepstream.store.batch import Batch
    from stepstream.store.ledger import Entry, Ledger

_NAMES_REMEMBERED = 4096
_NUMBER_MAX = 2**48
_ENVELOPE_BYTES = ENVELOPE.size
_ID_BYTES = len(NO_ID)
_unpack = ENVELOPE.unpack_from
_STEP = FrameKind.STEP.value
_SCHEMA = FrameKind.SCHEMA.value
_DELTA = FrameKind.DELTA.value


Taken = tuple["Frame", "SegmentReader"]
"""A frame and the segment it was taken from."""


class Assembler:
    """Turns frames into batches."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._names: dict[bytes, tuple[str, str | None, str | None]] = {}
        self._told: set[str] = set()
        self._items: list[Taken] = []
        self._entries: list[Entry] = []
        self._payloads: list[bytes] = []
        self.rejected: set[tuple[str, int]] = set()

    def assemble(self, taken: Sequence[Taken]) -> Batch:
        """Make a batch of frames that stand in causal order."""
        batch = self._begin()
        ends: dict[SegmentReader, int] = {}
        recorder: RecorderState | None = None
        latest: SegmentReader | None = None
        for item in taken:
            (_, number, kind, wall, body, end), reader = item
            if recorder is None or reader is not latest:
                latest, recorder = reader, self._recorder(reader)
            ends[reader] = end
            if number != recorder.last_number + 1:
                if number <= recorder.last_number:
                    self._look_back(item, recorder)
                    continue
                self._flush()
                if number > _NUMBER_MAX:
                    self._reject_number(item, recorder)
                    continue
                self._gap(recorder, reader, number - 1, end)
            recorder.last_number = number
            if kind == _STEP:
                if self._read_step(item, recorder, wall, body):
                    continue
                self._flush()
                self._reject(item, recorder, "its envelope cannot be read, or the database refuses it")
            elif kind != _DELTA:
                self._flush()
                self._announce(item, recorder)
        self._flush()
        for reader, end in ends.items():
            self._move(batch, reader, end, finished=False)
        return batch

    def _begin(self) -> Batch:
        for gathered in (self._items, self._entries, self._payloads):
            gathered.clear()
        if len(self._names) > _NAMES_REMEMBERED:
            self._names.clear()
        self._told.clear()
        return self.ledger.begin()

    def _look_back(self, item: Taken, recorder: RecorderState) -> None:
        """Pass over what is stored already, as a rule; not what a segment held that was read too late."""
        _, _, kind, wall, body, _ = item[0]
        if kind == _STEP and not self.ledger.has_step(body[:_ID_BYTES]):
            self._read_step(item, recorder, wall, body)
        elif kind == _SCHEMA:
            self._flush()
            self._announce(item, recorder)

    def conclude(self, reader: SegmentReader, *, recorder_ended: bool) -> Batch:
        """Make the batch that finishes a segment nobody writes to any more, and its recorder with it."""
        batch = self._begin()
        recorder = self._recorder(reader)
        tail = reader.tail()
        if tail and not is_torn(tail, reader.seed):
            reader.pass_over(reader.position + len(tail))
        tally = reader.tally()
        counted = tally is not None and tally.state is not SegmentState.OPEN
        if tally is not None and tally.next_number > recorder.last_number + 1:
            self._gap(recorder, reader, tally.next_number - 1, reader.position)
            recorder.last_number = tally.next_number - 1
        elif recorder_ended and not counted and (kept := reader.kept_aside(reader.position)) is not None:
            first, detail = recorder.last_number + 1, f"{len(tail)} bytes are no frame"
            self.ledger.lose(recorder, first, None, LossReason.DAMAGED, detail, kept)
        if recorder_ended:
            self.ledger.end_recorder(recorder)
        self._move(batch, reader, reader.position, finished=True)
        return batch

    def give_up(self, recorder_id: bytes) -> Batch:
        """Make the batch that ends a recorder whose last segment somebody removed before it was read."""
        batch = self._begin()
        recorder = self.ledger.find_recorder(recorder_id)
        if recorder is not None:
            first = recorder.last_number + 1
            detail = "its last segment was removed before it was finished"
            self.ledger.lose(recorder, first, None, LossReason.MISSING, detail)
            self.ledger.end_recorder(recorder)
        return batch

    # -- recorders and their numbers

    def _recorder(self, reader: SegmentReader) -> RecorderState:
        known = self.ledger.find_recorder(reader.recorder_id)
        if known is not None:
            return known
        header = reader.header
        recorder = RecorderState(
            id=reader.recorder_id,
            pid=header.pid,
            host=header.host,
            boot_id=header.boot_id,
            release=header.release,
            started_at=header.created_at,
        )
        self.ledger.enter(recorder)
        return recorder

    def _gap(self, recorder: RecorderState, reader: SegmentReader, last: int, before: int) -> None:
        first = recorder.last_number + 1
        tally = reader.tally()
        refused = (0 if tally is None else tally.refused) - recorder.refused
        kept = reader.kept_aside(before)
        lose = self.ledger.lose
        if kept is not None and kept not in self._told:
            self._told.add(kept)
            lose(recorder, first, last, LossReason.DAMAGED, "bytes in the spool are no frames", kept)
        elif refused >= last - first + 1:
            recorder.refused += last - first + 1
            lose(recorder, first, last, LossReason.REFUSED, "there was no room for them")
        else:
            lose(recorder, first, last, LossReason.MISSING, "a part of the spool was removed")

    # -- steps

    def _read_step(self, item: Taken, recorder: RecorderState, wall: int, body: bytes) -> bool:
        if len(body) < _ENVELOPE_BYTES or (self.rejected and _name_of(item) in self.rejected):
            return False
        step, episode, parent, closes, occurred, version, _, kind_bytes, agent_bytes, role_bytes = _unpack(
            body
        )
        start = _ENVELOPE_BYTES + kind_bytes + agent_bytes + role_bytes
        # The lengths stand in front of the names, so that equal bytes mean equal names.
        key = body[_ENVELOPE_BYTES - 6 : start]
        names = self._names.get(key)
        if names is None:
            if start > len(body):
                return False
            try:
                names = self._names[key] = _read_names(body, kind_bytes, agent_bytes, role_bytes)
            except UnicodeDecodeError:
                return False
        self._items.append(item)
        self._entries.append(
            (
                recorder,
                step,
                episode,
                None if parent == NO_ID else parent,
                None if closes == NO_ID else closes,
                occurred or wall,
                version,
                *names,
            )
        )
        self._payloads.append(body[start:])
        return True

    def _flush(self) -> None:
        """Redact, check and number what has been gathered."""
        items, entries, payloads = self._items, self._entries, self._payloads
        if not entries:
            return
        self.ledger.redact(entries, payloads)
        check, add = self.ledger.check, self.ledger.add
        for item, entry, payload in zip(items, entries, payloads, strict=True):
            if payload is WITHHELD:
                self._withhold(item, entry)
                continue
            try:
                value = check(entry[7], entry[6], payload)
            except Invalid as problem:
                self._reject(item, entry[0], str(problem))
                continue
            add(entry, value, payload)
        items.clear()
        entries.clear()
        payloads.clear()

    def _withhold(self, item: Taken, entry: Entry) -> None:
        """A step that cannot be told without its secrets is not told, and its bytes are not kept aside."""
        number = item[0][1]
        detail = f"a {entry[7]} could not be redacted and stay what it is; it was withheld"
        self.ledger.lose(entry[0], number, number, LossReason.INVALID, detail)

    def _announce(self, item: Taken, recorder: RecorderState) -> None:
        if item[0][2] != _SCHEMA:
            self._reject(item, recorder, f"nobody here knows frames of kind {item[0][2]}")
            return
        try:
            if _name_of(item) in self.rejected:
                raise Invalid("the database refuses it")
            redacted = self.ledger.redact_aside(item[0][4])
            self.ledger.announce(SchemaAnnouncement.model_validate_json(redacted))
        except ValidationError as problem:
            self._reject(item, recorder, f"a schema frame: {refusal('schema', problem).problems[0].reason}")
        except Invalid as problem:
            self._reject(item, recorder, f"a schema frame: {problem}")

    def _reject_number(self, item: Taken, recorder: RecorderState) -> None:
        (_, number, _, _, body, end), reader = item
        kept = reader.keep_aside(end - len(body), end)
        detail = f"a frame calls itself number {number}"
        self.ledger.lose(recorder, recorder.last_number + 1, None, LossReason.INVALID, detail, kept)

    def _reject(self, item: Taken, recorder: RecorderState, reason: str) -> None:
        (_, number, _, _, body, end), reader = item
        kept = reader.keep_aside(end - len(body), end)
        # A reason quotes what it is about, which may be a secret that stands outside of any payload.
        try:
            detail = from_json(self.ledger.redact_aside(to_json(reason)))[:500]
        except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything
            detail = f"why cannot be told: redaction failed with {type(error).__name__}"
        self.ledger.lose(recorder, number, number, LossReason.INVALID, detail, kept)

    def _move(self, batch: Batch, reader: SegmentReader, end: int, *, finished: bool) -> None:
        recorder = self._recorder(reader)
        before = reader.consumed if reader.is_known else None
        batch.offsets.append(OffsetMove(reader.name, recorder.key, before, end, finished))


def _name_of(item: Taken) -> tuple[str, int]:
    """What tells a frame from all others."""
    return item[1].name, item[0][1]


def _read_names(body: bytes, kind: int, agent: int, role: int) -> tuple[str, str | None, str | None]:
    agent_at = _ENVELOPE_BYTES + kind
    role_at = agent_at + agent
    names = body[_ENVELOPE_BYTES:agent_at], body[agent_at:role_at], body[role_at : role_at + role]
    return names[0].decode(), names[1].decode() or None, names[2].decode() or None
