"""The committer: from every process's spool into the database, in causal order, exactly once.

A pass notes the clock, looks at every segment, takes what was stamped before, merges it by stamp and writes
it in one transaction together with the offsets. It never dies of what it meets: a busy, full or damaged
database is a state with back-off, and no segment is deleted before the disk provably holds what it held.

Knows segments and the Store protocol. Must not know SQL, payloads or who listens.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from stepstream.bus.bell import Bell
from stepstream.errors import Busy, Full, SchemaTooNew, StepstreamError, StoreError
from stepstream.schemas.identity import new_id
from stepstream.schemas.release import RELEASE
from stepstream.spool.clock import boot_id
from stepstream.spool.directory import Identity
from stepstream.store.assembly import Assembler
from stepstream.store.ballast import Ballast
from stepstream.store.batch import Fenced
from stepstream.store.deltas import DeltaGate
from stepstream.store.election import (
    COMMITTING,
    HEARTBEAT_INTERVAL_S,
    OPENING,
    CommitterStatus,
    Election,
    Heartbeat,
)
from stepstream.store.intake import Intake
from stepstream.store.ledger import Ledger
from stepstream.store.log_sync import LogSync
from stepstream.store.mail import Mail
from stepstream.store.redaction import Redactor
from stepstream.store.rules import redaction_rules
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stepstream.schemas.post import StepPost
    from stepstream.schemas.stream import Delta
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.reader import SegmentReader
    from stepstream.store.assembly import Taken
    from stepstream.store.post_office import PostOffice

logger = logging.getLogger("stepstream")

_RETIRE_INTERVAL_S = 0.05
_LOG_BYTES_MAX = 64 * 1024 * 1024
_BACK_OFF_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
# Longer than agents wait before they start another committer: one of a newer release finds the office free.
_GIVE_WAY_S = 2.5
_TERM_BESIDE_NEWER_S = 1.0
_SEGMENT_ROWS_KEPT_NS = 30 * 24 * 3600 * 1_000_000_000


class _NewerRelease(Exception):
    """The spool holds what only a newer release can read."""


class _Retired(NamedTuple):
    """A finished segment that waits until the disk holds what it held."""

    reader: SegmentReader
    commit: int


class Committer:
    """Commits for one database while it is elected."""

    def __init__(
        self,
        database: Path,
        spool: SpoolDirectory,
        settings: Settings,
        *,
        post_office: PostOffice | None = None,
        on_deltas: Callable[[Sequence[Delta]], None] | None = None,
    ) -> None:
        """Prepare to stand for election.

        Args:
            database: The database; created when it is not there.
            spool: Its spool.
            settings: Bounds and intervals.
            post_office: Where a server hands in what is posted to it; whoever has one is a server, and goes
                before other candidates.
            on_deltas: Told what may be shown of answers that are being made; nobody stores it.
        """
        self.database = database
        self.state = "standing for election"
        self.cursor = 0
        self._spool = spool
        self._settings = settings
        self._post_office = post_office
        self._on_deltas = on_deltas
        self._election = Election(spool, server=post_office is not None)
        self._heartbeat: Heartbeat | None = None
        self._bell: Bell | None = None
        self._ballast = Ballast(spool)
        self._store: SqliteStore | None = None
        self._sync: LogSync | None = None
        self._assembler: Assembler | None = None
        self._mail: Mail | None = None
        self._gate: DeltaGate | None = None
        self._generation = 0
        self._checkpoints = 0
        self._intake = Intake(spool)
        self._newer: set[str] = set()
        self._retired: list[_Retired] = []
        self._boot = boot_id().hex()
        self._beat_at = 0.0
        self._retire_at = 0.0
        self._give_way_at = 0.0
        self._failures = 0
        self._resume_at = 0.0

    # -- office

    def stand(self) -> bool:
        """Try to get the office; opens the database when elected.

        Returns:
            Whether this process commits now.
        """
        if self._store is not None:
            return True
        try:
            if not self._spool.is_current():
                self._spool.reopen()
            if not self._election.stand():
                return False
            self.state = OPENING
            self._heartbeat = self._heartbeat or Heartbeat(self._spool)
            self._bell = self._bell or Bell(self._spool)
            self._beat(force=True)
            self._open()
        except Exception as error:  # noqa: BLE001 - whatever a file made us stumble over, the office goes on
            self._trouble(error)
            return False
        return True

    def _open(self) -> None:
        # Claimed before the file is there: an agent that comes meanwhile records under the same id.
        identity = self._spool.identity() or self._spool.claim_identity(new_id())
        store = SqliteStore(self.database, identity.database_id, mode=self._spool.file_mode)
        try:
            info = os.stat(self.database)
            found = Identity(store.database_id, info.st_dev, info.st_ino)
            if identity != found:
                self._spool.set_identity(found, lasting=True)
            self._generation = store.take_office(0 if self._bell is None else self._bell.published())
            self._intake.begin(store.database_id, store.offsets())
            rules = redaction_rules(self._settings.redaction)
            redactor = None if rules is None else Redactor(store.salt, rules)
            ledger = Ledger(store, redactor, self._settings.pool_bytes_min, time.time_ns)
            self._assembler = Assembler(ledger)
            self._spool.sweep()
            store.forget_segments(time.time_ns() - _SEGMENT_ROWS_KEPT_NS)
            self.cursor = store.last_cursor()
        except BaseException:
            store.close(clean=False)
            raise
        self._store = store
        self._ring()
        self._sync = LogSync(store, self._settings.log_sync_interval_ms)
        if self._post_office is not None:
            self._mail = Mail(
                self._post_office,
                store,
                ledger,
                self._sync,
                self._generation,
                time.time_ns,
                on_posted=self._show_posted,
            )
        if self._on_deltas is not None:
            self._gate = DeltaGate(redactor, rules, time.time_ns)
        self._newer.clear()
        self._give_way_at = time.monotonic() + _TERM_BESIDE_NEWER_S
        self._beat(force=True)

    def _recovered(self) -> None:
        self._failures = 0
        if self.state != COMMITTING:
            self.state = COMMITTING
            self._beat(force=True)

    def leave(self, *, clean: bool = True) -> None:
        """Give up the office and forget everything that only its holder knows."""
        for retired in self._retired:
            retired.reader.close()
        self._retired.clear()
        self._intake.clear()
        self._assembler = None
        self._gate = None
        mail, self._mail = self._mail, None
        sync, self._sync = self._sync, None
        store, self._store = self._store, None
        heartbeat, self._heartbeat = self._heartbeat, None
        bell, self._bell = self._bell, None
        if mail is not None:
            mail.close()
        if sync is not None:
            sync.stop()
        if store is not None:
            try:
                store.close(clean=clean and not (sync is not None and sync.failed))
            except (StepstreamError, OSError) as error:
                logger.warning("closing %s failed: %s", self.database, error)
        if heartbeat is not None:
            heartbeat.close()
        if bell is not None:
            bell.close()
        self._election.step_down()

    def close(self) -> None:
        """Leave the office and the election."""
        self.leave()
        self._election.close()

    # -- one pass

    def work(self) -> int:
        """Make one pass; never raises for what it finds on the disk.

        Returns:
            How many frames were committed.
        """
        if time.monotonic() < self._resume_at or not self.stand():
            return 0
        try:
            self._beat()
            count = self._pass()
            self._keep_house()
            self._recovered()
            self._look_for_newer(count)
        except Fenced as reason:
            logger.info("another committer took over: %s", reason)
            self.leave(clean=False)
            return 0
        except _NewerRelease as reason:
            self._give_way(str(reason))
            return 0
        except Exception as error:  # noqa: BLE001 - the committer never dies of what it finds; it says so
            self._trouble(error)
            return 0
        return count

    def settle(self) -> int:
        """Make a pass as ``work`` does, with the housekeeping that would be due during the sleep."""
        self._retire_at = 0.0
        return self.work()

    def _pass(self) -> int:
        # The clock is read before the directory: whatever a frame taken now depends on was in a file that the
        # listing below shows.
        cut = time.monotonic_ns()
        self._intake.discover()
        while self._intake.finished:
            self._retire(self._intake.finished.pop())
        taken = self._gather(cut)
        if taken:
            self._commit(taken)
            self._show_taken(taken)
        return len(taken) + self._deliver()

    def _gather(self, cut: int) -> list[Taken]:
        return self._intake.gather(cut)

    def _deliver(self) -> int:
        """Commit what was posted."""
        if self._mail is None:
            return 0
        try:
            return self._mail.deliver()
        finally:
            self._tell_cursor(self._mail.cursor)

    def _tell_cursor(self, cursor: int) -> None:
        if cursor > self.cursor:
            self.cursor = cursor
            self._ring()

    def _show_taken(self, taken: Sequence[Taken]) -> None:
        """What is shown while it comes is for who watches now: told once, and never read again."""
        self._show(lambda gate: gate.frames(frame for frame, _ in taken))

    def _show_posted(self, post: StepPost) -> None:
        self._show(lambda gate: gate.post(post))

    def _show(self, passed: Callable[[DeltaGate], Sequence[Delta]]) -> None:
        if self._gate is None or self._on_deltas is None:
            return
        try:
            deltas = passed(self._gate)
            if deltas:
                self._on_deltas(deltas)
        except Exception:
            # A project's own rule may raise anything; what is committed is committed all the same.
            logger.exception("what is being made cannot be shown")

    def _retire(self, reader: SegmentReader) -> None:
        """A segment is finished; it is deleted once the disk holds what it held."""
        self._retired.append(_Retired(reader, self._sync.committed() if self._sync else 0))

    # -- committing

    def _commit(self, taken: Sequence[Taken]) -> None:
        store, assembler = self._office()
        try:
            batch = assembler.assemble(taken)
            store.append(batch, self._generation)
        except (StoreError, Fenced, OSError):
            self._start_over(taken)
            raise
        except Exception as error:  # noqa: BLE001 - one bad frame must not stop the world
            self._start_over(taken)
            self._isolate(taken, error)
            return
        assembler.ledger.committed()
        for move in batch.offsets:
            self._intake.readers[move.segment].committed(move.after)
        if batch.steps:
            self.cursor = batch.last_cursor
        self._ring()
        if self._sync is not None:
            self._sync.committed()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.publish(self.cursor)

    def _isolate(self, taken: Sequence[Taken], error: Exception) -> None:
        """Commit what can be committed around the frame that cannot."""
        if len(taken) > 1:
            half = len(taken) // 2
            self._commit(taken[:half])
            self._commit(taken[half:])
            return
        _, assembler = self._office()
        frame, reader = taken[0]
        culprit = (reader.name, frame[1])
        if culprit in assembler.rejected:
            raise StoreError(
                f"frame {culprit[1]} of {culprit[0]} can be neither stored nor set aside: {error}"
            )
        logger.warning("frame %d of %s is set aside: %s", culprit[1], culprit[0], error)
        assembler.rejected.add(culprit)
        self._commit(taken)

    def _start_over(self, taken: Sequence[Taken]) -> None:
        """Memory may be ahead of the disk: it is all read again."""
        _, assembler = self._office()
        for reader in {reader for _, reader in taken}:
            reader.rewind()
        assembler.ledger.forget()

    def _office(self) -> tuple[SqliteStore, Assembler]:
        if self._store is None or self._assembler is None:
            raise StoreError("this process does not hold the office of committer")
        return self._store, self._assembler

    # -- keeping house

    def _keep_house(self) -> None:
        now = time.monotonic()
        sync = self._sync
        if sync is not None and sync.failed:
            raise StoreError(
                f"flushing {self.database}-wal failed or the file was replaced; everything is read again"
            )
        if now >= self._retire_at:
            self._retire_at = now + _RETIRE_INTERVAL_S
            for reader in self._intake.at_rest():
                self._finish(reader)
            self._delete()
            self._check_office()
            self._ballast.restore()
            if self._intake.is_missing_due():
                self._end_missing()
        self._bound_log()

    def _check_office(self) -> None:
        store, _ = self._office()
        if not store.is_intact():
            raise StoreError(f"{self.database} was removed or replaced; it is opened anew")
        if not self._election.still_elected():
            raise Fenced("the lock file was removed, or a server came")

    def _finish(self, reader: SegmentReader) -> None:
        store, assembler = self._office()
        try:
            batch = assembler.conclude(reader, recorder_ended=not self._intake.has_siblings(reader))
            store.append(batch, self._generation)
        except BaseException:
            reader.rewind()
            assembler.ledger.forget()
            raise
        assembler.ledger.committed()
        self._intake.finish(reader)
        if batch.steps:
            self.cursor = batch.last_cursor
        self._ring()
        self._retire(reader)

    def _delete(self) -> None:
        """Remove finished segments whose steps are on the disk."""
        sync = self._sync
        ready = [retired for retired in self._retired if sync is not None and retired.commit <= sync.synced]
        if not ready:
            return
        store, _ = self._office()
        if not store.is_intact():
            raise StoreError(f"{self.database} was removed or replaced; it is opened anew")
        for retired in ready:
            # Only when it is gone: until then the list is who closes it, and its lock with it.
            self._intake.delete(retired.reader)
            self._retired.remove(retired)
        self._spool.sync()

    def _end_missing(self) -> None:
        """Say that steps may be missing where a recorder's last segment was removed while nobody read it."""
        store, assembler = self._office()
        for recorder in sorted(self._intake.missing(store.unfinished_segments())):
            batch = assembler.give_up(recorder)
            try:
                store.append(batch, self._generation)
            except BaseException:
                assembler.ledger.forget()
                raise
            assembler.ledger.committed()
            self.cursor = batch.last_cursor
            self._ring()

    def _bound_log(self) -> None:
        """Begin a log anew that outgrew its bound, right after the other thread has moved most of it."""
        store, _ = self._office()
        sync = self._sync
        if sync is not None and sync.checkpoints != self._checkpoints:
            self._checkpoints = sync.checkpoints
            if sync.log_bytes > _LOG_BYTES_MAX:
                store.restart_log()

    def _look_for_newer(self, count: int) -> None:
        """Give way to a newer release, as soon as nothing else waits or this term has lasted a while."""
        now = time.monotonic()
        if count and now < self._give_way_at:
            return
        self._give_way_at = now + _TERM_BESIDE_NEWER_S
        self._newer = self._intake.blocked()
        if self._newer:
            advice = "run: pip install --upgrade stepstream"
            raise _NewerRelease(f"the spool holds records of a newer stepstream; {advice}")

    def _give_way(self, reason: str) -> None:
        """Leave the office, and the server's place, to a committer that can read what we cannot."""
        if reason != self.state:
            logger.warning("%s", reason)
        self.state = reason
        self._resume_at = time.monotonic() + _GIVE_WAY_S
        self._beat(force=True)
        self.leave()
        self._election.close()

    def _beat(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._heartbeat is None or (now < self._beat_at and not force):
            return
        self._beat_at = now + HEARTBEAT_INTERVAL_S
        self._heartbeat.beat(
            CommitterStatus(
                pid=os.getpid(),
                boot_id=self._boot,
                beat=time.monotonic_ns(),
                state=self.state,
                generation=self._generation,
                cursor=self.cursor,
                waiting_bytes=self.waiting_bytes(),
                log_bytes=0 if self._store is None else self._store.log_bytes(),
                release=RELEASE,
            )
        )

    def _trouble(self, error: Exception) -> None:
        """Keep every segment, let go of the database and try again later."""
        wait = _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)]
        if isinstance(error, Busy):
            wait = _BACK_OFF_S[0]
        state = f"{type(error).__name__}: {error}"
        if state != self.state:
            logger.warning("committing to %s is held up: %s", self.database, error)
        self.state = state
        if isinstance(error, Full):
            self._ballast.release()
        self._failures += 1
        self._resume_at = time.monotonic() + wait
        try:
            self._beat(force=True)
        except OSError as second:
            logger.warning("the committer's status could not be written: %s", second)
        if not isinstance(error, Busy):
            self.leave(clean=False)
        if isinstance(error, SchemaTooNew):
            # The release that wrote the file must find the office free, and a server's place too.
            self._resume_at = time.monotonic() + _GIVE_WAY_S
            self._election.close()

    # -- for whoever runs it

    def waiting_bytes(self) -> int:
        """How much of the spool is not committed."""
        return self._intake.waiting_bytes()

    @property
    def elected(self) -> bool:
        """Whether this process holds the office."""
        return self._store is not None

    @property
    def holds_lock(self) -> bool:
        """Whether the lock is ours, even if the database cannot be written at the moment."""
        return self._election.holds_lock

    @property
    def pause_s(self) -> float:
        """How long there is nothing to try."""
        return max(0.0, self._resume_at - time.monotonic())

    def has_segments(self) -> bool:
        """Whether the spool holds any segment that is ours to commit."""
        return self._intake.has_segments(but=self._newer)

    def has_owners(self) -> bool:
        """Whether anybody may still log, or anything is left to finish."""
        return bool(self._intake.readers or self._retired)
