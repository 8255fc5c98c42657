"""Any Python value as JSON, with an Unstorable where something could not be kept as it was.

Knows types. Must not know who asked. Never raises, never changes a value, never takes an item out of an
iterator; what a foreign object's own methods do is caught in place.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

from stepstream.schemas.record import REPR_CHARACTERS_MAX, JsonObject, JsonValue, printable, short_repr

if TYPE_CHECKING:
    from stepstream.schemas.artifact import ArtifactRef

_K = TypeVar("_K")

Keep = Callable[[bytes, str, str], "ArtifactRef | None"]
"""Stores bytes under a name with a media type; None when that is not possible."""

VALUES_MAX = 50_000
_CHARACTERS_MAX = 1_000_000
_SIMPLE_CHARACTERS_MAX = 1000
_SIMPLE_INTEGER_MAX = 2**63
_DEPTH_MAX = 100
# Python refuses to read back integers of more than 4,300 digits.
_INTEGER_BITS_MAX = 13_000
_BYTES_SHOWN_MAX = REPR_CHARACTERS_MAX // 4
_NAME_CHARACTERS_MAX = 100
_TEXT = "text/plain; charset=utf-8"
_BINARY = "application/octet-stream"
# Room in a step for all that stands beside the value.
_SLACK_BYTES = 4096

_PLAIN_CONTAINERS = frozenset({dict, list, set, tuple})
_SCALARS = frozenset({int, float, bool, type(None)})


class Converted(NamedTuple):
    """A value as JSON.

    Attributes:
        value: The JSON.
        unstorable: JSON pointers of the places where an Unstorable stands.
        artifacts: What was too long, kept as files.
    """

    value: JsonValue
    unstorable: tuple[str, ...]
    artifacts: tuple[ArtifactRef, ...]


def is_vast(value: object) -> bool:
    """Whether a value is too large to be looked at as a whole within a call, by a cheap count."""
    left = VALUES_MAX
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            if len(cast("str", item)) > _CHARACTERS_MAX:
                return True
            continue
        if kind is dict:
            children: Iterable[object] = cast("dict[object, object]", item).values()
        elif kind is list or kind is tuple:
            children = cast("Sequence[object]", item)
        else:
            continue
        left -= len(cast("Sequence[object]", item))
        if left < 0:
            return True
        waiting.extend([child for child in children if type(child) not in _SCALARS])
    return False


def convert(value: object, name: str, keep: Keep, bytes_max: int, at: str = "") -> Converted:
    """Turn any value into JSON of at most a size.

    Args:
        value: The value.
        name: What to call a file that holds a part of it, without suffix.
        keep: Stores what is too long.
        bytes_max: The size; texts that would break it become files, and then the whole value does.
        at: JSON pointer of the value, where it is a part of something.
    """
    room = max(_SLACK_BYTES, bytes_max - _SLACK_BYTES)
    converted = Converted(None, (), ())
    for text_bytes_max in (room // 2, max(1024, room // 64)):
        converted = _Conversion(name, keep, text_bytes_max).run(value, at)
        if len(to_json(converted.value)) <= room:
            return converted
    return _as_file(value, converted, name, keep, at)


def convert_object(values: Mapping[_K, object], name: str, keep: Keep, bytes_max: int) -> Converted:
    """The same for a JSON object, which stays one: values that are too long give way one by one."""
    converted = convert(values, name, keep, bytes_max)
    if isinstance(converted.value, dict) and "" not in converted.unstorable:
        return converted
    try:
        parts = {printable(str(key)): value for key, value in values.items()}
    except Exception as error:  # noqa: BLE001 - a foreign mapping may raise anything
        reason = f"reading it raised {type(error).__name__}"
        return Converted({"": _unstorable("/", values, reason)}, ("/",), ())
    share = max(_SLACK_BYTES, bytes_max // (2 * max(1, len(parts))))
    shortened: JsonObject = {}
    places: list[str] = []
    artifacts: list[ArtifactRef] = []
    for key, value in parts.items():
        part = convert(value, f"{name}.{key}", keep, share, f"/{_escaped(key)}")
        shortened[key] = part.value
        places += part.unstorable
        artifacts += part.artifacts
    if len(to_json(shortened)) + _SLACK_BYTES <= bytes_max:
        return Converted(shortened, tuple(places), tuple(artifacts))
    whole = _as_file(values, converted, name, keep, "/")
    return Converted({"": whole.value}, whole.unstorable, whole.artifacts)


def _as_file(value: object, converted: Converted, name: str, keep: Keep, at: str) -> Converted:
    kept = keep(to_json(converted.value), f"{name}.json", "application/json")
    reason = "too long for a step"
    if kept is None:
        return Converted(_unstorable(at, value, reason), (at,), converted.artifacts)
    reason += f"; kept as artifact {kept.sha256}"
    return Converted(_unstorable(at, value, reason), (at,), (*converted.artifacts, kept))


def _unstorable(path: str, value: object, reason: str) -> JsonObject:
    """The JSON of an Unstorable."""
    return {"path": path, "type": _type_name(value), "reason": reason, "repr": short_repr(value)}


def _type_name(value: object) -> str:
    cls = type(value)
    try:
        name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        return printable(name)
    except Exception as error:  # noqa: BLE001 - a metaclass may do anything
        return f"<a class whose name raised {type(error).__name__}>"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _is_simple(value: object) -> bool:
    """Whether a value is JSON as it stands, told at a glance; of most values nothing more need be asked."""
    kind = type(value)
    if kind is str:
        return cast("str", value).isascii() and len(cast("str", value)) <= _SIMPLE_CHARACTERS_MAX
    if kind is float:
        return math.isfinite(cast("float", value))
    return (
        kind is bool
        or value is None
        or (kind is int and -_SIMPLE_INTEGER_MAX <= cast("int", value) <= _SIMPLE_INTEGER_MAX)
    )


class _Array(Protocol):
    """What numpy, torch, jax and pandas have in common."""

    @property
    def shape(self) -> Sequence[int]: ...

    def tolist(self) -> object: ...


class _Conversion:
    """One walk through a value."""

    def __init__(self, name: str, keep: Keep, text_bytes_max: int) -> None:
        self._name = name
        self._keep = keep
        self._text_bytes_max = text_bytes_max
        self._left = VALUES_MAX
        self._above: dict[int, str] = {}
        self._places: list[str] = []
        self._artifacts: list[ArtifactRef] = []

    def run(self, value: object, at: str) -> Converted:
        json = self._convert(value, at)
        return Converted(json, tuple(self._places), tuple(self._artifacts))

    def _convert(self, value: object, path: str) -> JsonValue:
        if _is_simple(value):
            return cast("JsonValue", value)
        try:
            if type(value) in _PLAIN_CONTAINERS:
                return self._nested(value, path, self._collection)
            return self._other(value, path)
        except RecursionError:
            return self._refuse(path, value, "nested too deep to be read here")
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; it is told in place
            return self._refuse(path, value, f"reading it raised {type(error).__name__}")

    def _other(self, value: object, path: str) -> JsonValue:  # noqa: PLR0911 - one for each kind of value
        match value:
            case Enum():
                return self._convert(value.value, path)
            case str():
                return self._text(str.__str__(value), path)
            case int():
                return self._integer(int.__index__(value), path)
            case float():
                return self._float(float.__float__(value), path)
            case bytes() | bytearray() | memoryview():
                return self._set_aside(path, value, bytes(value), "bytes are no JSON", _BINARY)
            case datetime() | date() | time():
                return value.isoformat()
            case PurePath() | UUID() | Decimal() | Fraction() | timedelta():
                return self._text(str(value), path)
            case _:
                return self._nested(value, path, self._container)

    def _nested(self, value: object, path: str, walk: Callable[[object, str], JsonValue]) -> JsonValue:
        if id(value) in self._above:
            return self._refuse(
                path, value, f"it stands inside itself, at {self._above[id(value)] or 'the root'}"
            )
        if len(self._above) >= _DEPTH_MAX:
            return self._refuse(path, value, f"nested more than {_DEPTH_MAX} levels deep")
        self._above[id(value)] = path
        try:
            return walk(value, path)
        finally:
            del self._above[id(value)]

    def _container(self, value: object, path: str) -> JsonValue:
        cls = type(value)
        if isinstance(value, BaseModel):
            return self._model(value, path)
        names = _field_names(cls)
        if names is not None:
            return self._fields(value, names, path)
        if hasattr(cls, "dtype") and hasattr(cls, "tolist"):
            return self._array(value, path)
        if isinstance(value, Mapping | AbstractSet | Sequence) and not isinstance(value, Iterator):
            return self._collection(value, path)
        return self._refuse(path, value, "it has no form in JSON")

    def _collection(self, value: object, path: str) -> JsonValue:
        value = cast("Mapping[object, object] | Sequence[object]", value)
        if len(value) > self._left:
            reason = f"{len(value)} values are too many for a step; attach them as a file to keep them"
            return self._refuse(path, value, reason)
        self._left -= len(value)
        if type(value) is dict or isinstance(value, Mapping):
            return self._mapping(value, path)
        items = [
            cast("JsonValue", item) if _is_simple(item) else self._convert(item, f"{path}/{index}")
            for index, item in enumerate(value)
        ]
        if isinstance(value, AbstractSet) and not self._places:
            items.sort(key=to_json)
        return items

    def _text(self, value: str, path: str) -> JsonValue:
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            raw = value.encode("utf-8", "surrogateescape" if _is_escaped(value) else "surrogatepass")
            return self._set_aside(path, value, raw, "it holds lone surrogates", _BINARY)
        if len(encoded) > self._text_bytes_max:
            return self._set_aside(path, value, encoded, "too long for a step", _TEXT)
        return value

    def _integer(self, value: int, path: str) -> JsonValue:
        if value.bit_length() > _INTEGER_BITS_MAX:
            return self._refuse(path, value, "an integer of more digits than are read back")
        return value

    def _float(self, value: float, path: str) -> JsonValue:
        if math.isfinite(value):
            return value
        self._places.append(path)
        # As _refuse does; arrays can be full of them.
        return {"path": path, "type": "float", "reason": "not a finite number", "repr": repr(value)}

    def _set_aside(self, path: str, value: object, raw: bytes, reason: str, media_type: str) -> JsonValue:
        """Keep long content as a file; of short content the repr tells all."""
        if len(raw) > _BYTES_SHOWN_MAX:
            suffix = ".txt" if media_type == _TEXT else ".bin"
            place = path.replace("/", ".")[:_NAME_CHARACTERS_MAX]
            kept = self._keep(raw, self._name + place + suffix, media_type)
            if kept is not None:
                self._artifacts.append(kept)
                reason += f"; kept as artifact {kept.sha256}"
        return self._refuse(path, value, reason)

    def _mapping(self, value: Mapping[_K, object], path: str) -> JsonValue:
        result: JsonObject = {}
        for key, item in value.items():
            name = _key(key)
            if name not in result and _is_simple(item):
                result[name] = cast("JsonValue", item)
                continue
            place = f"{path}/{_escaped(name)}"
            if name in result:
                name = f"{name} ({len(result)})"
                place = f"{path}/{_escaped(name)}"
                result[name] = self._refuse(
                    place, item, f"another key is written the same as {short_repr(key)}"
                )
            else:
                result[name] = self._convert(item, place)
        return result

    def _model(self, value: BaseModel, path: str) -> JsonValue:
        fields = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        # An iterator in a field would be used up by its serialiser.
        if not any(isinstance(item, Iterator) for item in fields.values()):
            try:
                dumped = value.model_dump(mode="json", warnings=False)
            except Exception:  # noqa: BLE001 - a serialiser may raise anything; then field by field
                return self._mapping(fields, path)
            return self._convert(dumped, path)
        return self._mapping(fields, path)

    def _fields(self, value: object, names: Iterable[str], path: str) -> JsonValue:
        result: JsonObject = {}
        for name in names:
            place = f"{path}/{_escaped(printable(name))}"
            try:
                item = getattr(value, name)
            except Exception as error:  # noqa: BLE001 - a property may raise anything
                result[printable(name)] = self._refuse(
                    place, None, f"reading it raised {type(error).__name__}"
                )
            else:
                result[printable(name)] = self._convert(item, place)
        return result

    def _array(self, value: object, path: str) -> JsonValue:
        """An array or a scalar of numpy, torch, jax or pandas, by the methods they share."""
        array = cast("_Array", value)
        size = math.prod(array.shape)
        if size > self._left:
            return self._refuse(path, value, f"an array of {size} values; attach it as a file to keep it")
        return self._convert(array.tolist(), path)

    def _refuse(self, path: str, value: object, reason: str) -> JsonObject:
        self._places.append(path)
        return _unstorable(path, value, reason)


def _field_names(cls: type) -> Iterable[str] | None:
    """The fields of a dataclass, a named tuple, an attrs class or a msgspec structure."""
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return cast("tuple[str, ...]", cls._fields)
    if hasattr(cls, "__attrs_attrs__"):
        return [attribute.name for attribute in cls.__attrs_attrs__]
    return cast("tuple[str, ...] | None", getattr(cls, "__struct_fields__", None))


def _key(key: object) -> str:
    """A key as JSON writes it."""
    if type(key) is str and key.isascii():
        return key
    match key:
        case Enum():
            return _key(key.value)
        case str():
            return printable(str.__str__(key))
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[key]
        case int() | float() | PurePath() | UUID() | Decimal() | date():
            return printable(str(key))
        case _:
            return short_repr(key)


def _is_escaped(text: str) -> bool:
    """Whether the surrogates are bytes that ``surrogateescape`` could not decode."""
    return all("\udc80" <= character <= "\udcff" for character in text if "\ud800" <= character <= "\udfff")
