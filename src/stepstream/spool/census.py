"""The spool's segments as a person asks about them: whose, how old, how much, and who still writes.

Knows files and locks. Nothing here disturbs an owner or the committer.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from stepstream.spool.segment import BLOCK_BYTES, NotASegment, decode_header, decode_tally

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.segment import SegmentHeader, Tally


class Segment(NamedTuple):
    """One segment.

    Attributes:
        name: Its file.
        header: What it is; None when its first block cannot be read.
        tally: What its owner said last.
        held_bytes: What it holds beside its first block.
        is_owned: Whether a process still writes to it.
        changed_at: When it was last written to; ns since 1970 UTC.
    """

    name: str
    header: SegmentHeader | None
    tally: Tally | None
    held_bytes: int
    is_owned: bool
    changed_at: int

    def belongs_to(self, database_id: bytes | None) -> bool:
        """Whether it is of a database, as far as anybody can tell."""
        return self.header is None or database_id is None or self.header.database == database_id


def look_at_segments(spool: SpoolDirectory) -> list[Segment]:
    """Every segment of a spool, the oldest first."""
    return [segment for name in spool.segment_names() if (segment := _look(spool, name)) is not None]


def _look(spool: SpoolDirectory, name: str) -> Segment | None:
    try:
        descriptor = spool.open(name, os.O_RDONLY)
    except OSError:
        # The committer finished it between the listing and here, or it is a link.
        return None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            return None
        block = os.pread(descriptor, BLOCK_BYTES, 0)
        try:
            header = decode_header(block)
        except NotASegment:
            header = None
        return Segment(
            name=name,
            header=header,
            tally=decode_tally(block),
            held_bytes=max(0, info.st_size - BLOCK_BYTES),
            is_owned=_is_locked(descriptor),
            changed_at=info.st_mtime_ns,
        )
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
