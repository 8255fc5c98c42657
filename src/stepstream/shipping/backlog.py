"""The backlog: what processes have logged and the server has not acknowledged yet.

Knows how long each segment is and what its mark says. Changes nothing, and asks no server.
"""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING, NamedTuple

from stepstream.bus.bell import BACKSTOP_S, Listener
from stepstream.shipping.mark import decode_mark, read_mark
from stepstream.spool.frame import frame_seed, scan
from stepstream.spool.reader import WINDOW_BYTES
from stepstream.spool.segment import BLOCK_BYTES, NotASegment, decode_header

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

_DESCRIPTORS_MAX = 512
_SHARE_OF_DESCRIPTORS = 4


class Backlog(NamedTuple):
    """What waits to be shipped.

    Attributes:
        bytes: How much.
        since: When the first of it was logged, ns since 1970 UTC; None when nothing waits.
    """

    bytes: int
    since: int | None


def look_at_backlog(spool: SpoolDirectory) -> Backlog:
    """What waits in a spool at the moment.

    Raises:
        OSError: The spool cannot be read.
    """
    total = 0
    since: list[int] = []
    for name in _own_segments(spool):
        try:
            descriptor = spool.open(name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            block = os.pread(descriptor, BLOCK_BYTES, 0)
            offset = decode_mark(block).offset
            waiting = os.fstat(descriptor).st_size - offset
            if waiting <= 0:
                continue
            total += waiting
            seed = frame_seed(decode_header(block).recorder)
            frames, _ = scan(os.pread(descriptor, WINDOW_BYTES, offset), seed, offset)
            since += [frame[3] for frame in frames[:1]]
        finally:
            os.close(descriptor)
    return Backlog(total, min(since, default=None))


def wait_until_shipped(spool: SpoolDirectory, timeout_s: float) -> bool:
    """Wait until all that any process had logged by this call is acknowledged by the server.

    What is logged later does not prolong it. A segment is held open meanwhile: its mark can be read even when
    it was shipped to its end and deleted.

    Args:
        spool: The spool.
        timeout_s: At most how long.

    Returns:
        Whether the server has it all. False also when somebody else removed a segment before.

    Raises:
        OSError: The spool cannot be read.
    """
    deadline = time.monotonic() + timeout_s
    wanted = [_Wanted(spool, name, length) for name, length in _lengths(spool).items()]
    listener: Listener | None = None
    try:
        room = min(_DESCRIPTORS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE_OF_DESCRIPTORS)
        for each in wanted[: max(1, room)]:
            each.hold()
        while True:
            wanted = [each for each in wanted if not each.is_shipped()]
            remaining = deadline - time.monotonic()
            if not wanted or remaining <= 0 or any(each.is_hopeless for each in wanted):
                return not wanted
            if listener is None:
                # Then the marks are looked at once more, so that no ring is missed.
                listener = Listener(spool)
            else:
                listener.wait(min(remaining, BACKSTOP_S))
    finally:
        for each in wanted:
            each.close()
        if listener is not None:
            listener.close()


class _Wanted:
    """A segment that is to be acknowledged up to a length."""

    def __init__(self, spool: SpoolDirectory, name: str, length: int) -> None:
        self.is_hopeless = False
        self._spool = spool
        self._name = name
        self._length = length
        self._descriptor = -1

    def hold(self) -> None:
        """Keep the file open, so that it can be asked after it was deleted."""
        if self._descriptor < 0:
            try:
                self._descriptor = self._spool.open(self._name, os.O_RDONLY)
            except FileNotFoundError:
                # Shipped or removed: nobody can tell any more.
                self.is_hopeless = True

    def is_shipped(self) -> bool:
        """Whether it is acknowledged so far; closed if it is."""
        was_held = self._descriptor >= 0
        self.hold()
        if self._descriptor < 0:
            return False
        # Whether it is there first, then its mark: a file is marked before it is deleted.
        info = os.fstat(self._descriptor)
        offset = read_mark(self._descriptor).offset
        # A write that a full disk cut short is taken back, which makes a file shorter than it was.
        done = offset >= min(self._length, info.st_size)
        self.is_hopeless = not done and info.st_nlink == 0
        if done or not was_held:
            self.close()
        return done

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _lengths(spool: SpoolDirectory) -> dict[str, int]:
    """The length of every segment that holds more than its first block."""
    lengths = {}
    for name in _own_segments(spool):
        try:
            length = os.stat(name, dir_fd=spool.descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
        if length > BLOCK_BYTES:
            lengths[name] = length
    return lengths


def _own_segments(spool: SpoolDirectory) -> list[str]:
    """The segments that this spool's shipper ships: not those of another spool, and none without a header."""
    identity = spool.identity()
    own = []
    for name in spool.segment_names():
        try:
            header = decode_header(spool.read(name, BLOCK_BYTES) or b"")
        except (OSError, NotASegment):
            continue
        if identity is None or header.database == identity.database_id:
            own.append(name)
    return own
