"""From an error to what the person reads and the exit code a script sees: the one place that maps them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from enum import IntEnum
from functools import wraps
from typing import TYPE_CHECKING, NoReturn, ParamSpec

import typer

from stepstream.errors import (
    AccessDenied,
    ArtifactRefused,
    BackupNotFound,
    BackupRunning,
    Busy,
    ConfigurationInvalid,
    EpisodeNotFound,
    FilterInvalid,
    MissingExtra,
    NotADatabase,
    RestoreRefused,
    SchemaTooNew,
    StepstreamError,
    TargetUnreachable,
    TargetUnusable,
    Unreachable,
    UnsafeLocation,
    ValidationFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

TRACEBACK_VARIABLE = "STEPSTREAM_DEBUG"


class ExitCode(IntEnum):
    """What a command's exit code means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CommandFailed(StepstreamError):
    """A command cannot do what it was asked.

    Args:
        message: What failed, on what, and what to do.
        code: How the command ends.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        self.code = code
        super().__init__(message)


_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (ConfigurationInvalid, ExitCode.USAGE),
    (FilterInvalid, ExitCode.USAGE),
    (ValidationFailed, ExitCode.USAGE),
    (EpisodeNotFound, ExitCode.NOT_FOUND),
    (BackupNotFound, ExitCode.NOT_FOUND),
    (FileNotFoundError, ExitCode.NOT_FOUND),
    (NotADatabase, ExitCode.REFUSED),
    (SchemaTooNew, ExitCode.REFUSED),
    (UnsafeLocation, ExitCode.REFUSED),
    (ArtifactRefused, ExitCode.REFUSED),
    (MissingExtra, ExitCode.REFUSED),
    (PermissionError, ExitCode.REFUSED),
    (AccessDenied, ExitCode.REFUSED),
    (BackupRunning, ExitCode.REFUSED),
    (RestoreRefused, ExitCode.REFUSED),
    (TargetUnusable, ExitCode.REFUSED),
    (Busy, ExitCode.UNREACHABLE),
    (Unreachable, ExitCode.UNREACHABLE),
    (TargetUnreachable, ExitCode.UNREACHABLE),
)


def exit_code(error: Exception) -> ExitCode:
    """The exit code that says what kind of failure an error is."""
    if isinstance(error, CommandFailed):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose failures become a message and an exit code, never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_the_pipe()
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if wants_traceback():
                raise
            _tell(error)

    return run


def wants_traceback() -> bool:
    """Whether somebody who mends stepstream itself is looking."""
    return bool(os.environ.get(TRACEBACK_VARIABLE))


def _tell(error: Exception) -> NoReturn:
    from stepstream.cli.output import Output

    match error:
        case StepstreamError():
            message = str(error)
        case OSError():
            place = f"{error.filename}: " if error.filename is not None else ""
            message = f"{place}{error.strerror or error}"
        case _:
            told = f"{type(error).__name__}: {error}"
            message = (
                f"stepstream itself failed: {told}; see where with {TRACEBACK_VARIABLE}=1 before the command"
            )
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    Output().error(message)
    raise typer.Exit(exit_code(error))


def _leave_the_pipe() -> NoReturn:
    """The reader has seen enough; what is still buffered must not complain when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(ExitCode.BROKEN_PIPE)
