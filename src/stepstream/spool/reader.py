"""The reader of one segment: whole frames in order, damage set apart, and whether the owner lives.

Knows one file and how far it has been read. Must not know the database; what was read is given up only when
the committer says that it is committed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from stepstream.spool.frame import (
    BODY_BYTES_MAX,
    HEADER_BYTES,
    Damage,
    Frame,
    NewerFrame,
    Torn,
    frame_seed,
    scan,
)
from stepstream.spool.segment import BLOCK_BYTES, FORMAT, NotASegment, Tally, decode_header, decode_tally

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.segment import SegmentHeader

WINDOW_BYTES = 1024 * 1024
_WINDOW_BYTES_MAX = BODY_BYTES_MAX + HEADER_BYTES
# What says nothing of whether the file is there: taking it for gone would lose its steps.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})


class SegmentGone(Exception):
    """The file is not there any more, or cannot be trusted."""


class SegmentReader:
    """Reads one segment from an offset on."""

    def __init__(self, spool: SpoolDirectory, name: str, consumed: int | None = None) -> None:
        """Open the segment and read its first block.

        Args:
            spool: The directory it lies in.
            name: The file's name.
            consumed: How far it is committed; None for its beginning.

        Raises:
            SegmentGone: There is no such file, or others could have forged it.
            NotASegment: The first block is damaged or foreign.
        """
        self.name = name
        self._spool = spool
        self._descriptor = -1
        self._open()
        try:
            block = os.pread(self._descriptor, BLOCK_BYTES, 0)
            if len(block) < BLOCK_BYTES:
                raise NotASegment("shorter than its first block")
            self.header: SegmentHeader = decode_header(block)
        except (NotASegment, OSError):
            self.close()
            raise
        self.recorder_id = self.header.recorder
        self.seed = frame_seed(self.recorder_id)
        self.is_known = consumed is not None
        self._kept_aside: dict[int, str] = {}
        self.consumed = BLOCK_BYTES if consumed is None else consumed
        self.position = self.consumed
        self._taken = self.consumed
        self.owner_dead = False
        self._asked_at = -1
        self._ahead: list[Frame] = []
        self._window = WINDOW_BYTES
        # What a newer release laid out otherwise would look like one large damage.
        newer = self.header.format > FORMAT
        self.blocked_by = NewerFrame(0, self.header.format) if newer else None

    def _open(self) -> None:
        try:
            descriptor = self._spool.open(self.name, os.O_RDWR)
        except OSError as error:
            if error.errno in _PASSING:
                raise
            raise SegmentGone(str(error)) from error
        if not self._spool.trusts(os.fstat(descriptor)):
            os.close(descriptor)
            raise SegmentGone("not a plain file of ours")
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file; a lock that was taken is given up with it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def rest(self) -> None:
        """Close the file for now, to spare descriptors, unless its lock is ours to keep."""
        if not self.owner_dead:
            self.close()

    def size(self) -> int:
        """How long the file is now.

        Raises:
            SegmentGone: Somebody removed it.
        """
        if self._descriptor < 0:
            self._open()
        return os.fstat(self._descriptor).st_size

    def tally(self) -> Tally | None:
        """What the owner said last."""
        if self._descriptor < 0:
            self._open()
        return decode_tally(os.pread(self._descriptor, BLOCK_BYTES, 0))

    def look(self, window_bytes: int = WINDOW_BYTES) -> list[Frame]:
        """The frames behind what was taken: all there are, or as many as fill a window.

        What was read and not taken is no reason not to read on: after one moment of too much work each
        segment would know another moment's end, and all of them together would lag behind for good.
        Damaged bytes with a frame behind them are set aside on the way.

        Raises:
            SegmentGone: Somebody removed the file.
        """
        while (
            (not self._ahead or self.position - self._taken < window_bytes)
            and self.blocked_by is None
            and self.size() > self.position
        ):
            if not self._read_on(window_bytes):
                break
        return self._ahead

    def _read_on(self, window_bytes: int) -> bool:
        """Read one window; returns whether it brought us further."""
        window = max(window_bytes, self._window)
        data = os.pread(self._descriptor, window, self.position)
        frames, stop = scan(data, self.seed, self.position)
        if frames:
            self._ahead += frames
            self.position = frames[-1][5]
            self._window = WINDOW_BYTES
            return True
        match stop:
            case NewerFrame():
                self.blocked_by = stop
            case Damage():
                self.pass_over(stop.end)
                return True
            case Torn() if len(data) == window:
                # One frame larger than the window, or damage that fills it.
                if window >= _WINDOW_BYTES_MAX:
                    self.pass_over(self.position + window - HEADER_BYTES)
                else:
                    self._window = min(window * 4, _WINDOW_BYTES_MAX)
                return True
            case _:
                pass
        return False

    @property
    def has_more(self) -> bool:
        """Whether the file holds bytes behind the frames that ``look`` returned."""
        return self.size() > self.position and self.blocked_by is None

    def take(self, count: int) -> list[Frame]:
        """Take the first frames that ``look`` returned; they come back only by ``rewind``."""
        if count == len(self._ahead):
            taken, self._ahead = self._ahead, []
        else:
            taken = self._ahead[:count]
            del self._ahead[:count]
        if taken:
            self._taken = taken[-1][5]
        return taken

    def rewind(self) -> None:
        """Forget what was read but not committed."""
        self.position = self._taken = self.consumed
        self._ahead = []

    def committed(self, consumed: int) -> None:
        """The database says that the segment is read so far."""
        self.consumed = consumed
        self.is_known = True
        for start in [start for start in self._kept_aside if start < consumed]:
            del self._kept_aside[start]
        # Behind only after a rewind, when frames were committed that had been read before it.
        self.position = max(self.position, consumed)
        self._taken = max(self._taken, consumed)

    def has_rested(self) -> bool:
        """Whether nothing was committed since this was last asked."""
        rested = self.consumed == self._asked_at
        self._asked_at = self.consumed
        return rested

    def owner_is_dead(self) -> bool:
        """Whether the owner's lock is free; if so it is ours from here on."""
        if not self.owner_dead:
            if self._descriptor < 0:
                self._open()
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self.owner_dead = True
        return True

    def tail(self) -> bytes:
        """What stands behind the last whole frame."""
        if self._descriptor < 0:
            self._open()
        return os.pread(self._descriptor, _WINDOW_BYTES_MAX, self.position)

    def pass_over(self, end: int) -> None:
        """Read on behind damaged bytes, which are kept aside."""
        self._kept_aside[self.position] = self.keep_aside(self.position, end)
        self.position = end

    def keep_aside(self, start: int, end: int) -> str:
        """Copy bytes where a person can look at them; returns the file's name below the spool."""
        if self._descriptor < 0:
            self._open()
        data = os.pread(self._descriptor, min(end - start, _WINDOW_BYTES_MAX), start)
        return self._spool.set_aside(f"{self.name}-{start}-{end}", data)

    def kept_aside(self, before: int) -> str | None:
        """The copy, below the spool, of the last damage in front of an offset that no commit has told of."""
        starts = [start for start in self._kept_aside if start < before]
        return self._kept_aside[max(starts)] if starts else None

    def delete(self) -> None:
        """Remove the file; the lock on it is held, so that nobody writes to it."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._spool.descriptor)
        self.close()
