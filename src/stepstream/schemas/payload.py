"""The payload of a step: its base class, the registry of kinds, and how old versions are read.

Knows how a payload becomes bytes and how bytes become a payload again. Must not know which kinds the core
has, nor what a step is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from pydantic import ValidationError, model_serializer
from pydantic_core import PydanticSerializationError, from_json, to_json

from stepstream.errors import KindConflict, Problem, ValidationFailed
from stepstream.schemas.record import JsonObject, JsonValue, Record, printable, refusal, short_repr

if TYPE_CHECKING:
    from typing import Self, Unpack

    from pydantic import ConfigDict

_P = TypeVar("_P", bound="StepPayload")

Upcast = Callable[[JsonObject], JsonObject]

_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_CORE_MODULES = "stepstream.schemas."
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()

_registry: dict[str, type[StepPayload]] = {}
_upcasts: dict[tuple[str, int], Upcast] = {}


class StepPayload(Record):
    """What happened in a step, as one typed model told apart by its kind.

    A project adds its own by subclassing with a new kind; it is strict, versioned, stored, streamed and
    exported like the core's::

        class SimulationResult(StepPayload, kind="simulation_result", version=2):
            max_stress_mpa: float

    Change a field, and the version goes up together with an :func:`upcast` from the version before.
    """

    __slots__ = ("_encoded",)

    kind: ClassVar[str]
    schema_version: ClassVar[int]

    def __init__(self, /, **data: object) -> None:
        """Validate the fields and write them as JSON once, so that logging does neither again.

        Raises:
            ValidationFailed: A field is missing, unknown, of the wrong type or not storable as JSON.
        """
        try:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
            encoded = self.__pydantic_serializer__.to_json(self)
            if _REPLACEMENT in encoded:
                _refuse_lost_keys(self)
            _remember(self, encoded)
        except ValidationError as error:
            raise refusal(self.kind, error, data) from None
        except PydanticSerializationError as error:
            raise _not_json(self, error) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __init_subclass__(
        cls, *, kind: str | None = None, version: int = 1, **config: Unpack[ConfigDict]
    ) -> None:
        """Take ``kind`` and ``version``; they are registered once the model is built."""
        super().__init_subclass__(**config)

    @classmethod
    def __pydantic_init_subclass__(  # type: ignore[override]
        cls, *, kind: str | None = None, version: int = 1, **config: Unpack[ConfigDict]
    ) -> None:
        super().__pydantic_init_subclass__(**config)
        if kind is not None:
            _register(cls, kind, version)

    def encoded(self) -> bytes:
        """The payload as compact UTF-8 JSON.

        Raises:
            ValidationFailed: The payload was built around validation and cannot be written as JSON.
        """
        try:
            return cast("bytes", _remembered(self))
        except AttributeError:
            try:
                return self.__pydantic_serializer__.to_json(self)
            except PydanticSerializationError as error:
                raise _not_json(self, error) from None

    def __reduce__(self) -> tuple[Callable[[type[Self], bytes], Self], tuple[type[Self], bytes]]:
        return _unpickle, (type(self), self.encoded())


# The slot is written past the frozen model's __setattr__, which would refuse it.
_slot = StepPayload.__dict__["_encoded"]
_remember = _slot.__set__
_remembered = _slot.__get__

sealed_json: Callable[[StepPayload], bytes] = _remembered
"""The JSON that a payload's constructor left; AttributeError for one that was made around it."""


def validated_json(payload: StepPayload) -> bytes:
    """The JSON of a payload that was made around its constructor, by ``model_construct`` or ``model_copy``.

    It is made anew here, and read back for the sake of models inside that were made around theirs.

    Raises:
        ValidationFailed: It does not fit its schema.
    """
    cls = type(payload)
    encoded = cls(**payload.__dict__).encoded()
    try:
        cls.model_validate_json(encoded)
    except ValidationError as error:
        raise refusal(cls.kind, error) from None
    return encoded


class UnknownPayload(StepPayload):
    """A payload this process has no class for: a project's kind, or a version newer than ours.

    It is read, streamed, shown and exported untouched.
    """

    kind: ClassVar[str] = "unknown_payload"
    schema_version: ClassVar[int] = 1

    unknown_kind: str
    unknown_version: int
    raw: JsonObject

    @model_serializer
    def _as_stored(self) -> JsonObject:
        return self.raw

    def encoded(self) -> bytes:
        """The JSON of the step it stands for."""
        return to_json(self.raw)


def version_of(payload: StepPayload) -> int:
    """The version of the JSON that a payload is written as, whichever it was read from."""
    return payload.unknown_version if isinstance(payload, UnknownPayload) else payload.schema_version


def upcast(kind: str, version: int) -> Callable[[Upcast], Upcast]:
    """Register a function that turns the JSON of one version of a kind into that of the next.

    Args:
        kind: The payload kind.
        version: The version the function reads; it returns ``version + 1``.

    Raises:
        KindConflict: That step has a function already.
    """

    def register(function: Upcast) -> Upcast:
        known = _upcasts.get((kind, version))
        if known is not None and not _is_reload(known, function):
            raise KindConflict(kind, f"the upcast from version {version} is registered twice")
        _upcasts[kind, version] = function
        return function

    return register


def payload_class(kind: str) -> type[StepPayload] | None:
    """The class registered for a kind, or None."""
    return _registry.get(kind)


def registered_kinds() -> tuple[str, ...]:
    """Every kind this process knows, sorted."""
    return tuple(sorted(_registry))


def decode_payload(kind: str, version: int, text: str | bytes) -> StepPayload:
    """Read a stored payload as the newest version of its class.

    Returns:
        An instance of the registered class, or :class:`UnknownPayload` when the kind is unknown, the
        version is newer than the class, or an upcast is missing.

    Raises:
        ValidationFailed: The JSON does not fit the schema it claims; ``verify --deep`` finds these. An upcast
            that raised is its cause.
    """
    cls = _registry.get(kind)
    if cls is None or version > cls.schema_version:
        return _unknown(kind, version, text)
    try:
        if version == cls.schema_version:
            return cls.model_validate_json(text)
        value = _json_object(kind, text)
        for step in range(version, cls.schema_version):
            function = _upcasts.get((kind, step))
            if function is None:
                return _unknown(kind, version, text)
            value = _climbed(kind, step, function, value)
        return cls.model_validate_json(to_json(value))
    except ValidationError as error:
        raise refusal(kind, error) from None


def _climbed(kind: str, version: int, function: Upcast, value: JsonObject) -> JsonObject:
    try:
        return function(value)
    except Exception as error:
        reason = f"the upcast from version {version} raised {type(error).__name__}: {error}"
        raise ValidationFailed(kind, [Problem(kind, short_repr(value), printable(reason))]) from error


def _register(cls: type[StepPayload], kind: str, version: int) -> None:
    if not _KIND.match(kind):
        raise KindConflict(kind, "a kind is lower-case letters, digits and underscores, 63 at most")
    if version < 1:
        raise KindConflict(kind, f"version {version} is below 1")
    known = _registry.get(kind)
    if known is not None and not _is_reload(known, cls):
        raise KindConflict(kind, f"already taken by {known.__module__}.{known.__qualname__}")
    cls.kind = kind
    cls.schema_version = version
    _registry[kind] = cls


def _is_reload(known: object, new: object) -> bool:
    """Whether both are the same definition, run twice by a notebook or importlib.reload."""
    return (
        getattr(known, "__module__", None) == getattr(new, "__module__", None)
        and getattr(known, "__qualname__", None) == getattr(new, "__qualname__", None)
        and not getattr(known, "__module__", "").startswith(_CORE_MODULES)
    )


def _unknown(kind: str, version: int, text: str | bytes) -> UnknownPayload:
    return UnknownPayload(unknown_kind=kind, unknown_version=version, raw=_json_object(kind, text))


def _json_object(kind: str, text: str | bytes) -> JsonObject:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValidationFailed(kind, [Problem(kind, short_repr(text), f"not JSON: {error}")]) from None
    if not isinstance(value, dict):
        raise ValidationFailed(kind, [Problem(kind, short_repr(value), "not a JSON object")])
    return value


def _not_json(payload: StepPayload, error: PydanticSerializationError) -> ValidationFailed:
    for name in type(payload).model_fields:
        value = getattr(payload, name, None)
        try:
            to_json(value)
        except PydanticSerializationError as reason:
            place, leaf = _unwritable(name, cast("JsonValue", value))
            return ValidationFailed(payload.kind, [Problem(printable(place), short_repr(leaf), str(reason))])
    return ValidationFailed(payload.kind, [Problem(payload.kind, short_repr(payload), str(error))])


def _refuse_lost_keys(payload: StepPayload) -> None:
    """Refuse a mapping key with a lone surrogate, for which the serialiser writes replacement characters."""
    for name in type(payload).model_fields:
        try:
            to_json(getattr(payload, name))
        except PydanticSerializationError as error:
            raise _not_json(payload, error) from None


def _unwritable(place: str, value: JsonValue) -> tuple[str, object]:
    """The first leaf below a value that cannot be written as JSON, and where it is."""
    children: list[tuple[str, JsonValue]] = []
    if isinstance(value, dict):
        children = [(f"{place}.{key}", child) for key, child in value.items()]
        children += [(f"{place}.{key}", key) for key in value]
    elif isinstance(value, list | tuple):
        children = [(f"{place}.{index}", child) for index, child in enumerate(value)]
    for name, child in children:
        try:
            to_json(child)
        except PydanticSerializationError:
            return _unwritable(name, child)
    return place, value


def _unpickle(cls: type[_P], encoded: bytes) -> _P:
    return cls.model_validate_json(encoded)
