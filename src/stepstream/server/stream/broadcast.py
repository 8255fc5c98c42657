"""The broadcast: one reader of the log fills the ring, and every client takes its steps from there.

The bell wakes the broadcast, the broadcast wakes the clients. Nothing waits for a client: one that does not
keep up is cut, and loses nothing when it comes back with its cursor. While nobody listens nothing is read.

Knows when to read, whom to wake and whom to cut. Must not know how messages travel.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from stepstream.bus.bell import BACKSTOP_S, Listener
from stepstream.errors import EpisodeNotFound, StoreError
from stepstream.reading.feed import Feed
from stepstream.reading.filter import Filter
from stepstream.schemas.event import Reset, StepRecorded
from stepstream.schemas.identity import is_id
from stepstream.schemas.payload import payload_class, registered_kinds
from stepstream.schemas.step import Step
from stepstream.server.problems import Refused
from stepstream.server.stream.channel import Channel, Question
from stepstream.server.stream.client import Client, Ending
from stepstream.server.stream.deltas import DeltaBox
from stepstream.server.stream.figures import StreamReport
from stepstream.server.stream.past import Encoded, Past
from stepstream.server.stream.query import Place
from stepstream.server.stream.ring import RING_BYTES_MAX, RING_STEPS_MAX, Life, Ring
from stepstream.server.stream.trouble import Trouble
from stepstream.server.stream.vicinity import Vicinity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from stepstream.reading.history import History
    from stepstream.schemas.stream import Delta
    from stepstream.server.stream.past import PastPage
    from stepstream.server.stream.query import StreamQuery
    from stepstream.server.stream.ring import Page
    from stepstream.spool.directory import SpoolDirectory

CLIENTS_MAX = 2_000
HEARTBEAT_S = 10.0
SEND_TIMEOUT_S = 5.0

_TURN_NS = 2_000_000
_TURN_BYTES = 256 * 1024
_LINGER_S = 10.0
_TROUBLE_PAUSE_S = 0.5
_POLL_S = 0.005
_LOOK_INTERVAL_S = 1.0
# Each takes the interpreter from the loop for up to 5 ms at a time.
_PAST_READERS = 2
# Of one megabyte at most, for a second at most.
_SHARED_PAGES_MAX = 32

_RING, _PAST = "what is committed", "what was committed before"

_CUTS = (Ending.BEHIND, Ending.FROZEN, Ending.FLOODING)


class Broadcast:
    """The live stream of one database; from the beginning of its block to the end it belongs to one loop."""

    def __init__(
        self,
        database: Path,
        spool: SpoolDirectory,
        history: History,
        *,
        clients_max: int = CLIENTS_MAX,
        heartbeat_s: float = HEARTBEAT_S,
        send_timeout_s: float = SEND_TIMEOUT_S,
        ring_steps_max: int = RING_STEPS_MAX,
        ring_bytes_max: int = RING_BYTES_MAX,
        linger_s: float = _LINGER_S,
        has_access_changed: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare to broadcast.

        Args:
            database: The database, which need not exist yet.
            spool: Its spool, where the bell hangs.
            history: Answers what filters ask of steps that went by long ago.
            clients_max: At most how many clients at a time.
            heartbeat_s: After so long without a message a client hears that it is still connected.
            send_timeout_s: A client that takes nothing for so long is cut.
            ring_steps_max: A client that is more steps behind is cut, or reads the table.
            ring_bytes_max: The same in bytes of JSON.
            linger_s: After so long without a client nothing is read any more, until one comes.
            has_access_changed: Tells whether clients may have been shut out since it was last asked.
        """
        self._database = database
        self._spool = spool
        self._history = history
        self._clients_max = clients_max
        self._heartbeat_s = heartbeat_s
        self._send_timeout_s = send_timeout_s
        self._ring_bounds = (ring_steps_max, ring_bytes_max)
        self._linger_s = linger_s
        self._has_access_changed = has_access_changed
        self._past = Past(database)
        self._vicinity = Vicinity(history, ring_steps_max)
        self._deltas = DeltaBox()
        self._ring: Ring | None = None
        self._feed: Feed | None = None
        self._clients: set[Client] = set()
        self._channels: dict[tuple[str, str | None, int], Channel] = {}
        self._pages: OrderedDict[tuple[Channel, int], asyncio.Task[PastPage | None]] = OrderedDict()
        self._is_closing = False
        self._endings: Counter[Ending] = Counter()
        self._came = self._refused = self._sent = self._lag_ns = 0
        self._trouble = Trouble()

    # -- its life

    async def __aenter__(self) -> Self:
        """Be ready for the first client; nothing is read before it comes."""
        _build_models()
        self._loop = asyncio.get_running_loop()
        self._needed_at = -math.inf
        self._needed = asyncio.Event()
        self._rung = asyncio.Event()
        self._readers = ThreadPoolExecutor(_PAST_READERS, "stepstream-past")
        self._listener = Listener(self._spool)
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_bell)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._look_after())]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        await asyncio.to_thread(self._readers.shutdown)
        self._rest()
        self._past.close()

    def close(self) -> None:
        """End every client's response at once and let nobody in any more, so that the server can end."""
        self._is_closing = True
        for client in tuple(self._clients):
            client.end(Ending.CLOSING)

    # -- clients

    def admit(self, query: StreamQuery, is_allowed: Callable[[], bool]) -> Client:
        """Let a client in; ``release`` it when its connection is over.

        Args:
            query: What it asks for.
            is_allowed: Tells whether what let it in still holds.

        Raises:
            Refused: There are too many, or the server is shutting down.
            FilterInvalid: The filter cannot be read, or asks what only episodes have.
            EpisodeNotFound: There is no such episode.
        """
        if self._is_closing:
            raise Refused(503, "the server is shutting down; connect again", headers=[("retry-after", "1")])
        if len(self._clients) >= self._clients_max:
            self._refused += 1
            detail = f"there are {self._clients_max} clients of the live stream already; try again later"
            raise Refused(503, detail, headers=[("retry-after", "5")])
        channel = self._channel(query)
        client = Client(self, channel, query.after or self._now(), is_allowed)
        channel.clients += 1
        self._clients.add(client)
        self._came += 1
        self._needed.set()
        return client

    def release(self, client: Client) -> None:
        """Forget a client."""
        self._clients.remove(client)
        self._sent += client.steps
        self._endings[client.ending or Ending.GONE] += 1
        client.channel.clients -= 1
        if not client.channel.clients:
            del self._channels[client.channel.question.key]
        if not self._clients:
            self._needed_at = self._loop.time()

    def _channel(self, query: StreamQuery) -> Channel:
        episode = query.episode
        if episode is not None and not is_id(episode):
            try:
                episode = self._history.episode(episode).id
            except FileNotFoundError:
                raise EpisodeNotFound(episode) from None
        question = Question.ask(Filter.parse(query.filter), episode, time.time_ns())
        channel = self._channels.get(question.key)
        if channel is None:
            channel = self._channels[question.key] = Channel(question, self._vicinity)
        return channel

    def _now(self) -> Place:
        """Behind everything there is; in a database that does not exist yet everything is new."""
        with suppress(StoreError):
            life = self._past.life()
            return Place(None, 0) if life is None else Place(life.epoch, life.last)
        return Place(None, 0) if self._ring is None else Place(self._ring.life.epoch, self._ring.last)

    # -- what clients ask for

    @property
    def ring(self) -> Ring | None:
        """The ring of the database's present life; None until it is read."""
        return self._ring

    def life(self, ring: Ring) -> Life:
        """The life of the database as the table has it, or as the ring has it where that cannot be read."""
        found = None
        with suppress(StoreError):
            found = self._past.life()
        return found or Life(ring.life.epoch, ring.life.pruned_to, ring.last)

    async def past(self, after: int, channel: Channel) -> PastPage | None:
        """The next steps of a channel behind a cursor, from the table; None while it cannot be read.

        Few are read at a time, and for each client a page, so that those who come from far behind take turns.
        A page that is read is shared by all who want it.
        """
        page = self._pages.get((channel, after))
        if page is None:
            page = self._pages[channel, after] = asyncio.create_task(self._read_past(after, channel))
            if len(self._pages) > _SHARED_PAGES_MAX:
                self._pages.popitem(last=False)
        return await asyncio.shield(page)

    async def _read_past(self, after: int, channel: Channel) -> PastPage | None:
        if self._is_closing:
            return None
        try:
            page = await self._loop.run_in_executor(self._readers, self._past.page, after, channel.condition)
        except StoreError as error:
            self._trouble.fail(_PAST, error)
            return None
        self._trouble.work(_PAST)
        if page is not None:
            self._trouble.miss(page.unreadable)
        return page

    # -- reading

    def _on_bell(self) -> None:
        self._listener.wait(0)
        self._rung.set()

    async def _bell(self) -> None:
        """Wait for the bell, or for as long as may pass without it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S if self._listener.fileno() < 0 else BACKSTOP_S):
                await self._rung.wait()
        self._rung.clear()

    async def _read(self) -> None:
        while True:
            if not self._clients and self._loop.time() - self._needed_at >= self._linger_s:
                self._rest()
                await self._needed.wait()
            try:
                is_more = await self._begin() if self._ring is None else self._read_on(self._ring)
            except Exception as error:  # noqa: BLE001 - whatever it meets, the stream says so and goes on
                self._trouble.fail(_RING, error)
                await asyncio.sleep(_TROUBLE_PAUSE_S)
                continue
            self._trouble.work(_RING)
            if is_more:
                await asyncio.sleep(0)
            else:
                await self._bell()

    def _rest(self) -> None:
        """Let go of everything that has to do with the database."""
        self._needed.clear()
        self._ring = None
        self._vicinity.forget()
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    async def _begin(self) -> bool:
        """Fill a new ring with the last steps of the table; returns whether there is a database."""
        found = await self._loop.run_in_executor(self._readers, self._past.last_steps, *self._ring_bounds)
        if found is None:
            return False
        steps_max, bytes_max = self._ring_bounds
        ring = Ring(found.life, found.after, steps_max=steps_max, bytes_max=bytes_max)
        self._forget(())
        self._vicinity.forget()
        for step, json in found.steps:
            self._vicinity.note(step)
            ring.append(step, json)
        self._trouble.begin(found.life.epoch)
        self._trouble.miss(found.unreadable)
        self._feed = Feed(self._database, found.life.last, found.life.epoch)
        self._ring = ring
        self._wake()
        return True

    def _read_on(self, ring: Ring) -> bool:
        """Put into the ring what was committed, at most a turn of it; returns whether there may be more."""
        # Whoever keeps up has had its turn since the last one.
        ring.trim()
        before, size = ring.last, 0
        end_ns = time.monotonic_ns() + _TURN_NS
        try:
            while size < _TURN_BYTES and time.monotonic_ns() < end_ns:
                taken = self._take()
                if taken is None:
                    return False
                if isinstance(taken, Reset):
                    self._rest()
                    return True
                self._vicinity.note(taken.step)
                ring.append(*taken)
                size += len(taken.json)
                self._lag_ns = time.time_ns() - taken.step.recorded_at
        finally:
            if ring.last > before:
                self._wake()
        return True

    def _take(self) -> Encoded | Reset | None:
        """The next step that can be read, or that the database is another one; None when there is no more."""
        feed = self._feed
        while feed is not None:
            try:
                event = feed.take()
                if isinstance(event, StepRecorded):
                    return Encoded.of(event.step)
            except StoreError as error:
                self._trouble.miss([str(error)])
                continue
            if event is not None or not feed.fetch():
                return event
        return None

    def _wake(self) -> None:
        for client in self._clients:
            client.wake()

    async def _look_after(self) -> None:
        interval_s = min(_LOOK_INTERVAL_S, self._heartbeat_s / 4, self._send_timeout_s / 4)
        while True:
            await asyncio.sleep(interval_s)
            now = self._loop.time()
            for client in tuple(self._clients):
                client.look_after(now, heartbeat_s=self._heartbeat_s, send_timeout_s=self._send_timeout_s)
            if self._has_access_changed():
                for client in tuple(self._clients):
                    client.check_access()
            self._forget(() if self._ring is None else self._ring.pages)

    def _forget(self, pages: Sequence[Page]) -> None:
        """Let go of what is shared by those who are at the same place, and not of use for long."""
        self._pages.clear()
        for channel in self._channels.values():
            channel.forget(pages)

    # -- deltas

    def publish_deltas(self, deltas: Sequence[Delta]) -> None:
        """Show pieces of answers to who is live now; from any thread, and never waiting.

        What comes faster than it can be passed on is dropped.
        """
        if self._clients and not self._is_closing and self._deltas.put(deltas):
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._pass_on_deltas)

    def _pass_on_deltas(self) -> None:
        deltas = self._deltas.take()
        encoded = [delta.model_dump_json().encode() for delta in deltas]
        channels = {channel for channel in self._channels.values() if channel.publish(deltas, encoded)}
        for client in self._clients:
            if client.channel in channels:
                client.wake()

    # -- how it stands

    @property
    def figures(self) -> StreamReport:
        """How the stream stands, in figures."""
        ring = self._ring
        return StreamReport(
            clients=len(self._clients),
            channels=len(self._channels),
            clients_total=self._came,
            clients_cut=sum(self._endings[ending] for ending in _CUTS),
            clients_refused=self._refused,
            steps_sent=self._sent + sum(client.steps for client in tuple(self._clients)),
            steps_unreadable=self._trouble.missing,
            deltas_dropped=self._deltas.dropped,
            ring_steps=0 if ring is None else ring.count,
            ring_bytes=0 if ring is None else ring.size,
            cursor=None if ring is None else ring.last,
            lag_ns=self._lag_ns,
            trouble=self._trouble.text,
        )


def _build_models() -> None:
    """Build what is otherwise built on first use, so that the first steps do not wait a tenth of a second."""
    Step.model_rebuild()
    for kind in registered_kinds():
        cls = payload_class(kind)
        if cls is not None:
            cls.model_rebuild()
