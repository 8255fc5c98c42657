"""The format of Server-Sent Events: bytes in whatever pieces they come, events out.

Knows lines and fields as the HTML standard has them. Must not know what the events tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT_BYTES_MAX = 256 * 1024 * 1024
"""An event that is longer is taken for one that never ends."""

_LINE_ENDS = (b"\n", b"\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RETRY_DIGITS_MAX = 9


class EventTooLong(Exception):
    """An event has more bytes than any of ours can have."""


class ServerEvent(NamedTuple):
    """One event.

    Attributes:
        name: What sort of event it is.
        data: What it tells.
        id: What to resume behind: its own id, or the last one before it; None before the first.
    """

    name: str
    data: bytes
    id: str | None


class EventParser:
    """Makes events of the body of one response.

    Attributes:
        retry_ms: After how long the server wishes to see us again; None where it does not say.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self.retry_ms: int | None = None
        self._line = bytearray()
        self._is_after_return = False
        self._is_first_line = True
        self._name = ""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._id: str | None = None

    def feed(self, received: bytes) -> Iterator[ServerEvent]:
        """Take what came, and give the events that it completes.

        What is never completed was not told: nothing of it is given.

        Raises:
            EventTooLong: An event does not end.
        """
        for line in self._lines(received):
            if line:
                self._field(line)
            elif self._data:
                yield ServerEvent(self._name or "message", b"\n".join(self._data), self._id)
                self._begin()
            else:
                self._begin()

    def _begin(self) -> None:
        self._name = ""
        self._data = []
        self._data_bytes = 0

    def _lines(self, received: bytes) -> Iterator[bytes]:
        if self._is_after_return and received:
            # The end of a line may have come in two pieces.
            received = received.removeprefix(b"\n")
            self._is_after_return = False
        for piece in received.splitlines(keepends=True):
            self._line += piece
            if not piece.endswith(_LINE_ENDS):
                break
            line = bytes(self._line).rstrip(b"\r\n")
            self._line.clear()
            if self._is_first_line:
                self._is_first_line = False
                line = line.removeprefix(_BYTE_ORDER_MARK)
            yield line
        self._is_after_return |= received.endswith(b"\r")
        if len(self._line) + self._data_bytes > self._event_bytes_max:
            raise EventTooLong

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._data_bytes += len(value)
            case b"event":
                self._name = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit() and len(value) <= _RETRY_DIGITS_MAX:
                self.retry_ms = int(value)
            case _:
                # A comment, which only says that the server lives, or what this format has not.
                pass
