"""What lies beside the steps: the JSON schemas of their payloads, and the files that belong to them.

Knows the tables of both. Must not know where the bytes of a file are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic_core import from_json

from stepstream.schemas.artifact import Sha256
from stepstream.schemas.record import JsonObject, Record

if TYPE_CHECKING:
    from stepstream.reading.database import Reader


class StoredKind(Record):
    """The JSON schema of a kind and version that was ever stored: enough to show one without its class.

    Attributes:
        kind: The kind.
        schema_version: The version.
        json_schema: JSON Schema, draft 2020-12, of the payload.
    """

    kind: str
    schema_version: int
    json_schema: JsonObject


class KindPage(Record):
    """Kinds in the order of their names and versions.

    Attributes:
        items: The kinds.
        next: What to pass as ``after`` for the next page; None when there is nothing more.
    """

    items: tuple[StoredKind, ...]
    next: str | None


class StoredArtifact(Record):
    """A file that belongs to a step.

    Attributes:
        sha256: Hash of its bytes.
        name: Its name when it was first attached.
        media_type: What it is, as it was stated.
        size_bytes: Number of bytes.
        is_kept: Whether its bytes were kept; else it was only referred to.
        recorded_at: When that was committed; ns since 1970 UTC.
    """

    sha256: Sha256
    name: str
    media_type: str
    size_bytes: int
    is_kept: bool
    recorded_at: int


def kind_page(reader: Reader, after: tuple[str, int], limit: int, bytes_max: int) -> KindPage:
    """The kinds behind a kind and version.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = cast(
        "list[tuple[str, int, str]]",
        reader.select(
            "SELECT kind, schema_version, json_schema FROM payload_schema"
            " WHERE (kind, schema_version) > (?, ?) ORDER BY kind, schema_version LIMIT ?",
            (*after, limit + 1),
        ),
    )
    items: list[StoredKind] = []
    size = 0
    for kind, version, text in rows[:limit]:
        size += len(text)
        if items and size > bytes_max:
            break
        items.append(StoredKind(kind=kind, schema_version=version, json_schema=from_json(text)))
    is_last = len(items) == len(rows)
    return KindPage(items=tuple(items), next=None if is_last else place_of(items[-1]))


def place_of(kind: StoredKind) -> str:
    """What stands for a kind where a page ends."""
    return f"{kind.kind}:{kind.schema_version}"


def artifact(reader: Reader, sha256: str) -> StoredArtifact | None:
    """What is known of a file; None when nothing is.

    Raises:
        StoreError: The database cannot be read.
    """
    sql = "SELECT name, media_type, size_bytes, kept, recorded_at FROM artifact WHERE sha256 = ?"
    rows = cast("list[tuple[str, str, int, int, int]]", reader.select(sql, (sha256,)))
    if not rows:
        return None
    name, media_type, size_bytes, kept, recorded_at = rows[0]
    return StoredArtifact(
        sha256=sha256,
        name=name,
        media_type=media_type,
        size_bytes=size_bytes,
        is_kept=kept == 1,
        recorded_at=recorded_at,
    )
