"""The mark: how far a server has acknowledged a segment, written into the segment's own first block.

It stands in bytes that were allocated when the segment was created, so that a full disk does not matter, and
goes when the segment goes. It is written after the acknowledgement and so never says too much; one that is
missing or half written costs nothing but posting again.

Knows the last bytes of a segment's first block. Must not know frames.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from stepstream.spool.segment import BLOCK_BYTES

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

_MARK = Struct("<Qq")
_CHECKSUM = Struct("<I")
_MARK_AT = BLOCK_BYTES - 32


class Mark(NamedTuple):
    """What is acknowledged of a segment.

    Attributes:
        offset: Everything in front of it.
        number: The last of its recorder's numbers in front of it; -1 for none.
    """

    offset: int
    number: int


UNMARKED = Mark(BLOCK_BYTES, -1)
"""What holds of a segment of which nothing was ever acknowledged."""


def encode_mark(mark: Mark) -> bytes:
    """The mark as it stands in the block."""
    body = _MARK.pack(*mark)
    return body + _CHECKSUM.pack(crc32(body))


def decode_mark(block: bytes) -> Mark:
    """Read the mark from a first block."""
    raw = block[_MARK_AT : _MARK_AT + _MARK.size + _CHECKSUM.size]
    body = raw[: _MARK.size]
    if len(raw) < _MARK.size + _CHECKSUM.size or crc32(body) != _CHECKSUM.unpack_from(raw, _MARK.size)[0]:
        return UNMARKED
    return Mark(*_MARK.unpack(body))


def read_mark(descriptor: int) -> Mark:
    """The mark of an open segment."""
    return decode_mark(os.pread(descriptor, BLOCK_BYTES, 0))


def set_mark(spool: SpoolDirectory, segment: str, mark: Mark) -> None:
    """Say how far a segment is acknowledged; a mark that says more already stays.

    Raises:
        OSError: The segment is not there any more.
    """
    descriptor = spool.open(segment, os.O_RDWR)
    try:
        if read_mark(descriptor).offset < mark.offset:
            os.pwrite(descriptor, encode_mark(mark), _MARK_AT)
    finally:
        os.close(descriptor)


def forget_mark(spool: SpoolDirectory, segment: str) -> None:
    """Say that nothing of a segment is acknowledged: the server has lost what it had acknowledged.

    Raises:
        OSError: The segment is not there any more.
    """
    descriptor = spool.open(segment, os.O_RDWR)
    try:
        os.pwrite(descriptor, encode_mark(UNMARKED), _MARK_AT)
    finally:
        os.close(descriptor)
