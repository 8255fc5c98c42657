"""Real servers of objects on the loopback: SeaweedFS, whose answers count, and moto, which starts faster."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_S = 40.0
_TRIES = 3


@dataclass(frozen=True)
class ObjectServer:
    """A server that is up."""

    port: int

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def bucket(self) -> str:
        """Make a bucket of its own; returns its name."""
        name = f"b{new_id().hex()}"
        assert self.ask("PUT", f"/{name}") == 200
        return name

    def ask(self, method: str, path: str) -> int:
        """Send a request without a body; returns the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment; a server that takes no 0 is told these."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def seaweedfs(directory: Path) -> Iterator[ObjectServer]:
    """A SeaweedFS server with its data in a directory."""
    program = Path(sys.executable).with_name("weed")
    for attempt in range(_TRIES):
        ports = free_ports(8)
        master, master_rpc, volume, volume_rpc, filer, filer_rpc, s3, s3_rpc = ports
        data = directory / f"data-{attempt}"
        data.mkdir()
        arguments = [
            str(program),
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_rpc}",
            "-master.volumeSizeLimitMB=64",
            "-master.telemetry=false",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_rpc}",
            "-volume.max=300",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_rpc}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_rpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        with _running(arguments, directory / f"log-{attempt}") as process:
            server = ObjectServer(s3)
            if _is_up(server, process):
                try:
                    yield server
                finally:
                    for port in ports:
                        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                            left.unlink(missing_ok=True)
                return
    raise AssertionError(f"SeaweedFS does not start; see {directory}")


@contextmanager
def moto(directory: Path) -> Iterator[ObjectServer]:
    """A moto server; it keeps everything in memory."""
    (port,) = free_ports(1)
    program = str(Path(sys.executable).with_name("moto_server"))
    with _running([program, "-H", "127.0.0.1", "-p", str(port)], directory / "moto-log") as process:
        server = ObjectServer(port)
        assert _is_up(server, process), (directory / "moto-log").read_text()
        yield server


@contextmanager
def _running(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(log.parent / "data", ignore_errors=True)


def _is_up(server: ObjectServer, process: subprocess.Popen[bytes]) -> bool:
    """Whether a server answers, and can store: its volumes come a moment after its port."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            probe = f"/p{new_id().hex()}"
            if server.ask("PUT", probe) == 200 and server.ask("PUT", f"{probe}/object") == 200:
                return True
        time.sleep(0.1)
    return False
