"""Byte ranges: which part of a file a client asks for (RFC 9110, section 14).

Pure: knows headers and sizes. Must not know files.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DIGITS_MAX = 18
_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)


class ByteRange(NamedTuple):
    """A part of a file.

    Attributes:
        start: Its first byte.
        stop: The byte behind its last one.
    """

    start: int
    stop: int


class Unsatisfiable(ValueError):
    """A range that begins behind the end of the file."""


def asked_range(header: str | None, size: int) -> ByteRange | None:
    """The part of a file that a Range header asks for.

    Args:
        header: The header; None when there is none.
        size: How many bytes the file has.

    Returns:
        The part; None for the whole file, as also for a header that cannot be read or asks for several
        parts, which a server may pass over.

    Raises:
        Unsatisfiable: There is no such part.
    """
    found = None if header is None else _ONE_RANGE.fullmatch(header)
    if found is None:
        return None
    first, last = found.groups()
    if not (first or last) or len(first) > _DIGITS_MAX or len(last) > _DIGITS_MAX:
        return None
    if not first:
        count = min(int(last), size)
        if count == 0:
            raise Unsatisfiable
        return ByteRange(size - count, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return ByteRange(int(first), min(int(last) + 1, size) if last else size)


def names_entity(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names an entity; weak and strong count alike there."""
    return any(each.strip().removeprefix("W/") in {etag, "*"} for each in header.split(","))
