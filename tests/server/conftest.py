"""What the tests of the server share: a live history and its stream, and servers behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.fault_proxy import FaultProxy
from tests.support.guarded_app import guarded_app
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.stream_server import LiveBuilder, StreamServer
from tests.support.subscribers import followers

from stepstream.server.auth.rules import AccessRules
from stepstream.server.guard.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.history_builder import EpisodeScript

CLOSED = AccessRules.read(host="127.0.0.1", require_token=True)
PROXIED = AccessRules.read(
    host="127.0.0.1",
    allowed_hosts=["stepstream.example.org"],
    trusted_proxies=["127.0.0.1", "10.0.0.0/8"],
    root_path="/obs",
)


# -- the live stream


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[LiveBuilder]:
    building = LiveBuilder(tmp_path / "history.db")
    yield building
    building.close()


@pytest.fixture
def episode(builder: LiveBuilder) -> EpisodeScript:
    """An episode that has begun; that is step 1."""
    script = builder.episode()
    builder.commit()
    return script


@pytest.fixture
def server(builder: LiveBuilder) -> Iterator[StreamServer]:
    with StreamServer(builder.path) as serving:
        yield serving


@pytest.fixture
def proxy(server: StreamServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as between:
        yield between


@pytest.fixture
def no_follower_stays() -> Iterator[None]:
    """Whatever a test does, the threads of its subscriptions are gone when those are closed."""
    yield
    assert followers() == []


# -- behind the guard


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def local(directory: Path) -> Iterator[GuardedServer]:
    """A server as it is by default."""
    with guarded_server(guarded_app(), directory / "local.db") as server:
        yield server


@pytest.fixture(scope="module")
def closed(directory: Path) -> Iterator[GuardedServer]:
    """A server that wants a token, and looks often whether it still holds."""
    limits = Limits(recheck_interval_s=0.02, failures_burst=1_000)
    with guarded_server(guarded_app(), directory / "closed.db", rules=CLOSED, limits=limits) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(directory: Path) -> Iterator[GuardedServer]:
    """A server behind a proxy that it believes."""
    with guarded_server(guarded_app(), directory / "proxied.db", rules=PROXIED) as server:
        yield server
