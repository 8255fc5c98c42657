"""What the tests of shipping share: a spool, and a server that takes what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.fault_proxy import FaultProxy
from tests.support.rounds import Place
from tests.support.served_history import ServedHistory
from tests.support.voyage import Voyage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test takes a token that happens to be in the environment."""
    monkeypatch.delenv("STEPSTREAM_TOKEN", raising=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A spool of its own; what is shipped from it has recorders of its own too."""
    return Place(tmp_path)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHistory]:
    """One server for all tests of a process, none of which stops it."""
    with ServedHistory(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def proxy(served: ServedHistory) -> Iterator[FaultProxy]:
    """The network between the shipper and the server."""
    with FaultProxy(served.port) as proxy:
        yield proxy


@pytest.fixture
def voyage(place: Place, proxy: FaultProxy) -> Iterator[Voyage]:
    """A shipper on its way through that network."""
    with Voyage(place, proxy.url) as voyage:
        yield voyage
