"""The commands by name, in the order in which a person meets them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.backup import backup
from stepstream.cli.backups import backups
from stepstream.cli.demo import demo
from stepstream.cli.doctor import doctor
from stepstream.cli.export import export
from stepstream.cli.failure import TRACEBACK_VARIABLE, guarded
from stepstream.cli.init import init
from stepstream.cli.ls import ls
from stepstream.cli.migrate import migrate
from stepstream.cli.restore import restore
from stepstream.cli.search import search
from stepstream.cli.serve import serve
from stepstream.cli.show import show
from stepstream.cli.snapshot import snapshot
from stepstream.cli.spool import adopt
from stepstream.cli.spool import ls as spool_ls
from stepstream.cli.sql import sql
from stepstream.cli.tail import tail
from stepstream.cli.token import create as token_create
from stepstream.cli.token import ls as token_ls
from stepstream.cli.token import revoke as token_revoke
from stepstream.cli.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "init": init,
    "ls": ls,
    "show": show,
    "tail": tail,
    "search": search,
    "export": export,
    "snapshot": snapshot,
    "backup": backup,
    "backups": backups,
    "restore": restore,
    "sql": sql,
    "serve": serve,
    "verify": verify,
    "doctor": doctor,
    "migrate": migrate,
}
_SPOOL_COMMANDS: dict[str, Callable[..., None]] = {"ls": spool_ls, "adopt": adopt}
_TOKEN_COMMANDS: dict[str, Callable[..., None]] = {
    "create": token_create,
    "ls": token_ls,
    "revoke": token_revoke,
}


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Let an error of stepstream itself show where it comes from.")
    ] = False,
) -> None:
    """The flight recorder for AI agents: every step typed, durable and visible live."""
    if version:
        from stepstream.schemas.release import RELEASE

        typer.echo(f"stepstream {RELEASE}")
        raise typer.Exit
    if traceback:
        os.environ[TRACEBACK_VARIABLE] = "1"
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _app() -> typer.Typer:
    # Without rich's panels, which cost 100 ms and colour nothing that matters.
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_root)
    for name, command in _COMMANDS.items():
        app.command(name)(guarded(command))
    below = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
    for name, command in _SPOOL_COMMANDS.items():
        below.command(name)(guarded(command))
    app.add_typer(below, name="spool", help="See and take over what is logged and not stored yet.")
    tokens = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
    for name, command in _TOKEN_COMMANDS.items():
        tokens.command(name)(guarded(command))
    app.add_typer(tokens, name="token", help="Say who may connect to a server.")
    return app


app = _app()
