"""Who commits: one process a database, elected by ``flock``, with servers going first.

Two lock files: whoever holds ``server.lock`` is a server and takes over; others stand for ``committer.lock``
only while no server is there. The lock only elects; the generation in the database decides (store/batch.py),
so that a broken lock costs a rollback and never a doubled step.

Knows lock files and the heartbeat. Must not know the database.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from stepstream.spool.clock import boot_id
from stepstream.spool.directory import COMMITTER_LOCK, SERVER_LOCK, STATUS

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

HEARTBEAT_INTERVAL_S = 0.25
HEARTBEAT_STALE_S = 1.0
OPENING = "opening"
COMMITTING = "committing"
_STATUS_BYTES = 1024
# Even if each of them is written as two escapes of six bytes, the rest has room.
_STATE_CHARACTERS_MAX = 50


class CommitterStatus(BaseModel):
    """What the committer last said of itself.

    Attributes:
        pid: Its process.
        boot_id: The boot whose clock ``beat`` is of.
        beat: CLOCK_MONOTONIC in ns when it was alive.
        state: `COMMITTING`, `OPENING`, or what keeps it from it.
        generation: Its term of office.
        cursor: The last cursor it committed.
        waiting_bytes: What the spool held at its last look.
        log_bytes: Size of the write-ahead log.
        release: The stepstream it is.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    pid: int
    boot_id: str
    beat: int
    state: str
    generation: int
    cursor: int
    waiting_bytes: int
    log_bytes: int
    release: str

    def is_fresh(self) -> bool:
        """Whether it was alive a moment ago."""
        return self.boot_id == boot_id().hex() and time.monotonic_ns() - self.beat < HEARTBEAT_STALE_S * 1e9

    def was_alive_after(self, moment_s: float) -> bool:
        """Whether it was alive after a moment of this boot's monotonic clock."""
        return self.boot_id == boot_id().hex() and self.beat > moment_s * 1e9


class Lock:
    """One lock file of the spool, held or not."""

    def __init__(self, spool: SpoolDirectory, name: str) -> None:
        self._spool = spool
        self._name = name
        self._descriptor = -1
        self._pid = -1

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor >= 0 and self._pid == os.getpid()

    def acquire(self) -> bool:
        """Take the lock without waiting; a file that was removed meanwhile is not the lock any more."""
        if self.held:
            return True
        for _ in range(10):
            descriptor = self._spool.open(self._name, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._descriptor, self._pid = descriptor, os.getpid()
            if self.still_named():
                return True
            self.release()
        return False

    def still_named(self) -> bool:
        """Whether the path still names the file we locked."""
        try:
            there = os.stat(self._name, dir_fd=self._spool.descriptor, follow_symlinks=False)
        except OSError:
            return False
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def release(self) -> None:
        """Give it up by closing; a forked child that does so leaves the parent's lock alone."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(spool: SpoolDirectory, name: str) -> bool:
    """Whether some process holds a lock, found out without disturbing anybody."""
    try:
        descriptor = spool.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Election:
    """A candidate for the office of committer."""

    def __init__(self, spool: SpoolDirectory, *, server: bool = False) -> None:
        self._spool = spool
        self._server = Lock(spool, SERVER_LOCK) if server else None
        self._office = Lock(spool, COMMITTER_LOCK)
        self._usurped = False
        self._stale_beat = 0
        self._stale_since = 0.0

    def stand(self) -> bool:
        """Try to be elected; never waits.

        A holder whose heartbeat is stale is stopped, swapped out or on another kernel; then the office is
        taken without its lock, and the generation in the database keeps the two apart.
        """
        if self._server is not None and not self._server.acquire():
            return False
        if self._server is None and is_locked(self._spool, SERVER_LOCK):
            return False
        if self._office.acquire():
            self._usurped = False
            return True
        self._usurped = self._holder_is_stopped()
        return self._usurped

    def _holder_is_stopped(self) -> bool:
        """Whether the holder has not stirred for a while that we have seen ourselves."""
        status = read_status(self._spool)
        now = time.monotonic()
        if status is None or status.is_fresh() or status.beat != self._stale_beat:
            self._stale_beat = 0 if status is None else status.beat
            self._stale_since = now
            return False
        return now - self._stale_since > HEARTBEAT_STALE_S

    def still_elected(self) -> bool:
        """Whether to go on: no server came, and the lock file is still the one we hold."""
        if self._server is None and is_locked(self._spool, SERVER_LOCK):
            return False
        if self._usurped:
            # The old holder may be gone by now; then the office becomes ours properly.
            self._usurped = not self._office.acquire()
            return True
        return self._office.held and self._office.still_named()

    @property
    def holds_lock(self) -> bool:
        """Whether the lock of the office is ours."""
        return self._office.held

    def step_down(self) -> None:
        """Let somebody else commit."""
        self._usurped = False
        self._office.release()

    def close(self) -> None:
        """Leave the election for good."""
        self.step_down()
        if self._server is not None:
            self._server.release()


def read_status(spool: SpoolDirectory) -> CommitterStatus | None:
    """What the committer last said of itself; None when nobody ever did."""
    raw = spool.read(STATUS, _STATUS_BYTES)
    if raw is None:
        return None
    try:
        return CommitterStatus.model_validate_json(raw.rstrip(b" \0\n"))
    except ValidationError:
        return None


def somebody_commits(spool: SpoolDirectory) -> bool:
    """Whether a committer holds the office and is alive."""
    if not (is_locked(spool, COMMITTER_LOCK) or is_locked(spool, SERVER_LOCK)):
        return False
    status = read_status(spool)
    # Without a word of its own it has only just been elected.
    return status is None or status.is_fresh()


def _encoded(status: CommitterStatus) -> bytes:
    return json.dumps(status.model_dump(mode="json"), separators=(",", ":")).encode()


class Heartbeat:
    """The committer's side of the status: rewritten in place, so that a full disk does not silence it."""

    def __init__(self, spool: SpoolDirectory) -> None:
        self._descriptor = spool.open(STATUS, os.O_RDWR | os.O_CREAT)

    def beat(self, status: CommitterStatus) -> None:
        """Say that we are alive."""
        text = _encoded(status)
        if len(text) > _STATUS_BYTES:
            # What is cut off is the end of a reason; a status that is not whole would be none.
            text = _encoded(status.model_copy(update={"state": status.state[:_STATE_CHARACTERS_MAX]}))
        os.pwrite(self._descriptor, text.ljust(_STATUS_BYTES), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
