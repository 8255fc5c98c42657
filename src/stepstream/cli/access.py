"""How a command gets at a history: which file or server it is, and that what was logged is in it.

Knows the database option, the spool beside the file and who commits. Must not know what is read.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.failure import CommandFailed, ExitCode
from stepstream.cli.figures import bytes_held
from stepstream.cli.untrusted import neutral
from stepstream.settings import DATABASE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.output import Output
    from stepstream.reading.history import History
    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.spool.directory import SpoolDirectory

    Place = Path | ServerAddress
    """Where a history is."""

DEFAULT_DATABASE = "history.db"
PROGRAM_VARIABLE = "STEPSTREAM_PROGRAM"
"""What hints shall call us, where a wrapper such as ``./dev`` starts us."""
_DRAIN_S = 3.0
_MAKING_S = 2.0
_LOOK_INTERVAL_S = 0.02

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--db", envvar=DATABASE_VARIABLE, metavar="PATH", help="The database; ./history.db by default."
    ),
]
HistoryOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar=DATABASE_VARIABLE,
        metavar="PATH|URL",
        help="The database, or a server; ./history.db by default.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]
JsonLinesOption = Annotated[bool, typer.Option("--jsonl", help="A JSON object a line.")]
FilterArgument = Annotated[
    str,
    typer.Argument(metavar="FILTER", help="As in: status:error agent:planner since:-1h", show_default=False),
]


def place_of(stated: str | os.PathLike[str] | None) -> Place:
    """Where the history is that a command is about.

    Raises:
        ConfigurationInvalid: What was given looks like an address and is none.
    """
    text = os.fspath(DEFAULT_DATABASE if stated is None else stated)
    if ":/" not in text:
        return Path(os.path.realpath(Path(text).expanduser()))
    from stepstream.shipping.address import ServerAddress

    return ServerAddress.parse(text, f"--db or {DATABASE_VARIABLE}")


def database_path(stated: str | os.PathLike[str] | None) -> Path:
    """The database of a command that takes the file itself.

    Raises:
        CommandFailed: The history is at a server.
        ConfigurationInvalid: As for ``place_of``.
    """
    place = place_of(stated)
    if not isinstance(place, Path):
        raise CommandFailed(
            f"{place.text} is a server, and this takes the file itself; run it where the server runs",
            ExitCode.USAGE,
        )
    return place


def server_address(stated: str | None) -> str | None:
    """The address of a server, where one was given for a path."""
    scheme, separator, _ = (stated or "").partition("://")
    return stated if separator and scheme.lower() in {"http", "https"} else None


def shown_path(place: Place) -> str:
    """A path as a person would type it from here, or an address."""
    if not isinstance(place, Path):
        return place.text
    short = os.path.relpath(place)
    return str(place) if short.startswith("..") else short


def shell_path(place: Place) -> str:
    """The same as it stands in a command that is pasted."""
    from shlex import quote

    return quote(neutral(shown_path(place)))


def pasted(command: str, place: Place) -> str:
    """A command to paste, with the place of the history where it is not the one taken by itself."""
    if place == place_of(os.environ.get(DATABASE_VARIABLE) or None):
        return f"{program()} {command}"
    return f"{program()} {command} --db {shell_path(place)}"


def program() -> str:
    """How this program is called from where the person is."""
    from shutil import which

    stated = os.environ.get(PROGRAM_VARIABLE)
    if stated:
        return stated
    return "stepstream" if which("stepstream") else f"{shell_path(Path(sys.executable))} -m stepstream"


@contextmanager
def open_history(place: Place, output: Output) -> Iterator[History]:
    """A history to read, with all in it that had been logged by now, as far as that can be had soon.

    Raises:
        CommandFailed: There is none.
        StoreError: It cannot be read.
        Unreachable: The server does not answer.
        AccessDenied: It wants another token.
    """
    from stepstream.errors import EpisodeNotFound
    from stepstream.reading.history import History

    if isinstance(place, Path):
        drain(place, output)
        require(place)
    try:
        with History.open(place if isinstance(place, Path) else place.text) as history:
            yield history
    except EpisodeNotFound as error:
        if error.candidates:
            raise
        raise CommandFailed(
            f"there is no episode {error.wanted!r} in {shown_path(place)}; "
            f"list them with: {pasted('ls', place)}",
            ExitCode.NOT_FOUND,
        ) from None


def require(database: Path) -> None:
    """Say where to begin when there is no database; one that is being made is waited for.

    Raises:
        CommandFailed: There is none.
        StoreError: It is something else, or cannot be read.
    """
    from stepstream.reading.database import open_when_made

    if not database.exists():
        raise CommandFailed(
            f"there is no history at {shown_path(database)}; "
            f"begin one with: {pasted('init', database)}, or watch one being made: {program()} demo",
            ExitCode.NOT_FOUND,
        )
    deadline = time.monotonic() + _MAKING_S
    while (reader := open_when_made(database)) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_INTERVAL_S)
    if reader is not None:
        reader.close()


def refuse_own_files(target: Path, database: Place) -> None:
    """Refuse to write over the history itself or anything that belongs to it.

    Raises:
        CommandFailed: The target is the database, its log, or inside its spool or artifacts.
    """
    from stepstream.spool.directory import artifacts_path, spool_path

    if not isinstance(database, Path):
        return
    place = Path(os.path.realpath(target))
    own = {database, *(database.with_name(database.name + suffix) for suffix in ("-wal", "-shm", "-journal"))}
    folders = (spool_path(database), artifacts_path(database))
    if place in own or any(folder == place or folder in place.parents for folder in folders):
        raise CommandFailed(
            f"{shown_path(target)} belongs to the history itself; name another file", ExitCode.REFUSED
        )


@contextmanager
def existing_spool(database: Path, settings: Settings) -> Iterator[SpoolDirectory | None]:
    """The spool of a database, if there is one that we may use."""
    from stepstream.spool.directory import SpoolDirectory

    try:
        spool = SpoolDirectory(database, shared_group=settings.spool_shared_group, create=False)
    except FileNotFoundError:
        yield None
        return
    try:
        yield spool
    finally:
        spool.close()


def drain(database: Path, output: Output, timeout_s: float = _DRAIN_S) -> None:
    """See to it that what was logged before now can be read; say how much cannot.

    Reading goes on in any case: what is in the database is in the database.
    """
    from stepstream.errors import StepstreamError
    from stepstream.reading.backlog import wait_until_committed, waiting_bytes
    from stepstream.settings import Settings

    try:
        settings = Settings.load(database)
        with existing_spool(database, settings) as spool:
            if spool is None or not waiting_bytes(database, spool):
                return
            hindrance = commit_soon(database, spool, settings)
            if hindrance is None and wait_until_committed(database, spool, timeout_s):
                return
            waiting = waiting_bytes(database, spool)
    except (StepstreamError, OSError) as error:
        output.say(f"the spool could not be looked at: {error}")
        return
    if waiting:
        reason = hindrance or "the committer is busy"
        output.say(
            f"{bytes_held(waiting)} of new steps are not shown yet: {reason}; "
            f"see: {pasted('doctor', database)}"
        )


def commit_soon(database: Path, spool: SpoolDirectory, settings: Settings) -> str | None:
    """Start a committer if nobody commits; returns why that cannot be."""
    from stepstream.settings import CommitterMode
    from stepstream.store.election import somebody_commits
    from stepstream.store.hosting import ensure_committer

    if somebody_commits(spool):
        return None
    if settings.committer is CommitterMode.NONE:
        return "no committer runs, and the settings say committer = none"
    if not os.access(spool.path, os.W_OK) or not os.access(database.parent, os.W_OK):
        return f"no committer runs, and {neutral(str(spool.path))} cannot be written from here"
    # A process of its own, whatever agents are told: it outlives this command.
    ensure_committer(database, spool, settings.model_copy(update={"committer": CommitterMode.PROCESS}))
    return None
