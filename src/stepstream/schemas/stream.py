"""What the live stream carries: the messages of SSE and WebSocket, told apart by ``type``.

Knows the wire's shapes. Must not know how they are sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from stepstream.schemas.event import Reset
from stepstream.schemas.identity import Identifier
from stepstream.schemas.record import Record
from stepstream.schemas.step import Step

DELTA_CHARACTERS_MAX = 100_000


class DeltaPart(StrEnum):
    """Which part of an answer a delta belongs to."""

    CONTENT = "content"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    OUTPUT = "output"


class Delta(Record):
    """A piece of an answer that is still being made: shown to who watches now, never stored.

    Attributes:
        step_id: The ModelCall or ToolCall it belongs to.
        episode_id: The episode of that call.
        text: What came.
        part: Of which part of the answer.
    """

    step_id: Identifier
    episode_id: Identifier
    text: Annotated[str, Field(max_length=DELTA_CHARACTERS_MAX)]
    part: DeltaPart = DeltaPart.CONTENT


class StepsMessage(Record):
    """Steps were committed.

    Attributes:
        epoch: Which life of the database the cursors belong to.
        cursor: Everything up to here was told, or did not pass the filter; resume behind it.
        steps: Those that pass the filter, in the order of their cursors.
    """

    type: Literal["steps"] = "steps"
    epoch: str
    cursor: int
    steps: tuple[Step, ...]


class LiveMessage(Record):
    """All that was there when the client came was told; what follows is told as it is committed."""

    type: Literal["live"] = "live"
    epoch: str
    cursor: int


class DeltasMessage(Record):
    """Ephemeral: pieces of answers, with no cursor; whoever was away has missed them."""

    type: Literal["deltas"] = "deltas"
    deltas: tuple[Delta, ...]


StreamMessage = Annotated[StepsMessage | LiveMessage | DeltasMessage | Reset, Field(discriminator="type")]
"""One message of the WebSocket, and the ``data`` of one SSE event, which is named by its ``type``."""
