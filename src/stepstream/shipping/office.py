"""The office of shipper: one process a spool, elected as committers are, whose heart beats while it waits.

A post may be on its way for half a minute; a thread says meanwhile that its sender lives. No database keeps
two holders apart, as with committers: terms are counted in the status, and who reads of a later one gives
way. Where both post for a moment the server stores each step once all the same.

Knows the lock, the status and the time. Must not know what is shipped.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from stepstream.schemas.release import RELEASE
from stepstream.spool.clock import boot_id
from stepstream.store.election import (
    HEARTBEAT_INTERVAL_S,
    CommitterStatus,
    Election,
    Heartbeat,
    read_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.spool.directory import SpoolDirectory

logger = logging.getLogger("stepstream")

SHIPPING = "shipping"


class Office:
    """A candidate for the office of shipper, and its holder."""

    def __init__(self, spool: SpoolDirectory, on_beat: Callable[[], None]) -> None:
        """Prepare to stand.

        Args:
            spool: Whose office it is.
            on_beat: Called with every beat, by the thread of the heart.
        """
        self._spool = spool
        self._on_beat = on_beat
        self._election = Election(spool)
        self._boot = boot_id().hex()
        self._lock = threading.Lock()
        self._heart: threading.Thread | None = None
        self._stopping = threading.Event()
        self._heartbeat: Heartbeat | None = None
        self._term = 0
        self._is_superseded = False
        self._state = SHIPPING
        self._cursor = 0
        self._waiting_bytes = 0

    @property
    def is_held(self) -> bool:
        """Whether this process has taken the office and not left it."""
        return self._heart is not None

    @property
    def holds_lock(self) -> bool:
        """Whether the lock of the office is ours."""
        return self._election.holds_lock

    @property
    def state(self) -> str:
        """What was said last."""
        return self._state

    def stand(self) -> bool:
        """Try to be elected; never waits.

        Raises:
            OSError: The spool cannot be used.
            UnsafeLocation: The spool was replaced by something that is not safe.
        """
        if self._heart is not None:
            return True
        if not self._spool.is_current():
            self._spool.reopen()
        if not self._election.stand():
            return False
        self._heartbeat = Heartbeat(self._spool)
        before = read_status(self._spool)
        self._term = 1 if before is None else before.generation + 1
        self._is_superseded = False
        self._stopping.clear()
        self._beat()
        self._heart = threading.Thread(target=self._live, name="stepstream-shipper-heart", daemon=True)
        self._heart.start()
        return True

    def is_ours(self) -> bool:
        """Whether to go on: the lock is still the one we hold, and nobody has begun a later term."""
        return not self._is_superseded and self._election.still_elected()

    def say(self, state: str, cursor: int, waiting_bytes: int) -> None:
        """Tell how it goes; what is new is written at once."""
        is_new = state != self._state
        self._state, self._cursor, self._waiting_bytes = state, cursor, waiting_bytes
        if is_new:
            self._beat()

    def _live(self) -> None:
        while not self._stopping.wait(HEARTBEAT_INTERVAL_S):
            try:
                self._beat()
            except OSError as error:
                logger.debug("the shipper's status could not be written: %s", error)
            self._on_beat()

    def _beat(self) -> None:
        with self._lock:
            if self._heartbeat is None or self._is_superseded:
                return
            status = read_status(self._spool)
            if status is not None and status.generation > self._term:
                self._is_superseded = True
                return
            self._heartbeat.beat(
                CommitterStatus(
                    pid=os.getpid(),
                    boot_id=self._boot,
                    beat=time.monotonic_ns(),
                    state=self._state,
                    generation=self._term,
                    cursor=self._cursor,
                    waiting_bytes=self._waiting_bytes,
                    log_bytes=0,
                    release=RELEASE,
                )
            )

    def leave(self) -> None:
        """Let somebody else ship."""
        heart, self._heart = self._heart, None
        self._stopping.set()
        if heart is not None:
            heart.join()
        with self._lock:
            heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.close()
        self._election.step_down()

    def close(self) -> None:
        """Leave the office and the election."""
        self.leave()
        self._election.close()
