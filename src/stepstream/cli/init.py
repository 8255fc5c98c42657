"""``stepstream init``: a database, a file of options, and the lines that begin to record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, database_path, pasted, shell_path, shown_path
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from stepstream.cli.output import Output
    from stepstream.settings import Settings

_SNIPPET = """\
from stepstream import Thought, episode

with episode("My first episode") as run:
    run.log_event(Thought(text="It works."))
"""


def init(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    db: DatabaseOption = None,
) -> None:
    """Create a database and a file of options.

    What is there already stays as it is. The lines to begin with are printed on stdout.
    """
    from stepstream.cli.output import Output
    from stepstream.settings import FILE_NAME, Settings

    output = Output()
    database = database_path(db)
    if not database.parent.is_dir():
        raise CommandFailed(
            f"no directory {shown_path(database.parent)}; run: mkdir -p {shell_path(database.parent)}",
            ExitCode.NOT_FOUND,
        )
    settings = Settings.load(database)
    _create_database(database, settings, output, dry_run=dry_run)
    options = database.parent / FILE_NAME
    if options.exists():
        output.say(f"{shown_path(options)} is there already")
    elif dry_run:
        output.say(f"would write {shown_path(options)}")
    else:
        options.write_text(options_text(), "utf-8")
        output.say(f"wrote {shown_path(options)}")
    _show_next(database, output)


def _create_database(database: Path, settings: Settings, output: Output, *, dry_run: bool) -> None:
    from stepstream.cli.migrate import hold_office, schema_of
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.location import check_location

    check_location(database, allow_unsafe=settings.unsafe_location)
    if database.exists() and database.stat().st_size:
        schema_of(database)
        output.say(f"{shown_path(database)} is there already")
    elif dry_run:
        output.say(f"would create {shown_path(database)}")
    else:
        spool = SpoolDirectory(database, shared_group=settings.spool_shared_group)
        try:
            hold_office(database, spool, settings)
        except CommandFailed:
            # Whoever holds the office creates the file as its first act.
            if not database.exists():
                raise
        finally:
            spool.close()
        output.say(f"created {shown_path(database)}")


def _show_next(database: Path, output: Output) -> None:
    """The lines to begin with, which are data: they can be piped into a file."""
    from stepstream.cli.output import Block, dim

    how = ""
    if database != database_path(None):
        how = f", as STEPSTREAM_DB={shell_path(database)} python ..."
    output.say()
    output.say(dim(f"put this into a program and run it{how}:"))
    output.say()
    output.show([Block(_SNIPPET.rstrip("\n"))])
    output.say()
    output.say(dim(f"then see it with: {pasted('show @last', database)}"))


def options_text() -> str:
    """Every option with its meaning and default, all of them commented out."""
    from stepstream.settings import ENVIRONMENT_PREFIX, BackupSettings, Settings

    lines = [
        "# Options of stepstream for the databases in this directory; these are the defaults.",
        f"# The environment beats them ({ENVIRONMENT_PREFIX}LINGER_S=1), and arguments in code beat both.",
    ]
    lines += _explained(Settings())
    lines += ["", "# Where backups go, and when they are taken.", "# [backup]", *_explained(BackupSettings())]
    lines += [
        "",
        "# Secrets of this project's own, beside the built-in rules.",
        "# [redaction]",
        '# names = ["licence_key"]',
        "# [redaction.patterns.licence]",
        "# regex = 'ACME-[0-9]{8}'",
        "# literals = ['ACME-']",
    ]
    return "\n".join(lines) + "\n"


def _explained(options: BaseModel) -> list[str]:
    """Each option with its meaning and its default; tables of options are not among them."""
    meanings = _meanings(type(options).__doc__ or "")
    lines = []
    for name, value in options.model_dump(mode="json").items():
        if not isinstance(value, dict):
            lines += ["", *(f"# {line}" for line in meanings.get(name, ())), f"# {name} = {_toml(value)}"]
    return lines


def _meanings(docstring: str) -> dict[str, list[str]]:
    """What the docstring of the settings says of each option."""
    found: dict[str, list[str]] = {}
    name = ""
    _, _, attributes = docstring.partition("Attributes:")
    for line in attributes.splitlines():
        text = line.strip()
        head, colon, rest = text.partition(": ")
        if colon and head.isidentifier() and len(line) - len(line.lstrip()) <= 8:  # noqa: PLR2004 - the first level
            name, found[head] = head, [rest]
        elif text and name:
            found[name].append(text)
    return found


def _toml(value: str | float | bool | None) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
