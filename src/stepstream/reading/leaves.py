"""What can be searched in a payload: its leaves, which are every text and every number in it.

Names are left out, or else ``text`` would find every message; inside the arguments and the results of tools,
which are other people's JSON, names count too.

Knows JSON and patterns. Must not know SQL, steps or the filter grammar. Both compilers of the filter come
here, so that a filter says the same of a stored row and of a live step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic_core import SchemaError, SchemaValidator, core_schema, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.schemas.record import JsonValue

REGEX_CHARACTERS_MAX = 500

FOREIGN = frozenset({"arguments", "edited_arguments", "fields", "result"})
"""Fields that hold other people's JSON, in which names count too."""

_ARTIFACT_FIELDS = frozenset({"sha256", "media_type", "size_bytes"})


@lru_cache(maxsize=256)
def regex(source: str) -> Callable[[str], bool]:
    """Compile a regular expression that is searched for anywhere in a text.

    The engine is the Rust ``regex`` crate inside pydantic-core: its time is linear in the text whatever the
    expression, so that a stranger's filter cannot hang a reader, and nothing has to be forbidden by guess.
    It has no look-around and no back-references.

    Raises:
        ValueError: The expression cannot be read, or is too large.
    """
    if len(source) > REGEX_CHARACTERS_MAX:
        raise ValueError(f"at most {REGEX_CHARACTERS_MAX} characters")
    config = core_schema.CoreConfig(regex_engine="rust-regex")
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=source), config)
    except SchemaError as error:
        raise ValueError(str(error).rpartition("error: ")[2].strip()) from None
    return validator.isinstance_python


def matches_glob(pattern: str, value: str) -> bool:
    """Whether the whole value fits a pattern in which ``*`` stands for any characters, also none."""
    first, *rest = pattern.split("*")
    if not rest:
        return value == pattern
    last = rest.pop()
    position, end = len(first), len(value) - len(last)
    if position > end or not value.startswith(first) or not value.endswith(last):
        return False
    for piece in rest:
        found = value.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def fold(text: str) -> str:
    """The text as it is compared, upper and lower case alike."""
    return text.casefold()


def contains(payload: str, needle: str) -> bool:
    """Whether a leaf of a payload contains a folded text."""
    # Without a backslash every text stands in the JSON as it is, and most payloads are ruled out unread.
    if "\\" not in payload and needle not in fold(payload):
        return False
    return any(needle in fold(leaf) for leaf in leaves(from_json(payload)))


def matches(payload: str, source: str) -> bool:
    """Whether a regular expression is found in a leaf of a payload."""
    found = regex(source)
    return any(found(leaf) for leaf in leaves(from_json(payload)))


def has_artifact(payload: str) -> bool:
    """Whether a payload refers to a file."""
    if '"sha256"' not in payload:
        return False
    return any(node.keys() >= _ARTIFACT_FIELDS for node in _objects(from_json(payload)))


def kept_artifacts(payload: str) -> Iterator[tuple[str, int]]:
    """Hash and size of every file that a payload refers to and whose bytes are kept."""
    if '"sha256"' in payload:
        for node in _objects(from_json(payload)):
            match node:
                case {"sha256": str(sha256), "size_bytes": int(size), "media_type": str()}:
                    if node.get("path") is None:
                        yield sha256, size
                case _:
                    continue


def leaves(payload: JsonValue) -> Iterator[str]:
    """Every text of a payload, and every number as JSON writes it."""
    waiting: list[tuple[JsonValue, bool]] = [(payload, False)]
    if isinstance(payload, dict):
        waiting = [(value, name in FOREIGN) for name, value in payload.items()]
    while waiting:
        node, is_foreign = waiting.pop()
        match node:
            case str():
                yield node
            case dict():
                if is_foreign:
                    yield from node
                waiting.extend((child, is_foreign) for child in node.values())
            case list():
                waiting.extend((child, is_foreign) for child in node)
            case bool() | None:
                continue
            case int() | float():
                yield to_json(node).decode()


def _objects(value: JsonValue) -> Iterator[dict[str, JsonValue]]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
