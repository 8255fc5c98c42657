"""Who logs: the agent's name and role around a block or a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from stepstream.sdk import context
from stepstream.sdk.context import NOWHERE, name_bytes
from stepstream.sdk.watched import Watch, watched

if TYPE_CHECKING:
    from types import TracebackType

_T = TypeVar("_T")


class agent(Watch):  # noqa: N801 - a decorator and a block, both written in lower case
    """Whatever is logged inside is this agent's.

    A context manager, with and without ``async``, and a decorator of functions, methods and generators,
    asynchronous or not.
    """

    def __init__(self, name: str, *, role: str | None = None) -> None:
        """Name the agent.

        Raises:
            ValidationFailed: A name is no text, or cannot be written as UTF-8.
        """
        self._name = name_bytes("agent", name)
        self._role = name_bytes("role", role)

    def __call__(self, function: _T, /) -> _T:
        """Decorate a function.

        Raises:
            TypeError: It is none.
        """
        return watched(function, lambda _: lambda *_: self.__enter__())

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause()

    async def __aenter__(self) -> Self:
        self.resume()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause()

    @property
    def is_over(self) -> bool:
        """Never: it may be entered any number of times."""
        return False

    def resume(self) -> None:
        """Go in."""
        outer = context.current.get()
        around = outer or NOWHERE
        context.enter(around._replace(agent=self._name, role=self._role, outer=outer, bracket=self))

    def pause(self) -> None:
        """Come out."""
        context.leave(self)
