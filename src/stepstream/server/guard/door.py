"""The door: what a client may do before there is a request that the guard could look at.

uvicorn takes any number of connections, waits for the head of a request as long as it takes, and keeps all of
it however long it is. Here connections are counted, a head has a time and a size, and what cannot be read is
answered as everything else is. Also leaves in the state of each connection how to drop it: ``abort``.

Knows uvicorn's protocols and sockets, and which peers are proxies. Must not know who may do what.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepstream.schemas.identity import id_text, new_id
from stepstream.server.guard.allowance import Occupancy, client_key
from stepstream.server.guard.answer import answer_to, with_standing
from stepstream.server.problems import Refused

if TYPE_CHECKING:
    from asyncio.events import TimerHandle
    from typing import Any

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from stepstream.server.auth.rules import AccessRules
    from stepstream.server.guard.limits import Limits


class Door:
    """Counts the connections of one server, and makes the protocols that uvicorn speaks through."""

    def __init__(self, limits: Limits, rules: AccessRules) -> None:
        self.limits = limits
        self._rules = rules
        self._inside = Occupancy(limits.connections_max, limits.connections_an_address_max)

    @property
    def http(self) -> type[asyncio.Protocol]:
        """What uvicorn's ``http`` is to be."""
        # uvicorn only calls it, with names.
        return cast("type[asyncio.Protocol]", partial(_Http, door=self))

    @property
    def websocket(self) -> type[asyncio.Protocol]:
        """What uvicorn's ``ws`` is to be."""
        return cast("type[asyncio.Protocol]", partial(_WebSocket, door=self))

    def enter(self, client: tuple[str, int] | None) -> bool:
        """Let a connection in, unless there are too many."""
        return self._inside.enter(self._key(client))

    def leave(self, client: tuple[str, int] | None) -> None:
        """Let a connection go that was let in."""
        self._inside.leave(self._key(client))

    def _key(self, client: tuple[str, int] | None) -> str | None:
        """What a connection is counted by; a proxy has those of all its clients, whom the guard counts."""
        if client is None or self._rules.trusts(client[0]):
            return None
        return client_key(client[0])


class _Http(HttpToolsProtocol):
    """HTTP/1.1 with an end to everything."""

    # With more attributes of the ordinary kind, Python would give each connection a dictionary of its own.
    __slots__ = (
        "_door",
        "_has_asked",
        "_has_handed_on",
        "_head_bytes",
        "_is_counted",
        "_is_in_head",
        "_is_in_message",
        "_kept_bytes",
        "_refusal",
        "_timer",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door
        self._is_counted = False
        self._has_asked = False
        self._is_in_head = False
        self._is_in_message = False
        self._head_bytes = 0
        # What came since the parser last handed anything on: it keeps a line that does not end.
        self._kept_bytes = 0
        self._has_handed_on = False
        self._refusal: Refused | None = None
        self._timer: TimerHandle | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_counted = self._door.enter(self.client)
        if self._is_counted:
            self._start_timer()
        else:
            self._refuse(Refused(503, "too many connections; try again", headers=[("retry-after", "1")]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._is_counted:
            self._door.leave(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_handed_on = False
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        self._kept_bytes = 0 if self._has_handed_on else self._kept_bytes + len(data)
        if self._kept_bytes > self._door.limits.head_bytes_max:
            self._refuse(Refused(431, "the head of the request is too long"))
        elif self._is_idle and (self._is_in_message or self.timeout_keep_alive_task is None):
            self._start_timer()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    # -- the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["abort"] = self.transport.abort
        self._is_in_head = self._is_in_message = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        most = self._door.limits.url_bytes_max
        if len(self.url) > most:
            raise self._refused(Refused(414, f"an address may have {most:,} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            # Behind a body there may stand more, which nobody has looked at when the request was let in.
            return
        limits = self._door.limits
        length = len(name) + len(value)
        self._head_bytes += length
        if length > limits.header_bytes_max or self._head_bytes > limits.head_bytes_max:
            raise self._refused(Refused(431, f"a header may have {limits.header_bytes_max:,} bytes"))
        if len(self.headers) >= limits.headers_max:
            raise self._refused(Refused(431, f"a request may have {limits.headers_max} headers"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._has_handed_on = True
        self._has_asked = True
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._has_handed_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._has_handed_on = True
        self._is_in_message = False
        super().on_message_complete()
        if self._is_idle:
            # The rest of a body that nobody wanted: now the connection waits as after any answer.
            self._stop_timer()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _refused(self, refusal: Refused) -> Refused:
        # The parser makes an error of its own of this one.
        self._refusal = refusal
        return refusal

    # -- the end

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or Refused(400, f"{msg} This server speaks HTTP/1.1."))

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._door.limits.header_timeout_s, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if not self._has_asked:
            self._refuse(Refused(408, "the request came too slowly"))
        else:
            self.transport.close()

    def _refuse(self, refusal: Refused) -> None:
        """Answer in the place of an application that never heard of the request, and hang up."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if not self._is_idle:
            # In the middle of another answer there is no place for this one.
            self.transport.abort()
            return
        request_id = id_text(new_id())
        answer = answer_to(refusal, request_id)
        headers = with_standing(answer.headers, request_id, is_https=self.scheme == "https", is_api=True)
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}".encode("ascii"),
            *(name + b": " + value for name, value in (*headers, (b"connection", b"close"))),
        ]
        self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        self.transport.close()


class _WebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that gives its place back, and can be dropped."""

    __slots__ = ("_door",)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door

    def connection_lost(self, exc: Exception | None) -> None:
        # It took over a connection that was counted, from a protocol that hears nothing of its end.
        self._door.leave(self.client)
        super().connection_lost(exc)

    async def run_asgi(self) -> None:
        self.scope["state"]["abort"] = self.transport.abort
        await super().run_asgi()
