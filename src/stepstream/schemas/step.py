"""A step: one atomic thing that happened in an episode, never changed afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import SerializeAsAny, model_validator
from pydantic_core import to_json

from stepstream.schemas.identity import Identifier, id_text
from stepstream.schemas.payload import StepPayload, decode_payload, version_of
from stepstream.schemas.record import Record


class StepRef:
    """A step that has just been logged: its id and its episode's, in canonical text."""

    __slots__ = ("_episode", "_step")

    def __init__(self, step: bytes, episode: bytes) -> None:
        self._step = step
        self._episode = episode

    @property
    def id(self) -> str:
        """The step's id."""
        return id_text(self._step)

    @property
    def episode_id(self) -> str:
        """The id of the episode it belongs to."""
        return id_text(self._episode)

    @property
    def raw(self) -> bytes:
        """The step's id as sixteen bytes."""
        return self._step

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StepRef) and self._step == other._step

    def __hash__(self) -> int:
        return hash(self._step)

    def __repr__(self) -> str:
        return f"StepRef(id={self.id!r}, episode_id={self.episode_id!r})"


class Origin(Record):
    """The process that logged a step."""

    recorder_id: Identifier
    pid: int
    host: str


class Step(Record):
    """One atomic thing that happened in an episode.

    Attributes:
        id: UUIDv7.
        episode_id: The episode it belongs to.
        sequence: 0, 1, 2... inside the episode, gapless and causal on one machine.
        cursor: Position in the whole database, in commit order; what readers order and resume by.
        kind: What the payload is.
        occurred_at: When it was logged, or said to have happened; ns since 1970 UTC.
        recorded_at: When it was committed; ns since 1970 UTC.
        agent: Who logged it.
        role: The agent's role.
        parent_id: The step it is nested under.
        closes: The step that ends with this one.
        schema_version: Version of the payload as it is here; an old one was brought up when it was read.
        origin: The process that logged it.
        after_end: It came after the episode had ended.
        payload: What happened.
    """

    id: Identifier
    episode_id: Identifier
    sequence: int
    cursor: int
    kind: str
    occurred_at: int
    recorded_at: int
    agent: str | None
    role: str | None
    parent_id: Identifier | None
    closes: Identifier | None
    schema_version: int
    origin: Origin
    after_end: bool = False
    payload: SerializeAsAny[StepPayload]

    @property
    def time(self) -> datetime:
        """``occurred_at`` as an aware datetime, to the microsecond."""
        return datetime.fromtimestamp(self.occurred_at // 1_000_000_000, UTC).replace(
            microsecond=self.occurred_at // 1000 % 1_000_000
        )

    @model_validator(mode="before")
    @classmethod
    def _read_payload(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the caller gave
        """Choose the payload's class by kind and version when the step comes from JSON."""
        if isinstance(data, dict) and isinstance(data.get("payload"), dict):
            version = data.get("schema_version", 1)
            payload = decode_payload(str(data.get("kind")), int(version), to_json(data["payload"]))
            data = {**data, "payload": payload}
            if type(version) is int and "schema_version" in data:
                data["schema_version"] = version_of(payload)
        return data
