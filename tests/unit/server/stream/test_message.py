"""Messages: byte for byte what the models say, and as each transport wants them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stream_steps import make_step

from stepstream.schemas.event import Reset, ResetReason
from stepstream.schemas.kinds import Thought, ToolCall
from stepstream.schemas.payload import UnknownPayload
from stepstream.schemas.stream import Delta, DeltaPart, DeltasMessage, LiveMessage, StepsMessage
from stepstream.server.stream.message import (
    HEARTBEAT,
    MESSAGE_BYTES_MAX,
    MESSAGE_STEPS_MAX,
    deltas_message,
    live_message,
    portions,
    reset_message,
    steps_message,
)
from stepstream.server.stream.past import Encoded

AWKWARD = 'a "quoted" \\ line\r\n\u2028\x00 läuft 🔩'


@pytest.mark.parametrize("count", [0, 1, 3])
def test_steps_that_are_joined_are_the_models_own_json(count: int) -> None:
    """Putting encoded steps between brackets gives what serialising the message would."""
    payloads = [
        Thought(text=AWKWARD),
        ToolCall(tool="mesh", arguments={AWKWARD: [1.5, None, {"deep": True}]}),
        UnknownPayload(unknown_kind="bolt_choice", unknown_version=3, raw={"size": "M6"}),
    ]
    steps = [make_step(index + 1, payload) for index, payload in enumerate(payloads[:count])]
    model = StepsMessage(epoch=AWKWARD, cursor=12, steps=tuple(steps))

    message = steps_message(AWKWARD, 12, [Encoded.of(step).json for step in steps])

    assert message.json == model.model_dump_json().encode()
    assert message.steps == count


def test_deltas_that_are_joined_are_the_models_own_json() -> None:
    """So it is with deltas."""
    step = make_step(1)
    deltas = tuple(
        Delta(step_id=step.id, episode_id=step.episode_id, text=text, part=part)
        for text, part in ((AWKWARD, DeltaPart.REASONING), ("", DeltaPart.CONTENT))
    )

    message = deltas_message([delta.model_dump_json().encode() for delta in deltas])

    assert message.json == DeltasMessage(deltas=deltas).model_dump_json().encode()
    assert message.place is None


def test_live_and_reset_are_their_models() -> None:
    """The short messages are written by their models."""
    reset = Reset(epoch="e", cursor=3, reason=ResetReason.PRUNED)

    assert live_message("e", 7).json == LiveMessage(epoch="e", cursor=7).model_dump_json().encode()
    assert reset_message(reset).json == reset.model_dump_json().encode()
    assert (live_message("e", 7).place, reset_message(reset).place) == ("e:7", "e:3")


def test_a_frame_is_one_event_of_three_lines() -> None:
    """Whatever a step holds its JSON is one line, so that nobody can write an event into ours."""
    step = make_step(1, Thought(text="a\n\nevent: live\ndata: {}\n\n\r"))
    message = steps_message("e", 1, [Encoded.of(step).json])
    lines = message.frame.split(b"\n")

    assert lines[:2] == [b"event: steps", b"id: e:1"]
    assert lines[2] == b"data: " + message.json
    assert lines[3:] == [b"", b""]
    assert b"\r" not in message.frame
    assert message.text.encode() == message.json


def test_what_cannot_be_resumed_behind_has_no_id() -> None:
    """Deltas and heartbeats do not move a client."""
    assert b"id:" not in deltas_message([b"{}"]).frame
    assert HEARTBEAT.frame == b":\n\n"


def test_bytes_are_made_once() -> None:
    """Everybody who sends a message sends the same bytes."""
    message = steps_message("e", 1, [Encoded.of(make_step(1)).json])

    assert message.frame is message.frame
    assert message.text is message.text


@given(sizes=st.lists(st.integers(1, MESSAGE_BYTES_MAX * 2), max_size=30))
def test_portions_are_everything_in_order(sizes: list[int]) -> None:
    """Portions leave nothing out, are never empty, and are larger than they may be only for a single piece."""
    pieces = [bytes(size) for size in sizes]
    parts = [pieces[part] for part in portions(pieces)]

    assert [piece for part in parts for piece in part] == pieces
    assert all(parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= MESSAGE_BYTES_MAX for part in parts)


def test_portions_have_only_so_many_pieces() -> None:
    """Small pieces are counted too."""
    assert [len(range(*part.indices(1_200))) for part in portions([b"x"] * 1_200)] == [
        MESSAGE_STEPS_MAX,
        MESSAGE_STEPS_MAX,
        200,
    ]
