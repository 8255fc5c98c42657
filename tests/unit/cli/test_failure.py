"""Exit codes: every error of the library ends a command with the code that says what kind it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from stepstream.cli.failure import CommandFailed, ExitCode, exit_code, guarded
from stepstream.errors import (
    AccessDenied,
    ArtifactRefused,
    Busy,
    ConfigurationInvalid,
    Corrupt,
    EpisodeNotFound,
    FilterInvalid,
    MissingExtra,
    NotADatabase,
    SchemaTooNew,
    StoreError,
    Unreachable,
    UnsafeLocation,
    ValidationFailed,
)

PATH = Path("history.db")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("no", ExitCode.REFUSED), 4),
        (CommandFailed("no"), 1),
        (ConfigurationInvalid("a", "b", "c"), 2),
        (FilterInvalid("kind:", 5, "expected a value"), 2),
        (ValidationFailed("thought", []), 2),
        (EpisodeNotFound("x"), 3),
        (FileNotFoundError(2, "no such file"), 3),
        (NotADatabase(PATH, "reason"), 4),
        (SchemaTooNew(PATH, 2, 1), 4),
        (UnsafeLocation(PATH, "reason", "advice"), 4),
        (ArtifactRefused("x", "reason"), 4),
        (MissingExtra("parquet", "arrow"), 4),
        (PermissionError(13, "no"), 4),
        (AccessDenied("http://x:1", "reason"), 4),
        (Busy(PATH, 2.0), 5),
        (Unreachable("http://x:1", "reason"), 5),
        (Corrupt(PATH, "reason"), 1),
        (StoreError("no"), 1),
        (OSError(28, "no space left"), 1),
    ],
)
def test_an_error_has_its_exit_code(error: Exception, code: int) -> None:
    """Usage, absence, refusal and unreachability each have a code of their own."""
    assert exit_code(error) == code


def test_a_fault_of_our_own_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw becomes a message with the way to see more, and is raised for who asked for it."""
    monkeypatch.delenv("STEPSTREAM_DEBUG", raising=False)

    @guarded
    def breaks() -> None:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(typer.Exit) as ended:
        breaks()
    assert ended.value.exit_code == 1
    assert "ZeroDivisionError: by nothing; see where with STEPSTREAM_DEBUG=1" in capsys.readouterr().err

    monkeypatch.setenv("STEPSTREAM_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        breaks()
