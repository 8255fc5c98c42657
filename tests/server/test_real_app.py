"""The real application, every route of it, before everybody who might ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.auth_matrix import endpoints, matrix, undeclared

from stepstream import ObservabilityProvider, Thought
from stepstream.reading.local_history import LocalHistory
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.app import create_app
from stepstream.server.services import Services
from stepstream.server.stream.broadcast import Broadcast
from stepstream.settings import Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.post_office import PostOffice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    database = tmp_path / "history.db"
    with ObservabilityProvider(database) as provider, provider.episode("matrix") as episode:
        episode.log_event(Thought(text="something to find"))
    spool, office = SpoolDirectory(database), PostOffice()
    try:
        with LocalHistory(database) as history:
            settings = Settings()
            services = Services(
                database=database,
                settings=settings,
                history=history,
                post_office=office,
                artifacts=ArtifactStore(database, settings),
            )
            yield create_app(services, Broadcast(database, spool, history))
    finally:
        office.close()
        spool.close()


def test_every_route_lets_in_whom_it_says(app: FastAPI, tmp_path: Path) -> None:
    """Each route of the server asks for one scope, and lets in exactly those who have it."""
    assert undeclared(app) == []
    assert len(list(endpoints(app))) > 25
    assert matrix(app, tmp_path / "other.db") == []
