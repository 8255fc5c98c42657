"""The ledger: what the committer remembers of recorders and episodes, and how a step gets its place.

Redacts, checks and numbers steps, keeps the projections, and tells in steps of its own what was lost or cut
off. What is remembered between batches is thrown away whenever a batch failed.

Knows recorders, episodes and payloads. Must not know where steps come from: files or the network.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.kinds import ArtifactAttached, Loss, LossReason, Observation, StatusChange, ToolCall
from stepstream.schemas.model_call import ModelCall, ModelReply, artifacts_of
from stepstream.store.batch import ArtifactRow, Batch, ContentRow, EpisodeState, RecorderState
from stepstream.store.censorship import censor
from stepstream.store.content import content_hash, pool
from stepstream.store.projection import begin_episode, project_status
from stepstream.store.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.payload import StepPayload
    from stepstream.store.redaction import Redactor
    from stepstream.store.store import Store
    from stepstream.store.validation import SchemaAnnouncement

_EPISODES_REMEMBERED = 4096
_PROJECTED = frozenset(
    cls.kind
    for cls in (StatusChange, ErrorReport, ArtifactAttached, ToolCall, Observation, ModelCall, ModelReply)
)
_IMPLIED_NAME = "an episode whose beginning is not here"

# Told apart by identity, and so not empty: there is only one empty bytes object.
WITHHELD = b"withheld"
"""What stands for a payload that cannot be told without its secrets."""

Entry = tuple[
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


class Ledger:
    """Gives steps their places in the database, batch by batch."""

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
        self._load()

    def forget(self) -> None:
        """Throw away what was remembered: a batch failed, and memory may be ahead of the disk."""
        self._stale = True

    def begin(self) -> Batch:
        """Begin a batch, which what follows adds to."""
        if self._stale:
            self._load()
        self.batch = Batch()
        self._recorded_at = self._now()
        return self.batch

    def _load(self) -> None:
        self._episodes: OrderedDict[bytes, EpisodeState] = OrderedDict()
        self._recorders: dict[bytes, RecorderState] = {}
        self._cursor = self._store.last_cursor()
        self._recorder_key, self._episode_key = self._store.next_keys()
        self._validation = Validation(self._store.schemas())
        self.check = self._validation.check
        self.batch = Batch()
        self._recorded_at = 0
        self._stale = False

    def committed(self) -> None:
        """The last batch is in the database."""
        while len(self._episodes) > _EPISODES_REMEMBERED:
            self._episodes.popitem(last=False)

    # -- recorders

    def find_recorder(self, recorder_id: bytes) -> RecorderState | None:
        """A recorder by id, as a part of the batch."""
        state = self._recorders.get(recorder_id)
        if state is None:
            state = self._store.recorder(recorder_id)
            if state is None:
                return None
            self._recorders[recorder_id] = state
        self.batch.recorders[state.key] = state
        return state

    def enter(self, recorder: RecorderState) -> None:
        """Take a recorder that nobody has heard of into the batch; its key is given here."""
        recorder.key = self._recorder_key
        self._recorder_key += 1
        self._recorders[recorder.id] = self.batch.recorders[recorder.key] = recorder

    def end_recorder(self, recorder: RecorderState) -> None:
        """A recorder logs no more: what it left open in the database was interrupted."""
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

    def lose(
        self,
        recorder: RecorderState,
        first: int,
        last: int | None,
        reason: LossReason,
        detail: str,
        kept_as: str | None = None,
    ) -> None:
        """Tell that steps of a recorder are missing, by their numbers; ``last`` None is not known."""
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

    # -- kinds

    def announce(self, announcement: SchemaAnnouncement) -> bool:
        """Learn the schema of a kind and version; returns whether the database had not heard of it.

        Raises:
            Invalid: It is no JSON schema.
        """
        if self._validation.knows(announcement):
            return False
        self._validation.announce(announcement)
        self.batch.schemas[announcement.kind, announcement.version] = announcement.text
        return True

    # -- steps

    def redact(self, entries: Sequence[Entry], payloads: list[bytes]) -> None:
        """Take secrets out of payloads, in place; WITHHELD stands where that is not possible."""
        redactor = self._redactor
        if redactor is None:
            return
        for index in redactor.suspects(payloads):
            entry = entries[index]
            redaction = censor(redactor, self._validation, entry[7], entry[6], payloads[index])
            if redaction is None:
                payloads[index] = WITHHELD
            else:
                self.batch.redactions.update(redaction.counts)
                payloads[index] = redaction.payload

    def redact_aside(self, text: bytes) -> bytes:
        """Take the secrets out of JSON that is no payload, such as the defaults of a schema."""
        if self._redactor is None:
            return text
        redaction = self._redactor.redact(text)
        self.batch.redactions.update(redaction.counts)
        return redaction.payload

    def has_step(self, step_id: bytes) -> bool:
        """Whether a step is stored."""
        return self._store.has_step(step_id)

    def add(self, entry: Entry, value: StepPayload | None, payload: bytes) -> None:
        """Give a step that was redacted and checked its place.

        Args:
            entry: Its envelope.
            value: The payload where it was read as one of the core's classes.
            payload: Its JSON.
        """
        if len(payload) < self._pool_bytes_min:
            self._number(entry, value, payload.decode(), None)
            return
        pooled = pool(entry[7], payload, self._pool_bytes_min)
        for row in pooled.rows:
            self.batch.contents[row.hash] = row
        self._number(entry, value, pooled.payload.decode(), pooled.places)

    def _number(self, entry: Entry, value: StepPayload | None, payload: str, places: str | None) -> None:
        recorder, step, episode_id, parent, closes, occurred_at, version, kind, agent, role = entry
        episode = self._episodes.get(episode_id)
        if episode is None:
            episode = self._episode(episode_id) or self._unknown_episode(entry, value)
        sequence = episode.next_sequence
        episode.next_sequence = sequence + 1
        cursor = self._cursor = self._cursor + 1
        self.batch.steps.append(
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
        self.batch.episodes[episode.key] = episode
        if kind in _PROJECTED and value is not None:
            self._project(episode, entry, value)

    def _project(self, episode: EpisodeState, entry: Entry, value: StepPayload) -> None:
        match value:
            case StatusChange():
                project_status(episode, value, at=entry[5], agent=entry[8], role=entry[9])
                if value.start is not None:
                    episode.recorder = entry[0].key
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
        self.batch.contents[key] = ContentRow(key, None, None, body.decode())
        return key

    def _refer(self, artifact: ArtifactRef) -> None:
        self.batch.artifacts.append(
            ArtifactRow(
                artifact.sha256,
                artifact.size_bytes,
                artifact.media_type,
                artifact.name,
                0 if artifact.path is not None else 1,
                self._recorded_at,
            )
        )

    def _add_own(self, recorder: RecorderState, episode: EpisodeState, payload: StepPayload) -> None:
        """A step that the committer itself has to tell."""
        entry: Entry = (
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

    # -- episodes

    def _episode(self, episode_id: bytes) -> EpisodeState | None:
        state = self._episodes.get(episode_id)
        if state is None:
            state = self._store.episode(episode_id)
            if state is not None:
                self._episodes[episode_id] = state
        return state

    def _unknown_episode(self, entry: Entry, value: StepPayload | None) -> EpisodeState:
        if isinstance(value, StatusChange) and value.start is not None:
            return self._create(entry[2], entry[0], value.start, entry[5])
        return self._implied(entry[0], entry[2], _IMPLIED_NAME)

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
