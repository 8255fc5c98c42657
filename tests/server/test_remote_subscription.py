"""Subscribing to a server: the same events, and the same ways to wait for them, as from a file."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import apsw
import pytest
from tests.support.canned_server import CannedServer, answer
from tests.support.history_builder import EpisodeScript
from tests.support.stream_clients import wait_for
from tests.support.stream_server import LiveBuilder, StreamServer, think
from tests.support.subscribers import cursors, followers, subscribe, take

from stepstream.errors import AccessDenied, StoreError
from stepstream.reading.history import History
from stepstream.reading.remote.link import Misdirected
from stepstream.reading.remote.subscription import RemoteSubscription
from stepstream.reading.subscription import Events, Subscription
from stepstream.schemas.event import Event, Reset, ResetReason, StepRecorded
from stepstream.schemas.kinds import ToolCall
from stepstream.schemas.stream import Delta
from stepstream.server.auth.access import Scope
from stepstream.spool.directory import SpoolDirectory

pytestmark = pytest.mark.usefixtures("no_follower_stays")

STREAM = "text/event-stream"


@pytest.fixture
def server(builder: LiveBuilder) -> Iterator[StreamServer]:
    with StreamServer(builder.path, heartbeat_s=0.5) as running:
        yield running


# -- the same as from a file

Subscribe = Callable[..., Events]


@pytest.fixture(params=["file", "server"])
def subscribed(request: pytest.FixtureRequest, builder: LiveBuilder) -> Iterator[Subscribe]:
    """Subscribes to the builder's history, as it lies there or over a server."""
    with ExitStack() as stack:
        spool = stack.enter_context(closing(SpoolDirectory(builder.path)))
        running: list[StreamServer] = []

        def open_one(after: int | None, epoch: str | None = None) -> Events:
            if request.param == "file":
                return stack.enter_context(Subscription(builder.path, spool, after, epoch=epoch))
            if not running:
                running.append(stack.enter_context(StreamServer(builder.path)))
            return stack.enter_context(subscribe(running[0].port, after, epoch=epoch))

        yield open_one


def test_catching_up_goes_on_live(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """Steps that were there come first, and then those that are committed, each as reading gives it."""
    last = think(builder, episode, *(f"thought {number}" for number in range(1200)))
    events = subscribed(0)
    early = take(events, last)
    live = [think(builder, episode, "now") and next(events) for _ in range(5)]

    told = [event for event in early + live if isinstance(event, StepRecorded)]
    assert cursors(told) == list(range(1, last + 6))
    assert {event.epoch for event in told} == {builder.store.epoch}
    with History.open(builder.path) as history:
        assert [event.step for event in told] == history.steps(limit=None)
    assert StepRecorded.model_validate_json(told[-1].model_dump_json()) == told[-1]


def test_a_cursor_is_resumed_behind(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """A subscriber that comes back goes on behind the last cursor it saw, with its epoch and without."""
    think(builder, episode, *"abcdefghi")

    assert cursors(take(subscribed(4, builder.store.epoch), 6)) == [5, 6, 7, 8, 9, 10]
    assert cursors(take(subscribed(8), 2)) == [9, 10]


def test_a_place_that_means_nothing_resets(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """Another epoch, or a cursor that was never given out, gives a Reset and then everything."""
    think(builder, episode, "x")

    for place in ((1, "another"), (50, None), (1, "no epoch\r\nat: all"), (2**70, builder.store.epoch)):
        events = subscribed(*place)
        reset, *rest = take(events, 3)
        assert reset == Reset(epoch=builder.store.epoch, cursor=0, reason=ResetReason.EPOCH_CHANGED)
        assert cursors(rest) == [1, 2]


def test_a_pruned_cursor_resets(builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe) -> None:
    """What was pruned is never skipped in silence: the Reset says where the log begins."""
    think(builder, episode, *"abcdefghi")
    connection = apsw.Connection(str(builder.path))
    connection.execute("DELETE FROM step WHERE cursor <= 6; INSERT INTO meta VALUES ('pruned_to', '6')")
    connection.close()

    reset, *rest = take(subscribed(3), 5)

    assert reset == Reset(epoch=builder.store.epoch, cursor=6, reason=ResetReason.PRUNED)
    assert cursors(rest) == [7, 8, 9, 10]


def test_a_changed_epoch_resets_a_live_subscriber(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """When the database begins another life under a subscriber, it is told and starts over."""
    events = subscribed(0)
    take(events, 1)
    connection = apsw.Connection(str(builder.path))
    connection.execute("UPDATE meta SET value = 'second' WHERE name = 'epoch'")
    connection.close()

    reset, first = take(events, 2)

    assert reset == Reset(epoch="second", cursor=0, reason=ResetReason.EPOCH_CHANGED)
    assert isinstance(first, StepRecorded)
    assert (first.cursor, first.epoch) == (1, "second")


def test_threads_that_share_one_get_each_event_once(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """Together they see every event, and closing ends all of them."""
    last = think(builder, episode, *(["x"] * 299))
    events = subscribed(0)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.extend(e.cursor for e in events)) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(seen) >= last, "all events are told")
    events.close()
    for thread in threads:
        thread.join(10)

    assert sorted(seen) == list(range(1, last + 1))
    assert list(events) == []


@pytest.mark.anyio
async def test_an_event_loop_subscribes_too(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """With async for, catching up and live, while other tasks of the loop go on."""
    last = think(builder, episode, *(["x"] * 600))
    events = subscribed(0)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(tick())
    seen = []
    async for event in events:
        seen.append(event.cursor)
        if last <= event.cursor < last + 5:
            think(builder, episode, "live")
        if event.cursor == last + 5:
            break
    beside.cancel()

    assert seen == list(range(1, last + 6))
    assert ticks > 5


@pytest.mark.anyio
async def test_a_cancelled_wait_leaves_it_usable(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """After a timeout around one event the next one is still told, and a second reader is refused."""
    events = subscribed(1)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.02)
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="read already"):
        await anext(events)
    think(builder, episode, "x")

    assert (await asyncio.wait_for(waiting, 20)).cursor == 2


@pytest.mark.anyio
async def test_closing_ends_whoever_waits(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """A task inside async for ends when another thread closes the subscription."""
    events = subscribed(1)
    task = asyncio.create_task(_all(events))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(events.close)

    assert await asyncio.wait_for(task, 20) == []


async def _all(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_by_itself(
    builder: LiveBuilder, episode: EpisodeScript, subscribed: Subscribe
) -> None:
    """After a fork parent and child each get every further event, from where the subscription was."""
    think(builder, episode, *"abc")
    events = subscribed(0)
    take(events, 2)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        seen: list[int] = []
        try:
            os.write(writable, b"ready")
            seen = cursors(take(events, 4))
            events.close()
        finally:
            os._exit(0 if seen == [3, 4, 5, 6] else 1)
    os.read(readable, 5)
    think(builder, episode, *"de")

    assert cursors(take(events, 4)) == [3, 4, 5, 6]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert think(builder, episode, "f") == next(events).cursor
    os.close(readable)
    os.close(writable)


# -- what a server adds


def test_a_payload_as_deep_as_can_be_stored_comes_through(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """One step that no parser reads inside of a message hides neither itself nor what comes after it."""
    deep: list[object] = []
    for _ in range(196):
        deep = [deep]
    episode.log(ToolCall(tool="dig", arguments={"hole": deep}))  # type: ignore[dict-item]
    last = think(builder, episode, "after")
    with subscribe(server.port) as events, History.open(builder.path) as history:
        told = [event.step for event in take(events, last) if isinstance(event, StepRecorded)]

        assert told == history.steps()


def test_deltas_are_no_events(builder: LiveBuilder, episode: EpisodeScript, server: StreamServer) -> None:
    """Pieces of answers go by; the next event is the next step."""
    with subscribe(server.port, 1) as events:
        wait_for(lambda: _asks(events) and server.broadcast.figures.clients == 1, "the client is there")
        delta = Delta(step_id=episode.id, episode_id=episode.id, text="so")
        server.broadcast.publish_deltas([delta])
        think(builder, episode, "x")

        assert next(events).cursor == 2


def _asks(events: RemoteSubscription) -> bool:
    """Let it begin to read."""
    events._follower.take(waits=False)
    return True


def test_a_format_that_is_another_servers_habit_is_read(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Line ends, comments, unknown events and several lines of data are as the standard says."""
    with History.open(builder.path) as history:
        step = history.steps()[0].model_dump_json(indent=1).replace("\n", "\r\ndata: ")
    body = (
        "\ufeff: hi\r\rretry: 100\r\n\r\nevent: news\rdata: ?\r\r"
        f'id: e:1\r\nevent: steps\r\ndata: {{"type":"steps","epoch":"e","cursor":1,"steps":[{step}]}}\r\n\r\n'
        'event: steps\ndata: {"type":"ste'
    )
    with CannedServer(answer(200, body, f"{STREAM}; charset=utf-8"), stays=False) as canned:
        events = subscribe(canned.port)
        assert cursors(take(events, 1)) == [1]
        wait_for(lambda: len(canned.requests) > 2, "it asks again")
        # The server told the same again, and it was passed over.
        assert not events._follower._events
        events.close()

    assert "last-event-id: 0" in canned.requests[0]
    assert "last-event-id: e:1" in canned.requests[1]


# -- what the server refuses

SAYS_NO = {
    401: AccessDenied,
    403: AccessDenied,
    404: Misdirected,
    302: Misdirected,
    500: StoreError,
}


@pytest.mark.parametrize("status", SAYS_NO)
def test_a_refusal_is_raised_at_once(status: int) -> None:
    """What asking again does not mend reaches the caller, and the next call asks again."""
    with CannedServer(answer(status, '{"detail": "no"}')) as canned, subscribe(canned.port) as events:
        for _ in range(2):
            with pytest.raises(SAYS_NO[status]):
                next(events)

        assert len(canned.requests) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_without_time_is_waited_for(
    builder: LiveBuilder, episode: EpisodeScript, status: int
) -> None:
    """It is asked again, and nothing is raised."""
    with History.open(builder.path) as history:
        step = history.steps()[0].model_dump_json()
    body = f'id: e:1\nevent: steps\ndata: {{"type":"steps","epoch":"e","cursor":1,"steps":[{step}]}}\n\n'
    refusal = answer(status, '{"detail": "later"}')
    with (
        CannedServer(refusal, refusal, answer(200, body, STREAM), stays=False) as canned,
        subscribe(canned.port) as events,
    ):
        assert cursors(take(events, 1)) == [1]


@pytest.mark.parametrize(
    "given",
    [
        answer(200, "<html>", "text/html"),
        answer(200, 'event: steps\ndata: {"type":"steps","epoch":"e"}\n\n', STREAM),
        answer(200, "event: reset\ndata: ?\n\n", STREAM),
        answer(200, "event: live\ndata: {}\n\n", STREAM),
    ],
    ids=["page", "steps", "reset", "live"],
)
def test_what_is_no_stream_of_ours_is_raised(given: bytes) -> None:
    """Another program, or a release that says it otherwise, is not taken for silence."""
    with (
        CannedServer(given) as canned,
        subscribe(canned.port) as events,
        pytest.raises(Misdirected, match="no older release"),
    ):
        next(events)


@pytest.mark.anyio
async def test_a_task_is_told_of_a_refusal(builder: LiveBuilder) -> None:
    """A token that the server does not let read raises out of async for too."""
    with (
        StreamServer(builder.path, scopes=frozenset({Scope.RECORD})) as server,
        subscribe(server.port) as events,
    ):
        for _ in range(2):
            with pytest.raises(AccessDenied, match="needs the scope read"):
                await asyncio.wait_for(anext(events), 20)


# -- its end


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that never takes a connection: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        yield port
        for filler in fillers:
            filler.close()


def test_closing_ends_a_connection_in_the_making() -> None:
    """Whoever is closed while it connects does not wait for that."""
    with deaf_port() as port:
        events = subscribe(port)
        ended: list[list[Event]] = []
        thread = threading.Thread(target=lambda: ended.append(list(events)))
        thread.start()
        wait_for(lambda: events._follower._stream is not None, "it connects")
        time.sleep(0.1)
        events.close()
        thread.join(20)

        assert followers() == []
        assert "in time" not in str(events.trouble)
    assert ended == [[]]


def test_closing_ends_a_pause_and_an_idle_connection(builder: LiveBuilder, server: StreamServer) -> None:
    """Neither while it waits to try again nor while nothing comes does its thread outlive it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        away = free.getsockname()[1]
    for port in (away, server.port):
        events = subscribe(port)
        waiting = threading.Thread(target=list, args=(events,))
        waiting.start()
        wait_for(lambda: events._follower.trouble != "it was not asked yet", "it has begun")  # noqa: B023
        events.close()
        assert followers() == []
        waiting.join(20)
        events.close()


def test_a_forgotten_subscription_ends(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Leaving a for loop by break, which closes nothing, leaves no thread and no client once the object is gone."""
    for _ in range(3):
        for _event in subscribe(server.port):
            break
    gc.collect()

    assert followers() == []
    wait_for(lambda: server.broadcast.figures.clients == 0, "the clients are gone")


def test_one_that_was_never_asked_has_begun_nothing(server: StreamServer) -> None:
    """Closing it is nothing either."""
    events = subscribe(server.port)
    assert followers() == []
    events.close()
    assert server.broadcast.figures.clients_total == 0
