"""The shipper: from every process's spool to a server, in causal order, each step stored there once.

A pass takes what was stamped before it began, merged by stamp, and posts it; only the server's word that it
is stored moves an offset, and only a segment that is acknowledged to its end is deleted. An answer that was
lost costs a second post, of which the server stores nothing twice. What a shipper remembers is in its memory
alone: one that comes after it begins with the segments that are there.

It never dies of what it meets: a server that is down, slow, full or closed to us is a state, told to whoever
asks, and tried again for ever. Knows when and in which order. Must not know HTTP or what a frame means.
"""

from __future__ import annotations

import logging
import time
from itertools import islice
from typing import TYPE_CHECKING

from stepstream.bus.bell import Bell
from stepstream.errors import ConfigurationInvalid
from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.post import STEPS_MAX
from stepstream.shipping.artifacts import Courier
from stepstream.shipping.client import NoAnswer
from stepstream.shipping.delivery import Delivery, Forgotten
from stepstream.shipping.hosting import REFUSED
from stepstream.shipping.mark import UNMARKED, Mark, decode_mark, forget_mark, set_mark
from stepstream.shipping.notice import noticed, rules_of
from stepstream.shipping.office import SHIPPING, Office
from stepstream.shipping.packing import Packer
from stepstream.shipping.parcel import SENDERS_MAX, Parcel, sender_of
from stepstream.shipping.patience import Patience
from stepstream.shipping.salt import spool_salt
from stepstream.shipping.server import Server, TokenRefused, Unwilling
from stepstream.shipping.token import fingerprint, is_other_token_wanted, read_token
from stepstream.spool.directory import artifacts_path
from stepstream.spool.segment import BLOCK_BYTES
from stepstream.store.deltas import DeltaGate
from stepstream.store.intake import Intake
from stepstream.store.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.schemas.stream import Delta
    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.shipping.parcel import Sender
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.frame import Frame
    from stepstream.spool.reader import SegmentReader
    from stepstream.store.assembly import Taken

logger = logging.getLogger("stepstream")

_HOUSE_INTERVAL_S = 0.05
_TELL_INTERVAL_S = 0.25
_SWEEP_INTERVAL_S = 3600.0
_REFUSED_INTERVAL_S = 30.0
_STOP_WITHIN_S = 2.0
# Longer than agents wait before they start another shipper: one of a newer release finds the office free.
_GIVE_WAY_S = 2.5
_TERM_BESIDE_NEWER_S = 1.0


class _Superseded(Exception):
    """Another shipper has begun a later term, or the lock is not ours any more."""


class _NewerRelease(Exception):
    """The spool holds what only a newer release can read."""


class Shipper:
    """Ships one spool to one server while it is elected."""

    def __init__(
        self,
        spool: SpoolDirectory,
        address: ServerAddress,
        settings: Settings,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Prepare to stand for election.

        Args:
            spool: What is shipped.
            address: Where to.
            settings: The token's file, and what is secret.
            is_stopping: Whether this process is to end soon; asked by another thread too.
            now: Wall time in ns, by the clock that recorders use.
        """
        self.cursor = 0
        self._spool = spool
        self._settings = settings
        self._is_stopping = is_stopping
        self._server = Server(address, settings)
        self._office = Office(spool, self._on_beat)
        self._intake = Intake(spool)
        self._packer = Packer()
        self._delivery = Delivery(
            self._server, self._packer, Courier(artifacts_path(spool.database), self._server)
        )
        self._now = now
        self._gate = DeltaGate(None, None, now)
        self._deltas: list[Delta] = []
        self._patience = Patience()
        self._bell: Bell | None = None
        self._database_id = b""
        self._senders: dict[bytes, Sender] = {}
        self._heard: dict[bytes, int] = {}
        self._marks: dict[str, Mark] = {}
        self._met: dict[str, bytes] = {}
        self._notices: frozenset[str] | None = None
        self._taken: list[Taken] = []
        self._parcel: Parcel | None = None
        self._refused_token: str | None = None
        self._is_refused = False
        self._newer: set[str] = set()
        self._house_at = self._tell_at = self._give_way_at = 0.0
        self._sweep_at = time.monotonic() + _SWEEP_INTERVAL_S

    # -- office

    def stand(self) -> bool:
        """Try to get the office.

        Returns:
            Whether this process ships now.

        Raises:
            OSError: The spool cannot be used.
            UnsafeLocation: It was replaced by something that is not safe.
        """
        if self._office.is_held:
            return True
        if not self._office.stand():
            return False
        identity = self._spool.identity() or self._spool.claim_identity(new_id())
        self._database_id = identity.database_id
        self._bell = Bell(self._spool)
        self.cursor = max(self.cursor, self._bell.published())
        self._give_way_at = time.monotonic() + _TERM_BESIDE_NEWER_S
        self._begin()
        self._spool.sweep()
        return True

    def _begin(self) -> None:
        """Begin with the segments that are there."""
        # What is posted again was told already to those who watch.
        reached = [(sender.id, sender.last) for sender in self._senders.values()]
        reached += [(reader.recorder_id, frame[1]) for frame, reader in self._taken]
        for recorder, number in reached:
            self._heard[recorder] = max(number, self._heard.get(recorder, -1))
        self._intake.clear()
        self._intake.begin(self._database_id, {})
        self._taken.clear()
        self._deltas = []
        self._parcel = None
        self._senders.clear()
        self._marks.clear()
        self._met.clear()
        self._delivery.forget()
        self._packer.rejected.clear()
        self._notices = None

    def leave(self) -> None:
        """Give up the office and forget everything that only its holder knows."""
        self._begin()
        self._server.close()
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        self._office.leave()

    def close(self) -> None:
        """Leave the office and the election."""
        self.leave()
        self._office.close()

    def _on_beat(self) -> None:
        """With every beat of the heart, by its thread: no request may take for ever."""
        self._server.client.cut_late(_STOP_WITHIN_S if self._is_stopping() else None)

    # -- one pass

    def work(self) -> int:
        """Make one pass; never raises for what it finds on the disk or behind the network.

        Returns:
            How many frames were acknowledged.
        """
        try:
            if not self._may_try() or not self.stand():
                return 0
            count = self._pass()
            self._keep_house()
            self._look_for_newer(count)
        except NoAnswer as reason:
            self._hold(f"no answer from {self._server.address.text}: {reason}")
        except Unwilling as reason:
            self._hold(f"{self._server.address.text} takes nothing: {reason}", reason.retry_after_s or 0.0)
        except TokenRefused as reason:
            self._wait_for_token(str(reason))
        except _Superseded:
            logger.info("another shipper took over the spool %s", self._spool.path)
            self.leave()
            # It holds the office without the lock until we have let go of it, and is to find it free.
            self._patience.rest(_GIVE_WAY_S)
        except Forgotten as reason:
            self._start_over(str(reason))
        except _NewerRelease as reason:
            self._give_way(str(reason))
        except Exception as error:  # noqa: BLE001 - the shipper never dies of what it finds; it says so
            self._trouble(error)
        else:
            return count
        return 0

    def settle(self) -> int:
        """Make a pass as ``work`` does, with the housekeeping that would be due during the sleep."""
        self._house_at = 0.0
        return self.work()

    def _pass(self) -> int:
        if not self._taken:
            # The clock is read before the directory: whatever a frame taken now depends on was in a file that
            # the listing below shows.
            cut = time.monotonic_ns()
            self._intake.discover()
            self._taken = self._intake.gather(cut)
            if self._taken:
                self._heed_notices()
                self._deltas = self._gate.frames(self._unheard())[-STEPS_MAX:]
        count = 0
        while self._taken:
            count += self._ship()
        return count

    def _unheard(self) -> Iterator[Frame]:
        """The frames that were taken, without those whose deltas were told before it began anew."""
        heard = self._heard
        for frame, reader in self._taken:
            if not heard or frame[1] > heard.get(reader.recorder_id, -1):
                yield frame

    def _heed_notices(self) -> None:
        """Redact by the rules of everybody whose frames were taken: each gave notice before his first."""
        notices = noticed(self._spool)
        if notices != self._notices:
            rules = rules_of(self._spool, notices, self._settings.redaction)
            redactor = None if rules is None else Redactor(spool_salt(self._spool), rules)
            self._packer.redactor = redactor
            self._gate = DeltaGate(redactor, rules, self._now)
            self._notices = notices

    def _ship(self) -> int:
        """Post as much of what was taken as one post holds; returns how many frames were acknowledged."""
        self._delivery.connect()
        if self._parcel is None:
            for reader in dict.fromkeys(reader for _, reader in self._taken):
                self._meet(reader)
            self._parcel = self._packer.pack(self._taken, self._senders, self._marks)
            if self._parcel.frames == len(self._taken):
                # Not before the step that they belong to.
                self._parcel.deltas = self._deltas
        parcel = self._parcel
        try:
            is_taken = self._delivery.deliver(parcel)
        except NoAnswer as reason:
            if reason.is_late:
                # What comes next is to be smaller.
                self._parcel = None
            raise
        if not is_taken:
            self._parcel = None
            return 0
        self._acknowledge(parcel)
        del self._taken[: parcel.frames]
        return parcel.frames

    def _meet(self, reader: SegmentReader) -> Sender:
        """Find out how far the server has a segment's recorder, where it can have anything of it."""
        mark = self._marks.get(reader.name)
        if mark is None:
            mark = self._marks[reader.name] = decode_mark(self._spool.read(reader.name, BLOCK_BYTES) or b"")
            self._met[reader.name] = reader.recorder_id
        sender = self._senders.get(reader.recorder_id)
        if sender is None:
            is_new = reader.header.first_number == 0 and mark == UNMARKED
            last = -1 if is_new else self._server.last_number(id_text(reader.recorder_id))
            sender = sender_of(reader.header, last, self._server.connections)
            self._senders[reader.recorder_id] = sender
        return sender

    def _hear(self) -> None:
        """The server has taken a post."""
        self.cursor = self._delivery.cursor
        if self._patience.failures or self._is_refused:
            logger.info("steps reach %s again", self._server.address.text)
        self._patience.succeed()
        self._is_refused = False

    def _acknowledge(self, parcel: Parcel) -> None:
        """What is in a parcel is stored: memory, marks and offsets follow."""
        if not self._office.is_ours():
            raise _Superseded
        if not parcel.is_empty:
            self._hear()
        for sender, place in parcel.places.items():
            sender.last = max(sender.last, place.last)
            sender.refused = place.refused
        for reader, mark in parcel.reached.items():
            self._mark(reader.name, mark)
            reader.committed(mark.offset)
        for artifact in parcel.artifacts.values():
            self._delivery.courier.dismiss(artifact)
        self._parcel = None
        self._packer.rejected.clear()
        if self._bell is not None:
            self._bell.publish(self.cursor)
        if self._office.state != SHIPPING or time.monotonic() >= self._tell_at:
            self._tell()

    def _mark(self, segment: str, mark: Mark) -> None:
        try:
            set_mark(self._spool, segment, mark)
        except OSError as error:
            # Whoever waits for it waits in vain; the next shipper posts it again.
            logger.debug("%s could not be marked: %s", segment, error)

    # -- keeping house

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now < self._house_at:
            return
        self._house_at = now + _HOUSE_INTERVAL_S
        if not self._office.is_ours():
            raise _Superseded
        self._finish()
        if self._intake.is_missing_due():
            self._end_missing()
        if now >= self._sweep_at and not self._intake.readers:
            self._sweep_at = now + _SWEEP_INTERVAL_S
            self._delivery.courier.sweep()
        if now >= self._tell_at:
            self._tell()

    def _finish(self) -> None:
        """Tell the ends of segments nobody writes to any more, then delete them."""
        resting = list(islice(self._intake.at_rest(), SENDERS_MAX))
        if not resting:
            return
        # A segment that its recorder began a moment ago must be seen, or the recorder would look ended.
        self._intake.discover()
        staying = {reader.recorder_id for reader in self._intake.readers.values() if reader not in resting}
        self._delivery.connect()
        parcel = Parcel()
        for reader in resting:
            sender = self._meet(reader)
            has_ended = reader.recorder_id not in staying
            self._packer.conclude(parcel, reader, sender, has_ended=has_ended)
        self._delivery.deliver(parcel)
        self._acknowledge(parcel)
        for reader in resting:
            self._intake.finish(reader)
            self._intake.delete(reader)
            self._marks.pop(reader.name, None)
            self._met.pop(reader.name, None)
            if reader.recorder_id not in staying:
                self._forget_sender(reader.recorder_id)

    def _end_missing(self) -> None:
        """Say that steps may be missing where a recorder's last segment was removed while we read it."""
        missing = self._intake.missing(self._met)
        if not missing:
            return
        self._delivery.connect()
        parcel = Parcel()
        for recorder in islice(sorted(missing), SENDERS_MAX):
            place = parcel.place(self._senders[recorder])
            detail = "its last segment was removed before it was finished"
            # How many there were nobody knows; one stands for all.
            place.last += 1
            parcel.lose(place, (place.last, place.last), LossReason.MISSING, detail)
            parcel.ended.append(place)
        self._delivery.deliver(parcel)
        self._acknowledge(parcel)
        for sender in parcel.places:
            self._forget_sender(sender.id)

    def _forget_sender(self, recorder: bytes) -> None:
        """A recorder has ended: nothing more is to come from it, and nothing of it is missing."""
        self._senders.pop(recorder, None)
        self._heard.pop(recorder, None)
        self._met = {name: each for name, each in self._met.items() if each != recorder}

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

    # -- what goes wrong

    def _may_try(self) -> bool:
        """Whether it is time; while the token is refused, whether there is another one."""
        if not self._patience.pause_s:
            return True
        if self._is_refused and self._office.is_held:
            if self._token() != self._refused_token:
                self._patience.end()
                return True
            if is_other_token_wanted(self._spool, fingerprint(self._spool, self._refused_token)):
                logger.info("somebody has another token for %s; he may ship", self._server.address.text)
                self.leave()
                self._patience.rest(_REFUSED_INTERVAL_S)
        return False

    def _token(self) -> str | None:
        try:
            return read_token(self._settings)
        except ConfigurationInvalid:
            return None

    def _hold(self, state: str, at_least_s: float = 0.0) -> None:
        """Keep what was taken, and try the same again later."""
        self._patience.fail(at_least_s)
        self._say(state)

    def _wait_for_token(self, reason: str) -> None:
        self._refused_token = self._token()
        self._is_refused = True
        # What comes next is on a connection that carries the token there is then.
        self._server.close()
        self._patience.rest(_REFUSED_INTERVAL_S)
        self._say(f"{REFUSED}: {reason}")

    def _start_over(self, reason: str) -> None:
        """The server has lost what it had: it gets again all that the spool still holds."""
        logger.warning("%s; what the spool still holds is posted again", reason)
        for name in list(self._intake.readers):
            try:
                forget_mark(self._spool, name)
            except OSError as error:
                logger.debug("%s could not be unmarked: %s", name, error)
        self._begin()

    def _give_way(self, reason: str) -> None:
        """Leave the office to a shipper that can read what we cannot."""
        self._say(reason)
        self._patience.rest(_GIVE_WAY_S)
        self.leave()

    def _trouble(self, error: Exception) -> None:
        """Keep every segment, let go of everything and try again later."""
        self._patience.fail()
        self._say(f"{type(error).__name__}: {error}")
        self.leave()

    def _say(self, state: str) -> None:
        if state != self._office.state:
            logger.warning("%s; steps wait in %s", state, self._spool.path)
        self._tell(state)

    def _tell(self, state: str | None = None) -> None:
        """Say in the status how it goes."""
        self._tell_at = time.monotonic() + _TELL_INTERVAL_S
        if state is None:
            state = SHIPPING if not self._patience.failures and not self._is_refused else self._office.state
        try:
            self._office.say(state, self.cursor, self._intake.waiting_bytes())
        except OSError as error:
            logger.warning("the shipper's status could not be written: %s", error)

    # -- for whoever runs it

    @property
    def pause_s(self) -> float:
        """How long there is nothing to try."""
        return self._patience.pause_s

    @property
    def elected(self) -> bool:
        """Whether this process holds the office."""
        return self._office.is_held

    @property
    def holds_lock(self) -> bool:
        """Whether the lock is ours, even if nothing can be shipped at the moment."""
        return self._office.holds_lock

    @property
    def state(self) -> str:
        """How it goes."""
        return self._office.state

    def has_segments(self) -> bool:
        """Whether the spool holds any segment that is ours to ship."""
        return self._intake.has_segments(but=self._newer)

    def has_owners(self) -> bool:
        """Whether anybody may still log, or anything is left to ship."""
        return bool(self._intake.readers)
