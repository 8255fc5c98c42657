"""A server of the benchmarks: ``stepstream serve`` as a process, on any free port."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import urllib3

if TYPE_CHECKING:
    from types import TracebackType

_WITHIN_S = 20.0


class Served:
    """One server, from its start to its end."""

    def __init__(self, database: Path, port: int = 0) -> None:
        """Start it and wait for its first answer.

        Args:
            database: The database.
            port: The port; 0 for any free one.
        """
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "stepstream",
                "serve",
                "--json",
                "--port",
                str(port),
                "--db",
                str(database),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is None:
            raise RuntimeError("the server has no stdout")
        said = json.loads(self._process.stdout.readline())
        self.host, self.port = str(said["host"]), int(said["port"])
        self.url = f"http://{self.host}:{self.port}"
        self.http = urllib3.PoolManager()
        while self.http.request("GET", f"{self.url}/api/v1/ready").status != 200:
            if time.perf_counter() - began > _WITHIN_S:
                raise RuntimeError("the server does not get ready")
            time.sleep(0.005)
        self.start_s = time.perf_counter() - began

    @property
    def resident_bytes(self) -> int:
        """How much memory it holds."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server is gone")

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it as an operator does."""
        self._process.terminate()
        self._process.wait(_WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.close()
