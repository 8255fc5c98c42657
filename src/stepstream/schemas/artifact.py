"""A file that belongs to a step: its reference, not its bytes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stepstream.schemas.record import Record

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtifactRef(Record):
    """Where a file's bytes are and what they are.

    Attributes:
        sha256: Hash of the bytes, lower-case hex; bytes are kept once under it.
        name: The file's name when it was attached; shown, never used as a path.
        media_type: IANA media type guessed from the name.
        size_bytes: Number of bytes.
        path: The absolute path of a file that was not copied; None when the bytes are kept.
    """

    sha256: Sha256
    name: str
    media_type: str
    size_bytes: int = Field(ge=0)
    path: str | None = None
