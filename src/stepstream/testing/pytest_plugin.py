"""For suites of agents that log: watching can be strict, and each test can have a history of its own.

Load it with ``-p stepstream.testing.pytest_plugin`` or ``pytest_plugins``. It imports nothing of stepstream
until a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_STRICT_VARIABLE = "STEPSTREAM_STRICT"
_ours = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to the configuration file."""
    parser.addini(
        "stepstream_strict",
        "Whether @tool, tool_call and logging handlers raise when they cannot record something as it is.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make watching strict, in the processes that tests start too."""
    if config.getini("stepstream_strict"):
        config.stash[_ours] = os.environ.get(_STRICT_VARIABLE)
        os.environ[_STRICT_VARIABLE] = "true"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put the environment back."""
    if _ours in config.stash:
        before = config.stash[_ours]
        os.environ.pop(_STRICT_VARIABLE)
        if before is not None:
            os.environ[_STRICT_VARIABLE] = before


@pytest.fixture
def stepstream_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A history for this test alone: code that holds no provider logs there.

    Nobody commits; ``stepstream.testing.spool_steps.logged_steps(path)`` tells what was logged.
    """
    from stepstream.sdk.open_providers import close_providers  # noqa: PLC0415 - only tests that log pay for it

    database = tmp_path / "history.db"
    monkeypatch.setenv("STEPSTREAM_DB", str(database))
    monkeypatch.setenv("STEPSTREAM_COMMITTER", "none")
    monkeypatch.delenv("STEPSTREAM_CONTEXT", raising=False)
    close_providers()
    yield database
    close_providers()
