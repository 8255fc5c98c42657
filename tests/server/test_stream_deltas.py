"""Deltas in the live stream: for whoever watches now, never repeated, and dropped first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.history_builder import EpisodeScript
from tests.support.stream_clients import SseClient, address
from tests.support.stream_server import LiveBuilder, StreamServer, log_call, think

from stepstream.reading.history import History
from stepstream.schemas.kinds import ToolCall
from stepstream.schemas.stream import Delta, DeltasMessage, StepsMessage
from stepstream.server.stream.broadcast import Broadcast
from stepstream.spool.directory import SpoolDirectory

NOBODY = "0190aaaa-0000-7000-8000-000000000000"


def delta(call: str, episode: str, text: str = "Let us") -> Delta:
    return Delta(step_id=call, episode_id=episode, text=text)


def test_deltas_are_shown_to_who_is_live_and_to_nobody_later(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """A delta comes without an id, so that resuming does not repeat it, and steps go on behind it."""
    with SseClient(server.port, address(after=0)) as client:
        client.until_live()
        server.broadcast.publish_deltas([delta(NOBODY, episode.id, "Let "), delta(NOBODY, episode.id, "us")])
        event = client.event()
        assert event is not None
        assert event.id is None
        assert event.data == event.message().model_dump_json()
        assert event.message() == DeltasMessage(
            deltas=(delta(NOBODY, episode.id, "Let "), delta(NOBODY, episode.id, "us"))
        )
        think(builder, episode, "x")
        client.steps(1)
    with SseClient(server.port, address(after=0)) as client:
        assert [message.type for message in client.until_live()] == ["steps", "live"]


def test_a_delta_is_shown_where_its_call_is_shown(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """A filter holds for the call that a delta belongs to, and an episode for its own."""
    wanted = ("kind:tool_call", "kind:thought", "tool:mesh", "tool:load")
    clients = [SseClient(server.port, address(filter=question)) for question in wanted]
    clients += [SseClient(server.port, address(episode=which)) for which in (episode.id, NOBODY)]
    for client in clients:
        client.until_live()
    call = episode.log(ToolCall(tool="mesh", arguments={}))
    builder.commit()
    for index in (0, 2, 4):
        clients[index].steps(1)
    server.broadcast.publish_deltas([delta(call.id, episode.id)])
    shown = [clients[index].message() for index in (0, 2, 4)]
    think(builder, episode, "the end")
    log_call(episode, "load")
    builder.commit()
    hidden = [clients[index].message() for index in (1, 3)]
    for client in clients:
        client.close()

    assert shown == [DeltasMessage(deltas=(delta(call.id, episode.id),))] * 3
    assert [message and message.type for message in hidden] == ["steps", "steps"]


def test_a_flood_of_deltas_is_dropped_and_counted(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """What comes faster than it can be passed on is dropped, and the steps behind it are not."""
    with SseClient(server.port, address()) as client:
        client.until_live()
        flood = [delta(NOBODY, episode.id, "x" * 50_000)] * 100
        server.broadcast.publish_deltas(flood)
        think(builder, episode, "x")
        message = client.message()
        while not isinstance(message, StepsMessage):
            message = client.message()

    assert [step.cursor for step in message.steps] == [2]
    assert server.broadcast.figures.deltas_dropped >= 79


def test_deltas_of_many_threads_come_in_order_of_each(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Any thread may publish; what one publishes stays in order."""

    def publish(name: int) -> None:
        for number in range(50):
            server.broadcast.publish_deltas([delta(NOBODY, episode.id, f"{name} {number}")])

    with SseClient(server.port, address()) as client:
        client.until_live()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(publish, range(4)))
        think(builder, episode, "the end")
        texts: list[tuple[int, int]] = []
        while isinstance(message := client.message(), DeltasMessage):
            texts += [(int((words := part.text.split())[0]), int(words[1])) for part in message.deltas]

    for name in range(4):
        numbers = [number for who, number in texts if who == name]
        assert numbers == sorted(numbers)


def test_a_broadcast_that_never_began_takes_deltas_in_silence(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """Before anybody can watch, publishing does nothing."""
    spool = SpoolDirectory(builder.path)
    with History.open(builder.path) as history:
        broadcast = Broadcast(builder.path, spool, history)
        broadcast.publish_deltas([delta(NOBODY, episode.id)])
        broadcast.close()
    spool.close()

    assert broadcast.figures.deltas_dropped == 0
