"""The content pool: large texts and repeated conversations, stored once by hash.

A payload keeps ``null`` where a value was taken out; the step's ``pooled`` column lists the places as
``[path, hash, kind]`` with kind ``text`` (the string itself), ``json`` (any value) or ``chain`` (a list whose
every message names the one before it, so that a loop that resends its history adds only what is new).

Knows JSON and hashes. Hashes are taken after redaction. Must not know which steps there are.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json, to_json

from stepstream.store.batch import ContentRow

if TYPE_CHECKING:
    from stepstream.schemas.record import JsonValue

_HASH_BYTES = 16
_CHAINS = {"model_call": ("messages",)}
_WHOLE = {"model_call": (("tools",),), "status_change": (("start", "code_version"),)}
_DEPTH_MAX = 64


class Pooled(NamedTuple):
    """A payload without its large values, where they were, and the rows that hold them."""

    payload: bytes
    places: str | None
    rows: list[ContentRow]


def pool(kind: str, payload: bytes, bytes_min: int) -> Pooled:
    """Take the large and the repeated values out of a payload.

    Args:
        kind: What the payload is; some kinds have values that repeat as a whole.
        payload: One JSON object.
        bytes_min: Texts shorter than this stay where they are.
    """
    value = from_json(payload)
    places: list[JsonValue] = []
    rows: list[ContentRow] = []
    for name in _CHAINS.get(kind, ()):
        messages = value.get(name)
        if isinstance(messages, list) and messages:
            head = _chain(messages, bytes_min, rows)
            value[name] = None
            places.append([[name], head.hex(), "chain"])
    for path in _WHOLE.get(kind, ()):
        _take_whole(value, path, bytes_min, places, rows)
    _take_texts(value, [], bytes_min, places, rows)
    if not places:
        return Pooled(payload, None, [])
    return Pooled(to_json(value), to_json(places).decode(), rows)


def content_hash(body: bytes, previous: bytes = b"") -> bytes:
    """The hash under which a value is kept; a message's also covers all messages before it."""
    return blake2b(body, digest_size=_HASH_BYTES, key=previous).digest()


def _chain(messages: list[JsonValue], bytes_min: int, rows: list[ContentRow]) -> bytes:
    previous = b""
    for message in messages:
        body = to_json(message)
        node = content_hash(body, previous)
        # The first message is its own target: nothing stands before it, so both hashes are the same.
        if previous and len(body) >= bytes_min:
            target = content_hash(body)
            rows.append(ContentRow(target, None, None, body.decode()))
            rows.append(ContentRow(node, previous or None, target, None))
        else:
            rows.append(ContentRow(node, previous or None, None, body.decode()))
        previous = node
    return previous


def _take_whole(
    value: dict[str, JsonValue],
    path: tuple[str, ...],
    bytes_min: int,
    places: list[JsonValue],
    rows: list[ContentRow],
) -> None:
    holder: JsonValue = value
    for name in path[:-1]:
        holder = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or not holder.get(path[-1]):
        return
    body = to_json(holder[path[-1]])
    if len(body) < bytes_min:
        return
    key = content_hash(body)
    rows.append(ContentRow(key, None, None, body.decode()))
    holder[path[-1]] = None
    places.append([list(path), key.hex(), "json"])


def _take_texts(
    value: JsonValue, path: list[JsonValue], bytes_min: int, places: list[JsonValue], rows: list[ContentRow]
) -> None:
    if len(path) > _DEPTH_MAX:
        return
    items: list[tuple[str | int, JsonValue]]
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, child in items:
        if isinstance(child, str):
            if len(child) * 4 < bytes_min:
                continue
            body = child.encode()
            if len(body) < bytes_min:
                continue
            taken = content_hash(body)
            rows.append(ContentRow(taken, None, None, child))
            value[key] = None  # type: ignore[index]
            places.append([[*path, key], taken.hex(), "text"])
        elif isinstance(child, dict | list):
            _take_texts(child, [*path, key], bytes_min, places, rows)
