"""A small application with a route of every kind, to stand behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from stepstream.server.auth import access
from stepstream.server.auth.access import Principal, check_access, principal_of, require
from stepstream.server.guard.answer import HANDLED_ERRORS, answer_problem
from stepstream.server.page import page_router
from stepstream.server.routes import session

INSIDE = "what-nobody-outside-may-see"

Reader = Annotated[Principal, Depends(require(access.Scope.READ))]
Sender = Annotated[Principal, Depends(require(access.Scope.RECORD))]
Controller = Annotated[Principal, Depends(require(access.Scope.CONTROL))]
Administrator = Annotated[Principal, Depends(require(access.Scope.ADMIN))]

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    principal = principal_of(request.scope)
    client = "" if request.client is None else request.client.host
    return {
        "who": "" if principal is None else principal.name,
        "client": client,
        "scheme": request.url.scheme,
    }


@router.get("/things/{thing_id}")
async def thing(thing_id: int, reader: Reader) -> dict[str, str]:
    return {"name": reader.name}


@router.post("/things")
async def new_thing(sender: Sender, thing: Annotated[dict[str, str], Body()]) -> dict[str, str]:
    return {"name": sender.name}


@router.post("/steps")
async def steps(request: Request, sender: Sender) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@router.put("/artifacts/{sha256}/bytes")
async def artifact(sha256: str, request: Request, sender: Sender) -> dict[str, int]:
    return {"bytes": sum([len(chunk) async for chunk in request.stream()])}


@router.post("/episodes/{episode_id}/commands")
async def command(episode_id: str, controller: Controller) -> dict[str, str]:
    return {"name": controller.name}


@router.delete("/episodes/{episode_id}")
async def remove(episode_id: str, administrator: Administrator) -> dict[str, str]:
    return {"name": administrator.name}


@router.get("/broken")
async def broken(reader: Reader) -> None:
    raise RuntimeError(INSIDE)


@router.get("/half")
async def half(reader: Reader) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"the first half"
        raise RuntimeError(INSIDE)

    return StreamingResponse(parts())


@router.get("/endless")
async def endless(reader: Reader) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    return StreamingResponse(parts())


@router.get("/kept")
async def kept(reader: Reader) -> PlainTextResponse:
    policy = {"cache-control": "private, max-age=60", "content-security-policy": "sandbox"}
    return PlainTextResponse("kept", headers=policy)


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """The live stream: a line every few milliseconds."""
    check_access(scope, access.Scope.READ)
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store, no-transform")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
        await asyncio.sleep(0.005)


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """The same as a WebSocket."""
    check_access(scope, access.Scope.READ)
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "still here"})
        await asyncio.sleep(0.005)


class _Raw:
    """An ASGI endpoint that is no function, as the server's own are."""

    def __init__(self, endpoint: object) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)  # type: ignore[operator]


def guarded_app() -> FastAPI:
    """The application, as a server would put it together."""
    app = FastAPI(openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
    for kind in HANDLED_ERRORS:
        app.add_exception_handler(kind, answer_problem)
    app.include_router(router, prefix="/api/v1")
    app.include_router(session.router, prefix="/api/v1")
    app.include_router(page_router(Path("no dashboard")))
    app.router.routes.append(Route("/api/v1/events", _Raw(events)))
    app.router.routes.append(WebSocketRoute("/api/v1/ws", _Raw(websocket)))
    return app
