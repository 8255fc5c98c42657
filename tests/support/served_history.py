"""A history that is served: ``stepstream serve`` as a process, which can be killed and started again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.nursery import ROOT, child_environment, until

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITHIN_S = 30.0


class ServedHistory:
    """One database and its server, on a port that stays the same.

    Args:
        directory: Where ``history.db`` is, or is going to be.
        options: More arguments for ``stepstream serve``.
    """

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.database = directory / "history.db"
        self.port = 0
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "stepstream", "serve", "--json"]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--db", str(self.database), *self._options],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(),
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said, "the server does not start"
        self.port = int(json.loads(said)["port"])
        until(self._answers, "the server answers", _WITHIN_S)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        code = self._end(number)
        assert code is not None
        return code

    def _end(self, number: int) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        code = process.wait(_WITHIN_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
