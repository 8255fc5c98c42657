"""Histories, and the targets that their backups go to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.backups import Rig, write_history
from tests.support.object_store import ObjectServer, moto, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A SeaweedFS server, for every test of this process."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A moto server, for every test of this process."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests keeps their own credentials to themselves."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A history of 301 steps and two files."""
    path = tmp_path / "work" / "history.db"
    path.parent.mkdir()
    write_history(path)
    return path


@pytest.fixture
def rig(database: Path, tmp_path: Path) -> Rig:
    """The history with a directory for its backups."""
    return Rig(database, f"file://{tmp_path}/safe")


@pytest.fixture
def s3_rig(database: Path, s3: ObjectServer) -> Rig:
    """The history with a bucket for its backups."""
    return Rig(database, f"s3://{s3.bucket()}/team", s3.endpoint)


@pytest.fixture(params=["file", "seaweedfs", "moto"])
def any_rig(request: pytest.FixtureRequest, database: Path, tmp_path: Path) -> Rig:
    """The history with each kind of place for its backups."""
    if request.param == "file":
        return Rig(database, f"file://{tmp_path}/safe place")
    server: ObjectServer = request.getfixturevalue("s3" if request.param == "seaweedfs" else "moto_server")
    return Rig(database, f"s3://{server.bucket()}/team/histories", server.endpoint)
