"""Packing: from frames to a parcel, with every secret taken out.

A payload is JSON already and travels as it is; only what may hold a secret is looked at. Numbers that stand
for no step, and numbers that are missing, are told, so that the server counts as the recorder did.

Knows what a frame means. Must not know the server, nor how far it has come.
"""

from __future__ import annotations

import logging
from binascii import hexlify
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepstream.schemas.identity import NO_ID
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.post import STEPS_MAX
from stepstream.schemas.record import refusal
from stepstream.shipping.artifacts import references
from stepstream.shipping.mark import UNMARKED
from stepstream.shipping.parcel import SENDERS_MAX, Parcel
from stepstream.spool.frame import ENVELOPE, FrameKind, is_torn
from stepstream.spool.segment import SegmentState
from stepstream.store.censorship import censor
from stepstream.store.validation import Invalid, SchemaAnnouncement, Validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.shipping.mark import Mark
    from stepstream.shipping.parcel import Place, Sender
    from stepstream.spool.reader import SegmentReader
    from stepstream.store.assembly import Taken
    from stepstream.store.redaction import Redactor

logger = logging.getLogger("stepstream")

BYTES_MAX = 4 * 1024 * 1024
_STEP_BYTES_AROUND = 400
_NUMBER_MAX = 2**48
_NAMES_REMEMBERED = 4096
_ENVELOPE_BYTES = ENVELOPE.size
_unpack = ENVELOPE.unpack_from
_STEP = FrameKind.STEP.value
_SCHEMA = FrameKind.SCHEMA.value
_DELTA = FrameKind.DELTA.value
_REFERS = b'"sha256"'


class _Names(NamedTuple):
    """The kind of a step, and what its envelope says in names, as JSON with a comma behind each."""

    kind: str
    json: bytes


class _Waiting(NamedTuple):
    """A step whose payload waits to be looked at, and its JSON up to there."""

    origin: Taken
    place: Place
    head: bytes
    kind: str
    version: int


class _Draft:
    """A parcel in the making: what was read and waits to be redacted."""

    def __init__(self) -> None:
        self.parcel = Parcel()
        self.waiting: list[_Waiting] = []
        self.payloads: list[bytes] = []
        self.reached: dict[SegmentReader, tuple[int, Place]] = {}
        self.size = 0


class Packer:
    """Makes parcels, and learns the kinds that recorders announce on the way."""

    def __init__(self) -> None:
        self.redactor: Redactor | None = None
        self.steps_max = STEPS_MAX
        self.bytes_max = BYTES_MAX
        self.schemas: dict[tuple[str, int], str] = {}
        self.rejected: dict[tuple[str, int], str] = {}
        self._validation = Validation({})
        self._names: dict[bytes, _Names] = {}
        self._told: set[str] = set()

    def pack(self, taken: Sequence[Taken], senders: dict[bytes, Sender], marks: dict[str, Mark]) -> Parcel:
        """Make a parcel of the first frames, as many as one post holds.

        Args:
            taken: Frames in causal order.
            senders: Their recorders.
            marks: By the names of segments, how far the server had acknowledged them when they were met.
        """
        draft = _Draft()
        parcel = draft.parcel
        self._told.clear()
        for item in taken:
            frame, reader = item
            sender = senders[reader.recorder_id]
            draft.size += len(frame[4]) + _STEP_BYTES_AROUND
            if self._is_full(draft, sender):
                break
            parcel.frames += 1
            place = parcel.places.get(sender) or parcel.place(sender)
            draft.reached[reader] = (frame[5], place)
            if frame[1] >= _NUMBER_MAX:
                logger.warning("a frame of %s calls itself number %d; it is set aside", reader.name, frame[1])
                keep_aside(reader, frame[5] - len(frame[4]), frame[5])
                continue
            is_known = frame[1] <= sender.last and frame[5] <= marks.get(reader.name, UNMARKED).offset
            self._take(draft, item, place, is_known=is_known)
        for reader, (offset, place) in draft.reached.items():
            parcel.reach(reader, offset, place.last)
        self._fill(parcel, draft.waiting, draft.payloads)
        return parcel

    def _is_full(self, draft: _Draft, sender: Sender) -> bool:
        """Whether a post cannot hold one frame more; it always holds one."""
        parcel = draft.parcel
        return parcel.frames > 0 and (
            draft.size > self.bytes_max
            or len(draft.waiting) >= self.steps_max
            # A frame may add two gaps: one in front of it, and its own; and so may each step that waits.
            or len(parcel.gaps) + len(draft.waiting) + 1 >= STEPS_MAX
            or (len(parcel.places) >= SENDERS_MAX and sender not in parcel.places)
        )

    def _take(self, draft: _Draft, item: Taken, place: Place, *, is_known: bool) -> None:
        """Take one frame; of one that the server is known to have only what it taught us."""
        (_, number, kind, _, _, end), reader = item
        if number > place.last + 1:
            self._tell_missing(draft.parcel, place, reader, number - 1, end)
        problem = None
        if kind == _STEP:
            if not is_known and not self._read(draft, item, place):
                problem = "its envelope cannot be read"
        elif kind != _DELTA:
            problem = self._announce(item)
        if problem is not None and not is_known:
            self._reject(draft.parcel, item, place, problem)
        if number > place.last:
            place.last = number
            if kind != _STEP and problem is None:
                draft.parcel.pass_over(place, number)

    # -- steps

    def _read(self, draft: _Draft, item: Taken, place: Place) -> bool:
        """Read an envelope; returns whether it can be."""
        _, number, _, wall, body, _ = item[0]
        if len(body) < _ENVELOPE_BYTES:
            return False
        step, episode, parent, closes, occurred, version, _, kind, agent, role = _unpack(body)
        start = _ENVELOPE_BYTES + kind + agent + role
        # The lengths stand in front of the names, so that equal bytes mean equal names.
        key = body[_ENVELOPE_BYTES - 6 : start]
        names = self._names.get(key)
        if names is None:
            if start > len(body):
                return False
            if len(self._names) >= _NAMES_REMEMBERED:
                self._names.clear()
            try:
                names = self._names[key] = _read_names(body, kind, agent, role)
            except UnicodeDecodeError:
                return False
        related = b""
        if parent != NO_ID:
            related = b'"parent_id":"%b",' % _id_json(parent)
        if closes != NO_ID:
            related += b'"closes":"%b",' % _id_json(closes)
        head = (
            b'{"id":"%b","episode_id":"%b",%b%b"schema_version":%d,"occurred_at":%d,"recorder":%d,"number":%d'
            % (
                _id_json(step),
                _episode_json(episode),
                names.json,
                related,
                version,
                occurred or wall,
                place.index,
                number,
            )
        )
        draft.waiting.append(_Waiting(item, place, head, names.kind, version))
        draft.payloads.append(body[start:])
        return True

    def _fill(self, parcel: Parcel, waiting: list[_Waiting], payloads: list[bytes]) -> None:
        """Put what was read into the parcel, without its secrets."""
        withheld = self._redact(waiting, payloads)
        for index, (entry, payload) in enumerate(zip(waiting, payloads, strict=True)):
            reason = self.rejected.get(name_of(entry.origin)) if self.rejected else None
            if index in withheld:
                # Its bytes are not kept aside: they cannot be told without their secrets.
                number = entry.origin[0][1]
                detail = f"a {entry.kind} could not be redacted and stay what it is; it was withheld"
                parcel.lose(entry.place, (number, number), LossReason.INVALID, detail)
            elif reason is not None:
                self._reject(parcel, entry.origin, entry.place, reason)
            else:
                parcel.steps.append(b'%b,"payload":%b}' % (entry.head, payload))
                parcel.origins.append(entry.origin)
                parcel.kinds.add((entry.kind, entry.version))
                if _REFERS in payload:
                    parcel.artifacts.update((each.sha256, each) for each in references(payload))

    def _redact(self, waiting: list[_Waiting], payloads: list[bytes]) -> set[int]:
        """Take the secrets out of payloads, in place; returns the indexes of those that must not be told."""
        withheld: set[int] = set()
        redactor = self.redactor
        if redactor is None:
            return withheld
        for index in redactor.suspects(payloads):
            entry = waiting[index]
            redaction = censor(redactor, self._validation, entry.kind, entry.version, payloads[index])
            if redaction is None:
                withheld.add(index)
            else:
                payloads[index] = redaction.payload
        return withheld

    # -- kinds

    def _announce(self, item: Taken) -> str | None:
        """Learn the schema of a kind; returns what is wrong with it, if anything is."""
        kind, body = item[0][2], item[0][4]
        if kind != _SCHEMA:
            return f"nobody here knows frames of kind {kind}"
        try:
            text = body if self.redactor is None else self.redactor.redact(body).payload
            announcement = SchemaAnnouncement.model_validate_json(text)
            if not self._validation.knows(announcement):
                self._validation.announce(announcement)
                self.schemas[announcement.kind, announcement.version] = announcement.text
        except ValidationError as problem:
            return f"a schema frame: {refusal('schema', problem).problems[0].reason}"
        except Invalid as problem:
            return f"a schema frame: {problem}"
        except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything
            return f"a schema frame: redaction failed with {type(error).__name__}"
        return None

    # -- numbers that no step has

    def _tell_missing(
        self, parcel: Parcel, place: Place, reader: SegmentReader, last: int, before: int
    ) -> None:
        """Say why the numbers up to ``last`` are missing in front of an offset."""
        first = place.last + 1
        tally = reader.tally()
        refused = (0 if tally is None else tally.refused) - place.refused
        kept = reader.kept_aside(before)
        if kept is not None and kept not in self._told:
            self._told.add(kept)
            detail = "bytes in the spool are no frames"
            parcel.lose(place, (first, last), LossReason.DAMAGED, detail, kept)
        elif refused >= last - first + 1:
            place.refused += last - first + 1
            parcel.lose(place, (first, last), LossReason.REFUSED, "there was no room for them")
        else:
            parcel.lose(place, (first, last), LossReason.MISSING, "a part of the spool was removed")
        place.last = last

    def _reject(self, parcel: Parcel, item: Taken, place: Place, reason: str) -> None:
        """A frame cannot be posted: its bytes are kept aside, and its number is told as lost."""
        (_, number, _, _, body, end), reader = item
        told = self._redacted_reason(reason)
        logger.warning("frame %d of %s is set aside: %s", number, reader.name, told)
        parcel.lose(
            place, (number, number), LossReason.INVALID, told, keep_aside(reader, end - len(body), end)
        )

    def _redacted_reason(self, reason: str) -> str:
        """A reason quotes what it is about, which may be a secret that stands outside of any payload."""
        if self.redactor is None:
            return reason
        try:
            return str(from_json(self.redactor.redact(to_json(reason)).payload))
        except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything
            return f"why cannot be told: redaction failed with {type(error).__name__}"

    # -- the end of a segment

    def conclude(self, parcel: Parcel, reader: SegmentReader, sender: Sender, *, has_ended: bool) -> None:
        """Put into a parcel what the end of a segment tells, and its recorder's end with it."""
        place = parcel.place(sender)
        self._told.clear()
        tail = reader.tail()
        if tail and not is_torn(tail, reader.seed):
            reader.pass_over(reader.position + len(tail))
        tally = reader.tally()
        counted = tally is not None and tally.state is not SegmentState.OPEN
        if tally is not None and tally.next_number > place.last + 1:
            self._tell_missing(parcel, place, reader, tally.next_number - 1, reader.position)
        elif has_ended and not counted and (kept := reader.kept_aside(reader.position)) is not None:
            # How many there were nobody knows; one stands for all.
            number = place.last = place.last + 1
            detail = f"{len(tail)} bytes are no frame"
            parcel.lose(place, (number, number), LossReason.DAMAGED, detail, kept)
        if has_ended:
            parcel.ended.append(place)
        parcel.reach(reader, max(reader.size(), reader.position), place.last)


def keep_aside(reader: SegmentReader, start: int, end: int) -> str | None:
    """Copy bytes of a segment where a person can look at them; None where there is no room."""
    try:
        return reader.keep_aside(start, end)
    except OSError as error:
        logger.warning("bytes of %s could not be kept: %s", reader.name, error.strerror)
        return None


def name_of(item: Taken) -> tuple[str, int]:
    """What tells a frame from all others."""
    return item[1].name, item[0][1]


def _read_names(body: bytes, kind: int, agent: int, role: int) -> _Names:
    agent_at = _ENVELOPE_BYTES + kind
    role_at = agent_at + agent
    name = body[_ENVELOPE_BYTES:agent_at].decode()
    json = b'"kind":%b,' % to_json(name)
    if agent:
        json += b'"agent":%b,' % to_json(body[agent_at:role_at].decode())
    if role:
        json += b'"role":%b,' % to_json(body[role_at : role_at + role].decode())
    return _Names(name, json)


def _id_json(raw: bytes) -> bytes:
    text = hexlify(raw)
    return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])


_episode_json = lru_cache(4096)(_id_json)
