"""A server of the live stream alone: uvicorn with its two endpoints, for whoever comes; and what it streams.

It runs in a thread.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Self

import uvicorn
import uvloop
from pydantic_core import to_json
from starlette.routing import Route, Router, WebSocketRoute
from tests.support.history_builder import EpisodeScript, HistoryBuilder
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepstream.bus.bell import Bell
from stepstream.errors import FilterInvalid, StepstreamError
from stepstream.reading.local_history import LocalHistory
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.server.auth.access import Principal, Scope
from stepstream.server.problems import Refused, status_of
from stepstream.server.stream.broadcast import Broadcast
from stepstream.server.stream.sse import EventStream
from stepstream.server.stream.websocket import WebSocketStream
from stepstream.spool.directory import SpoolDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as Connection
    from websockets.http11 import Request

_STARTED_WITHIN_S = 20.0
_UNSENT_BYTES_MAX = 32 * 1024


class _Http(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["abort"] = self.transport.abort


class _WebSocket(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"]["abort"] = self.transport.abort


class _Uvicorn(uvicorn.Server):
    def __init__(
        self, app: ASGIApp, broadcast: Broadcast, on_started: Callable[[], None], drain_s: int
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Http,
                ws=_WebSocket,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=drain_s,
            )
        )
        self._broadcast = broadcast
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._broadcast.close()
        await super().shutdown(sockets)


class _Open:
    """Lets everybody in, and answers errors as the guard does."""

    def __init__(
        self, app: ASGIApp, scopes: frozenset[Scope] | None, still_valid: Callable[[], bool] | None
    ) -> None:
        self._app = app
        self._principal = None if scopes is None else Principal("somebody", scopes)
        self._still_valid = still_valid

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        connection["state"]["principal"] = self._principal
        if self._still_valid is not None:
            connection["state"]["still_valid"] = self._still_valid
        try:
            await self._app(connection, receive, send)
        except Refused as error:
            problems = [problem.model_dump() for problem in error.problems]
            await _answer(connection, send, error.status, {"detail": error.detail, "problems": problems})
        except StepstreamError as error:
            position = error.position if isinstance(error, FilterInvalid) else None
            await _answer(connection, send, status_of(error), {"detail": str(error), "position": position})


async def _answer(connection: Connection, send: Send, status: int, details: dict[str, object]) -> None:
    kind = "websocket.http.response" if connection["type"] == "websocket" else "http.response"
    body = to_json({"status": status, **details})
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


class StreamServer:
    """A running server.

    Attributes:
        port: Where it listens, on the loopback only.
        broadcast: The stream that it serves.
    """

    def __init__(
        self,
        database: Path,
        *,
        port: int = 0,
        scopes: frozenset[Scope] | None = frozenset(Scope),
        still_valid: Callable[[], bool] | None = None,
        make: type[Broadcast] = Broadcast,
        drain_s: int = 10,
        **options: float | Callable[[], bool],
    ) -> None:
        """Start it.

        Args:
            database: What is streamed.
            port: Where another one listened before; any free one by default.
            scopes: What whoever comes may do; None for somebody unknown.
            still_valid: Whether what lets them in holds still; it always does by default.
            make: What stands in for the product's broadcast.
            drain_s: How long its end waits for answers.
            **options: The broadcast's own.
        """
        self.port = port
        self.broadcast: Broadcast
        self._database = database
        self._scopes = scopes
        self._still_valid = still_valid
        self._make = make
        self._drain_s = drain_s
        # So rare that a client which nobody woke is not rescued by a heartbeat within a test.
        self._options = {"heartbeat_s": 120.0, **options}
        self._start()

    def _start(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # So that what a client does not read is noticed after some kilobytes instead of megabytes.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES_MAX)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-server", daemon=True)
        self._thread.start()
        assert self._started.wait(_STARTED_WITHIN_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        spool = SpoolDirectory(self._database)
        try:
            with LocalHistory(self._database) as history:
                self.broadcast = self._make(self._database, spool, history, **self._options)  # type: ignore[arg-type]
                routes = [
                    Route("/api/v1/events", EventStream(self.broadcast), methods=["GET"]),
                    WebSocketRoute("/api/v1/ws", WebSocketStream(self.broadcast)),
                ]
                app = _Open(Router(routes=routes), self._scopes, self._still_valid)
                self._uvicorn = _Uvicorn(app, self.broadcast, self._started.set, self._drain_s)
                async with self.broadcast:
                    await self._uvicorn.serve([self._listener])
        finally:
            spool.close()

    def stop(self) -> None:
        """End it as SIGTERM does."""
        self._uvicorn.should_exit = True
        self._thread.join(_STARTED_WITHIN_S)
        assert not self._thread.is_alive(), "the server does not end"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class LiveBuilder(HistoryBuilder):
    """Writes a history and rings the bell after every commit, as a committer does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._spool = SpoolDirectory(path)
        self._bell = Bell(self._spool)

    def commit(self) -> int:
        cursor = super().commit()
        self._bell.publish(cursor)
        return cursor

    def close(self) -> None:
        super().close()
        self._bell.close()
        self._spool.close()


def think(builder: LiveBuilder, episode: EpisodeScript, *texts: str) -> int:
    """Log thoughts and commit them; returns the last cursor."""
    for text in texts:
        episode.log(Thought(text=text))
    return builder.commit()


def log_call(episode: EpisodeScript, tool: str, *, fails: bool = False) -> None:
    """Log a tool call and what closes it."""
    call = episode.log(ToolCall(tool=tool, arguments={}))
    end = ErrorReport(message="broken") if fails else Observation(result={})
    episode.log(end, closes=call)
