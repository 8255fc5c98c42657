"""A subscription to a server: every step behind a cursor, then each as it is committed there.

While the server is away the iteration waits; when it is back it goes on, and nothing was missed.

Knows how to wait, with and without an event loop. Must not know what comes over the wire.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from stepstream.errors import Busy, Unreachable
from stepstream.reading.remote.answers import read_step_page
from stepstream.reading.remote.follower import SILENCE_S, Follower, Place
from stepstream.reading.remote.link import Misdirected, Question

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from stepstream.reading.remote.link import Link
    from stepstream.schemas.event import Event

_BEHIND_EVERYTHING = (1 << 63) - 1
_NOW_WITHIN_S = 2.0
_EVENTS_A_TURN = 100

_left_behind: list[Follower] = []
"""Of a parent process: in its forked child nobody may touch their connections, nor even let go of them."""


class RemoteSubscription:
    """Events in the order of their cursors, for ``for`` and ``async for``, without end until it is closed.

    It is used as a :class:`stepstream.reading.subscription.Subscription` to a file. What the server refuses
    for good is raised out of the iteration: a wrong token, an address that is none of ours. May be closed
    from any thread, which ends the iteration. Several threads may share one and get each event once; two
    tasks may not.
    """

    _is_open = False

    def __init__(
        self, link: Link, after: int | None, *, epoch: str | None = None, silence_s: float = SILENCE_S
    ) -> None:
        """Subscribe to a server, which may be away.

        Args:
            link: The server.
            after: The cursor of the last event seen; 0 for everything, None for what is committed from now
                on, and where the server is away, from when it is back.
            epoch: The epoch that cursor is of, as the event said; None where it is not known.
            silence_s: After so long without a word a connection is taken for dead.

        Raises:
            AccessDenied: The server does not let us.
            Unreachable: What answers is no server of ours.
        """
        self._link = link
        self._silence_s = silence_s
        self._place = _now(link) if after is None else Place(epoch, max(after, 0))
        self._process = os.getpid()
        self._follower = Follower(link, self._place, silence_s)
        self._is_awaited = False
        self._taken = 0
        self._is_open = True

    @property
    def trouble(self) -> str | None:
        """Why nothing can come at the moment; None while the server is there."""
        return self._follower.trouble

    def close(self) -> None:
        """End the iteration at once, for whoever waits inside it too."""
        if self._is_open:
            self._is_open = False
            if self._process == os.getpid():
                self._follower.close()
            else:
                _left_behind.append(self._follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _check_process(self) -> None:
        """In a forked child nobody reads: what was not taken is asked for again."""
        if self._is_open and self._process != os.getpid():
            self._process = os.getpid()
            _left_behind.append(self._follower)
            self._follower = Follower(self._link, self._place, self._silence_s)

    def _seen(self, event: Event) -> Event:
        self._place = Place(event.epoch, event.cursor)
        return event

    # -- without an event loop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._check_process()
        event = self._follower.take(waits=True) if self._is_open else None
        if event is None:
            raise StopIteration
        return self._seen(event)

    # -- with one

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        import asyncio  # noqa: PLC0415 - loaded already where this is called, and slow to load elsewhere

        self._check_process()
        if self._is_awaited:
            raise RuntimeError("this subscription is being read already; subscribe once for each reader")
        self._is_awaited = True
        try:
            self._taken += 1
            if self._taken % _EVENTS_A_TURN == 0:
                # Catching up leaves room for others.
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            while self._is_open:
                woken: asyncio.Future[None] = loop.create_future()
                event = self._follower.take(waits=False, wake=partial(_wake, loop, woken))
                if event is not None:
                    return self._seen(event)
                await woken
        finally:
            self._is_awaited = False
        raise StopAsyncIteration


def _now(link: Link) -> Place:
    """Behind everything that is committed at this moment."""
    question = Question(("steps",), {"after": _BEHIND_EVERYTHING, "limit": 1})
    try:
        page = link.ask_as(question, read_step_page, answer_s=_NOW_WITHIN_S)
    except Misdirected:
        raise
    except (Unreachable, Busy):
        return Place(None, None)
    return Place(page.epoch, page.cursor)


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    """From another thread: there may be an event; or the loop is over, and nobody waits."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, woken)


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
