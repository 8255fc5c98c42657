"""The app: every route of the server.

Knows which parts there are and in which order a request meets them. Must not know how they are run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.routing import Route, WebSocketRoute

from stepstream.schemas.release import RELEASE
from stepstream.server.answers import install_problem_handlers
from stepstream.server.openapi import describe_api
from stepstream.server.page import page_router
from stepstream.server.routes import backups, posting, search, session
from stepstream.server.routes.reading import api_router
from stepstream.server.stream.sse import EventStream
from stepstream.server.stream.websocket import WebSocketStream

if TYPE_CHECKING:
    from stepstream.server.services import Services
    from stepstream.server.stream.broadcast import Broadcast

API_ROOT = "/api/v1"


def create_app(services: Services, broadcast: Broadcast) -> FastAPI:
    """Put the routes together.

    Args:
        services: What they share.
        broadcast: The live stream.
    """
    app = FastAPI(
        title="stepstream",
        version=RELEASE,
        openapi_url=f"{API_ROOT}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    install_problem_handlers(app)
    api = APIRouter(prefix=API_ROOT)
    for router in (api_router(), search.router, posting.router, backups.router, session.router):
        api.include_router(router)
    app.include_router(api)
    app.include_router(page_router())
    # Not FastAPI's: what it keeps for each request would be kept for each client that watches.
    app.router.routes.append(Route(f"{API_ROOT}/events", EventStream(broadcast)))
    app.router.routes.append(WebSocketRoute(f"{API_ROOT}/ws", WebSocketStream(broadcast)))
    describe_api(app)
    return app
