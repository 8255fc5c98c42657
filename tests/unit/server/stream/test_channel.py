"""A channel: which steps and deltas pass, and each message made once."""

from __future__ import annotations

import pytest
from tests.support.history_builder import HistoryBuilder
from tests.support.stream_steps import make_step

from stepstream.errors import FilterInvalid
from stepstream.reading.filter import Filter
from stepstream.reading.history import History
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.step import Step
from stepstream.schemas.stream import Delta, StepsMessage
from stepstream.server.stream.channel import Channel, Question
from stepstream.server.stream.past import Encoded
from stepstream.server.stream.ring import Life, Ring
from stepstream.server.stream.vicinity import Vicinity

NOW = 10_000


@pytest.fixture
def vicinity(history: History) -> Vicinity:
    return Vicinity(history, 100)


def channel(vicinity: Vicinity, text: str = "", episode: str | None = None) -> Channel:
    return Channel(Question.ask(Filter.parse(text), episode, NOW), vicinity)


def ring_of(vicinity: Vicinity, *steps: Step) -> Ring:
    ring = Ring(Life("e", 0, 0), 0)
    for step in steps:
        vicinity.note(step)
        ring.append(*Encoded.of(step))
    return ring


def cursors(channel: Channel, ring: Ring, after: int = 0) -> list[int] | None:
    page = ring.page(after)
    assert page is not None
    message = channel.told(ring, page, after)
    if message is None:
        return None
    told = StepsMessage.model_validate_json(message.json)
    assert told.cursor == page.last
    return [step.cursor for step in told.steps]


def test_a_message_has_what_passes_behind_a_cursor(vicinity: Vicinity) -> None:
    """Whoever stands in the middle of a page gets the rest of it, and nothing where nothing passes."""
    steps = [make_step(number, Thought(text="bolt" if number % 2 else "nut")) for number in range(1, 7)]
    ring = ring_of(vicinity, *steps)
    bolts, nothing, everything = (channel(vicinity, text) for text in ("bolt", "kind:loss", ""))

    assert [cursors(bolts, ring, after) for after in (0, 1, 2, 5)] == [[1, 3, 5], [3, 5], [3, 5], None]
    assert cursors(nothing, ring) is None
    assert cursors(everything, ring, 4) == [5, 6]


def test_what_is_added_to_a_page_is_sifted_too(vicinity: Vicinity) -> None:
    """A page that was looked at before it was full is looked at again, behind what was seen."""
    ring = ring_of(vicinity, make_step(1, Thought(text="bolt")), make_step(2))
    bolts = channel(vicinity, "bolt")
    before = cursors(bolts, ring)
    ring.append(*Encoded.of(make_step(3, Thought(text="bolt"))))
    bolts.forget(ring.pages)

    assert (before, cursors(bolts, ring)) == ([1], [1, 3])


def test_who_stands_at_the_same_place_gets_the_same_message(vicinity: Vicinity) -> None:
    """A message is made once for all who share a question and a place."""
    ring = ring_of(vicinity, make_step(1), make_step(2))
    page = ring.page(0)
    assert page is not None
    for own in (channel(vicinity), channel(vicinity, "kind:thought")):
        first = own.told(ring, page, 1)
        assert first is not None
        assert own.told(ring, page, 1) is first
        assert own.told(ring, page, 0) is not first


def test_one_episode_alone(vicinity: Vicinity) -> None:
    """An episode and a filter both hold."""
    steps = [
        make_step(number, Thought(text=text), episode=episode)
        for number, text, episode in ((1, "bolt", 1), (2, "bolt", 2), (3, "nut", 2))
    ]
    ring = ring_of(vicinity, *steps)

    assert cursors(channel(vicinity, "", steps[1].episode_id), ring) == [2, 3]
    assert cursors(channel(vicinity, "bolt", steps[1].episode_id), ring) == [2]


def test_a_relative_time_is_a_question_of_its_own() -> None:
    """Only where a time counts from now does it matter when a client came."""

    def key(text: str, now: int) -> object:
        return Question.ask(Filter.parse(text), None, now).key

    assert key("kind:thought", 1) == key("kind:thought", 2)
    assert key("since:2026-01-01", 1) == key("since:2026-01-01", 2)
    assert key("kind:log -(bolt OR since:-5m)", 1) != key("kind:log -(bolt OR since:-5m)", 2)


@pytest.mark.parametrize(
    ("text", "looks_ahead"),
    [
        ("kind:thought tool:mesh bolt", False),
        ("seq>3 has:artifact", False),
        ("-(bolt OR status:error)", True),
        ("dur>5s", True),
        ("tok>5", True),
        ("has:cost", True),
    ],
)
def test_it_is_known_what_later_steps_decide(vicinity: Vicinity, text: str, looks_ahead: bool) -> None:
    """Status, duration, tokens and cost of a call are known when it is closed."""
    assert channel(vicinity, text).looks_ahead is looks_ahead


def test_what_only_episodes_have_cannot_be_asked(vicinity: Vicinity) -> None:
    """The error says where in the filter."""
    with pytest.raises(FilterInvalid) as refused:
        channel(vicinity, "bolt name:bracket")

    assert refused.value.position == 5


def test_a_delta_goes_where_its_open_call_goes(vicinity: Vicinity) -> None:
    """Who sees the call sees its pieces; a call that nobody knows, or that is over, is shown where no filter is."""
    call = make_step(1, ToolCall(tool="mesh", arguments={}))
    other = make_step(2, ToolCall(tool="load", arguments={}), episode=2)
    deltas = [Delta(step_id=step.id, episode_id=step.episode_id, text="x") for step in (call, other)]
    encoded = [delta.model_dump_json().encode() for delta in deltas]
    everything, mesh = channel(vicinity), channel(vicinity, "tool:mesh")
    own = channel(vicinity, "", call.episode_id)

    assert [it.publish(deltas, encoded) for it in (everything, mesh, own)] == [True, False, True]
    ring_of(vicinity, call, other)
    assert mesh.publish(deltas, encoded)
    ring_of(vicinity, make_step(3, Observation(result={}), closes=call))
    assert not mesh.publish(deltas, encoded)
    assert mesh.deltas(0)[1].json == b'{"type":"deltas","deltas":[%b]}' % encoded[0]


def test_a_forged_episode_of_a_delta_shows_it_to_nobody(vicinity: Vicinity) -> None:
    """A delta that names a call of another episode passes no filter."""
    call = make_step(1, ToolCall(tool="mesh", arguments={}))
    ring_of(vicinity, call)
    forged = Delta(step_id=call.id, episode_id=make_step(2, episode=2).episode_id, text="x")

    assert not channel(vicinity, "tool:mesh").publish([forged], [b"{}"])


def test_old_deltas_make_room(vicinity: Vicinity) -> None:
    """Whoever is far behind goes on with the oldest that is still there, and after a while there is none."""
    step = make_step(1)
    delta = Delta(step_id=step.id, episode_id=step.episode_id, text="x")
    own = channel(vicinity)
    for number in range(100):
        own.publish([delta], [b"%d" % number])
    index, message = own.deltas(0)
    last = own.deltas(99)

    assert 1 < index < 100
    assert message.json == b'{"type":"deltas","deltas":[%d]}' % (index - 1)
    assert (last[0], last[1].json) == (100, b'{"type":"deltas","deltas":[99]}')
    assert (own.has_deltas(99), own.has_deltas(100)) == (True, False)
    own.forget(())
    assert not own.has_deltas(0)


def test_the_ring_and_the_table_agree(builder: HistoryBuilder, history: History) -> None:
    """What a filter says of a step in the ring it says of its row, unless later steps decide."""
    first, second = builder.episode(agent="planner"), builder.episode(agent="mesher", role="mesher")
    for script in (first, second):
        call = script.log(ToolCall(tool="run_mesh", arguments={"size": 3}))
        script.log(Thought(text="a bolt, läuft"))
        script.log(Observation(result={"cells": 12}), closes=call)
    builder.commit()
    vicinity = Vicinity(history, 100)
    ring = ring_of(vicinity, *history.steps())

    for text in (
        "",
        "kind:observation",
        "tool:run_*",
        "-tool:run_mesh",
        "agent~/mesh/",
        "BOLT",
        "seq:1..2 size",
        "(role:mesher OR kind:thought) -kind:status",
        "text~/l.uft/",
    ):
        own = channel(vicinity, text)
        assert not own.looks_ahead
        assert (cursors(own, ring) or []) == [step.cursor for step in history.steps(filter=text)]
