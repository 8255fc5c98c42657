"""Values of types that are not ours, inside of a payload: what of them could not be read back from JSON.

A model's configuration ends where a model of somebody else's begins, and with ``object`` there is none at
all; pydantic would write NaN as null and a naive time without a zone. Knows values, not schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite

from pydantic import BaseModel
from pydantic_core import PydanticKnownError


def check_foreign(value: object) -> object:
    """Let a value through when every number in it is finite and every time has a zone.

    Raises:
        PydanticKnownError: It holds another; pydantic names the field.
    """
    waiting, met = [value], set[int]()
    while waiting:
        item = waiting.pop()
        match item:
            case float():
                if not isfinite(item):
                    raise PydanticKnownError("finite_number")
            case Decimal():
                if not item.is_finite():
                    raise PydanticKnownError("finite_number")
            case datetime():
                if item.utcoffset() is None:
                    raise PydanticKnownError("timezone_aware")
            case _ if id(item) not in met:
                inside = list(_inside(item))
                if inside:
                    met.add(id(item))
                    waiting += inside
            case _:
                pass
    return value


def _inside(item: object) -> Iterable[object]:
    if isinstance(item, BaseModel):
        return [*vars(item).values(), *(item.model_extra or {}).values()]
    if isinstance(item, Mapping):
        return [*item.keys(), *item.values()]
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if is_dataclass(item) and not isinstance(item, type):
        return getattr(item, "__dict__", {}).values()
    return ()
