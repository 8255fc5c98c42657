"""Every route x everybody: nobody comes in whom the route does not let in, and everybody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from tests.support.auth_matrix import endpoints, matrix, undeclared
from tests.support.guarded_app import guarded_app

from stepstream.server.auth import scope as scopes
from stepstream.server.auth.access import Principal, require

READ, ADMIN = scopes.Scope.READ, scopes.Scope.ADMIN


def test_everybody_gets_what_is_theirs(tmp_path: Path) -> None:
    """Each route lets in exactly those whose token or session is for it, however they come."""
    app = guarded_app()

    assert undeclared(app) == []
    assert len(list(endpoints(app))) > 12
    assert matrix(app, tmp_path / "history.db") == []


class TestTheMatrixCanFail:
    """A route that lets in the wrong ones is found."""

    def complaints(self, router: APIRouter, tmp_path: Path) -> list[str]:
        app = FastAPI(openapi_url=None)
        app.include_router(router)
        return matrix(app, tmp_path / "history.db")

    def test_a_route_that_asks_for_nothing(self, tmp_path: Path) -> None:
        """A route of the API that says nothing of a scope is named; to strangers it is closed all the same."""
        app = FastAPI(openapi_url=None)

        @app.get("/api/v1/forgotten")
        async def forgotten() -> str:
            return "x"

        assert undeclared(app) == ["/api/v1/forgotten asks for [], not for one scope"]
        assert "GET /api/v1/forgotten as nobody: 401, not let in" in matrix(app, tmp_path / "history.db")

    def test_a_route_that_asks_for_two(self) -> None:
        """A route that states two scopes is named, as nobody could say which of them counts."""
        app = FastAPI(openapi_url=None)
        twice = [Depends(require(READ)), Depends(require(ADMIN))]

        @app.get("/api/v1/twice", dependencies=twice)
        async def of_two() -> str:
            return "x"

        assert undeclared(app) == [
            "/api/v1/twice asks for ['admin', 'read'], not for one scope"
        ] or undeclared(app) == ["/api/v1/twice asks for ['read', 'admin'], not for one scope"]

    def test_a_mounted_application(self) -> None:
        """An application that is mounted within the API is named, as nothing is known of its routes."""
        app = FastAPI(openapi_url=None)
        app.router.routes.append(Mount("/api/v1/files", PlainTextResponse("x")))

        assert undeclared(app) == ["/api/v1/files asks for [], not for one scope"]

    def test_a_stream_that_does_not_look(self, tmp_path: Path) -> None:
        """A plain ASGI route that does not look who asks is found by those who should not have come in."""

        class Careless:
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await PlainTextResponse("x")(scope, receive, send)

        app = FastAPI(openapi_url=None)
        app.router.routes.append(Route("/api/v1/events", Careless()))

        assert "GET /api/v1/events as a record token: 200, not 403" in matrix(app, tmp_path / "history.db")

    def test_a_route_that_refuses_its_own(self, tmp_path: Path) -> None:
        """A route that refuses whom it says it lets in is found."""
        router = APIRouter(prefix="/api/v1")

        @router.get("/refusing")
        async def refusing(_: Annotated[Principal, Depends(require(READ))]) -> PlainTextResponse:
            return PlainTextResponse("no", 403)

        assert "GET /api/v1/refusing as a read token: 403, not let in" in self.complaints(router, tmp_path)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_scope_that_is_checked_wrongly(self, tmp_path: Path, method: str) -> None:
        """A route whose check lets in anybody who is known is found for every scope that it should not."""
        router = APIRouter(prefix="/api/v1")
        depends = [Depends(require(ADMIN))]

        @router.api_route("/careless", methods=[method], dependencies=depends)
        async def careless() -> str:
            return "x"

        app = FastAPI(openapi_url=None)
        app.include_router(router)
        app.dependency_overrides[require(ADMIN)] = lambda: None

        found = matrix(app, tmp_path / "history.db")
        assert f"{method} /api/v1/careless as a read token: 200, not 403" in found
        assert f"{method} /api/v1/careless as a read+control token: 200, not 403" in found
