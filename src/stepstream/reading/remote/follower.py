"""The follower of a server's live stream: it reads, and comes back where it stopped, until it is closed.

It goes on behind the last message that came whole, so nothing is missed, and passes over what it has had, so
nothing is told twice. It reads no further than some events ahead of whoever takes them; the rest waits in
the network, and then at the server. It is a thread, for a connection can be waited for in one only.

Knows the messages of the stream and when to connect again. Must not know who takes the events.
"""

from __future__ import annotations

import random
import re
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from stepstream.errors import Busy, Unreachable, ValidationFailed
from stepstream.reading.remote.answers import read_steps_message
from stepstream.reading.remote.event_parser import EventParser, EventTooLong
from stepstream.reading.remote.link import Misdirected
from stepstream.reading.remote.stream import Stream
from stepstream.reading.rows import put_together
from stepstream.schemas.event import Reset, StepRecorded
from stepstream.schemas.stream import LiveMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.reading.remote.event_parser import ServerEvent
    from stepstream.reading.remote.link import Link
    from stepstream.schemas.event import Event
    from stepstream.schemas.step import Step
    from stepstream.schemas.stream import StepsMessage

SILENCE_S = 25.0
"""A server says every ten seconds that it lives; one that was silent for so long is taken for gone."""

_AHEAD_MAX = 500
_AHEAD_LOW = _AHEAD_MAX // 2
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_DOUBLINGS_MAX = 6
_NOT_YET = "it was not asked yet"
_EPOCH = re.compile(r"[0-9A-Za-z-]{1,64}")
_NO_EPOCH = "none"
_CURSOR_MAX = (1 << 63) - 1
_EVENT_FIELDS = set(StepRecorded.model_fields)


class Place(NamedTuple):
    """How far something was seen.

    Attributes:
        epoch: Which life of the database the cursor belongs to; None where that is not known.
        cursor: Everything up to here was seen; None for what is there when the stream begins.
    """

    epoch: str | None
    cursor: int | None

    @property
    def text(self) -> str | None:
        """As ``Last-Event-ID`` says it; what cannot be the place of any database stays such a one."""
        if self.cursor is None:
            return None
        cursor = min(self.cursor, _CURSOR_MAX)
        if self.epoch is None:
            return str(cursor)
        return f"{self.epoch if _EPOCH.fullmatch(self.epoch) else _NO_EPOCH}:{cursor}"


def _recorded(epoch: str, step: Step) -> StepRecorded:
    """The event of a step, whose parts are valid already."""
    values: dict[str, object] = {"type": "step_recorded", "epoch": epoch, "cursor": step.cursor, "step": step}
    return put_together(StepRecorded, values, _EVENT_FIELDS)


class Follower:
    """Fetches events into a short queue, from which any thread may take them."""

    def __init__(self, link: Link, place: Place, silence_s: float = SILENCE_S) -> None:
        """Prepare; nothing is read before somebody asks.

        Args:
            link: The server.
            place: What was seen already.
            silence_s: After so long without a word a connection is taken for dead.
        """
        self._link = link
        self._place = place
        self._silence_s = silence_s
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._failure: Exception | None = None
        self._trouble: str | None = _NOT_YET
        self._is_closed = False
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None
        self._is_running = False
        self._is_full = False
        self._wake: Callable[[], None] | None = None
        self._tries = 0
        self._longest_pause_s = _LONGEST_PAUSE_S

    @property
    def trouble(self) -> str | None:
        """Why nothing can come at the moment; None while the server is there."""
        return self._trouble

    # -- for whoever takes the events

    def take(self, *, waits: bool, wake: Callable[[], None] | None = None) -> Event | None:
        """The next event.

        Args:
            waits: Whether to wait for one.
            wake: Called once, from another thread, when there may be one; for whoever does not wait here.

        Returns:
            None when it is closed, or there is none and we do not wait.

        Raises:
            StepstreamError: What the server said that asking again does not help; the next call asks again.
        """
        while not self._is_closed:
            if self._events:
                with suppress(IndexError):
                    return self._pop()
            with self._changed:
                if self._events or self._is_closed:
                    continue
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                self._start()
                if not waits:
                    self._wake = wake
                    return None
                self._changed.wait()
        return None

    def _pop(self) -> Event:
        """The first event, without the lock, which is only for waiting.

        Raises:
            IndexError: Another thread was faster.
        """
        event = self._events.popleft()
        if self._is_full and len(self._events) < _AHEAD_LOW:
            with self._changed:
                self._changed.notify_all()
        return event

    def close(self) -> None:
        """End it at once; its thread is gone when this returns."""
        with self._changed:
            self._is_closed = True
            self._tell()
            stream, thread = self._stream, self._thread
        if stream is not None:
            stream.cut()
        # Whoever lets go of the last reference may be the thread itself, or a process that ends: there is
        # no thread any more then to wait for.
        if thread is not None and thread is not threading.current_thread() and not sys.is_finalizing():
            thread.join()

    # -- its thread

    def _start(self) -> None:
        if not self._is_running:
            if self._thread is not None:
                # It has said its last word.
                self._thread.join()
            self._is_running = True
            self._thread = threading.Thread(target=self._run, name="stepstream-follower", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            while not self._is_closed:
                self._come_back()
        except Exception as error:  # noqa: BLE001 - it is raised where the events are taken
            failure, self._trouble = error, str(error)
        with self._changed:
            self._failure, self._is_running = failure, False
            self._tell()

    def _come_back(self) -> None:
        """One connection, and the pause after it."""
        try:
            self._follow()
            self._trouble = "the server ended the stream"
        except Misdirected:
            raise
        except (Unreachable, Busy) as error:
            self._trouble = str(error)
        pause_s = min(self._longest_pause_s, _FIRST_PAUSE_S * 2 ** min(self._tries, _DOUBLINGS_MAX))
        self._tries += 1
        # Of many who lost their server at once, each comes back at a time of its own.
        pause_s *= random.uniform(0.5, 1.0)  # noqa: S311 - nobody guesses anything by it
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, pause_s)

    def _follow(self) -> None:
        """One connection, from its beginning until the server ends it.

        Raises:
            StepstreamError: It could not be had, or broke.
        """
        stream = Stream(self._link, self._silence_s)
        with self._changed:
            self._stream = stream
            if self._is_closed:
                return
        try:
            stream.open(self._place.text)
            self._trouble = None
            parser = EventParser()
            while received := stream.read():
                for event in parser.feed(received):
                    self._take_in(event)
                if parser.retry_ms is not None:
                    self._longest_pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, parser.retry_ms / 1000))
        except EventTooLong:
            raise Misdirected(self._link.address.text, "it sends an event without an end") from None
        finally:
            with self._changed:
                self._stream = None
            stream.close()

    def _take_in(self, event: ServerEvent) -> None:
        self._tries = 0
        try:
            match event.name:
                case "steps":
                    self._put(self._new(read_steps_message(event.data)))
                case "reset":
                    reset = Reset.model_validate_json(event.data)
                    self._place = Place(reset.epoch, reset.cursor)
                    self._put([reset])
                case "live":
                    live = LiveMessage.model_validate_json(event.data)
                    self._place = Place(live.epoch, live.cursor)
                case _:
                    # Pieces of answers are no events; what else there may be one day is not for us.
                    pass
        except (ValidationError, ValidationFailed) as error:
            raise self._link.unreadable("the live stream", error) from error

    def _new(self, message: StepsMessage) -> list[Event]:
        """What a message tells that was not told before; what comes next is behind it."""
        seen = self._place.cursor if self._place.epoch in {None, message.epoch} else None
        self._place = Place(message.epoch, message.cursor)
        return [
            _recorded(message.epoch, step) for step in message.steps if seen is None or step.cursor > seen
        ]

    def _put(self, events: list[Event]) -> None:
        with self._changed:
            if len(self._events) >= _AHEAD_MAX:
                self._is_full = True
                self._changed.wait_for(lambda: self._is_closed or len(self._events) < _AHEAD_LOW)
                self._is_full = False
            self._events += events
            self._tell()

    def _tell(self) -> None:
        self._changed.notify_all()
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()
