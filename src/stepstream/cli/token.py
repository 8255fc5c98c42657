"""``stepstream token``: who may connect to the server of a history."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, pasted, shown_path
from stepstream.cli.failure import CommandFailed, ExitCode
from stepstream.server.auth.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stepstream.cli.output import Output
    from stepstream.schemas.record import JsonObject
    from stepstream.server.auth.tokens import Token, TokenFile

_LIFETIME = re.compile(r"([0-9]{1,6})([mhdw])")
_UNIT_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_NS = 1_000_000_000
_SCOPES = ", ".join(Scope)

_MEANINGS = {
    Scope.READ: "read and follow everything",
    Scope.RECORD: "record steps, from other machines",
    Scope.CONTROL: "step in",
    Scope.ADMIN: "all of it",
}


def create(
    scopes: Annotated[
        list[Scope],
        typer.Option("--scope", metavar="SCOPE", help=f"{_SCOPES}; may be repeated."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; its id by default.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="As 12h or 90d; never by default.")
    ] = None,
    as_json: JsonOption = False,
    db: DatabaseOption = None,
) -> None:
    """Make a token, and show it this once.

    The token alone is printed on stdout; only a hash of its secret is kept.
    """
    from stepstream.cli.output import Output

    output = Output()
    database = database_path(db)
    lifetime_ns = _lifetime_ns(expires)
    with _told(database):
        token, text = _file(database).create(scopes, name=name, lifetime_ns=lifetime_ns)
    if as_json:
        output.json({**_json(token), "token": text})
    else:
        output.line(text)
    _advise(token, database, output)


def ls(as_json: JsonOption = False, db: DatabaseOption = None) -> None:
    """List the tokens there are; no secret is shown."""
    from stepstream.cli.output import Output

    output = Output()
    database = database_path(db)
    with _told(database):
        tokens = _file(database).all()
    if as_json:
        output.json({"tokens": [_json(token) for token in tokens]})
    elif tokens:
        _show(tokens, output)
    else:
        output.say(f"there is no token; make one with: {pasted('token create --scope read', database)}")


def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, the beginning of it, or its name.")],
    db: DatabaseOption = None,
) -> None:
    """Take a token back: whoever uses it is out at once."""
    from stepstream.cli.output import Output

    output = Output()
    database = database_path(db)
    with _told(database):
        revoked = _file(database).revoke(token)
    output.say(f"revoked {_called(revoked)}")


def _file(database: Path) -> TokenFile:
    from stepstream.server.auth.tokens import TokenFile

    if not database.parent.is_dir():
        raise CommandFailed(f"there is no directory {shown_path(database.parent)}", ExitCode.NOT_FOUND)
    return TokenFile(database)


@contextmanager
def _told(database: Path) -> Iterator[None]:
    """Say what went wrong as a person at the command line needs it."""
    from stepstream.errors import ValidationFailed
    from stepstream.server.auth.tokens import TokenNameTaken, TokenNotFound, TokensUnusable

    try:
        yield
    except TokenNotFound as error:
        advice = "" if error.candidates else f"; list them with: {pasted('token ls', database)}"
        raise CommandFailed(f"{error}{advice}", ExitCode.NOT_FOUND) from None
    except ValidationFailed:
        raise CommandFailed("a name has 1 to 100 characters, all of them visible", ExitCode.USAGE) from None
    except (TokenNameTaken, TokensUnusable) as error:
        raise CommandFailed(str(error), ExitCode.REFUSED) from None


def _lifetime_ns(text: str | None) -> int | None:
    if text is None:
        return None
    found = _LIFETIME.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise CommandFailed(f"--expires is {text!r}; expected a time as 30m, 12h, 90d, 4w", ExitCode.USAGE)
    return int(found[1]) * _UNIT_S[found[2]] * _NS


def _called(token: Token) -> str:
    return token.id if token.name == token.id else f"{token.name} ({token.id})"


def _json(token: Token) -> JsonObject:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [scope.value for scope in token.scopes],
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "is_expired": not token.is_living(time.time_ns()),
    }


def _advise(token: Token, database: Path, output: Output) -> None:
    from stepstream.cli.figures import date_time

    may = ", ".join(_MEANINGS[scope] for scope in token.scopes)
    until = "" if token.expires_at is None else f", until {date_time(token.expires_at)}"
    output.say(f"token {_called(token)} for {shown_path(database)}: may {may}{until}")
    output.say("keep it now, it is not shown again; agents take it from the variable STEPSTREAM_TOKEN")
    output.say(f"take it back with: {pasted(f'token revoke {token.id}', database)}")


def _show(tokens: tuple[Token, ...], output: Output) -> None:
    from stepstream.cli.figures import age, date_time
    from stepstream.cli.output import Ink, Span, bold, dim
    from stepstream.cli.table import Column, Table

    table = Table(
        Column("ID"),
        Column("NAME", width_min=12),
        Column("SCOPES"),
        Column("AGE", is_right=True),
        Column("EXPIRES"),
    )
    now = time.time_ns()
    for token in tokens:
        if token.expires_at is None:
            expires = dim("never")
        elif token.is_living(now):
            expires = Span(date_time(token.expires_at))
        else:
            expires = Span("expired", Ink.YELLOW)
        scopes = " ".join(token.scopes)
        table.add(token.id, bold(token.name), scopes, age(now - token.created_at), expires)
    output.show(table.lines(output.width))
