"""The command line in an empty directory, and a history in which something was recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine, Done, plain_environment


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every command."""
    return plain_environment(tmp_path_factory.mktemp("bytecode"))


@pytest.fixture
def stepstream(tmp_path: Path, environment: dict[str, str]) -> Iterator[CommandLine]:
    """The command line in an empty directory."""
    line = CommandLine(tmp_path, dict(environment))
    yield line
    line.close()


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The same commands within this process, sparing half a second each: for what only reads and prints."""
    from typer.testing import CliRunner

    from stepstream.cli.commands import app

    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("STEPSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STEPSTREAM_PROGRAM", "stepstream")

    def run(*arguments: str | Path, **variables: str) -> Done:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A history in which the demo's team has worked out two problems; to be read only."""
    directory = tmp_path_factory.mktemp("recorded")
    line = CommandLine(directory, dict(environment))
    for problem in ("14", "9"):
        done = line("demo", "--quiet", "--problem", problem, "--db", "history.db")
        assert done.code == 0, done.err
    return directory / "history.db"
