"""How an episode's row follows from its steps; the log could rebuild every column.

Knows episodes. Must not know the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import to_json

from stepstream.schemas.episode import EpisodeStart, Status
from stepstream.schemas.identity import id_bytes
from stepstream.store.batch import EpisodeState

if TYPE_CHECKING:
    from stepstream.schemas.kinds import StatusChange
    from stepstream.schemas.record import Record


def begin_episode(
    key: int, episode_id: bytes, recorder: int, start: EpisodeStart, started_at: int
) -> EpisodeState:
    """The row of an episode that begins."""
    state = EpisodeState(key=key, id=episode_id, recorder=recorder, name=start.name, started_at=started_at)
    _state_start(state, start)
    return state


def project_status(
    state: EpisodeState, change: StatusChange, at: int, agent: str | None, role: str | None
) -> None:
    """Carry a status change into the row."""
    if change.start is not None:
        _state_start(state, change.start)
        state.started_at = at
        state.agent, state.role = agent, role
    if state.ended_at is not None:
        # What comes after the end is kept and flagged, and does not undo it.
        return
    state.status = change.status.value
    state.reason = change.reason
    if change.status is not Status.RUNNING:
        state.ended_at = at
    if change.end is not None:
        state.outcome = change.end.outcome
        state.score = change.end.score
        state.ending = None if change.end.ending is None else change.end.ending.value


def _state_start(state: EpisodeState, start: EpisodeStart) -> None:
    state.name = start.name
    state.problem = start.problem
    state.attempt = start.attempt
    state.parent_id = None if start.parent_id is None else id_bytes(start.parent_id)
    state.tags = to_json(start.tags).decode()
    state.metadata = _json(start.metadata)
    state.data_use = _json(start.data_use)
    state.ambient = int(start.ambient)
    state.implied = int(start.implied)


def _json(value: Record | None) -> str | None:
    return None if value is None else value.model_dump_json()
