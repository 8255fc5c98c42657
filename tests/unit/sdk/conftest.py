"""A history for each test, and what was logged into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepstream import ObservabilityProvider
from stepstream.sdk.open_providers import close_providers
from stepstream.testing.spool_steps import LoggedStep, logged_steps

Logged = Callable[[], list[LoggedStep]]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where code that holds no provider logs to."""
    path = tmp_path / "history.db"
    monkeypatch.setenv("STEPSTREAM_DB", str(path))
    monkeypatch.setenv("STEPSTREAM_COMMITTER", "none")
    for name in ("STEPSTREAM_CONTEXT", "STEPSTREAM_STRICT"):
        monkeypatch.delenv(name, raising=False)
    yield path
    close_providers()


@pytest.fixture
def provider(database: Path) -> Iterator[ObservabilityProvider]:
    """A provider whose steps stay in the spool."""
    with ObservabilityProvider(database, committer="none") as opened:
        yield opened


@pytest.fixture
def logged(database: Path) -> Logged:
    """Tells every step that was logged by now."""
    return lambda: logged_steps(database)
