"""The live stream where things go wrong: clients that do not read, steps that cannot be read, files that are none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
from tests.support.history_builder import EpisodeScript
from tests.support.stream_clients import SseClient, Tracker, address, wait_for
from tests.support.stream_server import LiveBuilder, StreamServer, think

from stepstream.reading.database import open_when_made
from stepstream.schemas.kinds import Thought
from stepstream.schemas.stream import StepsMessage

ROOT = Path(__file__).resolve().parents[2]
PADDING = "x" * 20_000


def freeze(port: int, **parameters: str) -> SseClient:
    """A client that takes nothing once it is live, and for which the system takes little."""
    client = SseClient(port, address(**parameters), receive_bytes=4_096)
    client.until_live()
    return client


def track(client: SseClient, tracker: Tracker, until: int | None = None) -> None:
    """Take events until a cursor was told, or the connection is over."""
    while until is None or tracker.after is None or int(tracker.after.rpartition(":")[2]) < until:
        try:
            event = client.event()
        except ConnectionError:
            return
        if event is None:
            return
        tracker.take(event)


# -- clients that do not read


def test_a_frozen_client_is_cut_and_others_are_not_held_up(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """Who takes nothing is cut, whoever reads gets everything meanwhile, and the frozen one comes back to all of it."""
    with StreamServer(builder.path, send_timeout_s=0.4) as server:
        frozen = freeze(server.port)
        with SseClient(server.port, address()) as reading:
            reading.until_live()
            for _ in range(20):
                think(builder, episode, *[PADDING] * 5)
                reading.steps(5)
            wait_for(lambda: server.broadcast.figures.clients_cut == 1, "the frozen client is cut")
            assert server.broadcast.figures.clients == 1
        tracker = Tracker(after=f"{builder.store.epoch}:1")
        track(frozen, tracker)
        frozen.close()
        seen = len(tracker.cursors)
        with SseClient(server.port, address(), last_event_id=tracker.after) as back:
            track(back, tracker, until=101)

    assert seen < 100
    assert tracker.cursors == list(range(2, 102))
    assert tracker.resets == []


def test_a_live_client_that_falls_behind_the_ring_is_cut(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """Who reads again after the ring went past it gets an end of the answer, and the rest when it comes back."""
    with StreamServer(builder.path, send_timeout_s=30, ring_steps_max=20) as server:
        slow = freeze(server.port)
        think(builder, episode, *[PADDING] * 50)
        # Each commit by itself lets the ring move on.
        for _ in range(30):
            last = think(builder, episode, *"x" * 1)
        wait_for(lambda: server.broadcast.figures.cursor == last, "the ring has everything")
        tracker = Tracker(after=f"{builder.store.epoch}:1")
        track(slow, tracker)
        is_complete = slow.reader.is_complete
        slow.close()
        wait_for(lambda: server.broadcast.figures.clients == 0, "it is gone")
        cut = server.broadcast.figures.clients_cut
        with SseClient(server.port, address(), last_event_id=tracker.after) as back:
            track(back, tracker, until=last)

    assert is_complete
    assert cut == 1
    assert tracker.cursors == list(range(2, last + 1))


def test_a_frozen_client_does_not_hold_up_the_end(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A server that ends waits for nobody who does not read."""
    with StreamServer(builder.path, send_timeout_s=60, drain_s=60) as server:
        frozen = freeze(server.port)
        with SseClient(server.port, address()) as reading:
            reading.until_live()
            think(builder, episode, *[PADDING] * 100)
            reading.steps(100)
    figures = server.broadcast.figures
    frozen.close()

    assert figures.clients == 0


def test_deltas_wait_for_nobody(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Deltas that a client does not take are gone, and its steps are not."""
    from stepstream.schemas.stream import Delta

    with StreamServer(builder.path, send_timeout_s=30) as server:
        slow = freeze(server.port)
        part = Delta(step_id=episode.id, episode_id=episode.id, text=PADDING)
        with SseClient(server.port, address()) as reading:
            reading.until_live()
            for _ in range(100):
                server.broadcast.publish_deltas([part])
                message = reading.message()
                assert message is not None
                assert message.type == "deltas"
        last = think(builder, episode, *"x" * 3)
        taken = 0
        message = slow.message()
        while not isinstance(message, StepsMessage):
            taken += 1
            message = slow.message()
        slow.close()

    assert message.cursor <= last
    assert message.steps[0].cursor == 2
    assert taken < 100


# -- the seam between table and ring


def _last_cursor(database: Path) -> int:
    reader = open_when_made(database)
    if reader is None:
        return 0
    try:
        return reader.last_cursor()
    finally:
        reader.close()


def test_nothing_is_missing_or_twice_at_the_seam_under_load(tmp_path: Path) -> None:
    """While another process commits, clients that come from everywhere pass from the table to the ring unnoticed."""
    database = tmp_path / "history.db"
    command = [sys.executable, "-m", "tests.support.live_writer", str(database), "600", "7", "0.001"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    trackers: list[Tracker] = []
    last = 600 * 7 + 1

    def connect(server: StreamServer, after: int, question: str) -> None:
        tracker = Tracker()
        target = address(after=after, filter=question)
        while not tracker.cursors or tracker.cursors[-1] < last:
            # A ring of forty steps is soon too small for a client that has to share its processor.
            with SseClient(server.port, target, last_event_id=tracker.after) as client:
                track(client, tracker, until=last)
        assert tracker.resets == []
        assert tracker.cursors == list(range(after + 1, last + 1))
        trackers.append(tracker)

    with (
        StreamServer(database, ring_steps_max=40) as server,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as writer,
    ):
        wait_for(lambda: _last_cursor(database) > 50, "the writer is at work")
        threads = []
        for after in (0, 1, 13, 50) * 4:
            question = "seq>=0" if len(threads) % 2 else ""
            threads.append(threading.Thread(target=connect, args=(server, after, question)))
            threads[-1].start()
        for thread in threads:
            thread.join(50)
        writer.wait(10)

    assert len(trackers) == 16


# -- steps and files that cannot be read


def spoil(builder: LiveBuilder, cursor: int) -> None:
    """Make a stored step unreadable."""
    writer = apsw.Connection(str(builder.path))
    writer.execute("UPDATE step SET payload = '{\"text\":5}' WHERE cursor = ?", (cursor,))
    writer.close()


def test_a_step_that_cannot_be_read_is_left_out_and_said(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """A damaged row costs itself alone, in the ring and in the table, and the stream says which it was."""
    think(builder, episode, *"x" * 5)
    spoil(builder, 3)
    for ring_steps_max in (2, 4_096):
        with (
            StreamServer(builder.path, ring_steps_max=ring_steps_max) as server,
            SseClient(server.port, address(after=0)) as client,
        ):
            assert [step.cursor for step in client.steps(5)] == [1, 2, 4, 5, 6]
            assert server.broadcast.figures.steps_unreadable == 1
            assert "cursor 3" in (server.broadcast.figures.trouble or "")


def test_a_live_step_that_cannot_be_read_is_left_out_and_said(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """The stream goes on behind a damaged row that it meets as it is committed."""
    with StreamServer(builder.path) as server, SseClient(server.port, address()) as client:
        client.until_live()
        episode.log(Thought(text="a"))
        episode.log_raw("thought", 1, b'{"text":5}')
        episode.log(Thought(text="b"))
        builder.commit()

        assert [step.cursor for step in client.steps(2)] == [2, 4]
        assert server.broadcast.figures.steps_unreadable == 1
        assert "cursor 3" in (server.broadcast.figures.trouble or "")


def test_a_file_that_is_no_history_is_waited_out(tmp_path: Path) -> None:
    """While something else stands at the path the stream says so, and begins when the history is there."""
    database = tmp_path / "history.db"
    apsw.Connection(str(database)).execute("CREATE TABLE recipe (name TEXT)")
    with StreamServer(database) as server, SseClient(server.port, address(after=0)) as client:
        client.head()
        wait_for(lambda: "NotADatabase" in (server.broadcast.figures.trouble or ""), "it says what is wrong")
        database.rename(tmp_path / "recipes.db")
        with LiveBuilder(database) as builder:
            builder.episode()
            builder.commit()
            assert [step.cursor for step in client.steps(1)] == [1]
        wait_for(lambda: server.broadcast.figures.trouble is None, "nothing is wrong any more")


def test_a_database_that_goes_away_is_waited_for(
    builder: LiveBuilder, episode: EpisodeScript, tmp_path: Path
) -> None:
    """Clients stay while there is no file, and are told of the one that comes in its place."""
    think(builder, episode, *"x" * 3)
    with StreamServer(builder.path, ring_steps_max=2) as server:
        live = SseClient(server.port, address(after=0))
        live.until_live()
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"history.db{suffix}").rename(tmp_path / f"gone.db{suffix}")
        # What the ring does not have has to be asked of the table.
        waiting = SseClient(server.port, address(after=0))
        waiting.head()
        wait_for(lambda: server.broadcast.figures.clients == 2, "both are there")
        with LiveBuilder(tmp_path / "history.db") as new:
            new.episode()
            new.commit()
            for client in (live, waiting):
                message = client.message()
                while message is not None and message.type != "reset":
                    message = client.message()
                assert message is not None
                assert [step.cursor for step in client.steps(1)] == [1]
                client.close()
