"""From frames to a batch: redact, validate, pool, number.

Knows what a frame means and how an episode's projection follows from its steps. Must not know files or SQL.
What is remembered between batches is thrown away whenever a batch failed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import NO_ID, id_text, new_id
from stepstream.schemas.kinds import ArtifactAttached, Loss, LossReason, Observation, StatusChange, ToolCall
from stepstream.schemas.model_call import ModelCall, ModelReply, artifacts_of
from stepstream.schemas.record import refusal
from stepstream.spool.frame import ENVELOPE, FrameKind, is_torn
from stepstream.spool.segment import SegmentState
from stepstream.store.batch import ArtifactRow, Batch, ContentRow, EpisodeState, OffsetMove, RecorderState
from stepstream.store.censorship import censor
from stepstream.store.content import content_hash, pool
from stepstream.store.projection import begin_episode, project_status
from stepstream.store.validation import Invalid, SchemaAnnouncement, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.payload import StepPayload
    from stepstream.spool.frame import Frame
    from stepstream.spool.reader import SegmentReader
    from stepstream.store.redaction import Redactor
    from stepstream.store.store import Store

_EPISODES_REMEMBERED = 4096
_NAMES_REMEMBERED = 4096
_NUMBER_MAX = 2**48
_ENVELOPE_BYTES = ENVELOPE.size
_ID_BYTES = len(NO_ID)
_unpack = ENVELOPE.unpack_from
_STEP = FrameKind.STEP.value
_SCHEMA = FrameKind.SCHEMA.value
_DELTA = FrameKind.DELTA.value
_PROJECTED = frozenset(
    cls.kind
    for cls in (StatusChange, ErrorReport, ArtifactAttached, ToolCall, Observation, ModelCall, ModelReply)
)
# Told apart by identity, and so not empty: there is only one empty bytes object.
_WITHHELD = b"withheld"
_IMPLIED_NAME = "an episode whose beginning is not here"


Taken = tuple["Frame", "SegmentReader"]
"""A frame and the segment it was taken from."""


_Entry = tuple[
    Taken | None,  # where it came from; None for a step of the committer's own
    RecorderState,
    bytes,  # id
    bytes,  # episode id
    bytes | None,  # parent id
    bytes | None,  # closes
    int,  # occurred at
    int,  # schema version
    str,  # kind
    str | None,  # agent
    str | None,  # role
]
"""A step's envelope, read and waiting for its payload to be checked."""


class Assembler:
    """Turns frames into batches, numbering steps as it goes."""

    def __init__(
        self, store: Store, redactor: Redactor | None, pool_bytes_min: int, now: Callable[[], int]
    ) -> None:
        """Load what the database knows.

        Args:
            store: Where recorders, episodes and keys are looked up.
            redactor: What takes secrets out; None leaves them in.
            pool_bytes_min: Payloads at least this long are searched for texts to store once.
            now: Wall time in ns.
        """
        self._store = store
        self._redactor = redactor
        self._pool_bytes_min = pool_bytes_min
        self._now = now
        self._names: dict[bytes, tuple[str, str | None, str | None]] = {}
        self.rejected: set[tuple[str, int]] = set()
        self._load()

    def forget(self) -> None:
        """Throw away what was remembered: a batch failed, and memory may be ahead of the disk."""
        self._stale = True

    def _begin(self) -> None:
        if self._stale:
            self._load()
        self._batch = Batch()
        self._told: set[str] = set()
        self._recorded_at = self._now()

    def _load(self) -> None:
        self._episodes: OrderedDict[bytes, EpisodeState] = OrderedDict()
        self._recorders: dict[bytes, RecorderState] = {}
        self._cursor = self._store.last_cursor()
        self._recorder_key, self._episode_key = self._store.next_keys()
        self._validation = Validation(self._store.schemas())
        self._batch = Batch()
        self._recorded_at = 0
        self._stale = False

    def committed(self) -> None:
        """The last batch is in the database."""
        while len(self._episodes) > _EPISODES_REMEMBERED:
            self._episodes.popitem(last=False)
        if len(self._names) > _NAMES_REMEMBERED:
            self._names.clear()

    def assemble(self, taken: Sequence[Taken]) -> Batch:
        """Make a batch of frames that stand in causal order."""
        self._begin()
        ends: dict[SegmentReader, int] = {}
        entries: list[_Entry] = []
        payloads: list[bytes] = []
        recorder: RecorderState | None = None
        latest: SegmentReader | None = None
        for item in taken:
            (_, number, kind, wall, body, end), reader = item
            if recorder is None or reader is not latest:
                latest, recorder = reader, self._recorder(reader)
            ends[reader] = end
            if number != recorder.last_number + 1:
                if number <= recorder.last_number:
                    self._look_back(item, recorder, entries, payloads)
                    continue
                self._flush(entries, payloads)
                if number > _NUMBER_MAX:
                    self._reject_number(item, recorder)
                    continue
                self._gap(recorder, reader, number - 1, end)
            recorder.last_number = number
            if kind == _STEP:
                if self._read_step(item, recorder, wall, body, entries, payloads):
                    continue
                self._flush(entries, payloads)
                self._reject(item, recorder, "its envelope cannot be read, or the database refuses it")
            elif kind != _DELTA:
                self._flush(entries, payloads)
                self._announce(item, recorder)
        self._flush(entries, payloads)
        for reader, end in ends.items():
            self._move(reader, end, finished=False)
        return self._batch

    def _look_back(
        self, item: Taken, recorder: RecorderState, entries: list[_Entry], payloads: list[bytes]
    ) -> None:
        """Pass over what is stored already, as a rule; not what a segment held that was read too late."""
        _, _, kind, wall, body, _ = item[0]
        if kind == _STEP and not self._store.has_step(body[:_ID_BYTES]):
            self._read_step(item, recorder, wall, body, entries, payloads)
        elif kind == _SCHEMA:
            self._flush(entries, payloads)
            self._announce(item, recorder)

    def conclude(self, reader: SegmentReader, *, recorder_ended: bool) -> Batch:
        """Make the batch that finishes a segment nobody writes to any more, and its recorder with it."""
        self._begin()
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
            self._loss(recorder, first, None, LossReason.DAMAGED, detail, kept)
        if recorder_ended:
            self._end_recorder(recorder)
        self._move(reader, reader.position, finished=True)
        return self._batch

    def give_up(self, recorder_id: bytes) -> Batch:
        """Make the batch that ends a recorder whose last segment somebody removed before it was read."""
        self._begin()
        recorder = self._recorders.get(recorder_id) or self._store.recorder(recorder_id)
        if recorder is not None:
            self._recorders[recorder_id] = self._batch.recorders[recorder.key] = recorder
            first = recorder.last_number + 1
            detail = "its last segment was removed before it was finished"
            self._loss(recorder, first, None, LossReason.MISSING, detail, None)
            self._end_recorder(recorder)
        return self._batch

    # -- recorders and their numbers

    def _recorder(self, reader: SegmentReader) -> RecorderState:
        raw = reader.recorder_id
        state = self._recorders.get(raw)
        if state is None:
            state = self._store.recorder(raw)
            if state is None:
                header = reader.header
                state = RecorderState(
                    key=self._recorder_key,
                    id=raw,
                    pid=header.pid,
                    host=header.host,
                    boot_id=header.boot_id,
                    release=header.release,
                    started_at=header.created_at,
                    last_number=-1,
                )
                self._recorder_key += 1
            self._recorders[raw] = state
        self._batch.recorders[state.key] = state
        return state

    def _gap(self, recorder: RecorderState, reader: SegmentReader, last: int, before: int) -> None:
        first = recorder.last_number + 1
        tally = reader.tally()
        refused = (0 if tally is None else tally.refused) - recorder.refused
        kept = reader.kept_aside(before)
        if kept is not None and kept not in self._told:
            self._told.add(kept)
            self._loss(recorder, first, last, LossReason.DAMAGED, "bytes in the spool are no frames", kept)
        elif refused >= last - first + 1:
            recorder.refused += last - first + 1
            self._loss(recorder, first, last, LossReason.REFUSED, "there was no room for them", None)
        else:
            self._loss(recorder, first, last, LossReason.MISSING, "a part of the spool was removed", None)

    def _loss(
        self,
        recorder: RecorderState,
        first: int,
        last: int | None,
        reason: LossReason,
        detail: str,
        kept_as: str | None,
    ) -> None:
        loss = Loss(
            recorder_id=id_text(recorder.id),
            first=first,
            last=last,
            reason=reason,
            detail=detail,
            kept_as=kept_as,
        )
        self._add_own(recorder, self._home(recorder), loss)

    def _home(self, recorder: RecorderState) -> EpisodeState:
        """The episode that shows what happened to a recorder: its latest, or one made for the purpose."""
        if recorder.episode is not None:
            for episode in self._episodes.values():
                if episode.key == recorder.episode:
                    return episode
            found = self._store.episode_at(recorder.episode)
            if found is not None:
                return self._episodes.setdefault(found.id, found)
        return self._implied(recorder, recorder.id, f"process {recorder.pid} on {recorder.host}")

    def _end_recorder(self, recorder: RecorderState) -> None:
        recorder.ended_at = self._recorded_at
        for episode_id in self._store.running_episodes(recorder.key):
            episode = self._episode(episode_id)
            if episode is None or episode.ended_at is not None:
                continue
            steps = self._store.open_steps(episode.key)
            change = StatusChange(
                status=Status.INTERRUPTED,
                reason=f"process {recorder.pid} on {recorder.host} ended without ending the episode",
                end=EpisodeEnd(open_steps=tuple(id_text(step) for step in steps)),
            )
            self._add_own(recorder, episode, change)

    # -- steps

    def _read_step(
        self,
        item: Taken,
        recorder: RecorderState,
        wall: int,
        body: bytes,
        entries: list[_Entry],
        payloads: list[bytes],
    ) -> bool:
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
        entries.append(
            (
                item,
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
        payloads.append(body[start:])
        return True

    def _flush(self, entries: list[_Entry], payloads: list[bytes]) -> None:
        """Redact, check and number what has been gathered."""
        if not entries:
            return
        if self._redactor is not None:
            for index in self._redactor.suspects(payloads):
                payloads[index] = self._censored(self._redactor, entries[index], payloads[index])
        check, pool_min = self._validation.check, self._pool_bytes_min
        for entry, payload in zip(entries, payloads, strict=True):
            if payload is _WITHHELD:
                self._withhold(entry)
                continue
            try:
                value = check(entry[8], entry[7], payload)
            except Invalid as problem:
                if entry[0] is not None:
                    self._reject(entry[0], entry[1], str(problem))
                continue
            if len(payload) < pool_min:
                self._number(entry, value, payload.decode(), None)
                continue
            pooled = pool(entry[8], payload, pool_min)
            for row in pooled.rows:
                self._batch.contents[row.hash] = row
            self._number(entry, value, pooled.payload.decode(), pooled.places)
        entries.clear()
        payloads.clear()

    def _censored(self, redactor: Redactor, entry: _Entry, payload: bytes) -> bytes:
        redaction = censor(redactor, self._validation, entry[8], entry[7], payload)
        if redaction is None:
            return _WITHHELD
        self._batch.redactions.update(redaction.counts)
        return redaction.payload

    def _withhold(self, entry: _Entry) -> None:
        """A step that cannot be told without its secrets is not told, and its bytes are not kept aside."""
        item = entry[0]
        if item is not None:
            number = item[0][1]
            detail = f"a {entry[8]} could not be redacted and stay what it is; it was withheld"
            self._loss(entry[1], number, number, LossReason.INVALID, detail, None)

    def _number(self, entry: _Entry, value: StepPayload | None, payload: str, places: str | None) -> None:
        _, recorder, step, episode_id, parent, closes, occurred_at, version, kind, agent, role = entry
        episode = self._episodes.get(episode_id)
        if episode is None:
            episode = self._episode(episode_id) or self._unknown_episode(entry, value)
        sequence = episode.next_sequence
        episode.next_sequence = sequence + 1
        cursor = self._cursor = self._cursor + 1
        self._batch.steps.append(
            (
                cursor,
                step,
                episode.key,
                sequence,
                kind,
                version,
                occurred_at,
                self._recorded_at,
                agent,
                role,
                parent,
                closes,
                recorder.key,
                0 if episode.ended_at is None else 1,
                payload,
                places,
            )
        )
        episode.last_cursor = cursor
        episode.last_at = occurred_at
        recorder.episode = episode.key
        self._batch.episodes[episode.key] = episode
        if kind in _PROJECTED and value is not None:
            self._project(episode, entry, value)

    def _project(self, episode: EpisodeState, entry: _Entry, value: StepPayload) -> None:
        match value:
            case StatusChange():
                project_status(episode, value, at=entry[6], agent=entry[9], role=entry[10])
                if value.start is not None:
                    episode.recorder = entry[1].key
                    if value.start.code_version is not None:
                        episode.code_version = self._keep(value.start.code_version.model_dump_json().encode())
            case ErrorReport():
                episode.errors += 1
            case ArtifactAttached():
                self._refer(value.artifact)
            case ToolCall() | Observation():
                for artifact in value.artifacts:
                    self._refer(artifact)
            case ModelCall() | ModelReply():
                for artifact in artifacts_of(value):
                    self._refer(artifact)
            case _:
                pass

    def _keep(self, body: bytes) -> bytes:
        """Store a JSON value once; returns the hash to find it by."""
        key = content_hash(body)
        self._batch.contents[key] = ContentRow(key, None, None, body.decode())
        return key

    def _refer(self, artifact: ArtifactRef) -> None:
        self._batch.artifacts.append(
            ArtifactRow(
                artifact.sha256,
                artifact.size_bytes,
                artifact.media_type,
                artifact.name,
                0 if artifact.path is not None else 1,
                self._recorded_at,
            )
        )

    def _announce(self, item: Taken, recorder: RecorderState) -> None:
        if item[0][2] != _SCHEMA:
            self._reject(item, recorder, f"nobody here knows frames of kind {item[0][2]}")
            return
        try:
            if _name_of(item) in self.rejected:
                raise Invalid("the database refuses it")
            announcement = SchemaAnnouncement.model_validate_json(self._redact_aside(item[0][4]))
            if self._validation.knows(announcement):
                return
            self._validation.announce(announcement)
        except ValidationError as problem:
            self._reject(item, recorder, f"a schema frame: {refusal('schema', problem).problems[0].reason}")
            return
        except Invalid as problem:
            self._reject(item, recorder, f"a schema frame: {problem}")
            return
        self._batch.schemas[announcement.kind, announcement.version] = announcement.text

    def _reject_number(self, item: Taken, recorder: RecorderState) -> None:
        (_, number, _, _, body, end), reader = item
        kept = reader.keep_aside(end - len(body), end)
        detail = f"a frame calls itself number {number}"
        self._loss(recorder, recorder.last_number + 1, None, LossReason.INVALID, detail, kept)

    def _reject(self, item: Taken, recorder: RecorderState, reason: str) -> None:
        (_, number, _, _, body, end), reader = item
        kept = reader.keep_aside(end - len(body), end)
        # A reason quotes what it is about, which may be a secret that stands outside of any payload.
        try:
            detail = from_json(self._redact_aside(to_json(reason)))[:500]
        except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything
            detail = f"why cannot be told: redaction failed with {type(error).__name__}"
        self._loss(recorder, number, number, LossReason.INVALID, detail, kept)

    def _redact_aside(self, text: bytes) -> bytes:
        """Take the secrets out of JSON that is no payload, such as the defaults of a schema."""
        if self._redactor is None:
            return text
        redaction = self._redactor.redact(text)
        self._batch.redactions.update(redaction.counts)
        return redaction.payload

    # -- episodes

    def _episode(self, episode_id: bytes) -> EpisodeState | None:
        state = self._episodes.get(episode_id)
        if state is None:
            state = self._store.episode(episode_id)
            if state is not None:
                self._episodes[episode_id] = state
        return state

    def _unknown_episode(self, entry: _Entry, value: StepPayload | None) -> EpisodeState:
        if isinstance(value, StatusChange) and value.start is not None:
            return self._create(entry[3], entry[1], value.start, entry[6])
        return self._implied(entry[1], entry[3], _IMPLIED_NAME)

    def _implied(self, recorder: RecorderState, episode_id: bytes, name: str) -> EpisodeState:
        known = self._episode(episode_id)
        if known is not None:
            return known
        start = EpisodeStart(name=name, implied=True)
        episode = self._create(episode_id, recorder, start, self._recorded_at)
        self._add_own(recorder, episode, StatusChange(status=Status.RUNNING, start=start))
        return episode

    def _create(
        self, episode_id: bytes, recorder: RecorderState, start: EpisodeStart, started_at: int
    ) -> EpisodeState:
        episode = begin_episode(self._episode_key, episode_id, recorder.key, start, started_at)
        self._episode_key += 1
        self._episodes[episode_id] = episode
        return episode

    def _add_own(self, recorder: RecorderState, episode: EpisodeState, payload: StepPayload) -> None:
        """A step that the committer itself has to tell."""
        entry: _Entry = (
            None,
            recorder,
            new_id(),
            episode.id,
            None,
            None,
            self._recorded_at,
            payload.schema_version,
            payload.kind,
            None,
            None,
        )
        self._number(entry, payload, payload.encoded().decode(), None)

    def _move(self, reader: SegmentReader, end: int, *, finished: bool) -> None:
        recorder = self._recorder(reader)
        before = reader.consumed if reader.is_known else None
        self._batch.offsets.append(OffsetMove(reader.name, recorder.key, before, end, finished))


def _name_of(item: Taken) -> tuple[str, int]:
    """What tells a frame from all others."""
    return item[1].name, item[0][1]


def _read_names(body: bytes, kind: int, agent: int, role: int) -> tuple[str, str | None, str | None]:
    agent_at = _ENVELOPE_BYTES + kind
    role_at = agent_at + agent
    names = body[_ENVELOPE_BYTES:agent_at], body[agent_at:role_at], body[role_at : role_at + role]
    return names[0].decode(), names[1].decode() or None, names[2].decode() or None
