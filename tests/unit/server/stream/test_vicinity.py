"""What is known around a step of the ring, and for how long."""

from __future__ import annotations

import apsw
import pytest
from tests.support.history_builder import HistoryBuilder
from tests.support.stream_steps import make_step

from stepstream.reading.history import History
from stepstream.schemas.kinds import Observation, ToolCall
from stepstream.server.stream.vicinity import Vicinity


def test_an_opener_is_known_after_it_was_closed(history: History) -> None:
    """Whoever asks later gets the same answer, although the call is not open any more."""
    vicinity = Vicinity(history, 10)
    call = make_step(1, ToolCall(tool="mesh", arguments={}))
    end = make_step(2, Observation(result={}), closes=call)
    vicinity.note(call)
    open_before = vicinity.opened(call.id)
    vicinity.note(end)

    assert open_before == vicinity.opener(end) == call
    assert vicinity.opened(call.id) is None
    assert vicinity.closer(call) is None
    assert vicinity.opener(call) is None


def test_what_went_by_too_long_ago_is_asked_of_the_table(builder: HistoryBuilder) -> None:
    """A call that was logged before anybody listened is found by its id, and one that is nowhere is None."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh", arguments={}))
    episode.log(Observation(result={}), closes=call)
    builder.commit()
    with History.open(builder.path) as history:
        vicinity = Vicinity(history, 10)
        end = history.steps()[-1]
        vicinity.note(end)
        found = vicinity.opener(end)
        stray = end.model_copy(update={"id": call.id, "closes": end.episode_id})

        assert found is not None
        assert found.id == call.id
        assert vicinity.opener(stray) is None


def test_a_table_that_cannot_be_read_is_no_reason_to_fail(
    builder: HistoryBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    """What a step closes is then unknown, and the log says so."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh", arguments={}))
    episode.log(Observation(result={}), closes=call)
    builder.commit()
    with History.open(builder.path) as history:
        end = history.steps()[-1]
        writer = apsw.Connection(str(builder.path))
        writer.execute("UPDATE step SET payload = '[]' WHERE cursor = 2")
        writer.close()

        assert Vicinity(history, 10).opener(end) is None
    assert f"what step {end.id} closes cannot be read" in caplog.text


def test_only_so_much_is_remembered(history: History) -> None:
    """Memory does not grow with the length of the stream."""
    vicinity = Vicinity(history, 10)
    for number in range(1, 2_001, 2):
        call = make_step(number, ToolCall(tool="mesh", arguments={}))
        vicinity.note(call)
        vicinity.note(make_step(number + 1, Observation(result={}), closes=call))
    for number in range(3_000, 5_000):
        vicinity.note(make_step(number, ToolCall(tool="mesh", arguments={})))

    assert len(vicinity._openers) == 10
    assert len(vicinity._open) == 1_000
