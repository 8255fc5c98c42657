"""A segment: one append-only file, owned by one recorder through its lock.

The first block holds what the segment is, and a small part that its owner rewrites in place: the next number
(refused steps included) and the state. It is allocated at creation, so that a full disk cannot keep a refused
step from being counted. What the segment is stands there twice, since without it no frame could be read. The
lock alone tells whether the owner lives. The last 32 bytes of the block are not the owner's: a shipper marks
there how far a server has acknowledged the segment (shipping/mark.py).

Knows the file. Must not know what frames mean.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepstream.schemas.identity import Identifier, id_bytes, new_id
from stepstream.spool.directory import SEGMENT_SUFFIX

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

BLOCK_BYTES = 4096
FORMAT = 1
_MAGIC = b"\xf5stepspl"
_PREFIX = struct.Struct("<8sII")
_TALLY = struct.Struct("<QQBI")
_TALLY_AT = BLOCK_BYTES - 64
_COPIES_AT = (0, BLOCK_BYTES // 2)
_COPY_BYTES_MAX = _TALLY_AT - BLOCK_BYTES // 2

_Count = Annotated[int, Field(ge=0, lt=2**63)]


class SegmentState(IntEnum):
    """What the owner said last."""

    OPEN = 0
    SEALED = 1
    CLOSED = 2


class Tally(NamedTuple):
    """The part of the first block that its owner rewrites."""

    next_number: int
    refused: int
    state: SegmentState


class SegmentHeader(BaseModel):
    """What a segment is; written once, at its creation.

    Attributes:
        format: Version of the segment's layout.
        database_id: The database its steps belong to.
        recorder_id: Whose numbers its frames carry.
        boot_id: The boot whose monotonic clock its stamps are of.
        first_number: The number of its first frame.
        created_at: ns since 1970 UTC.
        pid: The owner's process.
        host: The owner's machine.
        release: The stepstream that writes it.
        durable: Every frame was flushed to the disk before its call returned.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    format: int
    database_id: Identifier
    recorder_id: Identifier
    boot_id: str
    first_number: _Count
    created_at: _Count
    pid: _Count
    host: str
    release: str
    durable: bool

    @property
    def recorder(self) -> bytes:
        """The recorder's id as bytes."""
        return id_bytes(self.recorder_id)

    @property
    def database(self) -> bytes:
        """The database's id as bytes."""
        return id_bytes(self.database_id)


class NotASegment(Exception):
    """The first block is not one of ours, or is damaged."""


def encode_block(header: SegmentHeader, tally: Tally) -> bytes:
    """The first block of a segment."""
    text = header.model_dump_json().encode()
    copy = _PREFIX.pack(_MAGIC, len(text), crc32(text)) + text
    if len(copy) > _COPY_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, "the header of a segment does not fit its block")
    block = bytearray(BLOCK_BYTES)
    for start in _COPIES_AT:
        block[start : start + len(copy)] = copy
    block[_TALLY_AT : _TALLY_AT + _TALLY.size] = encode_tally(tally)
    return bytes(block)


def encode_tally(tally: Tally) -> bytes:
    """The part of the first block that is rewritten in place."""
    body = _TALLY.pack(tally.next_number, tally.refused, tally.state, 0)[:-4]
    return body + crc32(body).to_bytes(4, "little")


def decode_header(block: bytes) -> SegmentHeader:
    """Read what a segment is.

    Raises:
        NotASegment: The block is not one of ours, or is damaged.
    """
    for start in _COPIES_AT:
        text = _read_copy(block[start:])
        if text is not None:
            try:
                return SegmentHeader.model_validate_json(text)
            except ValidationError as error:
                raise NotASegment(str(error)) from error
    raise NotASegment("the first block is damaged or foreign")


def _read_copy(block: bytes) -> bytes | None:
    if len(block) < _PREFIX.size:
        return None
    magic, length, checksum = _PREFIX.unpack_from(block)
    text = block[_PREFIX.size : _PREFIX.size + length]
    return text if magic == _MAGIC and crc32(text) == checksum else None


def decode_tally(block: bytes) -> Tally | None:
    """Read what the owner said last; None when a crash left it half written."""
    raw = block[_TALLY_AT : _TALLY_AT + _TALLY.size]
    if len(raw) < _TALLY.size or crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    next_number, refused, state, _ = _TALLY.unpack(raw)
    try:
        return Tally(next_number, refused, SegmentState(state))
    except ValueError:
        # A later release may know more states; the numbers mean the same.
        return Tally(next_number, refused, SegmentState.OPEN)


class OwnedSegment:
    """A segment this process writes to; the lock is held until it is closed."""

    def __init__(self, spool: SpoolDirectory, header: SegmentHeader, refused: int = 0) -> None:
        """Create the file under a hidden name, lock it, write its first block, then show it.

        Args:
            spool: Where it is created.
            header: What it is.
            refused: How many frames its recorder has refused before.

        Raises:
            OSError: The directory cannot be written, or the disk is full.
        """
        self.header = header
        self._spool = spool
        name = new_id().hex() + SEGMENT_SUFFIX
        hidden = f".{name}.new"
        descriptor = spool.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            block = encode_block(header, Tally(header.first_number, refused, SegmentState.OPEN))
            if os.write(descriptor, block) != len(block):
                raise OSError(28, "no room for the first block of a segment")
            os.rename(hidden, name, src_dir_fd=spool.descriptor, dst_dir_fd=spool.descriptor)
        except BaseException:
            os.close(descriptor)
            _unlink(spool, hidden)
            raise
        self.name = name
        self.descriptor = descriptor

    def still_named(self) -> bool:
        """Whether the path still names our file; somebody may have removed it."""
        try:
            there = os.stat(self.name, dir_fd=self._spool.descriptor, follow_symlinks=False)
            here = os.fstat(self.descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def note(self, tally: Tally) -> None:
        """Rewrite the tally in place; the block is allocated, so a full disk does not matter."""
        os.pwrite(self.descriptor, encode_tally(tally), _TALLY_AT)

    def sync(self) -> None:
        """Flush what was written to the disk.

        Raises:
            OSError: It failed, or the segment is closed, as by a signal handler that logged and came between.
        """
        flush = getattr(os, "fdatasync", os.fsync)
        # No call between the look at the descriptor and its use: there a signal handler might come.
        descriptor = self.descriptor
        if descriptor < 0:
            raise OSError(errno.EBADF, "the segment is closed")
        flush(descriptor)

    def close(self) -> None:
        """Give up the lock by closing; never by unlocking, which would free it for a forked parent too."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _unlink(spool: SpoolDirectory, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=spool.descriptor)
