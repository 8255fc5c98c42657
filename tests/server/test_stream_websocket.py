"""The live stream as a WebSocket: the same messages, in the same order, with the same care for slow clients."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress

import pytest
from pydantic import TypeAdapter
from tests.support.history_builder import EpisodeScript
from tests.support.stream_clients import WITHIN_S, SseClient, Told, address, wait_for
from tests.support.stream_server import LiveBuilder, StreamServer, think
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stepstream.schemas.event import Reset, ResetReason
from stepstream.schemas.stream import Delta, DeltasMessage, LiveMessage, StepsMessage, StreamMessage
from stepstream.server.auth.access import Scope

_ADAPTER: TypeAdapter[Told] = TypeAdapter(StreamMessage)


def open_stream(port: int, *, takes_little: bool = False, **parameters: str) -> ClientConnection:
    own = socket.socket()
    if takes_little:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    own.connect(("127.0.0.1", port))
    return connect(
        f"ws://localhost{address(path='/api/v1/ws', **parameters)}",
        sock=own,
        compression=None,
        ping_interval=None,
        max_queue=1 if takes_little else None,
        max_size=None,
        close_timeout=1,
    )


def message(stream: ClientConnection) -> Told:
    return _ADAPTER.validate_json(stream.recv(WITHIN_S))


def until_live(stream: ClientConnection) -> list[Told]:
    found = [message(stream)]
    while not isinstance(found[-1], LiveMessage):
        found.append(message(stream))
    return found


def steps(stream: ClientConnection, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        told = message(stream)
        if isinstance(told, StepsMessage):
            found += [step.cursor for step in told.steps]
    return found


def test_both_transports_tell_the_same(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """What was there, that it was all, what comes, a delta: each text is the data of the event beside it."""
    think(builder, episode, "bolt", "nut")
    part = Delta(step_id=episode.id, episode_id=episode.id, text="Let us")
    with (
        StreamServer(builder.path) as server,
        SseClient(server.port, address(after=0)) as client,
        open_stream(server.port, after="0") as stream,
    ):
        texts, datas = [], []
        for act in (
            None,
            None,
            lambda: think(builder, episode, "läuft"),
            lambda: server.broadcast.publish_deltas([part]),
        ):
            if act is not None:
                act()
            texts.append(stream.recv(WITHIN_S))
            event = client.event()
            while event is not None and not event.name:
                event = client.event()
            assert event is not None
            datas.append(event.data)

    assert texts == datas
    assert [json.loads(text)["type"] for text in texts] == ["steps", "live", "steps", "deltas"]


def test_a_filter_and_an_episode_hold(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """The parameters are those of the events."""
    other = builder.episode()
    think(builder, other, "bolt")
    think(builder, episode, "nut", "bolt")
    with (
        StreamServer(builder.path) as server,
        open_stream(server.port, after="0", filter="bolt", episode=episode.id) as stream,
    ):
        first, *_ = until_live(stream)
        think(builder, other, "another bolt")
        think(builder, episode, "a nut", "the last bolt")

        assert isinstance(first, StepsMessage)
        assert [step.cursor for step in first.steps] == [5]
        assert steps(stream, 1) == [8]


def test_a_place_with_its_epoch_is_resumed_behind(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """After takes an epoch and a cursor, and a foreign epoch gives a reset."""
    think(builder, episode, *"abc")
    epoch = builder.store.epoch
    with StreamServer(builder.path) as server:
        with open_stream(server.port, after=f"{epoch}:2") as stream:
            assert steps(stream, 2) == [3, 4]
        with open_stream(server.port, after="another:2") as stream:
            assert message(stream) == Reset(epoch=epoch, cursor=0, reason=ResetReason.EPOCH_CHANGED)


@pytest.mark.parametrize(
    ("parameters", "scopes", "status"),
    [
        ({"after": "x"}, frozenset(Scope), 400),
        ({"filter": "kind:"}, frozenset(Scope), 400),
        ({"episode": "@nobody"}, frozenset(Scope), 404),
        ({}, frozenset({Scope.RECORD}), 403),
        ({}, None, 401),
    ],
)
def test_who_cannot_be_served_is_not_accepted(
    builder: LiveBuilder, parameters: dict[str, str], scopes: frozenset[Scope] | None, status: int
) -> None:
    """A refusal is an answer of HTTP, before there is a WebSocket."""
    builder.commit()
    with StreamServer(builder.path, scopes=scopes) as server:
        with pytest.raises(InvalidStatus) as refused:
            open_stream(server.port, **parameters)

        assert refused.value.response.status_code == status
        assert server.broadcast.figures.clients == 0


def test_what_a_client_says_is_ignored(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A few short messages do no harm."""
    with StreamServer(builder.path) as server, open_stream(server.port) as stream:
        until_live(stream)
        for _ in range(10):
            stream.send('{"type":"hello"}')
            stream.send(b"\x00")
        think(builder, episode, "x")

        assert steps(stream, 1) == [2]


@pytest.mark.parametrize(("text", "count"), [("x", 100), ("x" * 2_000, 1)])
def test_who_says_too_much_is_cut(
    builder: LiveBuilder, episode: EpisodeScript, text: str, count: int
) -> None:
    """Many messages, or a long one, end the connection with 1008."""
    with StreamServer(builder.path) as server, open_stream(server.port) as stream:
        until_live(stream)
        with suppress(ConnectionClosed):
            for _ in range(count):
                stream.send(text)
        with pytest.raises(ConnectionClosed):
            stream.recv(WITHIN_S)
        wait_for(lambda: server.broadcast.figures.clients == 0, "it is gone")

        assert stream.close_code == 1008
        assert server.broadcast.figures.clients_cut == 1


def test_the_end_of_the_server_closes_with_a_reason(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Clients are told with 1012 that the server goes and may come again."""
    with ExitStack() as stack:
        with StreamServer(builder.path) as server:
            stream = stack.enter_context(open_stream(server.port))
            until_live(stream)
        with pytest.raises(ConnectionClosed):
            stream.recv(WITHIN_S)

        assert stream.close_code == 1012


def test_a_frozen_websocket_is_cut(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Who takes nothing is dropped, and another one is not held up."""
    with (
        StreamServer(builder.path, send_timeout_s=0.4) as server,
        open_stream(server.port, takes_little=True) as frozen,
        open_stream(server.port) as reading,
    ):
        until_live(frozen), until_live(reading)
        for _ in range(20):
            think(builder, episode, *["x" * 20_000] * 5)
            steps(reading, 5)
        wait_for(lambda: server.broadcast.figures.clients_cut == 1, "the frozen one is cut")
        with pytest.raises(ConnectionClosed):
            steps(frozen, 100)


def test_a_frozen_websocket_does_not_hold_up_the_end(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A server that ends waits for nobody who does not read."""
    with ExitStack() as stack:
        server = stack.enter_context(StreamServer(builder.path, send_timeout_s=60, drain_s=60))
        until_live(stack.enter_context(open_stream(server.port, takes_little=True)))
        with open_stream(server.port) as reading:
            until_live(reading)
            think(builder, episode, *["x" * 20_000] * 100)
            steps(reading, 100)
        server.stop()

        assert server.broadcast.figures.clients == 0


def test_a_websocket_that_goes_is_forgotten(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A client that closes, and one that just vanishes, leave nothing behind."""
    with StreamServer(builder.path) as server:
        with open_stream(server.port) as stream:
            until_live(stream)
        with open_stream(server.port) as stream:
            until_live(stream)
            stream.socket.shutdown(socket.SHUT_RDWR)
            wait_for(lambda: server.broadcast.figures.clients == 0, "both are gone")


def test_silence_moves_the_place_too(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Where nothing passes a message without steps says how far it was looked."""
    with (
        StreamServer(builder.path, heartbeat_s=0.05) as server,
        open_stream(server.port, filter="kind:loss") as stream,
    ):
        until_live(stream)
        last = think(builder, episode, *"abc")
        told = message(stream)
        while isinstance(told, StepsMessage) and told.cursor < last:
            told = message(stream)

    assert told == StepsMessage(epoch=builder.store.epoch, cursor=last, steps=())
    assert not isinstance(told, DeltasMessage)
