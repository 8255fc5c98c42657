"""The intake: what the spool holds for the committer, in causal order.

Meets segments as they appear, looks into all of them, and hands out what was stamped before a moment, merged
by stamp. Sets aside what cannot be read, so that it holds up nobody else.

Knows segments. Must not know the database: how far each is committed is told to it.
"""

from __future__ import annotations

import errno
import logging
import math
import time
from bisect import bisect_right
from collections import Counter
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING

from stepstream.spool.clock import boot_id
from stepstream.spool.reader import WINDOW_BYTES, SegmentGone, SegmentReader
from stepstream.spool.segment import NotASegment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.frame import Frame
    from stepstream.store.assembly import Taken

_Look = tuple["SegmentReader", "list[Frame]"]

logger = logging.getLogger("stepstream")

DESCRIPTORS_MAX = 64

_PASS_BYTES = 4 * 1024 * 1024
_WINDOW_BYTES_MIN = 128 * 1024
_READ_TRIES = 4
# Longer than a recorder takes to notice that its file was removed and to begin another.
_MISSING_AFTER_S = 2.0

_stamp = itemgetter(0)


def _stamp_of(taken: Taken) -> int:
    return taken[0][0]


class Intake:
    """The segments of one database's spool, as its committer reads them."""

    def __init__(self, spool: SpoolDirectory) -> None:
        self.readers: dict[str, SegmentReader] = {}
        self.finished: list[SegmentReader] = []
        self._spool = spool
        self._boot = boot_id().hex()
        self._database_id = b""
        self._offsets: dict[str, tuple[int, bool]] = {}
        self._ignored: dict[str, str] = {}
        self._unread: Counter[str] = Counter()
        self._held_back: set[bytes] = set()
        self._met: set[str] = set()
        self._leaving: set[str] = set()
        self._look_for_missing_at = math.inf

    def begin(self, database_id: bytes, offsets: dict[str, tuple[int, bool]]) -> None:
        """Begin to read for a database.

        Args:
            database_id: Segments of another one are left alone.
            offsets: How far each segment is committed, and whether it is finished.
        """
        self._database_id = database_id
        self._offsets = offsets
        self._ignored.clear()
        self._held_back.clear()
        self._look_for_missing_at = time.monotonic() + _MISSING_AFTER_S

    def clear(self) -> None:
        """Let go of every segment."""
        for reader in [*self.readers.values(), *self.finished]:
            reader.close()
        self.readers.clear()
        self.finished.clear()
        self._met.clear()
        self._leaving.clear()

    # -- meeting segments

    def discover(self) -> None:
        """Open readers for new segments."""
        names = self._spool.segment_names()
        if self._met.issuperset(names) and len(names) == len(self._met):
            return
        self._met = set(names)
        for name in names:
            if name not in self.readers and name not in self._leaving and name not in self._ignored:
                self._meet(name)
        if self._has_enough():
            # What was passed over is met when some of these are deleted.
            self._met.clear()
        for name in self._ignored.keys() - set(names):
            del self._ignored[name]

    def _has_enough(self) -> bool:
        return len(self._leaving) >= DESCRIPTORS_MAX

    def _meet(self, name: str) -> None:
        consumed, is_finished = self._offsets.get(name, (None, False))
        if is_finished and self._has_enough():
            return
        reader = self._open(name, consumed)
        if reader is None:
            return
        reason = None
        if reader.header.database != self._database_id:
            reason = "it belongs to another database; see: stepstream doctor"
        elif reader.recorder_id in self._held_back:
            reason = "an earlier segment of its process cannot be read"
        if reason is not None:
            reader.close()
            self._ignore(name, reason)
        elif is_finished and reader.owner_is_dead():
            self.finished.append(reader)
            self._leaving.add(name)
        else:
            self.readers[name] = reader
            self._spare(reader)

    def _open(self, name: str, consumed: int | None) -> SegmentReader | None:
        try:
            return SegmentReader(self._spool, name, consumed)
        except SegmentGone as reason:
            if name in self._spool.segment_names():
                self._ignore(name, str(reason))
        except NotASegment as reason:
            self._ignore(name, f"its first block is unreadable: {reason}")
        except OSError as error:
            self._leave_unread(name, None, error)
        return None

    def _ignore(self, name: str, reason: str) -> None:
        self._ignored[name] = reason
        logger.warning("spool segment %s is left alone: %s", name, reason)

    # -- taking frames

    def gather(self, cut: int) -> list[Taken]:
        """Take every frame stamped before the cut, in causal order; what an earlier boot left goes first."""
        if not self.readers:
            return []
        window = min(WINDOW_BYTES, max(_WINDOW_BYTES_MIN, _PASS_BYTES // len(self.readers)))
        boots = {reader.header.boot_id for reader in self.readers.values()}
        if boots != {self._boot}:
            began: dict[str, int] = {}
            for reader in self.readers.values():
                boot = reader.header.boot_id
                began[boot] = min(began.get(boot, reader.header.created_at), reader.header.created_at)
            for boot in sorted(boots - {self._boot}, key=lambda boot: began[boot]):
                taken = self._take(window, boot, None)
                if taken:
                    return taken
        return self._take(window, self._boot, cut)

    def _take(self, window: int, boot: str, limit: int | None) -> list[Taken]:
        """Take frames of one boot; those of different boots have stamps that cannot be compared."""
        looks, limit = self._look(window, boot, limit)
        taken: list[Taken] = []
        for reader, frames in looks:
            count = len(frames)
            if limit is not None and frames[-1][0] > limit:
                count = bisect_right(frames, limit, key=_stamp)
            taken += zip(reader.take(count), repeat(reader))
        if len(looks) > 1:
            taken.sort(key=_stamp_of)
        return taken

    def _look(self, window: int, boot: str, limit: int | None) -> tuple[list[_Look], int | None]:
        """Look into every segment of a boot; returns what stands there and up to which stamp it is all."""
        looks: list[_Look] = []
        for name, reader in list(self.readers.items()):
            if reader.header.boot_id != boot:
                continue
            try:
                frames = reader.look(window)
                if not frames:
                    self._spare(reader)
                    continue
                looks.append((reader, frames))
                last = frames[-1][0]
                if (limit is None or last < limit) and reader.has_more:
                    # What this look did not reach may be the cause of anything stamped later.
                    limit = last
                self._spare(reader)
            except SegmentGone:
                self._lose(name)
            except OSError as error:
                self._leave_unread(name, reader.recorder_id, error)
        if self._held_back:
            looks = [look for look in looks if look[0].recorder_id not in self._held_back]
        return looks, limit

    def _lose(self, name: str) -> None:
        """A segment was removed by somebody else; the next frame of its recorder shows what is missing."""
        logger.warning("spool segment %s was removed before it was finished", name)
        self.readers.pop(name).close()
        self._look_for_missing_at = time.monotonic() + _MISSING_AFTER_S

    def _leave_unread(self, name: str, recorder: bytes | None, error: OSError) -> None:
        """After a few tries, leave a segment on a bad place of the disk alone: it shall hold up no other.

        What its recorder wrote after it waits too: it would look as if the numbers between were lost.
        """
        self._unread[name] += 1
        if error.errno != errno.EIO or self._unread[name] < _READ_TRIES:
            raise error
        held_back = [name]
        if recorder is not None:
            self._held_back.add(recorder)
            held_back = [reader.name for reader in self.readers.values() if reader.recorder_id == recorder]
        for each in held_back:
            if each in self.readers:
                self.readers.pop(each).close()
            self._ignore(each, f"{name} cannot be read: {error.strerror}")

    def _spare(self, reader: SegmentReader) -> None:
        """Close a segment that was looked at, where there are more of them than descriptors."""
        if len(self.readers) > DESCRIPTORS_MAX:
            reader.rest()

    # -- finishing segments

    def at_rest(self) -> Iterator[SegmentReader]:
        """Segments whose owner is gone or has moved on, read to their end; we hold their locks."""
        held = len(self._leaving) + sum(reader.owner_dead for reader in self.readers.values())
        for reader in list(self.readers.values()):
            try:
                if not reader.has_rested():
                    continue
                if not reader.owner_dead:
                    if held >= DESCRIPTORS_MAX:
                        continue
                    if not reader.owner_is_dead():
                        self._spare(reader)
                        continue
                    held += 1
                # The lock is ours now: what is there is all there will ever be.
                if reader.look():
                    continue
            except SegmentGone:
                self._lose(reader.name)
                continue
            except OSError as error:
                self._leave_unread(reader.name, reader.recorder_id, error)
                continue
            if reader.blocked_by is None:
                yield reader

    def has_siblings(self, reader: SegmentReader) -> bool:
        """Whether the recorder of a segment has another one that is not finished."""
        self.discover()
        return any(
            other is not reader and other.recorder_id == reader.recorder_id for other in self.readers.values()
        )

    def finish(self, reader: SegmentReader) -> None:
        """A segment is committed to its end; its lock is kept until it is deleted."""
        reader.committed(reader.position)
        del self.readers[reader.name]
        self._offsets[reader.name] = (reader.position, True)
        self._leaving.add(reader.name)

    def delete(self, reader: SegmentReader) -> None:
        """Delete a finished segment."""
        reader.delete()
        self._leaving.discard(reader.name)
        self._offsets.pop(reader.name, None)

    def missing(self, unfinished: dict[str, bytes]) -> set[bytes]:
        """The recorders whose last segments were removed while nobody read them.

        Args:
            unfinished: By the names of segments the database waits for, their recorders.
        """
        names = set(self._spool.segment_names())
        reading = {reader.recorder_id for reader in self.readers.values()}
        return {
            recorder for name, recorder in unfinished.items() if name not in names and recorder not in reading
        }

    def is_missing_due(self) -> bool:
        """Whether it is time to look for what is missing; said once each time there was a reason."""
        if time.monotonic() < self._look_for_missing_at:
            return False
        self._look_for_missing_at = math.inf
        return True

    # -- for whoever asks

    def blocked(self) -> set[str]:
        """The segments that hold records of a newer release."""
        return {name for name, reader in self.readers.items() if reader.blocked_by is not None}

    def waiting_bytes(self) -> int:
        """How much of what is read here is not committed."""
        total = 0
        for reader in self.readers.values():
            try:
                total += max(0, reader.size() - reader.consumed)
                self._spare(reader)
            except SegmentGone:
                continue
        return total

    def has_segments(self, but: set[str]) -> bool:
        """Whether the spool holds any segment to commit, but for some."""
        left_alone = self._ignored.keys() | but
        return any(name not in left_alone for name in self._spool.segment_names())
