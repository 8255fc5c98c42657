"""A client of the stream: where it stands in the ring, and what it is to be told next.

Knows the order in which things are told: what is older than the ring, the ring, that it is live, and what
follows. Must not know how messages travel.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from stepstream.schemas.event import Reset, ResetReason
from stepstream.server.stream.message import (
    HEARTBEAT,
    live_message,
    reset_message,
    steps_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Message as Sending
    from starlette.types import Send

    from stepstream.server.stream.channel import Channel
    from stepstream.server.stream.message import Message
    from stepstream.server.stream.past import PastPage
    from stepstream.server.stream.query import Place
    from stepstream.server.stream.ring import Life, Ring


class Ending(StrEnum):
    """Why nothing more is told to a client."""

    GONE = "it has gone"
    BEHIND = "it fell too far behind; resume behind the last cursor"
    FROZEN = "it did not read; resume behind the last cursor"
    SHUT_OUT = "what let it in has ended"
    FLOODING = "it sent more than this stream takes, which is nothing"
    CLOSING = "the server is shutting down; resume behind the last cursor"


class Source(Protocol):
    """What a client is fed from."""

    @property
    def ring(self) -> Ring | None:
        """The ring of the database's present life; None until it is read."""
        ...

    def life(self, ring: Ring) -> Life:
        """The life of the database as the table has it, or as the ring has it where that cannot be read."""
        ...

    async def past(self, after: int, channel: Channel) -> PastPage | None:
        """The next steps of a channel behind a cursor, from the table; None while it cannot be read."""
        ...


class Client:
    """One connection. Belongs to the event loop's thread.

    Attributes:
        channel: What it asks for.
        is_allowed: Tells whether what let it in still holds.
        ending: Why it is over; None while it is not.
        steps: How many steps it was told.
    """

    __slots__ = (
        "_after",
        "_delta",
        "_is_due",
        "_is_live",
        "_loop",
        "_position",
        "_ring",
        "_sending_since",
        "_source",
        "_target",
        "_timer",
        "_told",
        "_told_at",
        "_waiting",
        "channel",
        "ending",
        "is_allowed",
        "steps",
    )

    def __init__(
        self, source: Source, channel: Channel, after: Place, is_allowed: Callable[[], bool]
    ) -> None:
        """Begin behind a place, which may turn out to mean nothing."""
        self.channel = channel
        self.is_allowed = is_allowed
        self.ending: Ending | None = None
        self.steps = 0
        self._source = source
        self._after = after
        self._ring: Ring | None = None
        self._position = self._target = self._told = after.cursor
        self._delta = 0
        self._is_live = False
        self._is_due = False
        self._loop = asyncio.get_running_loop()
        self._told_at = self._loop.time()
        self._sending_since: float | None = None
        self._timer: asyncio.Timeout | None = None
        self._waiting: asyncio.Future[None] | None = None

    # -- from outside

    def wake(self) -> None:
        """There may be something to tell."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def end(self, ending: Ending) -> None:
        """Tell nothing more; ``follow`` returns, or raises TimeoutError out of a send that hangs."""
        if self.ending is None:
            self.ending = ending
        if self._sending_since is not None and self._timer is not None and self._timer.when() is None:
            self._timer.reschedule(self._loop.time())
        self.wake()

    def look_after(self, now: float, *, heartbeat_s: float, send_timeout_s: float) -> None:
        """End it when a send hangs; let it say something when it was silent for long."""
        if self._sending_since is not None:
            if now - self._sending_since >= send_timeout_s:
                self.end(Ending.FROZEN)
        elif now - self._told_at >= heartbeat_s:
            self._is_due = True
            self.check_access()
            self.wake()

    def check_access(self) -> None:
        """End it when what let it in has ended."""
        if not self.is_allowed():
            self.end(Ending.SHUT_OUT)

    # -- its own task

    async def follow(self, send: Send, dress: Callable[[Message], Sequence[Sending]]) -> None:
        """Tell all there is and all that comes, until it is over.

        Args:
            send: Takes what goes over the connection.
            dress: Makes of a message what is sent.

        Raises:
            TimeoutError: A send hung.
            OSError: The connection is gone.
        """
        async with asyncio.timeout(None) as self._timer:
            while self.ending is None:
                message = self._next()
                if message is not None:
                    await self._tell(message, send, dress)
                elif self._is_older():
                    await self._tell_past(send, dress)
                elif not self._is_behind():
                    await self._wait()
                    continue
                if not self._is_live:
                    # Whoever catches up makes room for those who are live.
                    await asyncio.sleep(0)

    def _next(self) -> Message | None:
        """What can be told at once."""
        ring = self._source.ring
        if ring is not None and ring is not self._ring:
            reset = self._enter(ring)
            if reset is not None:
                return reset_message(reset)
        if ring is None or ring is not self._ring:
            return self._due(None)
        if self._position < ring.after and self._is_live:
            self.ending = Ending.BEHIND
            return None
        return self._due(ring) if self._is_older() else self._from_ring(ring)

    def _from_ring(self, ring: Ring) -> Message | None:
        """What comes next where nothing before it has to be asked of the table."""
        page = ring.page(self._position)
        if page is not None:
            after, self._position = self._position, page.last
            message = self.channel.told(ring, page, after)
            if message is not None or self._position < ring.last:
                return message or self._due(ring)
        if not self._is_live and self._position >= self._target:
            self._is_live = True
            self._delta = self.channel.deltas_end
            return live_message(ring.life.epoch, self._position)
        if self.channel.has_deltas(self._delta):
            self._delta, message = self.channel.deltas(self._delta)
            return message
        return self._due(ring)

    def _enter(self, ring: Ring) -> Reset | None:
        """Look at a ring for the first time; what was seen before may mean nothing in its life."""
        if self._ring is not None:
            return self._begin_again(ring, ring.life, ResetReason.EPOCH_CHANGED)
        # The ring may lag behind the table, and behind what the client has seen of it.
        life = self._source.life(ring)
        if life.epoch != ring.life.epoch:
            return None
        epoch, cursor = self._after
        if epoch not in (None, life.epoch) or cursor > life.last:
            return self._begin_again(ring, life, ResetReason.EPOCH_CHANGED)
        self._ring, self._target = ring, life.last
        return None

    def _begin_again(self, ring: Ring, life: Life, reason: ResetReason) -> Reset:
        self._ring, self._target = ring, life.last
        self._is_live = False
        self._position = life.pruned_to
        return Reset(epoch=life.epoch, cursor=life.pruned_to, reason=reason)

    def _is_older(self) -> bool:
        """Whether the table has to be asked for what comes next."""
        ring = self._ring
        if ring is None or ring is not self._source.ring or self._is_live:
            return False
        return self._position < ring.after or (self.channel.looks_ahead and self._position < self._target)

    def _is_behind(self) -> bool:
        ring = self._ring
        return ring is not None and ring is self._source.ring and self._position < ring.last

    def _due(self, ring: Ring | None) -> Message | None:
        """What a client hears that heard nothing for long: how far it was looked for it, or that we live."""
        if not self._is_due:
            return None
        if ring is None or self._position <= self._told:
            return HEARTBEAT
        return steps_message(ring.life.epoch, self._position, ())

    async def _tell(
        self, message: Message, send: Send, dress: Callable[[Message], Sequence[Sending]]
    ) -> None:
        if message.place is not None or message is HEARTBEAT:
            self._told, self._told_at = self._position, self._loop.time()
            self._is_due = False
        try:
            for part in dress(message):
                self._sending_since = self._loop.time()
                await send(part)
        finally:
            self._sending_since = None
        self.steps += message.steps

    async def _tell_past(self, send: Send, dress: Callable[[Message], Sequence[Sending]]) -> None:
        """A page of the table."""
        ring = self._ring
        page = await self._source.past(self._position, self.channel)
        if ring is None or ring is not self._source.ring:
            return
        if page is None or page.life.epoch != ring.life.epoch or page.upto <= self._position:
            # Whatever is wrong with the file, whoever fills the ring sees it too.
            await self._wait()
        elif self._position < page.life.pruned_to:
            reset = self._begin_again(ring, page.life, ResetReason.PRUNED)
            await self._tell(reset_message(reset), send, dress)
        else:
            for cursor, message in page.messages:
                if self.ending is not None:
                    return
                self._position = cursor
                await self._tell(message, send, dress)
            self._position = page.upto

    async def _wait(self) -> None:
        if self.ending is None:
            self._waiting = self._loop.create_future()
            await self._waiting
            self._waiting = None
