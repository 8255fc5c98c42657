"""Messages of the live stream, encoded once for everybody they go to.

Knows how a message looks in each transport. Must not know who gets it. The JSON is byte for byte that of the
models in ``schemas/stream.py``, but what is encoded already is only joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import to_json

from stepstream.schemas.stream import LiveMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stepstream.schemas.event import Reset

MESSAGE_STEPS_MAX = 500
MESSAGE_BYTES_MAX = 64 * 1024


class Message:
    """One message; whoever sends it takes the same bytes.

    Attributes:
        name: Its type; empty for a heartbeat.
        json: The message as JSON.
        place: What to resume behind, ``<epoch>:<cursor>``; None for what is not resumed behind.
        steps: How many steps it tells of.
    """

    __slots__ = ("_frame", "_text", "json", "name", "place", "steps")

    def __init__(self, name: str, json: bytes, place: str | None = None, steps: int = 0) -> None:
        self.name = name
        self.json = json
        self.place = place
        self.steps = steps
        self._frame: bytes | None = None
        self._text: str | None = None

    @property
    def frame(self) -> bytes:
        """The message as an event of Server-Sent Events; a heartbeat is a comment."""
        if self._frame is None:
            if not self.name:
                self._frame = b":\n\n"
            elif self.place is None:
                self._frame = b"event: %b\ndata: %b\n\n" % (self.name.encode(), self.json)
            else:
                head = f"event: {self.name}\nid: {self.place}\n".encode()
                self._frame = b"%bdata: %b\n\n" % (head, self.json)
        return self._frame

    @property
    def text(self) -> str:
        """The message as a text for a WebSocket."""
        if self._text is None:
            self._text = self.json.decode()
        return self._text


HEARTBEAT = Message("", b"")


def steps_message(epoch: str, cursor: int, steps: Sequence[bytes]) -> Message:
    """A ``StepsMessage`` of encoded steps; without any it only moves the cursor."""
    json = b'{"type":"steps","epoch":%b,"cursor":%d,"steps":[%b]}' % (
        to_json(epoch),
        cursor,
        b",".join(steps),
    )
    return Message("steps", json, f"{epoch}:{cursor}", len(steps))


def deltas_message(deltas: Sequence[bytes]) -> Message:
    """A ``DeltasMessage`` of encoded deltas."""
    return Message("deltas", b'{"type":"deltas","deltas":[%b]}' % b",".join(deltas))


def live_message(epoch: str, cursor: int) -> Message:
    """A ``LiveMessage``."""
    return Message(
        "live", LiveMessage(epoch=epoch, cursor=cursor).model_dump_json().encode(), f"{epoch}:{cursor}"
    )


def reset_message(reset: Reset) -> Message:
    """A ``Reset``."""
    return Message("reset", reset.model_dump_json().encode(), f"{reset.epoch}:{reset.cursor}")


def portions(encoded: Sequence[bytes]) -> Iterator[slice]:
    """Which of many encoded things go together into one message."""
    start = size = 0
    for index, piece in enumerate(encoded):
        is_full = size + len(piece) > MESSAGE_BYTES_MAX or index - start >= MESSAGE_STEPS_MAX
        if is_full and index > start:
            yield slice(start, index)
            start, size = index, 0
        size += len(piece)
    if start < len(encoded):
        yield slice(start, len(encoded))
