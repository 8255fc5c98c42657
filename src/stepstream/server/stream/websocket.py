"""``/api/v1/ws``: the live stream as a WebSocket, with the same messages as texts of JSON.

Close codes: 1012 the server is shutting down, 1013 the client fell behind, 1008 it sent what nobody asked
for. After each of them it may come back with ``after=<epoch>:<cursor>`` of the last message it saw. Whoever
may not connect gets an HTTP answer instead.

Knows WebSockets as ASGI has them. Must not know steps.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from stepstream.server.auth.access import Scope, check_access, still_allowed
from stepstream.server.stream.client import Ending
from stepstream.server.stream.connection import abort
from stepstream.server.stream.message import HEARTBEAT
from stepstream.server.stream.query import StreamQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message as Sending
    from starlette.types import Receive, Send
    from starlette.types import Scope as Connection

    from stepstream.server.stream.broadcast import Broadcast
    from stepstream.server.stream.client import Client
    from stepstream.server.stream.message import Message

_CODES = {Ending.CLOSING: 1012, Ending.BEHIND: 1013, Ending.FLOODING: 1008, Ending.SHUT_OUT: 1008}
_RECEIVED_CHARACTERS_MAX = 1_000
_RECEIVED_MAX = 60
_WINDOW_S = 60.0


class WebSocketStream:
    """The endpoint; ``after``, ``filter`` and ``episode`` are what it takes."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Serve one connection, for as long as the client reads.

        Raises:
            Refused: It was not accepted; so with the errors of ``Broadcast.admit``.
        """
        check_access(connection, Scope.READ)
        client = self._broadcast.admit(StreamQuery.of(connection), partial(still_allowed, connection))
        gone = asyncio.create_task(_until_gone(receive, client))
        try:
            await send({"type": "websocket.accept"})
            await client.follow(send, _dress)
            if client.ending in _CODES:
                await send(
                    {"type": "websocket.close", "code": _CODES[client.ending], "reason": client.ending.value}
                )
        except TimeoutError:
            abort(connection)
        finally:
            gone.cancel()
            self._broadcast.release(client)


def _dress(message: Message) -> Sequence[Sending]:
    # The server itself pings.
    return () if message is HEARTBEAT else ({"type": "websocket.send", "text": message.text},)


async def _until_gone(receive: Receive, client: Client) -> None:
    """Ignore what a client sends until it goes, or sends too much."""
    loop = asyncio.get_running_loop()
    count, since = 0, loop.time()
    while True:
        received = await receive()
        if received["type"] == "websocket.disconnect":
            client.end(Ending.GONE)
            return
        if received["type"] == "websocket.receive":
            if loop.time() - since >= _WINDOW_S:
                count, since = 0, loop.time()
            count += 1
            size = len(received.get("text") or received.get("bytes") or "")
            if count > _RECEIVED_MAX or size > _RECEIVED_CHARACTERS_MAX:
                client.end(Ending.FLOODING)
                return
