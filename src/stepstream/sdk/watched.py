"""A function with somebody watching: called, awaited, iterated and closed exactly as before.

Knows the four flavours of functions, descriptors, and other libraries' tool objects. Must not know what the
watcher does. The watched never notices: its values, its exceptions and their context pass through unchanged.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, TypeVar, cast

from stepstream.schemas.record import short_repr

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    Function = Callable[..., object]

_T = TypeVar("_T")

# functools names this type with an underscore, yet everybody meets it.
_CACHED = type(functools.cache(lambda: None))

# Where other libraries' tool objects keep the function they call.
_SLOTS = ("func", "coroutine", "function", "fn", "forward")


class Watch:
    """What happens around one call: of itself, nothing. What is overridden must not raise."""

    def resume(self) -> None:
        """The function runs again."""

    def pause(self) -> None:
        """The function has stopped running, for now or for ever."""

    def yielded(self, item: object) -> None:
        """It gave an item."""

    def returned(self, result: object) -> None:
        """It has returned."""

    def raised(self, exc: BaseException) -> None:
        """It has raised, or was cancelled or closed."""


Begin = Callable[[tuple[object, ...], dict[str, object]], Watch]
"""Starts to watch a call, resumed, when it is given its arguments."""


def watched(target: _T, begin_for: Callable[[Function], Begin]) -> _T:
    """The same thing, watched.

    Args:
        target: A function, method, descriptor, or the tool object that another library's decorator made.
        begin_for: Gives, for the function inside, what starts to watch a call of it.

    Raises:
        TypeError: There is no function to watch.
    """
    if isinstance(target, staticmethod | classmethod):
        inside = watched(target.__func__, begin_for)
        return cast("_T", type(target)(inside))
    if isinstance(target, functools.partial):
        inside = watched(target.func, begin_for)
        return cast("_T", functools.partial(inside, *target.args, **target.keywords))
    if inspect.isroutine(target) or isinstance(target, _CACHED):
        return cast("_T", _wrapped(cast("Function", target), begin_for(cast("Function", target))))
    if not inspect.isclass(target) and (_refit_slots(target, begin_for) or _refit_call(target, begin_for)):
        return target
    raise TypeError(
        f"{short_repr(target)} is no function, and none inside can be watched; decorate the function itself"
    )


def _refit_slots(target: object, begin_for: Callable[[Function], Begin]) -> bool:
    """Watch the function inside another library's tool object."""
    wrappers: dict[Function, Function] = {}
    # Pydantic AI keeps the function that it calls one level deeper.
    for holder in (target, getattr(target, "function_schema", None)):
        for slot in _SLOTS:
            function = getattr(holder, slot, None)
            if not inspect.isroutine(function):
                continue
            wrapper = wrappers.get(function) or _wrapped(function, begin_for(function))
            try:
                setattr(holder, slot, wrapper)
            except (AttributeError, TypeError, ValueError):
                # Read-only or frozen: there may be another way in.
                continue
            wrappers[function] = wrapper
    return bool(wrappers)


def _refit_call(target: object, begin_for: Callable[[Function], Begin]) -> bool:
    """Watch ``__call__`` of one object, whose class gets a twin for it alone."""
    cls = type(target)
    call = getattr(cls, "__call__", None)  # noqa: B004 - not whether, but which
    if not inspect.isfunction(call):
        return False
    names = {
        "__call__": _wrapped(call, begin_for(call)),
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
    }
    try:
        target.__class__ = type(cls.__name__, (cls,), {**names, "__slots__": ()})
    except TypeError:
        return False
    return True


def _wrapped(function: Function, begin: Begin) -> Function:
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(cast("Callable[..., AsyncGenerator[object, object]]", function), begin)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(cast("Callable[..., Generator[object, object, object]]", function), begin)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(cast("Callable[..., Awaitable[object]]", function), begin)
    else:
        wrapper = _plain(function, begin)
    functools.update_wrapper(wrapper, function)
    # What the watcher wants to be found again on the function itself.
    vars(wrapper).update(getattr(begin, "marks", {}))
    if isinstance(function, _CACHED):
        names = ("cache_info", "cache_clear", "cache_parameters")
        vars(wrapper).update({name: getattr(function, name) for name in names})
    return wrapper


def _plain(function: Function, begin: Begin) -> Function:
    def call(*args: object, **kwargs: object) -> object:
        watch = begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as exc:
            watch.pause()
            watch.raised(exc)
            raise
        watch.pause()
        if inspect.iscoroutine(result):
            # A plain function around an asynchronous one, as many decorators leave it: the work is to come.
            return _awaited(result, watch)
        watch.returned(result)
        return result

    return call


async def _awaited(coroutine: Coroutine[object, object, object], watch: Watch) -> object:
    watch.resume()
    try:
        result = await coroutine
    except BaseException as exc:
        watch.pause()
        watch.raised(exc)
        raise
    watch.pause()
    watch.returned(result)
    return result


def _coroutine(function: Callable[..., Awaitable[object]], begin: Begin) -> Function:
    async def call(*args: object, **kwargs: object) -> object:
        watch = begin(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as exc:
            watch.pause()
            watch.raised(exc)
            raise
        watch.pause()
        watch.returned(result)
        return result

    return call


def _generator(function: Callable[..., Generator[object, object, object]], begin: Begin) -> Function:
    def call(*args: object, **kwargs: object) -> Generator[object, object, object]:
        watch = begin(args, kwargs)
        sent: object = None
        thrown: BaseException | None = None
        generator: Generator[object, object, object] | None = None
        while True:
            try:
                if generator is None:
                    generator = function(*args, **kwargs)
                if thrown is None:
                    item = generator.send(sent)
                else:
                    # Not inside the handler below, where it would become the context of what is raised next.
                    pending, thrown = thrown, None
                    item = generator.throw(pending)
            except StopIteration as stop:
                watch.pause()
                watch.returned(stop.value)
                return stop.value
            except BaseException as exc:
                watch.pause()
                watch.raised(exc)
                raise
            watch.pause()
            watch.yielded(item)
            try:
                sent = yield item
            except BaseException as exc:  # noqa: BLE001 - the function itself shall see it
                thrown = exc
            watch.resume()

    return call


def _async_generator(function: Callable[..., AsyncGenerator[object, object]], begin: Begin) -> Function:
    async def call(*args: object, **kwargs: object) -> AsyncIterator[object]:
        watch = begin(args, kwargs)
        sent: object = None
        thrown: BaseException | None = None
        generator: AsyncGenerator[object, object] | None = None
        while True:
            try:
                if generator is None:
                    generator = function(*args, **kwargs)
                if thrown is None:
                    item = await generator.asend(sent)
                else:
                    pending, thrown = thrown, None
                    item = await generator.athrow(pending)
            except StopAsyncIteration:
                watch.pause()
                watch.returned(None)
                return
            except BaseException as exc:
                watch.pause()
                watch.raised(exc)
                raise
            watch.pause()
            watch.yielded(item)
            try:
                sent = yield item
            except BaseException as exc:  # noqa: BLE001 - the function itself shall see it
                thrown = exc
            watch.resume()

    return call
