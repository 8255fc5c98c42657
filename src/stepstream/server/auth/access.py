"""Access: what a request may do, and how a route says what it asks for.

The guard authenticates and leaves what it found out in the connection's state; a route states the one scope
that it needs. Must not know tokens, cookies or addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from stepstream.server.auth.scope import Scope
from stepstream.server.problems import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Scope as Connection

    from stepstream.server.problems import Refused

__all__ = [
    "Principal",
    "Scope",
    "check_access",
    "principal_of",
    "refusal_of",
    "request_id_of",
    "require",
    "required_scope",
    "still_allowed",
]


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose request it is.

    Attributes:
        name: What people call it: the token's name, or ``local`` for whoever may connect without one.
        scopes: What it may do.
        token_id: The token it came with, directly or by a session; None for ``local``.
    """

    name: str
    scopes: frozenset[Scope]
    token_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether a scope is among its own."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def principal_of(connection: Connection) -> Principal | None:
    """Who the guard found out it is; None for nobody."""
    return cast("Principal | None", connection.get("state", {}).get("principal"))


def refusal_of(connection: Connection) -> Refused | None:
    """Why the guard takes the sender for nobody, where there is more to say than that."""
    return cast("Refused | None", connection.get("state", {}).get("refusal"))


def request_id_of(connection: Connection) -> str:
    """The id that the guard gave the request; empty where no guard stands in front."""
    return cast("str", connection.get("state", {}).get("request_id", ""))


def check_access(connection: Connection, scope: Scope) -> Principal:
    """Let a connection pass that may do what the scope says.

    Raises:
        Unauthenticated: Nobody is known.
        Refused: Nobody is known, and the guard knows why.
        Forbidden: Whoever is known may not do this.
    """
    principal = principal_of(connection)
    if principal is None:
        raise refusal_of(connection) or Unauthenticated
    if not principal.may(scope):
        raise Forbidden(scope)
    return principal


def still_allowed(connection: Connection) -> bool:
    """Whether what let a long-lived connection in still holds: neither token nor session has ended.

    A stream asks when that may have changed and at each heartbeat, and ends when it does not.
    """
    still_valid = cast("Callable[[], bool] | None", connection.get("state", {}).get("still_valid"))
    return still_valid is None or still_valid()


@cache
def require(scope: Scope) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    """A dependency of a route: the scope that it needs."""

    async def depend(connection: HTTPConnection) -> Principal:
        return check_access(connection.scope, scope)

    return depend


def required_scope(dependency: object) -> Scope | None:
    """The scope that a dependency asks for; None when it is another kind of dependency."""
    return next((scope for scope in Scope if require(scope) is dependency), None)
