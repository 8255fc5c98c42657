"""The delivery of one parcel: what must be there before it, the post itself, and what becomes of a refusal.

Knows what a server's answers ask for: another look at what it has, a kind's schema, less at a time, one step
less. Must not know files, nor when to try again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.identity import id_text
from stepstream.schemas.post import STEPS_MAX
from stepstream.shipping.client import NoAnswer
from stepstream.shipping.packing import BYTES_MAX, name_of
from stepstream.shipping.server import PostRefused, PostTooLarge, Unwilling

if TYPE_CHECKING:
    from stepstream.schemas.post import StepsAccepted
    from stepstream.shipping.artifacts import Courier
    from stepstream.shipping.packing import Packer
    from stepstream.shipping.parcel import Parcel
    from stepstream.shipping.server import Server

logger = logging.getLogger("stepstream")

_BYTES_MIN = 64 * 1024


class Forgotten(Exception):
    """The server does not know of what it had acknowledged: it was restored, or is another one."""


class Delivery:
    """Brings parcels to one server, one after the other."""

    def __init__(self, server: Server, packer: Packer, courier: Courier) -> None:
        """Prepare.

        Args:
            server: Where they go.
            packer: Who makes them; it is told how large they may be, and which steps to leave out.
            courier: Who brings the files that they refer to.
        """
        self.cursor = 0
        self.courier = courier
        self._server = server
        self._packer = packer
        self._registered: set[tuple[str, int]] = set()
        self._tries = 0
        self._are_kinds_retold = False
        self._bytes_bound = BYTES_MAX
        self._connection = 0
        self._epoch = ""

    def forget(self) -> None:
        """What the server is known to have must be asked again."""
        self._registered.clear()
        self.courier.forget()
        self._tries = 0
        self._are_kinds_retold = False

    def connect(self) -> None:
        """Make sure that there is a connection.

        Raises:
            NoAnswer: There is none to be had.
            TokenRefused: There is a token, and no header could hold it.
        """
        self._server.connect()
        if self._connection != self._server.connections:
            self._connection = self._server.connections
            self.courier.forget()

    def deliver(self, parcel: Parcel) -> bool:
        """Post a parcel.

        Returns:
            Whether it is stored, and lasts; else it must be packed in another way.

        Raises:
            NoAnswer: Nobody knows whether it is.
            Unwilling: The server cannot take it now.
            TokenRefused: It does not let us.
            Forgotten: It has less than it had acknowledged.
        """
        if parcel.is_empty:
            return True
        self._confirm(parcel)
        self._register(parcel)
        for artifact in parcel.artifacts.values():
            self.courier.deliver(artifact)
        # Deltas are told once: whoever watches has no use for what came late.
        with_deltas = self._tries == 0
        self._tries += 1
        body = parcel.body(with_deltas=with_deltas)
        try:
            accepted = self._server.post(body, len(parcel.steps))
        except PostTooLarge as reason:
            self._make_smaller(parcel, len(body), str(reason))
            return False
        except PostRefused as reason:
            if not (with_deltas and parcel.deltas):
                self._look_into(parcel, reason)
            return False
        except NoAnswer as reason:
            if reason.is_late:
                # A slow network is better served with little at a time.
                self._packer.bytes_max = max(_BYTES_MIN, self._packer.bytes_max // 2)
            raise
        self._hear(accepted)
        return True

    def _confirm(self, parcel: Parcel) -> None:
        """On a new connection, ask first whether the server still has what it acknowledged."""
        for sender in parcel.places:
            if sender.confirmed == self._server.connections:
                continue
            last = self._server.last_number(id_text(sender.id))
            if last < sender.last:
                raise Forgotten(
                    f"the server has acknowledged {sender.last + 1} numbers of recorder {id_text(sender.id)} "
                    f"and has {last + 1} of them now"
                )
            sender.confirmed = self._server.connections

    def _register(self, parcel: Parcel, *, core_too: bool = False) -> None:
        """Tell the schemas of a parcel's kinds, each once."""
        for key in sorted(parcel.kinds - self._registered):
            schema = self._packer.schemas.get(key)
            if schema is not None and (core_too or key[0] not in CORE_KINDS):
                reason = self._server.register(*key, schema)
                if reason is not None:
                    logger.warning("the server does not take the schema of %s %d: %s", *key, reason)
            self._registered.add(key)

    def _make_smaller(self, parcel: Parcel, size: int, reason: str) -> None:
        self._bytes_bound = max(_BYTES_MIN, size // 2)
        self._packer.bytes_max = min(self._packer.bytes_max, self._bytes_bound)
        if len(parcel.steps) > 1:
            self._packer.steps_max = len(parcel.steps) // 2
        else:
            self._reject(parcel, {0: reason})

    def _look_into(self, parcel: Parcel, refusal: PostRefused) -> None:
        """Find the steps that the server refuses: what it names, or else what is left of halves of halves."""
        if refusal.is_elsewhere or not parcel.steps:
            raise Unwilling(f"what it refuses is no step: {refusal}")
        if not self._are_kinds_retold:
            # It may be another server than the one that was told, or an older one than we are.
            self._are_kinds_retold = True
            self._registered -= parcel.kinds
            self._register(parcel, core_too=True)
        elif refusal.problems:
            self._reject(parcel, refusal.problems)
        elif len(parcel.steps) > 1:
            self._packer.steps_max = len(parcel.steps) // 2
        else:
            self._reject(parcel, {0: str(refusal)})

    def _reject(self, parcel: Parcel, problems: dict[int, str]) -> None:
        """Steps that the server refuses are set aside when they are packed again."""
        refused = {
            name_of(parcel.origins[index]): f"the server refuses it: {reason}"
            for index, reason in problems.items()
            if index < len(parcel.origins)
        }
        if not refused:
            raise Unwilling("what it refuses is not in the post")
        self._packer.rejected.update(refused)

    def _hear(self, accepted: StepsAccepted) -> None:
        """The server has taken a post."""
        if self._epoch not in {"", accepted.epoch}:
            logger.warning("the server's database begins a new life: it was restored, or is another one")
            self._registered.clear()
        self._epoch = accepted.epoch
        self.cursor = accepted.cursor
        self._packer.steps_max = min(STEPS_MAX, 2 * self._packer.steps_max)
        self._packer.bytes_max = min(self._bytes_bound, 2 * self._packer.bytes_max)
        self._tries = 0
        self._are_kinds_retold = False
