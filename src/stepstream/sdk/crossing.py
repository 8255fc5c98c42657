"""How a context crosses into threads, executors, other processes and queues.

Knows the token that stands for a scope outside its process. A token is somebody else's text: it is validated,
it can only lead to a history that is there already, and garbage is ignored with one warning.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, ParamSpec, Self, TypeVar, cast

from pydantic import ValidationError

from stepstream.errors import StepstreamError
from stepstream.schemas.identity import NO_ID, Identifier, id_bytes, id_text
from stepstream.schemas.record import Record, short_repr
from stepstream.sdk import context
from stepstream.sdk.context import NOWHERE, Scope, name_bytes
from stepstream.sdk.destination import ServerDestination, destination_of
from stepstream.sdk.open_providers import provider_of
from stepstream.sdk.watched import Watch, watched

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from stepstream.sdk.provider import ProviderOptions

logger = logging.getLogger("stepstream")

CONTEXT_VARIABLE = "STEPSTREAM_CONTEXT"

_P = ParamSpec("_P")
_R = TypeVar("_R")

_TOKEN_CHARACTERS_MAX = 256 * 1024


class ContextToken(Record):
    """A scope as text.

    Attributes:
        version: Of the token itself.
        database: The history: an absolute path, or the address of a server.
        episode: The current episode.
        step: The step that new ones are nested under.
        agent: Who logs.
        role: The agent's role.
    """

    version: Literal[1] = 1
    database: str
    episode: Identifier
    step: Identifier | None = None
    agent: str | None = None
    role: str | None = None


def context_token() -> str:
    """The current context as ASCII text, for a queue or a header; empty outside any episode."""
    return _token(context.current.get() or inherited_scope())


def _token(scope: Scope | None) -> str:
    if scope is None or scope.episode is None or scope.provider is None:
        return ""
    token = ContextToken(
        database=scope.provider.address,
        episode=scope.episode.id,
        step=None if scope.parent == NO_ID else id_text(scope.parent),
        agent=scope.agent.decode() or None,
        role=scope.role.decode() or None,
    )
    import json  # noqa: PLC0415 - pydantic's own does not keep to ASCII

    return json.dumps(token.model_dump(), separators=(",", ":"))


def child_env(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a child process that shall log under the current step, with our settings.

    Args:
        env: Variables to start from; this process's own by default.
    """
    from stepstream.settings import DATABASE_VARIABLE, ENVIRONMENT_PREFIX  # noqa: PLC0415 - few have children

    child = dict(os.environ if env is None else env)
    scope = context.current.get() or inherited_scope()
    if scope is not None and scope.provider is not None:
        child[DATABASE_VARIABLE] = scope.provider.address
        for name, value in scope.provider.options.items():
            if value is not None:
                child[ENVIRONMENT_PREFIX + name.upper()] = str(value)
    child.pop(CONTEXT_VARIABLE, None)
    token = context_token()
    if token:
        child[CONTEXT_VARIABLE] = token
    return child


class attach_context:  # noqa: N801 - called like a function, used like a block
    """Go on under the step a token stands for: at once, and until the block ends where it is used as one.

    As ``initializer=attach_context, initargs=(context_token(),)`` it sets up the workers of a pool. An empty
    token changes nothing; garbage neither, with one warning.
    """

    def __init__(self, token: str) -> None:
        self.is_block = False
        self._over = False
        scope = _scope_of(token, "a token given to attach_context")
        if scope is None:
            return
        outer = context.current.get()
        while outer is not None and isinstance(outer.bracket, attach_context) and not outer.bracket.is_block:
            # A worker that attaches the context of each task anew has left the last one.
            outer = outer.outer
        context.enter(scope._replace(outer=outer, bracket=self))

    @property
    def is_over(self) -> bool:
        """Whether the block has been left."""
        return self._over

    def __enter__(self) -> Self:
        self.is_block = True
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        context.leave(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


def propagate(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that runs in the context of this call, for threads and executors, of processes too."""
    scope = context.current.get() or inherited_scope()
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return cast("Callable[_P, _R]", watched(function, lambda _: lambda *_: _Carried(scope)))
    return _Propagated(function, scope)


class _Propagated(Generic[_P, _R]):
    """A function and the scope it takes along; pickled, it takes a token along."""

    def __init__(self, function: Callable[_P, _R], scope: Scope | None) -> None:
        self._function = function
        self._scope = scope
        functools.update_wrapper(self, function)

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        carried = _Carried(self._scope)
        try:
            return self._function(*args, **kwargs)
        finally:
            carried.is_over = True
            carried.pause()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        provider = None if self._scope is None else self._scope.provider
        options: ProviderOptions = {} if provider is None else provider.options
        return _unpickle, (self._function, _token(self._scope), options)


def _unpickle(function: Callable[_P, _R], token: str, options: ProviderOptions) -> _Propagated[_P, _R]:
    return _Propagated(function, _scope_of(token, "the token of a propagated function", options))


class _Carried(Watch):
    """One run of a function in a scope that was taken along."""

    def __init__(self, scope: Scope | None) -> None:
        self._scope = scope or NOWHERE
        self.is_over = False
        self.resume()

    def resume(self) -> None:
        context.enter(self._scope._replace(outer=context.current.get(), bracket=self))

    def pause(self) -> None:
        context.leave(self)

    def returned(self, result: object) -> None:  # noqa: ARG002 - only that it did
        self.is_over = True

    def raised(self, exc: BaseException) -> None:  # noqa: ARG002 - only that it did
        self.is_over = True


class _Inherited(NamedTuple):
    """What was found in the environment, and what it was made of."""

    text: str
    scope: Scope | None


_inherited = _Inherited("", None)


def inherited_scope() -> Scope | None:
    """The scope this process was started in, by ``child_env``; it holds for all of its threads."""
    global _inherited  # noqa: PLW0603 - one process, one environment
    text = os.environ.get(CONTEXT_VARIABLE, "")
    if text != _inherited.text:
        _inherited = _Inherited(text, _scope_of(text, f"the environment variable {CONTEXT_VARIABLE}"))
    return _inherited.scope


def adopt(token: str, options: ProviderOptions) -> SpawnCarrier:
    """Go on, in a new process, where its parent started it, with the parent's settings."""
    scope = _scope_of(token, "the token of the parent process", options)
    if scope is not None:
        context.enter(scope)
    return SpawnCarrier()


class SpawnCarrier:
    """Rides along when multiprocessing sends a process to its new interpreter, and brings the context."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        token, scope = context_token(), context.current.get() or inherited_scope()
        if not token or scope is None or scope.provider is None:
            # Outside any episode there is nothing to bring, and the child need not even import us.
            return str, ()
        return adopt, (token, scope.provider.options)


def ride_along() -> None:
    """Let processes that multiprocessing spawns, or takes from a fork server, begin in our context.

    A process object is pickled with its configuration, which its children inherit; fork needs none of this.
    """
    from multiprocessing.process import current_process  # noqa: PLC0415 - only who opens an episode pays

    configuration = getattr(current_process(), "_config", None)
    if isinstance(configuration, dict):
        configuration["stepstream"] = SpawnCarrier()


def _scope_of(text: str, where: str, options: ProviderOptions | None = None) -> Scope | None:
    """The scope a token stands for; None, with a warning, when it is none of ours."""
    if not text:
        return None
    try:
        if len(text) > _TOKEN_CHARACTERS_MAX:
            raise ValueError(f"it has {len(text)} characters")
        token = ContextToken.model_validate_json(text)
        destination = destination_of(token.database, options or {})
        # A token may come from a stranger: it must neither make us create anything anywhere, nor send our
        # steps, and the token for our server, to a server of his.
        is_named = isinstance(destination, ServerDestination) or os.path.isabs(token.database)  # noqa: PTH117
        if not is_named or not destination.is_known_here():
            raise ValueError(f"{token.database} is no history of this machine")
        provider = provider_of(destination, options or {})
        episode = provider.begun_elsewhere(
            id_bytes(token.episode),
            NO_ID if token.step is None else id_bytes(token.step),
            name_bytes("agent", token.agent),
            name_bytes("role", token.role),
        )
    except (ValidationError, StepstreamError, ValueError, OSError) as error:
        logger.warning("%s is ignored: %s (it begins with %s)", where, error, short_repr(text))
        return None
    ride_along()
    return episode.inside
