"""The live stream over HTTP: what was there, what comes, and nothing twice, for everybody who may read."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import EpisodeScript
from tests.support.stream_clients import SseClient, address, wait_for
from tests.support.stream_server import LiveBuilder, StreamServer, log_call, think

from stepstream.reading.history import History
from stepstream.schemas.event import Reset, ResetReason
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.stream import DeltasMessage, LiveMessage, StepsMessage
from stepstream.server.auth.access import Scope

NOBODY = "0190aaaa-0000-7000-8000-000000000000"


def told(client: SseClient) -> list[int]:
    """The cursors of all steps up to the moment when the client is live."""
    messages = client.until_live()
    return [
        step.cursor for message in messages if isinstance(message, StepsMessage) for step in message.steps
    ]


# -- from where


def test_what_was_there_comes_first_and_then_what_comes(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """After 0 asks for everything: all that is there, word that it was all, and each new step as it is committed."""
    think(builder, episode, *"abc")

    with SseClient(server.port, address(after=0)) as client:
        assert told(client) == [1, 2, 3, 4]
        think(builder, episode, "d")
        think(builder, episode, "e", "f")
        assert [step.cursor for step in client.steps(3)] == [5, 6, 7]


def test_without_a_place_only_what_is_new_comes(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Who does not say what it has seen is live at once and hears of what is committed from now on."""
    think(builder, episode, "old")

    with SseClient(server.port, address()) as client:
        (live,) = client.until_live()
        think(builder, episode, "new")

        assert isinstance(live, LiveMessage)
        assert (live.cursor, live.epoch) == (2, builder.store.epoch)
        assert [step.cursor for step in client.steps(1)] == [3]


def test_a_step_looks_as_the_api_gives_it(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A message is byte for byte the JSON of its model, and its steps are those that History reads."""
    episode.log_raw("bolt_choice", 3, '{"size":"M6","note":"läuft 🔩"}'.encode())
    think(builder, episode, 'a "quoted" line\nand\u2028another')
    for ring_steps_max in (1, 4_096):
        with (
            StreamServer(builder.path, ring_steps_max=ring_steps_max) as server,
            SseClient(server.port, address(after=0)) as client,
            History.open(builder.path) as history,
        ):
            event = client.event()
            while event is not None and event.name != "steps":
                event = client.event()
            assert event is not None
            model = StepsMessage(epoch=builder.store.epoch, cursor=3, steps=tuple(history.steps()))
            assert event.data == model.model_dump_json()


@pytest.mark.parametrize("is_header", [True, False])
def test_a_place_is_resumed_behind(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer, is_header: bool
) -> None:
    """The id of the last event is where it goes on, as a header, which counts more, or in the address."""
    think(builder, episode, *"abcd")
    place = f"{builder.store.epoch}:3"
    target = address(after=1) if is_header else address(after=place)

    with SseClient(server.port, target, last_event_id=place if is_header else None) as client:
        assert told(client) == [4, 5]


def test_a_cursor_that_the_ring_has_not_seen_is_good(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Who read the table a moment ago may know more than the stream does, and is not reset for it."""
    with SseClient(server.port, address()) as other:
        other.until_live()
        # Nobody rings for this one.
        episode.log(Thought(text="committed"))
        cursor = super(LiveBuilder, builder).commit()
        with SseClient(server.port, address(after=f"{builder.store.epoch}:{cursor}")) as client:
            assert [message.type for message in client.until_live()] == ["live"]
            think(builder, episode, "next")
            assert [step.cursor for step in client.steps(1)] == [3]


@pytest.mark.parametrize("place", [f"{NOBODY}:1", "999", "{epoch}:999"])
def test_a_place_that_means_nothing_gives_a_reset(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer, place: str
) -> None:
    """An unknown epoch, or a cursor that was never given out, is answered by a reset and everything there is."""
    think(builder, episode, "a")

    with SseClient(server.port, address(after=place.format(epoch=builder.store.epoch))) as client:
        first, *rest = client.until_live()

    assert first == Reset(epoch=builder.store.epoch, cursor=0, reason=ResetReason.EPOCH_CHANGED)
    assert [message.cursor for message in rest if not isinstance(message, DeltasMessage)] == [2, 2]


def test_a_pruned_place_gives_a_reset(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A cursor before the first step that is still kept is answered by a reset that says where that is."""
    think(builder, episode, *"abcdef")
    writer = apsw.Connection(str(builder.path))
    writer.execute("DELETE FROM step WHERE cursor <= 4; INSERT INTO meta VALUES ('pruned_to', '4')")
    writer.close()

    with StreamServer(builder.path) as server, SseClient(server.port, address(after=2)) as client:
        first, *_ = messages = client.until_live()

    steps = [
        step.cursor for message in messages if isinstance(message, StepsMessage) for step in message.steps
    ]
    assert first == Reset(epoch=builder.store.epoch, cursor=4, reason=ResetReason.PRUNED)
    assert steps == [5, 6, 7]


def test_a_database_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    """Whoever comes before the first step of all gets it, with after and without."""
    database = tmp_path / "history.db"
    with (
        StreamServer(database) as server,
        SseClient(server.port, address(after=0)) as early,
        SseClient(server.port, address()) as new,
    ):
        early.head(), new.head()
        wait_for(lambda: server.broadcast.figures.clients == 2, "both are there")
        builder = LiveBuilder(database)
        builder.episode()
        builder.commit()

        assert [step.cursor for step in early.steps(1)] == [1]
        assert [step.cursor for step in new.steps(1)] == [1]
        builder.close()


def test_a_database_that_is_replaced_resets_everybody(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer, tmp_path: Path
) -> None:
    """When another file takes the place of the database, clients are told so and get what it holds."""
    think(builder, episode, *"abc")
    other = LiveBuilder(tmp_path / "other.db")
    replacing = other.episode()
    think(other, replacing, "first")
    with (
        SseClient(server.port, address(after=0)) as live,
        SseClient(server.port, address(filter="kind:thought")) as filtered,
    ):
        told(live), told(filtered)
        for suffix in ("-wal", "-shm", ""):
            (tmp_path / f"other.db{suffix}").rename(tmp_path / f"history.db{suffix}")
        reset = Reset(epoch=other.store.epoch, cursor=0, reason=ResetReason.EPOCH_CHANGED)
        for client, steps in ((live, [1, 2]), (filtered, [2])):
            assert client.message() == reset
            assert told(client) == steps
        assert server.broadcast.figures.trouble is None
    other.close()


# -- what


def test_a_filter_holds_for_what_was_there_and_for_what_comes(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Only steps that pass are told, and every message says how far it was looked."""
    think(builder, episode, "bolt", "nut")
    with SseClient(server.port, address(after=0, filter="bolt")) as client:
        first, *_ = client.until_live()
        think(builder, episode, "nut", "a bolt", "nut")
        second = client.message()

    assert isinstance(first, StepsMessage)
    assert isinstance(second, StepsMessage)
    assert ([step.cursor for step in first.steps], first.cursor) == ([2], 3)
    assert [step.cursor for step in second.steps] == [5]
    assert second.cursor in (5, 6)


def test_an_observation_has_the_tool_of_its_call_however_long_ago_that_was(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """A filter for a tool passes what closes its call, even when the call went by before the ring began."""
    call = episode.log(ToolCall(tool="mesh", arguments={}))
    think(builder, episode, *"abcdef")

    with (
        StreamServer(builder.path, ring_steps_max=3) as server,
        SseClient(server.port, address(filter="tool:mesh")) as client,
    ):
        client.until_live()
        episode.log(Observation(result={}), closes=call)
        episode.log(Observation(result={}))
        log_call(episode, "mesh")
        builder.commit()

        assert [step.kind for step in client.steps(3)] == ["observation", "tool_call", "observation"]


@pytest.mark.parametrize("ring_steps_max", [2, 4_096])
def test_what_is_known_later_is_known_of_what_was_there(
    builder: LiveBuilder, episode: EpisodeScript, ring_steps_max: int
) -> None:
    """That a call failed is known of a call that was there, whether the ring has it or not, and not of one that comes."""
    log_call(episode, "mesh", fails=True)
    log_call(episode, "load")
    builder.commit()

    with (
        StreamServer(builder.path, ring_steps_max=ring_steps_max) as server,
        SseClient(server.port, address(after=0, filter="status:error")) as client,
    ):
        assert told(client) == [2, 3]
        log_call(episode, "mesh", fails=True)
        builder.commit()
        assert [step.cursor for step in client.steps(1)] == [7]


def test_one_episode_is_followed_by_its_id_or_its_beginning(
    builder: LiveBuilder, server: StreamServer
) -> None:
    """The parameter episode leaves the others out; a whole id may be of an episode that is yet to come."""
    first, second = builder.episode("one"), builder.episode("two")
    coming = "01900000-0000-7000-8000-0000000000aa"
    builder.commit()
    with (
        SseClient(server.port, address(after=0, episode=first.id)) as one,
        SseClient(server.port, address(after=0, episode=second.id[:36])) as two,
        SseClient(server.port, address(after=0, episode=coming)) as three,
    ):
        assert (told(one), told(two), told(three)) == ([1], [2], [])
        builder.episode("three", id=coming)
        think(builder, first, "a")
        think(builder, second, "b")

        assert [client.steps(1)[0].cursor for client in (one, two, three)] == [4, 5, 3]


def test_the_beginning_of_an_id_must_name_one_episode(builder: LiveBuilder, server: StreamServer) -> None:
    """An id that names no episode, or several, is refused with 404."""
    builder.episode()
    builder.episode()
    builder.commit()

    for wanted in ("0190", "ffff", "@nobody"):
        with SseClient(server.port, address(episode=wanted)) as client:
            assert client.problem()["status"] == 404


def test_clients_with_the_same_question_share_a_channel(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """Twenty clients with two filters make two channels, and one with a relative time has its own."""
    questions = ["kind:thought"] * 10 + ["bolt"] * 10 + ["since:-5m", "since:-5m"]
    clients = [SseClient(server.port, address(after=0, filter=question)) for question in questions]
    for client in clients:
        client.until_live()
    figures = server.broadcast.figures
    think(builder, episode, "a bolt")
    cursors = {client.steps(1)[0].cursor for client in clients[:20]}
    for client in clients:
        client.close()
    wait_for(lambda: server.broadcast.figures.channels == 0, "channels go with their clients")

    assert (figures.clients, figures.channels) == (22, 4)
    assert cursors == {2}


# -- refusals


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"after": "-1"}, "after"),
        ({"after": "one"}, "after"),
        ({"after": ""}, "after"),
        ({"after": str(1 << 63)}, "after"),
        ({"after": "²"}, "after"),
        ({"after": "a b:3"}, "after"),
        ({"since": "3"}, "since"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(
    server: StreamServer, parameters: dict[str, str], field: str
) -> None:
    """The answer is 400 and names the parameter."""
    with SseClient(server.port, address(**parameters)) as client:
        details = client.problem()

    assert details["status"] == 400
    assert [problem["field"] for problem in details["problems"]] == [field]  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["/api/v1/events?after=1&after=2", "/api/v1/events?filter=%ff"])
def test_a_query_that_is_ambiguous_or_no_text_is_refused(server: StreamServer, target: str) -> None:
    """A parameter that stands twice, or is not UTF-8, is refused with 400."""
    with SseClient(server.port, target) as client:
        assert client.problem()["status"] == 400


def test_a_last_event_id_that_cannot_be_read_is_refused(server: StreamServer) -> None:
    """It is refused even when after could be read, because resuming elsewhere would be a silent gap."""
    with SseClient(server.port, address(after=0), last_event_id="yesterday") as client:
        details = client.problem()

    assert details["status"] == 400
    assert [problem["field"] for problem in details["problems"]] == ["Last-Event-ID"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("filter", "position"), [("kind:thought (", 14), ("dur>fast", 4), ("kind:log name:x", 9)]
)
def test_a_wrong_filter_gets_its_position(server: StreamServer, filter: str, position: int) -> None:
    """The answer is 400 and says where the filter went wrong, also when it asks what only episodes have."""
    with SseClient(server.port, address(filter=filter)) as client:
        details = client.problem()

    assert (details["status"], details["position"]) == (400, position)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_only_get_is_answered(server: StreamServer, method: str) -> None:
    """Any other method is 405."""
    with SseClient(server.port, address(), method=method) as client:
        assert client.head().status == 405


@pytest.mark.parametrize(("scopes", "status"), [(None, 401), (frozenset({Scope.RECORD, Scope.CONTROL}), 403)])
def test_who_may_not_read_is_not_let_in(
    builder: LiveBuilder, scopes: frozenset[Scope] | None, status: int
) -> None:
    """Somebody unknown gets 401, and a token without the scope read 403."""
    builder.commit()
    with StreamServer(builder.path, scopes=scopes) as server, SseClient(server.port, address()) as client:
        assert client.problem()["status"] == status
        assert server.broadcast.figures.clients_total == 0


def test_there_are_only_so_many_clients(builder: LiveBuilder) -> None:
    """One too many gets 503 and when to come again, and gets in when another one has gone."""
    builder.commit()
    with StreamServer(builder.path, clients_max=2) as server:
        first, second = (SseClient(server.port, address()) for _ in range(2))
        first.until_live(), second.until_live()
        with SseClient(server.port, address()) as third:
            assert third.problem()["status"] == 503
        first.close()
        wait_for(lambda: server.broadcast.figures.clients == 1, "the first has gone")
        with SseClient(server.port, address()) as fourth:
            fourth.until_live()
        second.close()

        assert server.broadcast.figures.clients_refused == 1


# -- how


def test_nothing_is_held_back_on_the_way(builder: LiveBuilder, server: StreamServer) -> None:
    """The headers ask proxies and caches to pass everything on, and the first bytes come before any step."""
    builder.commit()
    with SseClient(server.port, address()) as client:
        headers = client.head().headers
        first = client.event()

    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers
    assert first is not None
    assert (first.retry, first.comment) == ("1000", "stepstream")


def test_silence_is_broken_by_a_heartbeat(builder: LiveBuilder) -> None:
    """Who has nothing to hear gets a comment now and then."""
    builder.commit()
    with (
        StreamServer(builder.path, heartbeat_s=0.05) as server,
        SseClient(server.port, address()) as client,
    ):
        client.until_live()
        events = [client.event(), client.event()]

    assert [event and (event.name, event.id, event.comment) for event in events] == [("", None, "")] * 2


def test_a_rare_filter_does_not_leave_a_client_far_behind(
    builder: LiveBuilder, episode: EpisodeScript
) -> None:
    """Where steps go by and none passes, a message without steps moves the place to resume behind."""
    with (
        StreamServer(builder.path, heartbeat_s=0.05) as server,
        SseClient(server.port, address(filter="kind:loss")) as client,
    ):
        client.until_live()
        last = think(builder, episode, *"abc")
        message = client.message()
        while isinstance(message, StepsMessage) and message.cursor < last:
            message = client.message()

    assert message == StepsMessage(epoch=builder.store.epoch, cursor=last, steps=())


def test_a_large_step_arrives_whole(
    builder: LiveBuilder, episode: EpisodeScript, server: StreamServer
) -> None:
    """A step of megabytes goes in pieces, live and from the table, and others follow it."""
    text = "steel " * 400_000
    with SseClient(server.port, address()) as client:
        client.until_live()
        think(builder, episode, "before", text, "after")
        payloads = [step.payload for step in client.steps(3)]
    with SseClient(server.port, address(after=1)) as client:
        again = [step.payload for step in client.steps(3)]

    assert payloads == again == [Thought(text="before"), Thought(text=text), Thought(text="after")]


def test_nothing_is_read_while_nobody_listens(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """After a while without clients the stream rests, and whoever comes then misses nothing."""
    with StreamServer(builder.path, linger_s=0.05) as server:
        with SseClient(server.port, address()) as first:
            first.until_live()
        wait_for(lambda: server.broadcast.figures.cursor is None, "it rests")
        last = think(builder, episode, *"abc")
        with (
            SseClient(server.port, address(after=1)) as all_of_it,
            SseClient(server.port, address()) as new,
        ):
            assert told(all_of_it) == [2, 3, 4]
            assert told(new) == []
            think(builder, episode, "d")
            assert all_of_it.steps(1)[0].cursor == new.steps(1)[0].cursor == last + 1
        wait_for(lambda: server.broadcast.figures.cursor is None, "it rests again")


def test_what_many_want_is_read_once(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """Clients that come back from the same place share what is read of the table, which is not kept for long."""
    think(builder, episode, *"x" * 1_200)
    with StreamServer(builder.path, ring_steps_max=1) as server:
        clients = [SseClient(server.port, address(after=0)) for _ in range(10)]
        for client in clients:
            assert told(client) == list(range(1, 1_202))
            client.close()
        wait_for(lambda: not server.broadcast._pages, "nothing is kept")


def test_the_end_of_the_server_ends_every_answer_well(builder: LiveBuilder, episode: EpisodeScript) -> None:
    """A server that is told to end completes each answer, so that clients know that nothing was cut off."""
    with StreamServer(builder.path) as server:
        clients = [SseClient(server.port, address(after=0)) for _ in range(5)]
        for client in clients:
            client.until_live()
    endings = [(client.event(), client.reader.is_complete) for client in clients]
    for client in clients:
        client.close()

    assert endings == [(None, True)] * 5


def test_the_figures_count(builder: LiveBuilder, episode: EpisodeScript, server: StreamServer) -> None:
    """How many came, how many steps they were told and where the stream stands can be read at any time."""
    think(builder, episode, *"abc")
    for _ in range(2):
        with SseClient(server.port, address(after=0)) as client:
            client.until_live()
    wait_for(lambda: server.broadcast.figures.clients == 0, "both have gone")
    figures = server.broadcast.figures

    assert (figures.clients_total, figures.steps_sent, figures.cursor, figures.ring_steps) == (2, 8, 4, 4)
    assert (figures.clients_cut, figures.clients_refused, figures.steps_unreadable) == (0, 0, 0)
    assert figures.ring_bytes > 0
