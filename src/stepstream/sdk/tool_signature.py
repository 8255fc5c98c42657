"""What a tool takes and gives, derived from its signature: a model of its arguments and one of its result.

Knows signatures and annotations. What has no JSON schema takes anything; nothing here raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, create_model

from stepstream.schemas.record import JsonObject, printable
from stepstream.sdk.json_value import convert

if TYPE_CHECKING:
    from stepstream.schemas.model_call import ToolDefinition

SIGNATURE_ATTRIBUTE = "__stepstream_tool__"
_SCHEMA_BYTES_MAX = 1024 * 1024
_CLASS_PARAMETERS = frozenset({"self", "cls", "mcs"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ToolSignature:
    """The signature of one tool."""

    def __init__(self, function: Callable[..., object], name: str | None, exclude: Collection[str]) -> None:
        """Look at a function.

        Args:
            function: The tool.
            name: What to call it instead of its own name.
            exclude: Parameters that are not recorded.
        """
        self.function = function
        self.name = printable(name or _own_name(function))
        self.exclude = frozenset(exclude)

    @cached_property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """The parameters, without those that a class passes; none where Python does not know them."""
        try:
            parameters = tuple(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):
            return ()
        return parameters

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Parameters that are not recorded: the excluded ones, and a method's own object."""
        qualified = str(getattr(self.function, "__qualname__", "")).rpartition("<locals>.")[2]
        first = self.parameters[0].name if self.parameters else ""
        if "." in qualified and first in _CLASS_PARAMETERS:
            return self.exclude | {first}
        return self.exclude

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """The names of the parameters that may be given by position, as the code itself has them.

        A library may have given the function another signature for its own use.
        """
        function = inspect.unwrap(self.function)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            return code.co_varnames[int(inspect.ismethod(function)) : code.co_argcount]
        return tuple(each.name for each in self.parameters if each.kind in _POSITIONAL)

    @cached_property
    def rest(self) -> str:
        """The name under which further positional arguments stand."""
        names = [each.name for each in self.parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
        return names[0] if names else "args"

    def arguments(self, args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
        """What a call was given, by parameter name; also of a call that the function will refuse."""
        named: dict[str, object] = dict(zip(self.positional, args, strict=False))
        if len(args) > len(self.positional):
            named[self.rest] = list(args[len(self.positional) :])
        named.update(kwargs)
        for name in self.hidden:
            named.pop(name, None)
        return named

    @cached_property
    def arguments_model(self) -> type[BaseModel]:
        """A model of the arguments that are recorded, as the annotations say."""
        hints = self._hints
        fields: dict[str, tuple[object, object]] = {}
        for parameter in self.parameters:
            if parameter.name in self.hidden:
                continue
            annotation = _with_schema(hints.get(parameter.name, JsonValue))
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            match parameter.kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    annotation, default = list[annotation], []  # type: ignore[valid-type]
                case inspect.Parameter.VAR_KEYWORD:
                    annotation, default = dict[str, annotation], {}  # type: ignore[valid-type]
                case _:
                    pass
            fields[_field_name(parameter.name)] = (annotation, Field(default, alias=parameter.name))
        config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())
        return create_model(f"{self.name}_arguments", __config__=config, **fields)  # type: ignore[call-overload, no-any-return]

    @cached_property
    def result_model(self) -> TypeAdapter[object]:
        """A validator of the result, as the annotation says."""
        return TypeAdapter(_with_schema(self._hints.get("return", JsonValue)))  # type: ignore[arg-type]

    @property
    def definition(self) -> ToolDefinition:
        """The tool as it can be offered to a model."""
        from stepstream.schemas.model_call import ToolDefinition  # noqa: PLC0415 - few offer tools to a model

        description = inspect.getdoc(self.function)
        return ToolDefinition(
            name=self.name,
            description=None if description is None else printable(description),
            parameters=_schema(self.arguments_model),
        )

    @cached_property
    def _hints(self) -> dict[str, object]:
        try:
            return dict(get_type_hints(self.function, include_extras=True))
        except Exception:  # noqa: BLE001 - annotations are foreign expressions
            return {}


def _own_name(function: Callable[..., object]) -> str:
    """The function's name; of ``__call__`` the class's."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__call__":
        return str(getattr(function, "__qualname__", name)).rpartition(".")[0].rpartition(".")[2] or name
    return name


def signature_of(tool: object) -> ToolSignature | None:
    """The signature that @tool left on what it decorated; None where it did not."""
    found = getattr(tool, SIGNATURE_ATTRIBUTE, None)
    return found if isinstance(found, ToolSignature) else None


def _field_name(parameter: str) -> str:
    """A name pydantic takes for a field; the parameter's own is its alias."""
    return (
        f"{parameter.strip('_')}_"
        if parameter.startswith("_") or hasattr(BaseModel, parameter)
        else parameter
    )


def _with_schema(annotation: object) -> object:
    """The annotation, or any JSON where it has no JSON schema."""
    try:
        TypeAdapter[object](annotation).json_schema()  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a foreign type may raise anything while it is looked at
        return JsonValue
    return annotation


def _schema(model: type[BaseModel]) -> JsonObject:
    try:
        schema = convert(model.model_json_schema(by_alias=True), "schema", lambda *_: None, _SCHEMA_BYTES_MAX)
    except Exception:  # noqa: BLE001 - defaults and types are foreign
        return {"type": "object"}
    return cast("JsonObject", schema.value)
