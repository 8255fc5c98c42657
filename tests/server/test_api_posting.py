"""Posting over HTTP: what is kept, and what a refusal says to whoever posts again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.reading_server import API, ReadingServer

from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.routes import posting, search, session
from stepstream.settings import Settings

CONTENT = b"solid part"
ADDRESS = f"/artifacts/{hashlib.sha256(CONTENT).hexdigest()}/bytes"


@contextmanager
def taking_in(database: Path, settings: Settings) -> Iterator[ReadingServer]:
    """A server that is posted to."""
    server = ReadingServer(database)
    server.app.state.services = replace(server.services, artifacts=ArtifactStore(database, settings))
    for router in (posting.router, search.router, session.router):
        server.app.include_router(router, prefix=API)
    with server:
        yield server


def test_a_file_is_kept_once(tmp_path: Path) -> None:
    """Bytes that have the hash they are said to have are kept, and those that are here are not asked for."""
    with taking_in(tmp_path / "history.db", Settings(disk_free_bytes_min=0)) as server:
        assert server.ask(ADDRESS, method="PUT", body=CONTENT).status == 201
        assert server.ask(ADDRESS, method="PUT", body=CONTENT).status == 204


def test_other_bytes_are_refused_for_good(tmp_path: Path) -> None:
    """Bytes of another hash do not fit, and posting them again would change nothing."""
    with taking_in(tmp_path / "history.db", Settings(disk_free_bytes_min=0)) as server:
        answer = server.ask(ADDRESS, method="PUT", body=b"solid other")

    assert (answer.status, "retry-after" in answer.headers) == (422, False)
    assert "have the hash" in answer.detail


def test_where_there_is_no_room_it_is_said_so(tmp_path: Path) -> None:
    """A disk that has no room for a file now is told as that, and when to try again; no figures of it are."""
    with taking_in(tmp_path / "history.db", Settings(disk_free_bytes_min=2**60)) as server:
        answer = server.ask(ADDRESS, method="PUT", body=CONTENT)

    assert (answer.status, answer.headers["retry-after"]) == (507, "60")
    assert answer.detail == "the server has no room for the file; try again when there is room"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/steps"),
        ("POST", "/kinds"),
        ("GET", "/recorders/019a0000-0000-7000-8000-000000000000"),
        ("PUT", ADDRESS),
        ("GET", "/search"),
        ("POST", "/session"),
        ("GET", "/session"),
        ("DELETE", "/session"),
    ],
)
def test_a_parameter_that_nobody_knows_is_refused(tmp_path: Path, method: str, path: str) -> None:
    """What was misspelt, or is meant for another release, is not passed over in silence."""
    with taking_in(tmp_path / "history.db", Settings()) as server:
        answer = server.ask(path, method=method, body=b"" if method == "PUT" else None, forced="yes")

    assert answer.status == 422
    assert "query.forced" in str(answer.json()["problems"])
