"""Putting pooled values back: large texts and conversations that the store keeps once, by hash.

A row's ``pooled`` column is JSON, ``[[path, hash in hex, kind], ...]``, and its payload holds ``null`` at
each path. Kind ``text`` is a string and ``json`` any value; ``chain`` is a list whose last element is named,
and each element names the one before it.

Knows the table ``content``. Must not know steps. Not thread-safe: it belongs to one connection.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stepstream.schemas.record import JsonValue

    Value = str | int | float | bytes | None
    Select = Callable[[str, Sequence[Value]], list[tuple[Value, ...]]]

_BYTES_MAX = 8 * 1024 * 1024
_NODE_BYTES = 200
_SINGLE_LOOKUPS = 4
_CHAIN_NODES_MAX = 100_000

_NODE = """
SELECT node.hash, node.previous, coalesce(node.body, target.body)
FROM content AS node LEFT JOIN content AS target ON target.hash = node.target
WHERE node.hash = ?
"""
_CHAIN = """
WITH RECURSIVE chain (hash, previous, target, body) AS (
    SELECT hash, previous, target, body FROM content WHERE hash = ?
    UNION ALL
    SELECT content.hash, content.previous, content.target, content.body
    FROM chain JOIN content ON content.hash = chain.previous
    LIMIT ?
)
SELECT chain.hash, chain.previous, coalesce(chain.body, target.body)
FROM chain LEFT JOIN content AS target ON target.hash = chain.target
"""


class ContentDamaged(Exception):
    """A pooled value is missing or is not what the row says."""


class _Node(NamedTuple):
    previous: bytes | None
    body: str


class ContentPool:
    """Looks values up by hash and remembers the latest, up to a number of bytes."""

    def __init__(self, select: Select, bytes_max: int = _BYTES_MAX) -> None:
        self._select = select
        self._bytes_max = bytes_max
        self._bytes = 0
        self._nodes: OrderedDict[bytes, _Node] = OrderedDict()

    def fill(self, payload: str, pooled: str) -> str:
        """Put the values of a payload back.

        Returns:
            The whole payload as JSON.

        Raises:
            ContentDamaged: A value is missing, or the column cannot be read.
        """
        try:
            whole = from_json(payload)
            for path, name, kind in from_json(pooled):
                *way, last = path
                holder = whole
                for key in way:
                    holder = holder[key]
                if holder[last] is not None:
                    raise ContentDamaged(f"the payload has a value of its own at {path}")
                holder[last] = self._value(bytes.fromhex(name), kind)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ContentDamaged(f"the list of pooled values does not fit the payload: {error!r}") from error
        return to_json(whole).decode()

    def json(self, name: bytes) -> str:
        """A JSON value as it is kept.

        Raises:
            ContentDamaged: It is missing.
        """
        return self._node(name).body

    def backwards(self, head: bytes) -> Iterator[tuple[bytes, JsonValue]]:
        """The elements of a list with their names, the last one first; no more is read than is asked for.

        Raises:
            ContentDamaged: An element is missing, or the list does not begin.
        """
        name: bytes | None = head
        for _ in range(_CHAIN_NODES_MAX):
            if name is None:
                return
            node = self._node(name)
            yield name, _parsed(name, node.body)
            name = node.previous
        raise _endless(head)

    def _value(self, name: bytes, kind: str) -> JsonValue:
        match kind:
            case "text":
                return self._node(name).body
            case "json":
                return _parsed(name, self._node(name).body)
            case "chain":
                return self._chain(name)
            case _:
                raise ContentDamaged(f"pooled values of kind {kind!r} are unknown to this release")

    def _node(self, name: bytes) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._load(_NODE, (name,)).get(name)
            if node is None:
                raise ContentDamaged(f"content {name.hex()} is missing")
        else:
            self._nodes.move_to_end(name)
        return node

    def _chain(self, head: bytes) -> list[JsonValue]:
        """The list that ends with a node.

        The loop that resends its history asks for its last list and one or two more, so the first steps back
        are single look-ups, which soon meet what is remembered; a list that is new is read at one go.
        """
        loaded: dict[bytes, _Node] = {}
        values: list[JsonValue] = []
        name: bytes | None = head
        lookups = 0
        while name is not None:
            node = loaded.get(name) or self._nodes.get(name)
            if node is None:
                lookups += 1
                if lookups <= _SINGLE_LOOKUPS:
                    loaded |= self._load(_NODE, (name,))
                else:
                    loaded |= self._load(_CHAIN, (name, _CHAIN_NODES_MAX))
                node = loaded.get(name)
                if node is None:
                    raise ContentDamaged(f"content {name.hex()} is missing")
            values.append(_parsed(name, node.body))
            if len(values) > _CHAIN_NODES_MAX:
                raise _endless(head)
            name = node.previous
        values.reverse()
        return values

    def _load(self, sql: str, arguments: tuple[bytes | int, ...]) -> dict[bytes, _Node]:
        rows = cast("list[tuple[bytes, bytes | None, str | None]]", self._select(sql, arguments))
        # A node without a body, or whose target is gone, is as good as missing.
        found = {name: _Node(previous, body) for name, previous, body in rows if body is not None}
        for name, node in found.items():
            self._remember(name, node)
        return found

    def _remember(self, name: bytes, node: _Node) -> None:
        if name in self._nodes:
            return
        self._nodes[name] = node
        self._bytes += len(node.body) + _NODE_BYTES
        while self._bytes > self._bytes_max:
            _, dropped = self._nodes.popitem(last=False)
            self._bytes -= len(dropped.body) + _NODE_BYTES


def _endless(head: bytes) -> ContentDamaged:
    return ContentDamaged(f"the conversation that ends with content {head.hex()} does not begin")


def _parsed(name: bytes, body: str) -> JsonValue:
    try:
        return cast("JsonValue", from_json(body))
    except ValueError as error:
        raise ContentDamaged(f"content {name.hex()} is not JSON: {error}") from error
