"""Subscribers to a server that dies, freezes, restarts, or cannot be reached: none misses or doubles a step."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine, plain_environment
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.history_builder import EpisodeScript
from tests.support.served_history import ServedHistory
from tests.support.stream_clients import wait_for
from tests.support.stream_server import LiveBuilder, StreamServer, think
from tests.support.subscribers import cursors, link_to, subscribe, take, thoughts

from stepstream.errors import AccessDenied
from stepstream.reading.history import History
from stepstream.reading.remote.subscription import RemoteSubscription
from stepstream.schemas.event import Event, StepRecorded
from stepstream.schemas.kinds import Thought
from stepstream.sdk.provider import ObservabilityProvider

pytestmark = pytest.mark.usefixtures("no_follower_stays")

STREAM = "text/event-stream"


@pytest.fixture
def server(builder: LiveBuilder) -> Iterator[StreamServer]:
    with StreamServer(builder.path, heartbeat_s=0.5) as running:
        yield running


# -- server and wire go away and come back


def test_a_restarted_server_is_followed_on(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """What is committed while no server runs is told when there is one, each step once."""
    running = StreamServer(builder.path)
    with subscribe(running.port) as events:
        seen = cursors(take(events, 1))
        assert events.trouble is None
        for number in range(3):
            running.stop()
            think(builder, episode, *"ab")
            running = StreamServer(builder.path, port=running.port)
            last = think(builder, episode, *"cd")
            seen += cursors(take(events, 4))
            assert last == 5 + 4 * number
    running.stop()

    assert seen == list(range(1, last + 1))


@pytest.mark.parametrize("seed", range(3))
def test_cuts_anywhere_lose_and_double_nothing(
    builder: LiveBuilder, episode: EpisodeScript, proxy: FaultProxy, seed: int
) -> None:
    """However often and wherever the connection breaks, every step is told once and in order."""
    chance = random.Random(seed)
    think(builder, episode, *("x" * chance.randrange(400) for _ in range(800)))
    seen: list[int] = []
    # A whole message always fits in a connection, or nobody would ever get on.
    proxy.plan = lambda _: Fault(
        answer_bytes=chance.randrange(90_000, 200_000), is_reset=chance.random() < 0.5
    )
    with subscribe(proxy.port) as events:
        for _ in range(40):
            last = think(
                builder, episode, *("x" * chance.randrange(400) for _ in range(chance.randrange(1, 30)))
            )
            while not seen or seen[-1] < last - chance.randrange(20):
                seen += cursors(take(events, 1))
            if chance.random() < 0.2:
                proxy.cut()
        seen += cursors(take(events, last - seen[-1]))

    assert seen == list(range(1, last + 1))
    assert proxy.connections > 3


def test_a_few_bytes_at_a_time_are_enough(
    builder: LiveBuilder, episode: EpisodeScript, proxy: FaultProxy
) -> None:
    """A network that carries seven bytes at a time tells the same."""
    proxy.plan = lambda _: Fault(drip_bytes=7)
    last = think(builder, episode, *(f"thought {number} äöü" for number in range(30)))
    with subscribe(proxy.port) as events:
        assert cursors(take(events, last)) == list(range(1, last + 1))


def test_a_silent_connection_is_given_up(
    builder: LiveBuilder, episode: EpisodeScript, proxy: FaultProxy
) -> None:
    """One on which not even a heartbeat comes is dead, though nobody has closed it."""
    with subscribe(proxy.port, silence_s=1.0) as events:
        take(events, 1)
        proxy.fail(Fault(is_deaf=True))
        wait_for(lambda: "no answer in time" in str(events.trouble), "the silence is noticed")

        assert think(builder, episode, "x") == next(events).cursor
    assert proxy.connections >= 3


def test_heartbeats_keep_a_quiet_connection(
    builder: LiveBuilder, episode: EpisodeScript, proxy: FaultProxy
) -> None:
    """While nothing is logged but heartbeats come, the connection outlives the silence that is allowed."""
    with subscribe(proxy.port, silence_s=2.0) as events:
        take(events, 1)
        time.sleep(2.8)
        think(builder, episode, "x")

        assert next(events).cursor == 2
    assert proxy.connections == 1


def test_a_server_that_is_not_there_yet_is_waited_for(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """The iteration waits, says why, and begins when the server does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arrived: list[Event] = []
    with subscribe(port) as events:
        thread = threading.Thread(target=lambda: arrived.extend(take(events, 1)))
        thread.start()
        wait_for(lambda: "Connection refused" in str(events.trouble), "the refusal is noticed")
        assert arrived == []
        with StreamServer(builder.path, port=port):
            thread.join(20)

            assert cursors(arrived) == [1]
            assert events.trouble is None


def test_from_now_on_begins_when_the_server_does(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Whoever asks for what is new while the server is away misses nothing from when it is there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arrived: list[Event] = []
    with subscribe(port, None) as events:
        thread = threading.Thread(target=lambda: arrived.extend(take(events, 2)))
        thread.start()
        with StreamServer(builder.path, port=port):
            wait_for(lambda: events._follower._place.cursor == 1, "it is live")
        think(builder, episode, "while it is away again")
        with StreamServer(builder.path, port=port):
            think(builder, episode, "x")
            thread.join(20)

    assert cursors(arrived) == [2, 3]


def test_a_slow_subscriber_holds_little_and_loses_nothing(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """Whoever takes one event and sleeps has some hundred waiting here; cut by the server, it goes on behind them."""
    last = think(builder, episode, *(["x" * 5000] * 4000))
    with (
        StreamServer(builder.path, send_timeout_s=0.3) as server,
        subscribe(server.port) as events,
    ):
        seen = cursors(take(events, 1))
        wait_for(lambda: server.broadcast.figures.clients_cut == 1, "the server has had enough")
        assert len(events._follower._events) < 1000

        seen += cursors(take(events, last - 1))

    assert seen == list(range(1, last + 1))


# -- a server as a process, and agents


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHistory]:
    """A server that may be killed, and is started again by whoever did it."""
    with ServedHistory(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def agent(served: ServedHistory) -> Iterator[ObservabilityProvider]:
    """Somebody who logs beside the server, which commits."""
    with ObservabilityProvider(served.database, committer="none") as provider:
        yield provider


def test_a_killed_server_costs_no_event(served: ServedHistory, agent: ObservabilityProvider) -> None:
    """What agents log while the server is killed, and before and after, is told once and in order."""
    seen: list[str] = []
    with subscribe(served.port, None) as events, agent.episode("goes on") as episode:
        take(events, 1)
        for round_ in range(2):
            for number in range(20):
                episode.log_event(Thought(text=f"{round_}-{number}"))
            seen += thoughts(take(events, 5))
            served.kill()
            episode.log_event(Thought(text=f"{round_}-away"))
            served.start()
            seen += thoughts(take(events, 16))

    assert seen == [f"{round_}-{number}" for round_ in range(2) for number in [*range(20), "away"]]


def test_a_frozen_server_is_noticed(served: ServedHistory, agent: ObservabilityProvider) -> None:
    """While its process stands still the silence is told; when it goes on, so do the events."""
    with subscribe(served.port, None, silence_s=1.0) as events, agent.episode("goes on") as episode:
        take(events, 1)
        os.kill(served.pid, signal.SIGSTOP)
        try:
            episode.log_event(Thought(text="in the meantime"))
            wait_for(lambda: "no answer in time" in str(events.trouble), "the silence is noticed")
        finally:
            os.kill(served.pid, signal.SIGCONT)

        assert thoughts(take(events, 1)) == ["in the meantime"]


def test_only_new_means_from_now_on(served: ServedHistory, agent: ObservabilityProvider) -> None:
    """What was committed before is not told, and all that is logged once there is a subscription is."""
    with agent.episode("goes on") as episode:
        episode.log_event(Thought(text="before"))
        assert agent.flush()
        with subscribe(served.port, None) as events:
            episode.log_event(Thought(text="first"))
            assert agent.flush()
            served.stop()
            served.start()
            episode.log_event(Thought(text="second"))

            assert thoughts(take(events, 2)) == ["first", "second"]


def test_a_revoked_token_ends_the_iteration(tmp_path: Path, stepstream: CommandLine) -> None:
    """The subscriber is told, and does not go on asking for ever."""
    token = stepstream("token", "create", "--scope", "read", "--name", "ada").out.strip()
    with (
        ServedHistory(tmp_path, ["--require-token"]) as served,
        ObservabilityProvider(served.database, committer="none") as provider,
        provider.episode("goes on") as episode,
    ):
        with pytest.raises(AccessDenied):
            subscribe(served.port, None)
        with RemoteSubscription(link_to(served.port, token), 0) as events:
            take(events, 1)
            assert stepstream("token", "revoke", "ada").code == 0
            ended: list[AccessDenied] = []

            def follow() -> None:
                try:
                    list(events)
                except AccessDenied as error:
                    ended.append(error)

            thread = threading.Thread(target=follow)
            thread.start()
            for _ in range(200):
                if not thread.is_alive():
                    break
                # A server looks whether somebody may still listen when there is something to tell.
                episode.log_event(Thought(text="tick"))
                thread.join(0.1)

            assert "the token is unknown, was revoked or has expired" in str(ended[0])
            assert token not in str(ended[0])


@pytest.fixture
def stepstream(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line in the directory of the database."""
    line = CommandLine(tmp_path, plain_environment(tmp_path / "bytecode"))
    yield line
    line.close()


@pytest.fixture
def far_agent(
    served: ServedHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObservabilityProvider]:
    """Somebody who logs on another machine, as far as the SDK knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPSTREAM_TOKEN", raising=False)
    state = tmp_path / "state"
    with ObservabilityProvider(
        served.url, spool_directory=str(state), committer="thread", linger_s=0.1, flush_timeout_s=20
    ) as provider:
        yield provider


@pytest.mark.anyio
async def test_a_provider_reads_where_it_records(
    served: ServedHistory, far_agent: ObservabilityProvider
) -> None:
    """With the address of a server, read, history and both ways to subscribe give what was logged just now."""
    before = far_agent.history.last_cursor()
    with far_agent.subscribe() as new, far_agent.asubscribe(before) as every:
        with far_agent.episode("Far away") as episode:
            episode.log_event(Thought(text="I am far away."))
        told = await asyncio.to_thread(far_agent.read, before)

        assert [step.kind for step in told] == ["status_change", "thought", "status_change"]
        assert far_agent.read(after=told[0].cursor, limit=1) == told[1:2]
        assert far_agent.history.episode("@last").id == episode.id
        assert far_agent.history.tree(episode.id).roots[1].step == told[1]
        assert [event.step async for event in _first(every, 3)] == told
        assert [event.step for event in await asyncio.to_thread(take, new, 3)] == told
    with History.open(served.database) as history:
        assert history.steps(after=before) == told


async def _first(events: AsyncIterator[Event], count: int) -> AsyncIterator[StepRecorded]:
    while count > 0:
        event = await anext(events)
        assert isinstance(event, StepRecorded)
        yield event
        count -= 1
