"""The SQL functions that the filter's conditions call; each is one of ``leaves.py`` by its own name.

Knows how a row's payload becomes whole. Must not know what a filter is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.reading import leaves

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from stepstream.reading.content import ContentPool


def register(connection: apsw.Connection, content: ContentPool) -> None:
    """Give a connection the functions."""

    def whole(payload: str, pooled: str | None) -> str:
        return payload if pooled is None else content.fill(payload, pooled)

    def payload_contains(needle: str, payload: str, pooled: str | None) -> bool:
        return leaves.contains(whole(payload, pooled), needle)

    def payload_matches(source: str, payload: str, pooled: str | None) -> bool:
        return leaves.matches(whole(payload, pooled), source)

    def payload_has_artifact(payload: str, pooled: str | None) -> bool:
        return leaves.has_artifact(whole(payload, pooled))

    def matches_glob(pattern: str, value: str | None) -> bool:
        return value is not None and leaves.matches_glob(pattern, value)

    def matches_regex(source: str, value: str | None) -> bool:
        return value is not None and leaves.regex(source)(value)

    functions: dict[str, tuple[Callable[..., bool], int]] = {
        "payload_contains": (payload_contains, 3),
        "payload_matches": (payload_matches, 3),
        "payload_has_artifact": (payload_has_artifact, 2),
        "matches_glob": (matches_glob, 2),
        "matches_regex": (matches_regex, 2),
    }
    for name, (function, arguments) in functions.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
