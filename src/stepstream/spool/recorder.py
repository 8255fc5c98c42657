"""The recorder: numbers, stamps and writes this process's frames, and never troubles the agent.

One recorder a process and database; after a fork the child has a recorder of its own. Every frame gets a
number, refused ones included, so that no loss is silent.

Knows segments and frames. Must not know payloads, episodes or the database.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from zlib import crc32

from stepstream.errors import UnsafeLocation
from stepstream.schemas.identity import id_text, new_id
from stepstream.settings import Durability
from stepstream.spool.clock import boot_id
from stepstream.spool.frame import CHECKSUM, HEADER, HEADER_BYTES, MAGIC, VERSION, FrameKind, frame_seed
from stepstream.spool.segment import BLOCK_BYTES, FORMAT, OwnedSegment, SegmentHeader, SegmentState, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.settings import Settings
    from stepstream.spool.clock import Clock
    from stepstream.spool.directory import SpoolDirectory

logger = logging.getLogger("stepstream")

_write = os.write
_pack = HEADER.pack
_pack_checksum = CHECKSUM.pack
_DELTA = int(FrameKind.DELTA)

_CHECK_INTERVAL_NS = 1_000_000_000
_ROTATIONS_AT_ONCE_MAX = 3


class Recorder:
    """Appends frames to this process's own segments.

    Thread-safe and safe against re-entry from signal handlers, destructors and logging handlers.
    """

    def __init__(
        self,
        spool: SpoolDirectory,
        database_id: bytes,
        settings: Settings,
        clock: Clock,
        release: str,
        on_check: Callable[[], None],
    ) -> None:
        """Prepare to record; the first segment is created with the first frame.

        Args:
            spool: The directory to write to.
            database_id: The database the steps belong to.
            settings: Bounds and durability.
            clock: Where stamps and times come from.
            release: The stepstream that writes.
            on_check: Called about once a second while frames are written, outside the lock.
        """
        self.id = new_id()
        self._spool = spool
        self._database_id = database_id
        self._settings = settings
        self._clock = clock
        self._stamp = clock.stamp
        self._now = clock.now
        self._release = release
        self._on_check = on_check
        self._seed = frame_seed(self.id)
        self._durable = settings.durability is Durability.POWER
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        self._segment: OwnedSegment | None = None
        self._descriptor = -1
        self._room = -1
        self._rotating = 0
        self._retry = False
        self._next = 0
        self._written = 0
        self._synced = 0
        self._doubtful: list[range] = []
        self._outgrown: list[OwnedSegment] = []
        self._refused = 0
        self._refusal: str | None = None
        self._told: str | None = None
        self._untold: list[str] = []
        self._check_at = 0
        self._closed = False
        self.segments_begun = 0

    @property
    def refused(self) -> int:
        """How many frames were refused."""
        return self._refused

    @property
    def refusal(self) -> str | None:
        """Why frames are refused at the moment; None when they are not."""
        return self._refusal

    @property
    def next_number(self) -> int:
        """The number the next frame will get."""
        return self._next

    def append(self, kind: int, body: bytes) -> bool:
        """Number, stamp and write one frame; the operating system has it when this returns True.

        Never raises for what is not the caller's fault: a full disk, a removed directory and the like are
        counted, told once in the log, and make this return False.
        """
        seed, length = self._seed, len(body)
        checksum = crc32(body, seed)
        size = HEADER_BYTES + length
        number = stamp = 0
        with self._lock:
            if self._room < size and self._may_rotate():
                self._rotate(size)
            done = self._refusal is None and self._descriptor >= 0
            if not done:
                self._refuse()
            while done:
                number = self._next
                stamp = self._stamp()
                # As encode_header does, without the price of a call.
                head = _pack(MAGIC, VERSION, kind, 0, length, checksum, number, stamp, self._now())
                frame = head + _pack_checksum(crc32(head, seed)) + body
                # A signal handler may have logged during the calls above; then number and stamp are taken
                # anew. CPython runs handlers only after a call returns or at a backward jump, so from this
                # comparison to the end of write() nobody can come between.
                if self._next == number:
                    self._next = number + 1
                    try:
                        written = _write(self._descriptor, frame)
                    except OSError as error:
                        self._failed(f"writing to the spool failed: {error.strerror}")
                        done = False
                        break
                    self._room -= size
                    if written != size:
                        self._take_back(written, number)
                        done = False
                    break
        if not done:
            self._tell_refusal()
            return False
        # What nobody will store need not outlast a power cut.
        if self._durable and kind != _DELTA and not self._sync(number):
            self._tell_refusal()
            return False
        if stamp >= self._check_at:
            self._check(stamp)
        return True

    def seal(self) -> None:
        """Begin a new segment with the next frame, so that this one can be deleted once it is stored."""
        with self._lock:
            self._room = -1

    def move(self, database_id: bytes) -> None:
        """Record for another database from the next frame on; the file at the path was replaced."""
        with self._lock:
            self._database_id = database_id
            self._room = -1

    def close(self) -> None:
        """Say that no frame will follow, and give up the segment."""
        with self._lock:
            if self._segment is None and self._refused and not self._closed:
                # There was no room for a single step: a segment without any tells of them, if it can.
                self._rotate(0)
            self._closed = True
            self._flush_old()
            segment, self._segment, self._descriptor = self._segment, None, -1
            if segment is not None:
                self._give_up(segment, SegmentState.CLOSED)
        with self._sync_lock:
            self._close_outgrown()

    def abandon(self) -> None:
        """In a forked child: drop the parent's segments by closing inherited descriptors, nothing else."""
        segment, self._segment, self._descriptor = self._segment, None, -1
        if segment is not None:
            segment.close()
        self._close_outgrown()

    def _may_rotate(self) -> bool:
        # Whoever comes between while the very first segment is made has to make one of his own. Where that
        # goes on and on, as with a timer that is faster than the disk, his frame is refused.
        busy = self._rotating and (self._descriptor >= 0 or self._rotating >= _ROTATIONS_AT_ONCE_MAX)
        return not busy and (self._refusal is None or self._retry)

    def _rotate(self, size: int) -> None:
        """Begin a new segment; on failure refuse until a later check finds room again."""
        self._rotating += 1
        self._retry = False
        try:
            if self._closed:
                self._refusal = "the recorder is closed"
                return
            if not self._spool.is_current():
                self._spool.reopen()
            self._refusal = self._bound_reached()
            if self._refusal is not None:
                return
            segment = OwnedSegment(self._spool, self._header(), self._refused)
            if self._durable:
                self._make_lasting(segment)
        except UnsafeLocation as error:
            self._tell(str(error))
            return
        except OSError as error:
            self._tell(f"a spool segment could not be created in {self._spool.path}: {error.strerror}")
            return
        finally:
            self._rotating -= 1
        self._flush_old()
        old, self._segment = self._segment, segment
        self._descriptor = segment.descriptor
        self._room = max(self._settings.segment_bytes_max - BLOCK_BYTES, size)
        self._refusal = self._told = None
        self.segments_begun += 1
        if old is not None:
            self._give_up(old, SegmentState.SEALED)

    def _make_lasting(self, segment: OwnedSegment) -> None:
        """Flush a new segment's first block and its name."""
        try:
            segment.sync()
            self._spool.settle()
        except OSError:
            segment.close()
            raise

    def _give_up(self, segment: OwnedSegment, state: SegmentState) -> None:
        """Be done with a segment; when another thread may be flushing it, whoever flushes next closes it."""
        self._note(segment, state)
        if self._durable:
            self._outgrown.append(segment)
        else:
            segment.close()

    def _flush_old(self) -> None:
        """Flush what other threads have not, before another segment is the one they would flush."""
        segment = self._segment
        if segment is None or not self._durable:
            return
        try:
            segment.sync()
        except OSError as error:
            # A signal handler that logged may have flushed, given up and closed it meanwhile.
            if segment is self._segment:
                self._doubt(self._next, error)

    def _close_outgrown(self) -> None:
        while self._outgrown:
            self._outgrown.pop().close()

    def _header(self) -> SegmentHeader:
        return SegmentHeader(
            format=FORMAT,
            database_id=id_text(self._database_id),
            recorder_id=id_text(self.id),
            boot_id=boot_id().hex(),
            first_number=self._next,
            created_at=self._now(),
            pid=os.getpid(),
            host=socket.gethostname(),
            release=self._release,
            durable=self._durable,
        )

    def _bound_reached(self) -> str | None:
        free_bytes, free_percent = self._spool.disk_free()
        settings = self._settings
        if free_bytes < settings.disk_free_bytes_min or free_percent < settings.disk_free_percent_min:
            return self._tell(
                f"only {free_bytes // 1_048_576} MiB are free on the disk of {self._spool.path}; "
                "new steps are refused and counted until there is room"
            )
        if self._spool.bytes_held() >= settings.spool_bytes_max:
            return self._tell(
                f"{self._spool.path} holds more than {settings.spool_bytes_max // 1_048_576} MiB that nobody "
                "commits; new steps are refused and counted; see: stepstream doctor"
            )
        return None

    def _tell(self, reason: str) -> str:
        if self._told != reason:
            self._untold.append(reason)
            self._told = reason
        self._refusal = reason
        return reason

    def _speak(self) -> None:
        """Log what there is to tell, outside of every lock: whoever listens may record, and hold one too."""
        while self._untold:
            logger.warning("%s", self._untold.pop(0))

    def _tell_refusal(self) -> None:
        self._speak()
        stamp = self._stamp()
        if stamp >= self._check_at:
            self._check(stamp)

    def _refuse(self) -> None:
        self._next += 1
        self._refused += 1
        if self._segment is not None:
            self._note(self._segment, SegmentState.OPEN)

    def _failed(self, reason: str) -> None:
        self._refused += 1
        self._tell(reason)
        self._room = -1
        if self._segment is not None:
            self._note(self._segment, SegmentState.OPEN)
            if self._next - self._segment.header.first_number > 1:
                # It took frames before: the next one tries a new segment at once.
                self._refusal = None

    def _take_back(self, written: int, number: int) -> None:
        """Remove a frame of which only a part found room, unless somebody wrote behind it."""
        if self._next == number + 1:
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR) - written
            # Where this fails a torn frame stays, and the committer steps over it.
            with suppress(OSError):
                os.ftruncate(self._descriptor, end)
                os.lseek(self._descriptor, end, os.SEEK_SET)
        self._failed("the disk is full")

    def _note(self, segment: OwnedSegment, state: SegmentState) -> None:
        try:
            segment.note(Tally(self._next, self._refused, state))
        except OSError as error:
            self._untold.append(f"the tally of a spool segment could not be written: {error.strerror}")

    def _sync(self, number: int) -> bool:
        """Wait until a frame is on the disk; what other threads wrote before goes with it.

        Returns:
            Whether it is there. What a failed flush leaves in doubt stays so: a second one proves nothing.
        """
        # Frames are written inside the lock, so that all before this one are. When two threads come here at
        # once the lower number may stay, which costs one flush more.
        self._written = max(self._written, number + 1)
        with self._sync_lock:
            self._close_outgrown()
            if number >= self._synced:
                self._flush(max(self._written, number + 1))
            return not any(number in doubt for doubt in self._doubtful)

    def _flush(self, reached: int) -> None:
        """Flush the present segment; those before it were flushed when they were given up."""
        while True:
            segment = self._segment
            try:
                if segment is not None:
                    segment.sync()
            except OSError as error:
                if segment is not self._segment:
                    # It was given up and closed meanwhile, by a signal handler that logged.
                    continue
                self._doubt(reached, error)
            self._synced = max(self._synced, reached)
            return

    def _doubt(self, reached: int, error: OSError) -> None:
        self._doubtful = [*self._doubtful[-7:], range(self._synced, reached)]
        self._room = -1
        self._tell(f"flushing the spool to the disk failed: {error.strerror}")

    def _check(self, stamp: int) -> None:
        """Once a second: is our file still there, is there room, does anybody commit?"""
        self._check_at = stamp + _CHECK_INTERVAL_NS
        with self._lock:
            if self._segment is not None and not self._segment.still_named():
                self._untold.append(f"a segment was removed from {self._spool.path}; a new one is begun")
                self._room = -1
            if self._refusal is not None:
                self._room = -1
                self._retry = True
        self._speak()
        self._on_check()
