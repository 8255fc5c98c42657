"""An application behind the guard and the door, on a real uvicorn and a real socket, in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvicorn
import uvloop
from starlette.types import ASGIApp
from tests.support.command_line import wait_for
from websockets.sync.client import ClientConnection, connect

from stepstream.schemas.record import JsonObject
from stepstream.server.auth.rules import AccessRules
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import TokenFile
from stepstream.server.guard.door import Door
from stepstream.server.guard.guard import Guard
from stepstream.server.guard.limits import Limits

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> JsonObject:
        """Its body, which is one JSON object."""
        return cast("JsonObject", json.loads(self.body))

    @property
    def detail(self) -> str:
        """What the problem details say."""
        assert self.headers["content-type"] == "application/problem+json", self
        return str(self.json()["detail"])


class LogLines(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class GuardedServer:
    """A server that runs."""

    port: int
    tokens: TokenFile
    log: LogLines = field(default_factory=LogLines)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def say(self, data: bytes) -> bytes:
        """Send bytes on a bare connection and read until the server hangs up."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_to_end(connection)

    def token(self, *scopes: Scope) -> str:
        """A new token."""
        return self.tokens.create(scopes)[1]


def websocket(server: GuardedServer, token: str | None = None, origin: str | None = None) -> ClientConnection:
    """A WebSocket that says where it comes from."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if origin is not None:
        headers["Origin"] = origin
    return connect(f"ws://127.0.0.1:{server.port}/api/v1/ws", additional_headers=headers, proxy=None)


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up, politely or not."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextmanager
def guarded_server(
    app: ASGIApp,
    database: Path,
    *,
    rules: AccessRules | None = None,
    limits: Limits | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Iterator[GuardedServer]:
    """Run an application behind the guard, on a port of 127.0.0.1 that is free."""
    rules, limits = rules or AccessRules(), limits or Limits()
    tokens = TokenFile(database, now_ns=now_ns)
    door = Door(limits, rules)
    config = uvicorn.Config(
        Guard(app, rules=rules, tokens=tokens, limits=limits, now_ns=now_ns),
        http=door.http,
        ws=door.websocket,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    log = LogLines()
    loggers = [logging.getLogger(name) for name in ("stepstream", "uvicorn", "asyncio")]
    for logger in loggers:
        logger.addHandler(log)
        logger.setLevel(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = threading.Thread(target=_run, args=(server, listener), daemon=True)
        running.start()
        try:
            wait_for(lambda: server.started, "the start of the server")
            yield GuardedServer(listener.getsockname()[1], tokens, log)
        finally:
            server.should_exit = True
            running.join(TIMEOUT_S)
            for logger in loggers:
                logger.removeHandler(log)
    assert not running.is_alive()


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve([listener]))
