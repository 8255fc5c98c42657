"""Writes the help of every command into the reference of the command line.

``./dev run python tools/cli_reference.py`` rewrites the blocks of docs/reference/command-line.md that
follow a comment ``<!-- help: stepstream ... -->``; with ``--check`` it writes nothing, and exits 1 when
one is out of date. Prose around the blocks is a person's. Knows the page and the application; must not
know what commands do.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer
from typer.testing import CliRunner

from stepstream.cli.commands import app

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/command-line.md"
NAME = "stepstream"
_BLOCK = re.compile(rf"(<!-- help: ({NAME}[a-z ]*) -->\n)```text\n.*?```\n", re.DOTALL)


def commands() -> list[str]:
    """Every command as a person types it, the groups among them."""
    return [NAME, *(f"{NAME} {path}" for path in _paths(app))]


def _paths(part: typer.Typer) -> Iterator[str]:
    for command in part.registered_commands:
        yield command.name or ""
    for group in part.registered_groups:
        yield group.name or ""
        if group.typer_instance is not None:
            yield from (f"{group.name} {path}" for path in _paths(group.typer_instance))


@cache
def help_of(command: str) -> str:
    """What ``--help`` says, without trailing spaces, as on a terminal of 80 columns."""
    variables = {"COLUMNS": "80", "NO_COLOR": "1", "STEPSTREAM_DB": None}
    result = CliRunner().invoke(app, [*command.split()[1:], "--help"], prog_name=NAME, env=variables)
    if result.exit_code != 0:
        message = f"{command} --help ends with {result.exit_code}"
        raise RuntimeError(message) from result.exception
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.strip().splitlines())


def documented(text: str) -> list[str]:
    """The commands that have a block on the page."""
    return [match[2] for match in _BLOCK.finditer(text)]


def renewed(text: str) -> str:
    """The page with every block as the command says it now."""
    return _BLOCK.sub(lambda match: f"{match[1]}```text\n{help_of(match[2])}```\n", text)


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = PAGE.read_text("utf-8")
    missing = [command for command in commands() if command not in documented(text)]
    if missing:
        print(f"{PAGE.name} has no block for: {', '.join(missing)}", file=sys.stderr)
        return 1
    new = renewed(text)
    if arguments == ["--check"]:
        if new != text:
            print(
                f"{PAGE.name} is out of date; run: ./dev run python tools/cli_reference.py", file=sys.stderr
            )
        return int(new != text)
    PAGE.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
