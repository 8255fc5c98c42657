"""The command line as a person and a script start it: real processes, pipes and terminals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from stepstream.schemas.record import JsonObject

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Look until a condition holds; a test must not sleep and hope."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> JsonObject:
        """Its stdout, which is one JSON object."""
        assert self.code == 0, self.err
        return cast("JsonObject", json.loads(self.out))

    def json_lines(self) -> list[JsonObject]:
        """Its stdout, which is a JSON object a line."""
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]


class Following:
    """A command that runs on; what it prints is read as it comes."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.text = ""

    def read_until(self, wanted: str, timeout_s: float = DEADLINE_S) -> str:
        """Read until some text has come."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self.text:
            assert time.monotonic() < deadline, f"{wanted!r} did not come; there was:\n{self.text}"
            if not self._read(0.1):
                assert wanted in self.text, f"it ended without {wanted!r}; there was:\n{self.text}"
        return self.text

    def read_all(self) -> str:
        """Read until the command has ended."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(0.1):
            assert time.monotonic() < deadline, f"it did not end; there was:\n{self.text}"
        self.process.wait(DEADLINE_S)
        return self.text

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return True
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            # A terminal whose other side is closed says so in this way.
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def interrupt(self) -> int:
        """Press Ctrl-C and wait."""
        self.process.send_signal(signal.SIGINT)
        self.read_all()
        return self.process.returncode

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._descriptor)


@dataclass
class CommandLine:
    """Runs ``stepstream`` in a directory."""

    directory: Path
    environment: dict[str, str]
    _following: list[Following] = field(default_factory=list)

    def __call__(self, *arguments: str | Path, **variables: str) -> Done:
        """Run a command to its end, off a terminal."""
        return self.python("-m", "stepstream", *arguments, **variables)

    def python(self, *arguments: str | Path, **variables: str) -> Done:
        """Run a Python program to its end."""
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.directory,
            env=self.environment | variables,
            capture_output=True,
            timeout=DEADLINE_S * 2,
            check=False,
        )
        # Bytes decoded by hand: text mode would turn a carriage return into a line break.
        return Done(result.returncode, result.stdout.decode(), result.stderr.decode())

    def follow(self, *arguments: str | Path, **variables: str) -> Following:
        """Start a command that runs on; its stdout is a pipe."""
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "stepstream", *map(str, arguments)],
            cwd=self.directory,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
        )
        os.close(writing)
        return self._kept(Following(process, reading))

    def at_terminal(self, *arguments: str | Path, width: int = 100, **variables: str) -> Following:
        """Start a command at a terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "stepstream", *map(str, arguments)],
            cwd=self.directory,
            env=self.environment | {"TERM": "xterm-256color"} | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return self._kept(Following(process, ours))

    def agent(self, script: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start an agent process that says a line on stdout when a test may go on."""
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _kept(self, following: Following) -> Following:
        self._following.append(following)
        return following

    def close(self) -> None:
        """End what still runs."""
        for following in self._following:
            following.close()


def plain_environment(bytecode: Path) -> dict[str, str]:
    """A plain environment; what is compiled once is kept for the commands that follow."""
    ours = ("STEPSTREAM_", "NO_COLOR", "COLUMNS", "TERM", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "STEPSTREAM_LINGER_S": "0.5",
        "STEPSTREAM_PROGRAM": "stepstream",
    }
