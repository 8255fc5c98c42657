"""The base of every model: strict, closed, frozen, with JSON that reads back as it was written.

Knows pydantic's configuration and nothing of what is recorded.
"""

from __future__ import annotations

from reprlib import Repr
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core.core_schema import no_info_after_validator_function

from stepstream.errors import Problem, ValidationFailed
from stepstream.schemas.foreign import check_foreign

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

REPR_CHARACTERS_MAX = 120

_LEAVES = str | int | float | bool | None
_UNION_MEMBERS = frozenset({"dict", "list", "str", "int", "float", "bool", "nullable"})

__all__ = ["JsonObject", "JsonValue", "Record"]

JsonObject = dict[str, JsonValue]
"""JSON that is somebody else's by nature, such as the arguments of a tool we know nothing about."""


def _close(schema: object, handler: GetCoreSchemaHandler) -> None:
    """Refuse naive datetimes and non-finite numbers everywhere below, in what is not ours too."""
    if isinstance(schema, dict):
        node = cast("dict[str, object]", schema)
        match node.get("type"):
            case "datetime":
                node["tz_constraint"] = "aware"
            case "float" | "decimal":
                node["allow_inf_nan"] = False
            case "any" | "definition-ref" | "model" if _is_foreign(cast("CoreSchema", node), handler):
                _watch(node)
                return
            case "json-or-python":
                # Its JSON side takes what a parser can have read; the committer looks at that.
                _close(node["python_schema"], handler)
                return
            case _:
                pass
        for key, value in node.items():
            if key not in {"metadata", "cls", "default"}:
                _close(value, handler)
    elif isinstance(schema, list | tuple):
        for item in schema:
            _close(item, handler)


def _is_foreign(node: CoreSchema, handler: GetCoreSchemaHandler) -> bool:
    """Whether a node leads to a type that does not close itself, as a Record and JSON do."""
    try:
        schema = handler.resolve_ref_schema(node)
    except LookupError:
        # A model inside of itself, which is being made.
        return False
    match schema["type"]:
        case "model":
            return not issubclass(schema["cls"], Record)
        case "enum":
            return False
        case _:
            return ".JsonValue" not in str(schema.get("ref", ""))


def _watch(node: dict[str, object]) -> None:
    """Look at every value that comes through a node once more."""
    inner = cast("CoreSchema", dict(node))
    node.clear()
    node.update(no_info_after_validator_function(check_foreign, inner))


class Record(BaseModel):
    """A strict, closed, immutable model whose datetimes are aware and whose numbers are finite."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        protected_namespaces=(),
        # Built on first use: an agent that logs thoughts does not pay for the schema of a model reply.
        defer_build=True,
    )

    def __init__(self, /, **data: object) -> None:
        """Validate the fields.

        Raises:
            ValidationFailed: A field is missing, unknown, of the wrong type or not storable as JSON.
        """
        try:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
        except ValidationError as error:
            raise refusal(type(self).__name__, error, data) from None

    # Tells pydantic that this is its own __init__ with another exception, so that nested validation
    # stays in Rust instead of calling back here for every instance.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        _close(schema, handler)
        return schema


def refusal(kind: str, error: ValidationError, data: object = None) -> ValidationFailed:
    """Turn pydantic's error into ours, naming each field, its value and the reason."""
    problems = [
        Problem(_place(detail["loc"], data) or kind, short_repr(detail["input"]), detail["msg"])
        for detail in error.errors(include_url=False, include_context=False)
    ]
    return ValidationFailed(kind, problems)


def _place(loc: tuple[int | str, ...], data: object) -> str:
    """The dotted path of a field, without the names of union members that pydantic puts between."""
    place: list[str] = []
    value = data
    for depth, part in enumerate(loc):
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            if depth and isinstance(value, _LEAVES | dict | list | tuple) and part in _UNION_MEMBERS:
                continue
        place.append(str(part))
    return ".".join(place)


class _Brief(Repr):
    """Looks at the beginning of a container only, however long it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = REPR_CHARACTERS_MAX
        self.maxstring = self.maxlong = self.maxother = 2 * REPR_CHARACTERS_MAX

    def repr_instance(self, x: object, level: int) -> str:  # noqa: ARG002 - the base class's signature
        return short_repr(x, self.maxother)


_CONTAINERS = frozenset({dict, frozenset, list, set, tuple})
_brief = _Brief()


def short_repr(value: object, characters_max: int = REPR_CHARACTERS_MAX) -> str:
    """A repr that never raises, never carries a surrogate, never grows long, and never takes long to make."""
    try:
        if isinstance(value, str | bytes):
            text = repr(value[: characters_max + 1])
        else:
            text = _brief.repr(value) if type(value) in _CONTAINERS else repr(value)
    except Exception as error:  # noqa: BLE001 - a foreign __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    if len(text) > characters_max:
        text = text[: characters_max - 1] + "…"
    return printable(text)


def printable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
