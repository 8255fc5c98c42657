"""A subscription: every step behind a cursor, first from the table, then as it is committed.

The table is the truth and the bell only wakes, so there is no seam at which a step could be missed or told
twice. Nothing is read before it is asked for: a slow subscriber holds nobody up and needs no queue.

Knows how to wait, with and without an event loop. Must not know what stands in the table.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol, Self

from stepstream.bus.bell import BACKSTOP_S, Listener
from stepstream.reading.feed import Feed

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path
    from types import TracebackType

    from stepstream.schemas.event import Event
    from stepstream.spool.directory import SpoolDirectory

_POLL_S = 0.005


class Events(Protocol):
    """What a subscriber iterates over, whether it comes from a file or from a server.

    Events come in the order of their cursors, without end until it is closed, which any thread may do.
    """

    def close(self) -> None:
        """End the iteration, for whoever waits inside it too."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Self: ...

    def __next__(self) -> Event: ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Event: ...


class Subscription:
    """Events in the order of their cursors, for ``for`` and ``async for``, without end until it is closed.

    A ``Reset`` tells that the cursor asked for means nothing in this life of the database; the steps behind
    its own cursor follow. May be closed from any thread, which ends the iteration. Several threads may share
    one and get each event once; two tasks may not.
    """

    _is_closed = True

    def __init__(
        self, database: Path, spool: SpoolDirectory, after: int | None, *, epoch: str | None = None
    ) -> None:
        """Subscribe to a database, which need not exist yet.

        Args:
            database: The database.
            spool: Its spool, where the bell hangs.
            after: The cursor of the last event seen; 0 for everything, None for what is committed
                from now on.
            epoch: The epoch that cursor is of, as the event said; None where it is not known.

        Raises:
            NotADatabase: The file at the path is no history.
            StoreError: The database cannot be read.
        """
        self._spool = spool
        self._process = os.getpid()
        self._busy = threading.Lock()
        # Before the first look at the table, so that no commit falls between.
        self._listener = Listener(spool)
        try:
            self._feed = Feed(database, after, epoch)
        except BaseException:
            self._listener.close()
            raise
        self._is_closed = False

    def close(self) -> None:
        """End the iteration; whoever waits inside it notices within 50 ms."""
        if not self._is_closed:
            self._is_closed = True
            self._release_if_closed()

    def _release_if_closed(self) -> None:
        """Let go of file and bell, unless somebody is between them; then he does it when he is done."""
        if self._is_closed and self._busy.acquire(blocking=False):
            try:
                self._feed.close()
                self._listener.close()
            finally:
                self._busy.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _check_process(self) -> None:
        """In a forked child the lock's holder may be missing, and each ring would wake only one of both."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._busy = threading.Lock()
            self._listener.close()
            self._listener = Listener(self._spool)

    # -- without an event loop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._check_process()
        try:
            with self._busy:
                while not self._is_closed:
                    event = self._feed.take()
                    if event is not None:
                        return event
                    if not self._feed.fetch():
                        self._listener.wait(BACKSTOP_S)
        finally:
            self._release_if_closed()
        raise StopIteration

    # -- with one

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        import asyncio  # noqa: PLC0415 - loaded already where this is called, and slow to load elsewhere

        self._check_process()
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this subscription is being read already; subscribe once for each reader")
        try:
            while not self._is_closed:
                event = self._feed.take()
                if event is not None:
                    return event
                if self._feed.fetch():
                    # A page at a time, so that catching up leaves room for others.
                    await asyncio.sleep(0)
                else:
                    await self._ring(asyncio.get_running_loop())
        finally:
            self._busy.release()
            self._release_if_closed()
        raise StopAsyncIteration

    async def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the bell, or for as long as may pass without it."""
        woken: asyncio.Future[None] = loop.create_future()
        descriptor = self._listener.fileno()
        timer = loop.call_later(_POLL_S if descriptor < 0 else BACKSTOP_S, _wake, woken)
        try:
            if descriptor >= 0:
                loop.add_reader(descriptor, _wake, woken)
            await woken
        finally:
            timer.cancel()
            if descriptor >= 0:
                loop.remove_reader(descriptor)
        if descriptor >= 0:
            self._listener.wait(0)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
