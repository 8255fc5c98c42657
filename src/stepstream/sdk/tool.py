"""The tool decorator: every call of a function as a ToolCall and the step that closes it.

Knows what of a call is recorded. Must not know how functions are wrapped. Merely watching, it never raises
and never changes what a function takes, returns or raises.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar, overload

from pydantic_core import to_json

from stepstream.sdk import failures
from stepstream.sdk.current import tool_call
from stepstream.sdk.ending import is_cancellation
from stepstream.sdk.json_value import Converted, convert
from stepstream.sdk.tool_signature import SIGNATURE_ATTRIBUTE, ToolSignature
from stepstream.sdk.watched import Watch, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.sdk.open_call import OpenToolCall

_T = TypeVar("_T")

ITEMS_MAX = 1000
_ITEMS_BYTES_MAX = 1024 * 1024


@overload
def tool(function: _T, /) -> _T: ...
@overload
def tool(*, name: str | None = None, exclude: Collection[str] = ()) -> Callable[[_T], _T]: ...
def tool(
    function: _T | None = None, /, *, name: str | None = None, exclude: Collection[str] = ()
) -> _T | Callable[[_T], _T]:
    """Record every call of a function, method or generator, synchronous or not.

    Stands under or over another library's decorator. Signature, annotations, docstring and kind of the
    function are kept; what it takes, returns and raises passes through unchanged.

    Args:
        function: What to decorate, where the decorator is used without arguments.
        name: What to call the tool instead of the function's name.
        exclude: Parameters that are not recorded.

    Raises:
        TypeError: There is no function to decorate.
    """

    def decorate(target: _T) -> _T:
        shown = name or (None if inspect.isroutine(target) else _library_name(target))
        return watched(target, lambda inside: _Watching(inside, ToolSignature(inside, shown, exclude)))

    return decorate if function is None else decorate(function)


def _library_name(target: object) -> str | None:
    """What another library's tool object calls itself."""
    name = getattr(target, "name", None)
    return name if isinstance(name, str) else None


class _Watching:
    """Starts to watch calls of one tool."""

    def __init__(self, function: Callable[..., object], signature: ToolSignature) -> None:
        self._signature = signature
        self.marks = {SIGNATURE_ATTRIBUTE: signature}
        self._streams = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)

    def __call__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Watch:
        signature = self._signature
        try:
            call = tool_call(signature.name, signature.arguments(args, kwargs))
        except Exception as error:  # noqa: BLE001 - whoever watches must not raise
            failures.note("a tool call", error)
            return Watch()
        call.__enter__()
        return _Stream(call) if self._streams else _Call(call)


class _Call(Watch):
    """One call of a function."""

    def __init__(self, call: OpenToolCall) -> None:
        self._call = call

    def resume(self) -> None:
        self._call.resume()

    def pause(self) -> None:
        self._call.pause()

    def returned(self, result: object) -> None:
        self._call.end_with(result)

    def raised(self, exc: BaseException) -> None:
        self._call.end(exc)


class _Stream(_Call):
    """One run of a generator; it is observed as the items it gave, the first thousand at most."""

    def __init__(self, call: OpenToolCall) -> None:
        super().__init__(call)
        self._items: list[JsonValue] = []
        self._places: list[str] = []
        self._artifacts: list[ArtifactRef] = []
        self._total = 0
        self._room = _ITEMS_BYTES_MAX

    def yielded(self, item: object) -> None:
        number, self._total = self._total, self._total + 1
        if self._room <= 0 or number >= ITEMS_MAX:
            return
        try:
            part = convert(item, f"item-{number}", self._call.keep, self._room, f"/items/{number}")
            self._room -= len(to_json(part.value))
        except Exception as error:  # noqa: BLE001 - whoever watches must not raise
            failures.note("an item of a generator", error)
            return
        self._items.append(part.value)
        self._places += part.unstorable
        self._artifacts += part.artifacts

    def returned(self, result: object) -> None:
        self._call.end_with_converted(self._observed(result), cancelled=False)

    def raised(self, exc: BaseException) -> None:
        if is_cancellation(exc):
            self._call.end_with_converted(self._observed(None), cancelled=True)
        else:
            self._call.end(exc)

    def _observed(self, result: object) -> Converted:
        observed: JsonObject = {"items": self._items, "items_total": self._total}
        if result is not None:
            returned = convert(result, "returned", self._call.keep, _ITEMS_BYTES_MAX, "/returned")
            observed["returned"] = returned.value
            self._places += returned.unstorable
            self._artifacts += returned.artifacts
        return Converted(observed, tuple(self._places), tuple(self._artifacts))
