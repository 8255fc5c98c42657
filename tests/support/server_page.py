"""A page about the server as a reader works through it: its files, its commands, and a server that answers.

A page of these needs what no example of one process has: a port that is free, a server beside the shell, a
second machine. So its commands are marked as not run where pages are run as one program, and are tried here,
as they stand on the page but for the port.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.docs import run_page
from tests.support.command_line import DEADLINE_S, ROOT, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOW_TO = ROOT / "docs/how-to"
ADDRESS = "127.0.0.1:8321"
_HEADING = re.compile(r"^#+ +(.+?)\s*$")
_LISTENS = re.compile(r"http://[\w.:\[\]]+:(\d+)/")
# Said by the shell after each command, and by nothing else.
_DONE = "\x1e"


@dataclass(frozen=True)
class Command:
    """One block of shell on a page.

    Attributes:
        text: What is typed.
        heading: Below which heading it stands.
        output: What the page shows right below; None where it shows nothing.
    """

    text: str
    heading: str
    output: str | None


def person(home: Path) -> dict[str, str]:
    """The variables of a person whose home is empty, with ``stepstream`` and ``python`` on the path."""
    binaries = home / "bin"
    binaries.mkdir()
    for name, command in (("python", ""), ("stepstream", " -m stepstream")):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        script.chmod(0o755)
    # On a terminal curl shows no progress between its lines.
    (home / ".curlrc").write_text("silent\nshow-error\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSTREAM_", "XDG_"))}
    return kept | {
        "HOME": str(home),
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TZ": "UTC",
        "STEPSTREAM_PROGRAM": "stepstream",
        # What is idle need not wait for another test.
        "STEPSTREAM_LINGER_S": "0.2",
    }


class Page:
    """A page, taken apart."""

    def __init__(self, name: str) -> None:
        self.path = HOW_TO / name
        self.text = self.path.read_text("utf-8")
        self.blocks = run_page.blocks_of(self.text)

    def file(self, name: str) -> str:
        """The file that the page calls so."""
        (text,) = [block.text for block in self.blocks if block.note == ("file", name)]
        return text

    def commands(self, heading: str) -> list[Command]:
        """The blocks of shell below a heading, in order."""
        found = [command for command in self._commands() if command.heading == heading]
        assert found, f"{self.path.name} has no commands below {heading!r}"
        return found

    def command(self, heading: str, index: int = 0) -> Command:
        """One of them."""
        return self.commands(heading)[index]

    def _commands(self) -> list[Command]:
        headings = self._headings()
        commands = []
        for block, after in zip(self.blocks, [*self.blocks[1:], None], strict=True):
            if block.language != "sh":
                continue
            end = block.line + block.text.count("\n") + 1
            is_shown = after is not None and after.language == "text" and after.line <= end + 2
            output = after.text if after is not None and is_shown and after.note is None else None
            commands.append(Command(block.text, headings[block.line], output))
        return commands

    def _headings(self) -> list[str]:
        """For each line of the page, counted from 1, the heading above it."""
        above, is_code = [""], False
        for line in self.text.splitlines():
            is_code ^= line.startswith("```")
            heading = None if is_code else _HEADING.match(line)
            above.append(heading[1] if heading else above[-1])
        return above


class Terminal:
    """A shell that keeps directory, variables and functions from one command to the next."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], replaced: Mapping[str, str] | None = None
    ) -> None:
        """Open it.

        Args:
            directory: Where it stands.
            environment: Its variables.
            replaced: What stands on the page, and what is meant here.
        """
        self._replaced = dict(replaced or {})
        self._shell = subprocess.Popen(
            ["/bin/sh", "-u"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def meant(self, text: str) -> str:
        """What is meant here by a text of the page."""
        for written, meant in self._replaced.items():
            text = text.replace(written, meant)
        return text

    def type(self, text: str) -> str:
        """Type something; returns what it prints, on stdout and stderr."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{self.meant(text)}\nprintf '{_DONE}\\n'\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.endswith(f"{_DONE}\n"):
                return "".join([*lines, line.removesuffix(f"{_DONE}\n")])
            lines.append(line)
        raise AssertionError(f"the shell ended at\n{text}\nand said\n{''.join(lines)}")

    def follow(self, command: Command) -> str:
        """Type a command of the page; it prints what the page shows, or nothing where it shows nothing."""
        printed = self.type(command.text)
        shown = self.meant(command.output or "")
        assert run_page.matches(shown, printed), (
            f"{command.text}prints\n{printed}\nand the page shows\n{shown}"
        )
        return printed

    def follow_all(self, commands: Iterable[Command]) -> None:
        """Type commands of the page, one after the other."""
        for command in commands:
            self.follow(command)

    def close(self) -> None:
        """End the shell."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        self._shell.wait(DEADLINE_S)
        self._shell.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Served:
    """A ``stepstream serve``, as a process of its own.

    Attributes:
        directory: Where it runs.
        environment: Its variables.
        port: Where it listens; 0 for any free port, and from its first start on the one that it has.
    """

    directory: Path
    environment: Mapping[str, str]
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has printed since it was started, on stdout and stderr."""
        return (self.directory / "server.log").read_text("utf-8")

    def start(self, command: str) -> None:
        """Start it by a command of the page, and wait until it says where it listens."""
        argv = [*shlex.split(command), "--port", str(self.port)]
        with (self.directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=self.directory, env=dict(self.environment), stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(lambda: self._process_ended() or _LISTENS.search(self.said) is not None, "the server's word")
        found = _LISTENS.search(self.said)
        assert found is not None, f"the server does not start: {self.said}"
        self.port = int(found[1])

    def wait_for(self, text: str) -> None:
        """Wait until it says something."""
        wait_for(lambda: text in self.said, repr(text))

    def _process_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self, within_s: float = DEADLINE_S) -> int:
        """Stop it as a service is stopped; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within_s)

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Background:
    """A program that runs on and writes what it has to say into a file."""

    def __init__(self, argv: list[str], output: Path, environment: Mapping[str, str]) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                argv, cwd=output.parent, env=dict(environment), stdout=file, stderr=subprocess.DEVNULL
            )

    @property
    def text(self) -> str:
        """What it has said."""
        return self._output.read_text("utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until it says something."""
        wait_for(lambda: text in self.text, f"{text!r} in {self._output.name}")

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A port of the loopback that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
