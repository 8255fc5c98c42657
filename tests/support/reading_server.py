"""A server of the reading API alone, for whoever comes: real uvicorn on a real socket, in a thread of the test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import quote, urlencode

import urllib3
import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from stepstream.reading.local_history import LocalHistory
from stepstream.schemas.record import JsonObject
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.answers import install_problem_handlers
from stepstream.server.auth.access import Principal, Scope
from stepstream.server.openapi import describe_api
from stepstream.server.routes.reading import api_router
from stepstream.server.services import Services
from stepstream.server.stream.figures import StreamReport
from stepstream.settings import Settings
from stepstream.store.post_office import PostOffice

API = "/api/v1"
_STARTED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    def json(self) -> JsonObject:
        """Its body, which is one JSON object."""
        return cast("JsonObject", json.loads(self.body))

    @property
    def detail(self) -> str:
        """What the problem details say."""
        assert self.headers["content-type"] == "application/problem+json", self
        return str(self.json()["detail"])


class ReadingServer:
    """The server, and a client of it."""

    def __init__(
        self,
        database: Path,
        scopes: frozenset[Scope] | None = frozenset(Scope),
        stream_figures: Callable[[], StreamReport] | None = None,
    ) -> None:
        """Prepare.

        Args:
            database: What is served; need not exist.
            scopes: What whoever comes may do; None for nobody known.
            stream_figures: How the stream stands, where there is one.
        """
        settings = Settings()
        self.services = Services(
            database=database,
            settings=settings,
            history=LocalHistory(database),
            post_office=PostOffice(),
            artifacts=ArtifactStore(database, settings),
            stream_figures=stream_figures,
        )
        self.app = FastAPI(openapi_url=f"{API}/openapi.json", docs_url=None, redoc_url=None)
        self.app.state.services = self.services
        install_problem_handlers(self.app)
        api = APIRouter(prefix=API)
        api.include_router(api_router())
        self.app.include_router(api)
        describe_api(self.app)
        principal = None if scopes is None else Principal("local", scopes)
        self._server = uvicorn.Server(
            uvicorn.Config(
                _known_as(principal, self.app),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._http = urllib3.PoolManager(retries=False, timeout=30.0)

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = threading.Event()
        for _ in range(int(_STARTED_WITHIN_S * 100)):
            if self._server.started:
                return self
            deadline.wait(0.01)
        raise TimeoutError("the server did not start")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.clear()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.services.history.close()

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        **query: object,
    ) -> Answer:
        """Ask for a path below the API's root; parameters that are None are left out."""
        stated = [(name.rstrip("_"), value) for name, value in query.items() if value is not None]
        target = f"{self.url}{API}{path}" + (f"?{urlencode(stated, quote_via=quote)}" if stated else "")
        answer = self._http.request(method, target, body=body, headers=headers, redirect=False)
        return Answer(answer.status, answer.headers, answer.data)

    def get(self, path: str, **query: object) -> JsonObject:
        """The JSON of an answer that is a success."""
        answer = self.ask(path, **query)
        assert answer.status == 200, answer
        return answer.json()


def _known_as(principal: Principal | None, app: ASGIApp) -> ASGIApp:
    async def known(scope: Connection, receive: Receive, send: Send) -> None:
        if principal is not None:
            scope.setdefault("state", {})["principal"] = principal
        await app(scope, receive, send)

    return known


@contextmanager
def serving(database: Path, scopes: frozenset[Scope] | None = frozenset(Scope)) -> Iterator[ReadingServer]:
    """Serve a database."""
    with ReadingServer(database, scopes) as server:
        yield server
