"""Files are kept once, whole or not at all, by the hash of their bytes; what is no plain file is refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import stepstream
from stepstream import ArtifactAttached, ArtifactRefused, ObservabilityProvider
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]

MESH = b"solid bracket\n" * 1000


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    """A file somebody wants to keep."""
    path = tmp_path / "bracket.stl"
    path.write_bytes(MESH)
    return path


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_a_file_is_kept_under_its_hash(
    provider: ObservabilityProvider, logged: Logged, mesh: Path, database: Path
) -> None:
    """The bytes lie beside the database, readable by nobody else, and a step refers to them."""
    with provider.episode("test") as episode:
        artifact = episode.attach(mesh)

    digest = hashlib.sha256(MESH).hexdigest()
    kept = database.with_name("history.db-artifacts") / digest[:2] / digest[2:]
    assert kept.read_bytes() == MESH
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    assert {stat.S_IMODE(parent.stat().st_mode) for parent in (kept.parent, kept.parent.parent)} == {0o700}
    assert (artifact.sha256, artifact.name, artifact.size_bytes) == (digest, "bracket.stl", len(MESH))
    assert (artifact.media_type, artifact.path) == ("model/stl", None)
    assert logged()[1].payload == ArtifactAttached(artifact=artifact)


def test_the_same_bytes_are_kept_once(provider: ObservabilityProvider, mesh: Path, database: Path) -> None:
    """A second attach of the same content adds a reference and no file."""
    with provider.episode("test") as episode:
        first = episode.attach(mesh)
        second = episode.attach(mesh, name="../copy of it.stl", media_type="model/x")

    assert first.sha256 == second.sha256
    assert (second.name, second.media_type) == ("../copy of it.stl", "model/x")
    assert len(_files(database.with_name("history.db-artifacts"))) == 1


def test_without_a_copy_only_the_hash_is_kept(
    provider: ObservabilityProvider, mesh: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """copy=False keeps absolute path, size and hash."""
    monkeypatch.chdir(mesh.parent)
    with provider.episode("test") as episode:
        artifact = episode.attach("bracket.stl", copy=False)

    assert artifact.path == str(mesh)
    assert artifact.sha256 == hashlib.sha256(MESH).hexdigest()
    assert not database.with_name("history.db-artifacts").exists()


def _link(path: Path) -> Path:
    (path / "real").write_text("x")
    (path / "link").symlink_to(path / "real")
    return path / "link"


def _dangling(path: Path) -> Path:
    (path / "dangling").symlink_to(path / "nothing")
    return path / "dangling"


def _pipe(path: Path) -> Path:
    os.mkfifo(path / "pipe")
    return path / "pipe"


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "socket"))
    return path / "socket"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_link, "symbolic link"),
        (_dangling, "symbolic link"),
        (_pipe, "not a regular file"),
        (_socket, "."),
        (lambda path: path, "not a regular file"),
        (lambda path: path / "nothing", "No such file"),
        (lambda path: path / "sub" / ".." / "real", r"'\.\.' leads out"),
        (lambda path: Path("/dev/null"), "not a regular file"),
        (lambda path: "a\0b", "null"),
    ],
    ids=["link", "dangling", "pipe", "socket", "directory", "missing", "traversal", "device", "nul"],
)
def test_what_is_no_plain_file_is_refused(
    provider: ObservabilityProvider, tmp_path: Path, make: Callable[[Path], str | Path], reason: str
) -> None:
    """A wrong path is the caller's: it raises at once, hangs at nothing and leaves nothing behind."""
    with provider.episode("test") as episode, pytest.raises(ArtifactRefused, match=reason):
        episode.attach(make(tmp_path))

    assert _files(tmp_path / "history.db-artifacts") == []


def test_a_full_disk_refuses_the_file_and_nothing_else(mesh: Path, database: Path, logged: Logged) -> None:
    """Files never take the last of the disk; a refused one leaves no trace, and the agent is told."""
    with (
        ObservabilityProvider(database, committer="none", disk_free_bytes_min=0) as provider,
        provider.episode("test") as episode,
    ):
        episode.log_event(stepstream.Thought(text="there is room for steps"))
        greedy = ObservabilityProvider(database, committer="none", disk_free_bytes_min=1 << 62)
        with pytest.raises(ArtifactRefused, match="stay free"):
            greedy.artifacts.attach(mesh)

    assert _files(database.with_name("history.db-artifacts")) == []


def test_a_directory_that_others_may_write_is_refused(
    provider: ObservabilityProvider, mesh: Path, database: Path
) -> None:
    """Whoever may write there could put other bytes under a hash."""
    directory = database.with_name("history.db-artifacts")
    directory.mkdir()
    directory.chmod(0o777)

    with provider.episode("test") as episode, pytest.raises(ArtifactRefused, match="chmod 700"):
        episode.attach(mesh)


def test_a_file_that_grows_is_attached_as_it_was(provider: ObservabilityProvider, tmp_path: Path) -> None:
    """A log that somebody keeps writing to ends for us where it ended at the call."""
    log = tmp_path / "run.log"
    log.write_bytes(b"x" * 5_000_000)
    done = threading.Event()

    def write_on() -> None:
        with log.open("ab") as file:
            while not done.is_set():
                file.write(b"y" * 100_000)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        with provider.episode("test") as episode:
            artifact = episode.attach(log)
    finally:
        done.set()
        writer.join()

    assert 5_000_000 <= artifact.size_bytes < log.stat().st_size


def test_a_file_is_never_whole_in_memory(provider: ObservabilityProvider, tmp_path: Path) -> None:
    """A file of 64 MiB costs a few MiB of memory."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with provider.episode("test") as episode:
        tracemalloc.start()
        episode.attach(large)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 8 * 1024 * 1024


async def test_an_attached_file_belongs_to_the_step_that_awaits_it(
    provider: ObservabilityProvider, logged: Logged, mesh: Path
) -> None:
    """aattach does the same in a thread, under the same call."""
    async with provider.episode("test") as episode:
        with episode.tool_call("mesh") as call:
            one, two = await asyncio.gather(call.aattach(mesh), stepstream.aattach(mesh, name="two.stl"))

    assert (one.name, two.name) == ("bracket.stl", "two.stl")
    attached = [step for step in logged() if step.kind == "artifact_attached"]
    assert [step.parent_id for step in attached] == [call.id, call.id]


def test_many_processes_may_attach_the_same_file(
    provider: ObservabilityProvider, mesh: Path, database: Path
) -> None:
    """Forked children that attach the same bytes at once leave one whole file."""
    children = []
    with provider.episode("test") as episode:
        for _ in range(4):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for _ in range(20):
                        episode.attach(mesh)
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4

    (kept,) = _files(database.with_name("history.db-artifacts"))
    assert kept.read_bytes() == MESH
