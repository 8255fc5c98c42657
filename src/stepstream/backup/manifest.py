"""The manifest: what a backup is, written last. Where there is a manifest the backup is complete.

Knows what is stated of a backup and how that is proven unchanged. Must not know targets or databases.
"""

from __future__ import annotations

import json
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from stepstream.schemas.artifact import Sha256
from stepstream.schemas.identity import Identifier
from stepstream.schemas.record import Record
from stepstream.settings import BackupLevel

FORMAT: Literal[1] = 1

_Count = Annotated[int, Field(ge=0)]
BackupId = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9TZ-]{10,20}-[0-9a-f]{8}-[0-9]+-[0-9a-f]{12}$")]
"""When, of which epoch, up to which cursor, the split second and six digits by chance."""


class BackupKind(StrEnum):
    """How much a backup holds."""

    FULL = "full"
    INCREMENT = "increment"


class StoredData(Record):
    """One object on the target.

    Attributes:
        path: Its name, below the target's prefix.
        size_bytes: How many bytes it has when it is decompressed.
        sha256: Their hash.
        stored_bytes: How many bytes lie on the target.
        stored_sha256: Their hash.
    """

    path: str
    size_bytes: _Count
    sha256: Sha256
    stored_bytes: _Count
    stored_sha256: Sha256


class SegmentPosition(Record):
    """How far a file of the spool was committed that was not finished."""

    name: str
    consumed: _Count


class KeptArtifact(Record):
    """An artifact that lies on the target under its hash; ``size_bytes`` are those of the file."""

    sha256: Sha256
    size_bytes: _Count


class LackingArtifact(Record):
    """An artifact whose bytes should have been beside the database, and why they are not in the backup."""

    sha256: Sha256
    reason: str


class Contents(Record):
    """What a database holds, counted in a copy of it.

    Attributes:
        database_id: Which database it is.
        epoch: Which life of it the cursors belong to.
        schema_version: Version of its tables.
        cursor: The highest cursor given out.
        steps: How many there are.
        episodes: How many there are.
        contents: How many texts are pooled.
        segments: How far the spool was committed.
    """

    database_id: Identifier
    epoch: str
    schema_version: int
    cursor: _Count
    steps: _Count
    episodes: _Count
    contents: _Count
    segments: tuple[SegmentPosition, ...]


class Manifest(Record):
    """A backup.

    Attributes:
        format: Version of this document.
        id: What it is called; the names of its objects begin with it.
        kind: Whether it stands by itself.
        parent: The backup that an increment adds to.
        after_cursor: The last cursor before those in it; 0 for a full one.
        release: The stepstream that took it.
        taken_at: When; ns since 1970 UTC.
        level: How hard it is compressed.
        contents: What the database held.
        data: The database, or what was added to it.
        artifacts: The files that belong to it, of an increment those that were added.
        lacking: Files that should belong to it and could not be had.
    """

    format: Literal[1] = FORMAT
    id: BackupId
    kind: BackupKind
    parent: BackupId | None = None
    after_cursor: _Count = 0
    release: str
    taken_at: _Count
    level: BackupLevel
    contents: Contents
    data: StoredData
    artifacts: tuple[KeptArtifact, ...] = ()
    lacking: tuple[LackingArtifact, ...] = ()

    @property
    def smaller_by(self) -> float:
        """Which part of its bytes compression has saved, from 0 to 1."""
        if not self.data.size_bytes:
            return 0.0
        return max(0.0, 1 - self.data.stored_bytes / self.data.size_bytes)


class NotAManifest(Exception):
    """The bytes are no manifest, are damaged, or were written by a newer release."""


def encode(manifest: Manifest) -> bytes:
    """Write a manifest, with a checksum of its own."""
    document = json.loads(manifest.model_dump_json())
    document["checksum"] = _checksum(document)
    return json.dumps(document, indent=1).encode() + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        NotAManifest: It is none, is damaged, or was written by a newer release.
    """
    try:
        document = json.loads(data)
        stated = document.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise NotAManifest("it is no manifest, or a part of it is missing") from None
    if stated != _checksum(document):
        raise NotAManifest("its checksum is another one")
    if document.get("format") != FORMAT:
        raise NotAManifest("a newer release wrote it; run: pip install --upgrade stepstream")
    try:
        return Manifest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise NotAManifest(str(error.errors(include_url=False)[0]["msg"])) from None


def _checksum(document: object) -> str:
    """Of what is stated, however it is laid out; a later release adds fields and reads this one's."""
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
