"""The matrix of access: every route of an application, asked by everybody who might ask it.

What a route needs is read from the route itself; what an answer has to be follows from that. Works on any
application that is meant to stand behind the guard, without a socket, so that a whole server takes a few seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, WebSocketRoute
from starlette.types import Message

from stepstream.server.auth.access import required_scope
from stepstream.server.auth.rules import AccessRules
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.sessions import Sessions
from stepstream.server.auth.tokens import TokenFile
from stepstream.server.guard.guard import OPEN_PATHS, Guard
from stepstream.server.guard.limits import Limits

RAW_ROUTES = {"/api/v1/events": Scope.READ, "/api/v1/ws": Scope.READ}
"""Routes that are plain ASGI, where no dependency can say what they need; they look for themselves."""

SESSION = "/api/v1/session"
WEBSOCKET = "WEBSOCKET"
ORIGIN = "http://localhost:8321"
_HOST = b"localhost:8321"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_SAMPLES = {"int": "1", "float": "1", "uuid": "0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11", "path": "x"}
_TIMEOUT_S = 10.0
_UNLIMITED = 10**9


@dataclass(frozen=True)
class Endpoint:
    """One method of one route.

    Attributes:
        method: The method, or ``WEBSOCKET``.
        path: The path, with something in the place of its parameters.
        needs: The scope it asks for; None for one that is open.
    """

    method: str
    path: str
    needs: Scope | None

    @property
    def is_safe(self) -> bool:
        return self.method in _SAFE

    @property
    def is_websocket(self) -> bool:
        return self.method == WEBSOCKET

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Asker:
    """Somebody who asks.

    Attributes:
        name: Who it is, for a complaint.
        headers: What is sent.
        scopes: What they may do if they are who they seem to be.
        refused: The status with which they are refused everywhere; None where it depends on the route.
    """

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    scopes: frozenset[Scope] = frozenset()
    refused: int | None = None


def undeclared(app: FastAPI) -> list[str]:
    """The routes of the API that do not say what they need, or say it twice."""
    complaints = []
    for route in iter_route_contexts(app.routes):
        path = route.path or ""
        if not path.startswith("/api") or path in OPEN_PATHS or path in RAW_ROUTES:
            continue
        found = [] if isinstance(route.original_route, Mount) else _scopes(getattr(route, "dependant", None))
        if len(found) != 1:
            complaints.append(f"{path} asks for {[scope.value for scope in found]}, not for one scope")
    return complaints


def endpoints(app: FastAPI) -> Iterator[Endpoint]:
    """Every method of every route."""
    for route in iter_route_contexts(app.routes):
        path = route.path or ""
        if isinstance(route.original_route, Mount) or path == SESSION:
            continue
        found = _scopes(getattr(route, "dependant", None))
        needs = RAW_ROUTES.get(path, found[0] if found else None)
        is_websocket = isinstance(route.original_route, WebSocketRoute)
        for method in sorted({WEBSOCKET} if is_websocket else route.methods or {"GET"}):
            yield Endpoint(method, _filled(path), needs)


def matrix(app: FastAPI, database: Path) -> list[str]:
    """Ask every endpoint as everybody; returns a complaint for each answer that should have been another one.

    Args:
        app: The application, without a guard.
        database: Where its tokens are to lie; there must be none yet.
    """
    tokens = TokenFile(database)
    guard = Guard(
        app,
        rules=AccessRules.read(host="127.0.0.1", require_token=True),
        tokens=tokens,
        limits=Limits(
            requests_burst=_UNLIMITED, stranger_requests_burst=_UNLIMITED, failures_burst=_UNLIMITED
        ),
    )
    askers = list(_askers(tokens))
    return asyncio.run(_complaints(guard, list(endpoints(app)), askers))


async def _complaints(guard: Guard, asked: list[Endpoint], askers: list[Asker]) -> list[str]:
    complaints = []
    for endpoint in asked:
        for asker in askers:
            expected = _expected(endpoint, asker)
            status = await _ask(guard, endpoint, asker)
            is_refused = status in {401, 403}
            if (expected is None and is_refused) or (expected is not None and status != expected):
                complaints.append(f"{endpoint} as {asker.name}: {status}, not {expected or 'let in'}")
    return complaints


def _expected(endpoint: Endpoint, asker: Asker) -> int | None:
    """The status of the answer; None for any that lets in."""
    changes = not endpoint.is_safe
    is_api = endpoint.path.startswith("/api")
    if "Origin" in asker.headers and asker.headers["Origin"] != ORIGIN and changes:
        return 403
    is_foreign = asker.headers.get("Sec-Fetch-Site") == "cross-site"
    if is_foreign and (changes or (is_api and "Authorization" not in asker.headers)):
        return 403
    if endpoint.needs is None:
        return None
    if asker.refused is not None:
        return asker.refused
    # The right one is as long as a hash; what stands there otherwise is made up.
    has_csrf_token = len(asker.headers.get("X-CSRF-Token", "")) == 64
    if "Cookie" in asker.headers and changes and not endpoint.is_websocket and not has_csrf_token:
        return 403
    return None if {endpoint.needs, Scope.ADMIN} & asker.scopes else 403


def _askers(tokens: TokenFile) -> Iterator[Asker]:
    """Everybody who might ask."""
    sessions = Sessions(tokens)
    yield Asker("nobody", refused=401)
    yield Asker("nobody of our page", {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, refused=401)
    yield Asker("another way of proving", {"Authorization": "Basic eDp5"}, refused=401)
    yield Asker("a made-up cookie", {"Cookie": "stepstream_session=x"}, refused=401)
    revoked, text = tokens.create([Scope.ADMIN])
    ended_by_token = f"stepstream_session={sessions.seal(sessions.begin(revoked.id))}"
    tokens.revoke(revoked.id)
    yield Asker("a revoked token", {"Authorization": f"Bearer {text}"}, refused=401)
    yield Asker("the session of a revoked token", {"Cookie": ended_by_token}, refused=401)
    _, text = tokens.create([Scope.ADMIN], lifetime_ns=1)
    yield Asker("an expired token", {"Authorization": f"Bearer {text}"}, refused=401)
    for scopes in ([Scope.READ], [Scope.RECORD], [Scope.CONTROL], [Scope.ADMIN], [Scope.READ, Scope.CONTROL]):
        token, text = tokens.create(scopes)
        name, may = "+".join(scopes), frozenset(scopes)
        bearer = {"Authorization": f"Bearer {text}"}
        yield Asker(f"a {name} token", bearer, may)
        yield Asker(f"a wrong {name} token", {"Authorization": f"Bearer {text[:-1]}x"}, refused=401)
        yield Asker(f"a {name} token of another origin", {**bearer, "Origin": "https://evil.example"}, may)
        yield Asker(f"a {name} token of another site", {**bearer, "Sec-Fetch-Site": "cross-site"}, may)
        session = sessions.begin(token.id)
        cookie = {"Cookie": f"stepstream_session={sessions.seal(session)}"}
        csrf = {"X-CSRF-Token": sessions.csrf_token(session)}
        yield Asker(f"a {name} session without a CSRF token", cookie, may)
        yield Asker(f"a {name} session with a wrong one", {**cookie, "X-CSRF-Token": "x"}, may)
        yield Asker(f"a {name} session", {**cookie, **csrf, "Origin": ORIGIN}, may)
        yield Asker(f"a {name} session of another origin", {**cookie, **csrf, "Origin": "null"}, may)
        yield Asker(
            f"a {name} session of another site", {**cookie, **csrf, "Sec-Fetch-Site": "cross-site"}, may
        )
        ended = sessions.begin(token.id)
        sessions.end(ended)
        cookie = {"Cookie": f"stepstream_session={sessions.seal(ended)}"}
        yield Asker(
            f"an ended {name} session", {**cookie, "X-CSRF-Token": sessions.csrf_token(ended)}, refused=401
        )


async def _ask(guard: Guard, endpoint: Endpoint, asker: Asker) -> int:
    """The status of the answer; what follows it is not waited for."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    kind = "websocket" if endpoint.is_websocket else "http"
    came: list[Message] = [{"type": "websocket.connect"}] if endpoint.is_websocket else []
    came += [] if endpoint.is_websocket else [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if came:
            return came.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        status = message.get("status", {"websocket.accept": 101, "websocket.close": 403}.get(message["type"]))
        if status is not None and not started.done():
            started.set_result(int(status))
        # An answer without an end lets others have their turn, as it does on a socket.
        await asyncio.sleep(0)

    headers = [(name.lower().encode(), value.encode()) for name, value in asker.headers.items()]
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": endpoint.method,
        "scheme": "ws" if endpoint.is_websocket else "http",
        "path": endpoint.path,
        "raw_path": endpoint.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", _HOST), *headers],
        "subprotocols": [],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 8321),
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    asking = asyncio.create_task(guard(scope, receive, send))
    try:
        waited: set[asyncio.Future[object]] = {asking, started}  # type: ignore[arg-type]
        await asyncio.wait(waited, timeout=_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if asking.done() and not started.done():
            asking.result()
        return started.result() if started.done() else HTTPStatus.GATEWAY_TIMEOUT
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def _scopes(dependant: Dependant | None) -> list[Scope]:
    """The scopes that a route and what it depends on ask for."""
    if dependant is None:
        return []
    own = required_scope(dependant.call)
    return [*([] if own is None else [own]), *(s for part in dependant.dependencies for s in _scopes(part))]


def _filled(path: str) -> str:
    """The path with something in the place of each parameter."""

    def sample(found: re.Match[str]) -> str:
        _, _, convertor = found[1].partition(":")
        return _SAMPLES.get(convertor, _SAMPLES["uuid"])

    return re.sub(r"{([^}]*)}", sample, path)
