"""Steps that stand in no database, for parts of the stream that take steps from anywhere."""

from __future__ import annotations

from stepstream.schemas.identity import id_text
from stepstream.schemas.kinds import Thought
from stepstream.schemas.payload import StepPayload
from stepstream.schemas.step import Origin, Step

_PREFIX = 0x01900000_0000_7000_9000_000000000000
_ORIGIN = Origin(recorder_id=id_text((_PREFIX + 1).to_bytes(16, "big")), pid=1, host="workshop")


def make_step(
    cursor: int, payload: StepPayload | None = None, *, closes: Step | None = None, episode: int = 1
) -> Step:
    """A step with a cursor, and everything else made of it."""
    payload = payload or Thought(text="x")
    return Step(
        id=id_text((_PREFIX + cursor).to_bytes(16, "big")),
        episode_id=id_text((_PREFIX + (episode << 48)).to_bytes(16, "big")),
        sequence=cursor,
        cursor=cursor,
        kind=payload.kind,
        occurred_at=cursor,
        recorded_at=cursor,
        agent="planner",
        role=None,
        parent_id=None,
        closes=None if closes is None else closes.id,
        schema_version=payload.schema_version,
        origin=_ORIGIN,
        payload=payload,
    )
