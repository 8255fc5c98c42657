"""A crowd at the live stream: clients with different questions that come, go, dawdle and freeze, and a check.

What each of them saw, over all its connections, is compared with what the table has for its question: every step
once, in order. Also what runs beside them in processes of their own: agents that log, and the server.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.stream_clients import SseReader, Tracker, address, request

from stepstream import ObservabilityProvider, Thought
from stepstream.reading.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTIONS = (
    {},
    {"filter": "kind:thought"},
    {"filter": "tool:mesh"},
    {"filter": "agent:agent-1 -tool:load"},
    {"filter": '"round 7"'},
    {"filter": "seq:10..200 (kind:observation OR agent:agent-0)"},
    {"filter": "kind:loss"},
)
DONE_WITHIN_S = 30.0
_RECEIVED_BYTES = 64 * 1024


class Habit(NamedTuple):
    """How a client behaves.

    Attributes:
        stays_s: It goes away after at most so long, and comes back; 0 stays as long as it can.
        dawdles_s: It waits at most so long before it reads again.
        freezes_s: Once in a connection it reads nothing for so long.
    """

    stays_s: float = 0.0
    dawdles_s: float = 0.0
    freezes_s: float = 0.0


HABITS = (Habit(), Habit(stays_s=0.3), Habit(dawdles_s=0.02), Habit(stays_s=1.0, freezes_s=0.8))


class Member:
    """One client of the crowd.

    Attributes:
        question: The parameters of its address, without a place.
        starts_at: The cursor behind which it began to see; None until it is known.
        tracker: What it saw.
        connections: How often it connected.
    """

    def __init__(self, question: dict[str, str], habit: Habit, seed: int, *, from_now: bool = False) -> None:
        self.question = question
        self.habit = habit
        self.starts_at: int | None = None if from_now else 0
        self.tracker = Tracker()
        self.connections = 0
        self._random = random.Random(seed)

    async def attend(self, port: int, is_over: Callable[[Member], bool]) -> None:
        """Connect again and again until it is over."""
        while not is_over(self):
            try:
                incoming, outgoing = await asyncio.open_connection(
                    "127.0.0.1", port, limit=2 * _RECEIVED_BYTES
                )
            except OSError:
                await asyncio.sleep(0.05)
                continue
            self.connections += 1
            try:
                outgoing.write(request(address(self.starts_at, **self.question), self.tracker.after))
                await self._listen(incoming, is_over)
            except ConnectionError:
                pass
            finally:
                outgoing.transport.abort()

    async def _listen(self, incoming: asyncio.StreamReader, is_over: Callable[[Member], bool]) -> None:
        reader = SseReader()
        until = time.monotonic() + (self._random.uniform(0, self.habit.stays_s) or DONE_WITHIN_S)
        freeze_at = time.monotonic() + self._random.uniform(0, 2) if self.habit.freezes_s else None
        while not is_over(self) and time.monotonic() < until:
            if freeze_at is not None and time.monotonic() > freeze_at:
                await asyncio.sleep(self.habit.freezes_s)
                freeze_at = None
            if self.habit.dawdles_s:
                await asyncio.sleep(self._random.uniform(0, self.habit.dawdles_s))
            try:
                async with asyncio.timeout(0.1):
                    data = await incoming.read(_RECEIVED_BYTES)
            except TimeoutError:
                continue
            if not data:
                return
            for event in reader.feed(data):
                assert reader.status == 200
                self.tracker.take(event)
                if self.starts_at is None and event.id is not None:
                    assert event.name == "live"
                    self.starts_at = self.cursor

    @property
    def cursor(self) -> int:
        """How far it has seen."""
        return -1 if self.tracker.after is None else int(self.tracker.after.rpartition(":")[2])

    def check(self, history: History) -> None:
        """Every step behind its beginning that passes, once, in order, and no other."""
        expected = [
            step.cursor
            for step in history.steps(
                after=self.starts_at or 0,
                limit=None,
                filter=self.question.get("filter"),
                episode=self.question.get("episode"),
            )
        ]
        seen = self.tracker.cursors
        missing, foreign = sorted(set(expected) - set(seen)), sorted(set(seen) - set(expected))
        about = f"{self.question}, {self.habit}, {self.connections} connections"
        assert not missing, f"{about}: {len(missing)} steps are missing, such as {missing[:5]}"
        assert not foreign, f"{about}: {len(foreign)} steps do not belong, such as {foreign[:5]}"
        assert seen == expected, f"{about}: out of order, or twice"
        assert not self.tracker.resets, f"{about}: was reset"


class Crowd:
    """Clients in one event loop, in a thread."""

    def __init__(self, port: int, members: list[Member]) -> None:
        """Let them come."""
        self.members = members
        self._last: int | None = None
        self._deadline = float("inf")
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._attend(port)))
        self._thread.start()

    async def _attend(self, port: int) -> None:
        ended = await asyncio.gather(
            *(member.attend(port, self._is_over) for member in self.members), return_exceptions=True
        )
        self._failures += [failure for failure in ended if failure is not None]

    def _is_over(self, member: Member) -> bool:
        if self._last is None:
            return False
        return member.cursor >= self._last or time.monotonic() > self._deadline

    def finish(self, last: int) -> None:
        """Let everybody see everything up to a cursor; whoever complained is heard."""
        self._deadline = time.monotonic() + DONE_WITHIN_S
        self._last = last
        self._thread.join()
        if self._failures:
            raise self._failures[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline = 0.0
        self._last = self._last or 0
        self._thread.join()

    def check(self, database: Path) -> None:
        """Compare what everybody saw with what the table has."""
        with History.open(database) as history:
            for member in self.members:
                member.check(history)


# -- what a child of the nursery runs


def work(database: str, number: int, rounds: int, pause_s: float) -> None:
    """An agent: it thinks, and calls tools."""
    with (
        ObservabilityProvider(database, committer="none") as provider,
        provider.episode(f"Bracket {number}", agent=f"agent-{number}") as episode,
    ):
        for count in range(rounds):
            episode.log_event(Thought(text=f"round {count} {'x' * 300}"))
            with episode.tool_call("mesh" if count % 3 else "load", {"round": count}) as call:
                time.sleep(pause_s)
                call.observe(count)


def serve(database: str, port_file: str) -> None:
    """A server, at the port of the one before it, until SIGTERM."""
    from tests.support.stream_server import StreamServer

    told = Path(port_file)
    port = int(told.read_text()) if told.exists() else 0
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with StreamServer(
        Path(database), port=port, heartbeat_s=0.3, send_timeout_s=0.5, ring_steps_max=200
    ) as server:
        hidden = told.with_suffix(".new")
        hidden.write_text(str(server.port))
        hidden.rename(told)
        over.wait()
        print(server.broadcast.figures)
