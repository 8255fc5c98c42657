"""A real history.db with known ids and times, written through the store's own engine, without a spool.

Ids count up, and a step happens every millisecond unless it is said otherwise.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_bytes, id_text
from stepstream.schemas.kinds import Loss, StatusChange
from stepstream.schemas.payload import StepPayload
from stepstream.store.batch import ArtifactRow, Batch, ContentRow, EpisodeState, RecorderState
from stepstream.store.content import content_hash, pool
from stepstream.store.projection import begin_episode, project_status
from stepstream.store.sqlite.store import SqliteStore

EPOCH_NS = 1_767_225_600_000_000_000
MILLISECOND = 1_000_000
_EPISODE_PREFIX = 0x01900000_0000_7000_8000_000000000000
_STEP_PREFIX = 0x01900000_0000_7000_9000_000000000000
_RECORDER_PREFIX = 0x01900000_0000_7000_A000_000000000000


class Logged:
    """A step that was written: where it stands."""

    def __init__(self, id: bytes, sequence: int, cursor: int, at: int) -> None:
        self.raw = id
        self.id = id_text(id)
        self.sequence = sequence
        self.cursor = cursor
        self.at = at


class EpisodeScript:
    """Logs steps into one episode of a builder."""

    def __init__(
        self, builder: HistoryBuilder, state: EpisodeState, agent: str | None, role: str | None
    ) -> None:
        self._builder = builder
        self.state = state
        self.id = id_text(state.id)
        self.agent = agent
        self.role = role

    def log(
        self,
        payload: StepPayload,
        *,
        agent: str | None = None,
        role: str | None = None,
        parent: Logged | None = None,
        closes: Logged | None = None,
        at: int | None = None,
    ) -> Logged:
        """Write one step; agent and role are the episode's own unless given."""
        return self._builder._add(
            self.state,
            payload.kind,
            payload.schema_version,
            payload.encoded(),
            agent=self.agent if agent is None else agent,
            role=self.role if agent is None and role is None else role,
            parent=parent,
            closes=closes,
            at=at,
            value=payload,
        )

    def log_raw(self, kind: str, version: int, payload: bytes, *, agent: str | None = None) -> Logged:
        """Write one step of any kind as JSON."""
        return self._builder._add(self.state, kind, version, payload, agent=agent)

    def finish(
        self, status: Status = Status.COMPLETED, *, reason: str | None = None, **end: object
    ) -> Logged:
        """End the episode."""
        return self.log(StatusChange(status=status, reason=reason, end=EpisodeEnd(**end)))


class HistoryBuilder:
    """Writes a history; what was added is there after ``commit`` or at the end of the block."""

    def __init__(self, path: Path, *, pool_bytes_min: int = 1024) -> None:
        self.path = path
        self.store = SqliteStore(path)
        self._generation = self.store.take_office()
        self._pool_bytes_min = pool_bytes_min
        self._batch = Batch()
        self._ids = 0
        self._episodes = 0
        self._cursor = 0
        self.now = EPOCH_NS
        self.recorder = RecorderState(
            key=1,
            id=(_RECORDER_PREFIX + 1).to_bytes(16, "big"),
            pid=4711,
            host="workshop",
            boot_id="00" * 16,
            release="0.1.0",
            started_at=EPOCH_NS,
            last_number=-1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.commit()
        self.close()

    def commit(self) -> int:
        """Write what was added in one transaction; returns the last cursor."""
        self._batch.recorders[1] = self.recorder
        self.store.append(self._batch, self._generation)
        self._batch = Batch()
        return self._cursor

    def close(self) -> None:
        """Let go of the database."""
        self.store.close(clean=True)

    def episode(
        self,
        name: str = "Design a wall bracket",
        *,
        agent: str | None = "planner",
        role: str | None = "planner",
        id: str | None = None,
        at: int | None = None,
        **start: object,
    ) -> EpisodeScript:
        """Begin an episode."""
        self._episodes += 1
        raw = (_EPISODE_PREFIX + self._episodes).to_bytes(16, "big") if id is None else id_bytes(id)
        stated = EpisodeStart(name=name, **start)
        began = self._tick(at)
        state = begin_episode(self._episodes, raw, self.recorder.key, stated, began)
        script = EpisodeScript(self, state, agent, role)
        script.log(StatusChange(status=Status.RUNNING, start=stated), at=began)
        if stated.code_version is not None:
            body = stated.code_version.model_dump_json()
            state.code_version = content_hash(body.encode())
            self._batch.contents[state.code_version] = ContentRow(state.code_version, None, None, body)
        return script

    def keep(self, sha256: str, size_bytes: int) -> None:
        """State that an artifact is kept."""
        self._batch.artifacts.append(ArtifactRow(sha256, size_bytes, "model/stl", "part.stl", 1, self.now))

    def describe(self, kind: str, version: int, schema: str) -> None:
        """Store the JSON schema of a kind."""
        self._batch.schemas[kind, version] = schema

    def _tick(self, at: int | None) -> int:
        if at is None:
            self.now += MILLISECOND
            return self.now
        return at

    def _add(
        self,
        state: EpisodeState,
        kind: str,
        version: int,
        payload: bytes,
        *,
        agent: str | None = None,
        role: str | None = None,
        parent: Logged | None = None,
        closes: Logged | None = None,
        at: int | None = None,
        value: StepPayload | None = None,
    ) -> Logged:
        self._ids += 1
        self._cursor += 1
        raw = (_STEP_PREFIX + self._ids).to_bytes(16, "big")
        occurred_at = self._tick(at)
        pooled = pool(kind, payload, self._pool_bytes_min)
        for row in pooled.rows:
            self._batch.contents[row.hash] = row
        sequence, state.next_sequence = state.next_sequence, state.next_sequence + 1
        self._batch.steps.append(
            (
                self._cursor,
                raw,
                state.key,
                sequence,
                kind,
                version,
                occurred_at,
                occurred_at + 500_000,
                agent,
                role,
                None if parent is None else parent.raw,
                None if closes is None else closes.raw,
                self.recorder.key,
                0 if state.ended_at is None else 1,
                pooled.payload.decode(),
                pooled.places,
            )
        )
        state.last_cursor, state.last_at = self._cursor, occurred_at
        if isinstance(value, StatusChange):
            project_status(state, value, occurred_at, agent, role)
        if isinstance(value, ErrorReport):
            state.errors += 1
        if not isinstance(value, Loss):
            self.recorder.last_number += 1
        self._batch.episodes[state.key] = state
        return Logged(raw, sequence, self._cursor, occurred_at)
