"""Where we are: one context variable that holds an immutable scope.

Knows who logs, into which episode, under which step. Must not know how anything is logged. asyncio copies the
variable into new tasks and fork into children; a new thread begins without one, and nobody guesses it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stepstream.errors import Problem, ValidationFailed
from stepstream.schemas.identity import NO_ID
from stepstream.schemas.record import short_repr

if TYPE_CHECKING:
    from stepstream.sdk.episode_scope import EpisodeScope
    from stepstream.sdk.provider import ObservabilityProvider

_NAME_BYTES_MAX = 0xFFFF


class Bracket(Protocol):
    """What entered a scope and will leave it."""

    @property
    def is_over(self) -> bool:
        """Whether it has been left, so that nobody should find himself inside it again."""
        ...


class Scope(NamedTuple):
    """What holds for the code that runs now.

    Attributes:
        provider: Where steps go; None where only an agent's name is known.
        episode: The current episode, if there is one.
        parent: The step that new ones are nested under, or NO_ID.
        agent: Who logs, as UTF-8; empty when nobody said.
        role: The agent's role, likewise.
        outer: The scope around this one.
        bracket: What entered this scope.
    """

    provider: ObservabilityProvider | None
    episode: EpisodeScope | None
    parent: bytes
    agent: bytes
    role: bytes
    outer: Scope | None
    bracket: Bracket | None


NOWHERE = Scope(None, None, NO_ID, b"", b"", None, None)
"""The scope of code that nobody said anything about."""

current: ContextVar[Scope | None] = ContextVar("stepstream", default=None)


def enter(scope: Scope) -> None:
    """Make a scope the current one."""
    current.set(scope)


def leave(bracket: Bracket) -> None:
    """Go back to where a bracket was entered, if that is where we are.

    Brackets that are left out of order, or by a finaliser in a foreign context, must not throw anybody out of
    his own; and nobody is put back into one that is over. Only the end of an episode also ends what was
    entered inside it and never left.
    """
    scope = current.get()
    if scope is not None and scope.episode is bracket:
        while scope is not None and scope.bracket is not bracket:
            scope = scope.outer
    if scope is None or scope.bracket is not bracket:
        return
    outer = scope.outer
    while outer is not None and outer.bracket is not None and outer.bracket.is_over:
        outer = outer.outer
    current.set(outer)


def name_bytes(field: str, name: str | None) -> bytes:
    """A name of an agent or a role as it stands in a frame.

    Raises:
        ValidationFailed: It is no text, or longer than 65,535 bytes, or holds a lone surrogate.
    """
    if name is None:
        return b""
    if not isinstance(name, str):
        raise ValidationFailed(field, [Problem(field, short_repr(name), "Input should be a valid string")])
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise ValidationFailed(field, [Problem(field, short_repr(name), str(error))]) from None
    if len(encoded) > _NAME_BYTES_MAX:
        reason = f"a name has at most {_NAME_BYTES_MAX} bytes"
        raise ValidationFailed(field, [Problem(field, short_repr(name), reason)])
    return encoded
