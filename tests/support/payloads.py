"""Any payload of any kind, made from the models themselves."""

from __future__ import annotations

import types
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import JsonValue, StringConstraints
from pydantic_core import PydanticUndefined

from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from pydantic.fields import FieldInfo

texts = st.text(max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(10**30), 10**30)
json_values: SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)


def payloads(cls: type[Record]) -> SearchStrategy[Record]:
    """Any instance of a model."""
    # Only the fields are drawn lazily: a model may hold itself.
    return st.deferred(lambda: _data(cls).map(lambda data: cls(**data)))


def _data(cls: type[Record]) -> SearchStrategy[dict[str, Any]]:
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        place = required if field.is_required() and field.default is PydanticUndefined else optional
        place[name] = _of(field.annotation, field)
    return st.fixed_dictionaries(required, optional=optional)


def _of(annotation: Any, field: FieldInfo | None = None) -> SearchStrategy[Any]:  # noqa: PLR0911 - a type
    metadata = list(field.metadata) if field is not None else []
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    pattern = next((m.pattern for m in metadata if isinstance(m, StringConstraints) and m.pattern), None)
    if pattern is not None:
        return st.from_regex(str(pattern), fullmatch=True).filter(lambda text: not text.endswith("\n"))
    if annotation is JsonValue:
        return json_values
    match get_origin(annotation):
        case origin if origin in {types.UnionType, Union}:
            return st.one_of([_of(member) for member in get_args(annotation)])
        case None:
            return _plain(annotation, metadata)
        case origin if origin is tuple:
            return st.lists(_of(get_args(annotation)[0]), max_size=3).map(tuple)
        case origin if origin is dict:
            return json_objects
        case origin if origin is Literal:
            return st.sampled_from(get_args(annotation))
        case _:
            raise TypeError(f"no strategy for {annotation}")


def _plain(annotation: Any, metadata: list[Any]) -> SearchStrategy[Any]:  # noqa: PLR0911 - a type
    lowest = next((m.ge for m in metadata if hasattr(m, "ge")), None)
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(-(10**18) if lowest is None else lowest, 10**18)
    if annotation is float:
        return (
            floats if lowest is None else st.floats(min_value=lowest, allow_nan=False, allow_infinity=False)
        )
    if annotation is str:
        return texts
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return st.sampled_from(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return payloads(annotation)
    raise TypeError(f"no strategy for {annotation}")
