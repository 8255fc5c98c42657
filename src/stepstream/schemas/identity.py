"""Ids: UUIDv7, sixteen bytes inside, canonical text outside.

Knows how ids are made and written. Must not know what they identify.
"""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

import uuid_utils
from pydantic import StringConstraints

_CANONICAL = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_CANONICAL_PATTERN = re.compile(_CANONICAL)

Identifier = Annotated[str, StringConstraints(pattern=_CANONICAL)]
"""A UUID in canonical lower-case text, as in ``0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11``."""

NO_ID = bytes(16)
"""The sixteen zero bytes that stand for "no step" in a frame."""


def new_id() -> bytes:
    """Make a UUIDv7: increasing within a process, unique across forks."""
    return uuid_utils.uuid7().bytes


def id_text(raw: bytes) -> str:
    """Write sixteen bytes as canonical text."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_bytes(text: str) -> bytes:
    """Read canonical text back into sixteen bytes.

    Raises:
        ValueError: The text is not a UUID.
    """
    return UUID(text).bytes


def is_id(text: str) -> bool:
    """Whether the text is a canonical id."""
    return _CANONICAL_PATTERN.match(text) is not None
