"""``GET /api/v1/events``: the live stream as Server-Sent Events.

Knows HTTP as ASGI has it. Must not know steps. Nothing stands between a message and the server's ``send``: a
response object for each client would cost three times its memory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from stepstream.server.auth.access import Scope, check_access, still_allowed
from stepstream.server.problems import Refused
from stepstream.server.stream.client import Ending
from stepstream.server.stream.connection import abort
from stepstream.server.stream.message import MESSAGE_BYTES_MAX
from stepstream.server.stream.query import StreamQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message as Sending
    from starlette.types import Receive, Send
    from starlette.types import Scope as Connection

    from stepstream.server.stream.broadcast import Broadcast
    from stepstream.server.stream.client import Client
    from stepstream.server.stream.message import Message

_CHUNK_BYTES = 2 * MESSAGE_BYTES_MAX

_START: Sending = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store, no-transform"),
        # A proxy that gathers an answer before it passes it on does not do so with this one.
        (b"x-accel-buffering", b"no"),
    ],
}
# Browsers come back after so long. A proxy opens when it sees the first bytes.
_HELLO: Sending = {"type": "http.response.body", "body": b"retry: 1000\n: stepstream\n\n", "more_body": True}
_END: Sending = {"type": "http.response.body", "body": b"", "more_body": False}


class EventStream:
    """The endpoint; ``after``, ``filter``, ``episode`` and ``Last-Event-ID`` are what it takes."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Answer one request, for as long as the client reads.

        Raises:
            Refused: It is not answered, and nothing was sent; so with the errors of ``Broadcast.admit``.
        """
        check_access(connection, Scope.READ)
        if connection["method"] != "GET":
            raise Refused(405, "the live stream has no end; use GET", headers=[("allow", "GET")])
        client = self._broadcast.admit(StreamQuery.of(connection), partial(still_allowed, connection))
        gone = asyncio.create_task(_until_gone(receive, client))
        try:
            await send(_START)
            await send(_HELLO)
            await client.follow(send, _dress)
            await send(_END)
        except TimeoutError:
            if abort(connection):
                # Until the server knows, it takes an answer without an end for a fault of ours.
                await gone
        finally:
            gone.cancel()
            self._broadcast.release(client)


def _dress(message: Message) -> Sequence[Sending]:
    """A message as parts of the body; the server copies each part for each client."""
    frame = message.frame
    if len(frame) <= _CHUNK_BYTES:
        return ({"type": "http.response.body", "body": frame, "more_body": True},)
    return [
        {"type": "http.response.body", "body": frame[start : start + _CHUNK_BYTES], "more_body": True}
        for start in range(0, len(frame), _CHUNK_BYTES)
    ]


async def _until_gone(receive: Receive, client: Client) -> None:
    """Read what a client sends, which is nothing, until it goes."""
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end(Ending.GONE)
