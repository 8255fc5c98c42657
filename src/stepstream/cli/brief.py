"""JSON values in few words: what fits into a line.

Knows JSON. Must not know steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepstream.schemas.record import JsonObject, JsonValue

_CHARACTERS_MAX = 400
_TEXT_MAX = 120
_ITEMS_MAX = 12
_DEPTH_MAX = 2
_DIGITS = 6
_WHOLE_MAX = 10**30


def brief(value: JsonValue) -> str:
    """A value as it is told in a line: ``max_stress_mpa=180.0 element=17``, ``[3.0 4.0 5.0]``."""
    match value:
        case dict():
            return brief_fields(value)
        case str():
            return value[:_CHARACTERS_MAX]
        case _:
            return _short(value, 0)


def brief_fields(fields: JsonObject, separator: str = " ") -> str:
    """The fields of an object with their values; what is a plain value comes first."""
    parts: list[str] = []
    length = 0
    for name, value in sorted(fields.items(), key=_weight)[:_ITEMS_MAX]:
        parts.append(f"{name[:_TEXT_MAX]}={_short(value, 1)}")
        length += len(parts[-1])
        if length > _CHARACTERS_MAX:
            break
    if len(parts) < len(fields):
        parts.append("…")
    return separator.join(parts)


def brief_arguments(arguments: JsonObject) -> str:
    """The arguments of a call as they would be written: ``(thickness_mm=4.0)``."""
    return f"({brief_fields(arguments, ', ')})" if arguments else "()"


def _weight(field: tuple[str, JsonValue]) -> int:
    """What a field tells at once comes first, what tells nothing last."""
    value = field[1]
    if not isinstance(value, dict | list):
        return 0
    return 1 if value else 2


def _short(value: JsonValue, depth: int) -> str:
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case str():
            text = f'"{value}"' if len(value) <= _TEXT_MAX else f'"{value[:_TEXT_MAX]}…"'
        case float():
            text = _number(value)
        case int():
            text = str(value) if abs(value) < _WHOLE_MAX else "a huge number"
        case list():
            text = _list(value, depth)
        case _:
            text = _object(value, depth)
    return text


def _list(items: list[JsonValue], depth: int) -> str:
    if items and depth >= _DEPTH_MAX:
        return f"[{len(items):,}]"
    shown = [_short(item, depth + 1) for item in items[:_ITEMS_MAX]]
    more = [f"… {len(items):,} in all"] if len(items) > _ITEMS_MAX else []
    return f"[{' '.join(shown + more)}]"


def _object(fields: JsonObject, depth: int) -> str:
    if fields and depth >= _DEPTH_MAX:
        return "{…}"
    weighty = sorted(fields.items(), key=_weight)[:_ITEMS_MAX]
    shown = [f"{name[:_TEXT_MAX]}={_short(item, depth + 1)}" for name, item in weighty]
    more = ["…"] if len(fields) > _ITEMS_MAX else []
    return f"{{{' '.join(shown + more)}}}"


def _number(value: float) -> str:
    """To six digits, and still to be seen that it is no whole number."""
    text = f"{value:.{_DIGITS}g}"
    return text if any(sign in text for sign in ".en") else f"{text}.0"
