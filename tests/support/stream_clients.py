"""Clients of the live stream, by hand over sockets: what a browser's EventSource does, and checks of what it gets.

A reader takes bytes and gives events; a tracker takes events and checks ids, cursors and their order. With them
a test drives a blocking client, or a crowd of them.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

from pydantic import TypeAdapter

from stepstream.schemas.event import Reset
from stepstream.schemas.stream import DeltasMessage, LiveMessage, StepsMessage, StreamMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.schemas.step import Step

WITHIN_S = 20.0
_ADAPTER: TypeAdapter[StepsMessage | LiveMessage | DeltasMessage | Reset] = TypeAdapter(StreamMessage)
_RECEIVED_BYTES = 64 * 1024

Told = StepsMessage | LiveMessage | DeltasMessage | Reset


def address(after: str | int | None = None, path: str = "/api/v1/events", **parameters: str) -> str:
    """The path and query of a stream."""
    if after is not None:
        parameters["after"] = str(after)
    return f"{path}?{urlencode(parameters)}" if parameters else path


def request(target: str, last_event_id: str | None = None, method: str = "GET") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", "host: localhost", "accept: text/event-stream"]
    if last_event_id is not None:
        lines.append(f"last-event-id: {last_event_id}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class SseEvent:
    """One event, or a comment, as it came."""

    name: str = ""
    id: str | None = None
    data: str = ""
    comment: str | None = None
    retry: str | None = None

    def message(self) -> Told:
        """What it tells, validated."""
        message = _ADAPTER.validate_json(self.data)
        assert message.type == self.name
        if isinstance(message, DeltasMessage):
            assert self.id is None, "a delta can be resumed behind"
        else:
            assert self.id == f"{message.epoch}:{message.cursor}"
        return message


class SseReader:
    """Makes events of the bytes of a response with chunks."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_complete = False
        self._raw = b""
        self._chunk_left = -1
        self._text = b""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take what came; returns the events that it completes."""
        self._raw += data
        if not self.status and not self._take_head():
            return []
        self._take_body()
        *blocks, self._text = (self._text).split(b"\n\n")
        return [_event(block.decode()) for block in blocks]

    def _take_head(self) -> bool:
        head, separator, rest = self._raw.partition(b"\r\n\r\n")
        if not separator:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self._raw = rest
        return True

    def _take_body(self) -> None:
        if self.headers.get("transfer-encoding") != "chunked":
            self.body += self._raw
            self._raw = b""
            self.is_complete = len(self.body) >= int(self.headers.get("content-length", "0"))
            return
        while not self.is_complete:
            if self._chunk_left < 0:
                line, separator, rest = self._raw.partition(b"\r\n")
                if not separator:
                    return
                self._chunk_left, self._raw = int(line, 16), rest
                self.is_complete = self._chunk_left == 0
            elif self._chunk_left:
                taken = self._raw[: self._chunk_left]
                if not taken:
                    return
                self._text += taken
                self._raw = self._raw[len(taken) :]
                self._chunk_left -= len(taken)
            elif self._raw.startswith(b"\r\n"):
                self._raw = self._raw[2:]
                self._chunk_left = -1
            else:
                return


def _event(block: str) -> SseEvent:
    values: dict[str, str] = {}
    for line in block.split("\n"):
        name, separator, value = line.partition(":")
        assert separator, f"a line without a colon: {line!r}"
        name = name or "comment"
        assert name not in values, f"{name} stands twice in {block[:200]!r}"
        values[name] = value.removeprefix(" ")
    return SseEvent(
        values.get("event", ""),
        values.get("id"),
        values.get("data", ""),
        values.get("comment"),
        values.get("retry"),
    )


class SseClient:
    """One blocking connection."""

    def __init__(
        self,
        port: int,
        target: str,
        *,
        last_event_id: str | None = None,
        method: str = "GET",
        receive_bytes: int | None = None,
    ) -> None:
        """Connect and ask.

        Args:
            port: Where the server listens.
            target: Path and query.
            last_event_id: What was seen last.
            method: GET, or what is refused.
            receive_bytes: How much the system may take for a client that does not read.
        """
        self.reader = SseReader()
        self._events: list[SseEvent] = []
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(WITHIN_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(request(target, last_event_id, method))

    def head(self) -> SseReader:
        """Wait for the head of the answer."""
        while not self.reader.status:
            self._receive()
        return self.reader

    def problem(self) -> dict[str, object]:
        """The problem details of a request that is refused."""
        while not self.reader.is_complete:
            self._receive()
        details: dict[str, object] = json.loads(self.reader.body)
        return details

    def event(self) -> SseEvent | None:
        """The next event or comment; None at the end of the answer."""
        while not self._events:
            if self.reader.is_complete or not self._receive():
                return None
        return self._events.pop(0)

    def message(self) -> Told | None:
        """The next message; None at the end of the answer."""
        while (event := self.event()) is not None:
            if event.name:
                return event.message()
        return None

    def steps(self, count: int) -> list[Step]:
        """So many more steps."""
        found: list[Step] = []
        while len(found) < count:
            message = self.message()
            assert message is not None, f"the answer ended after {len(found)} of {count} steps"
            if isinstance(message, StepsMessage):
                found += message.steps
        assert len(found) == count
        return found

    def until_live(self) -> list[Told]:
        """Every message up to the one that says that it is live, which is the last."""
        found: list[Told] = []
        while not found or not isinstance(found[-1], LiveMessage):
            message = self.message()
            assert message is not None, "the answer ended before it was live"
            found.append(message)
        return found

    def _receive(self) -> bool:
        data = self.socket.recv(_RECEIVED_BYTES)
        self._events += self.reader.feed(data)
        return bool(data)

    def close(self) -> None:
        """Go without a word."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Tracker:
    """What one client has seen, across all its connections; it complains at once of what must not be.

    Attributes:
        after: The place to resume behind; None before the first connection.
        cursors: The cursors of the steps it saw.
        resets: The resets it saw.
        lives: How many times it was told that it is live.
    """

    passes: Callable[[Step], bool] = lambda step: True
    after: str | None = None
    cursors: list[int] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)
    lives: int = 0

    def take(self, event: SseEvent) -> None:
        """See an event."""
        if not event.name:
            return
        message = event.message()
        match message:
            case StepsMessage():
                self._steps(message)
            case LiveMessage():
                self.lives += 1
            case Reset():
                self.resets.append(message)
            case DeltasMessage():
                return
        self.after = event.id

    def _steps(self, message: StepsMessage) -> None:
        seen = self._cursor()
        for step in message.steps:
            assert step.cursor > seen, f"step {step.cursor} came after {seen}"
            assert self.passes(step), f"step {step.cursor} does not pass"
            seen = step.cursor
            self.cursors.append(step.cursor)
        assert message.cursor >= seen, f"a message up to {message.cursor} has step {seen}"

    def _cursor(self) -> int:
        return -1 if self.after is None else int(self.after.rpartition(":")[2])


def wait_for(done: Callable[[], bool], what: str) -> None:
    """Wait until something is so; fail when it is not within a generous time."""
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.005)
