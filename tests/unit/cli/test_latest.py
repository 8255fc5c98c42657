"""The last steps, ids as short as they can be typed, and what an episode is doing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.cli.latest import latest_steps
from stepstream.cli.ls import doing
from stepstream.cli.short_id import ListedIds, ShortIds
from stepstream.reading.history import History
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[HistoryBuilder]:
    """A history in the making."""
    building = HistoryBuilder(tmp_path / "history.db")
    yield building
    building.close()


def opened(builder: HistoryBuilder) -> History:
    """What was built, to read."""
    builder.commit()
    return History.open(builder.path)


def test_the_last_steps_of_a_long_history(builder: HistoryBuilder) -> None:
    """The last steps come in order, of all, of an episode that others outgrew, and of a rare kind."""
    early = builder.episode("early")
    for number in range(5):
        early.log(ErrorReport(message=str(number)))
    late = builder.episode("late")
    for number in range(3_000):
        late.log(Thought(text=str(number)))
    with opened(builder) as history:
        all_of_them = history.steps(limit=None)
        first = history.episode(early.id)

        assert latest_steps(history, 3) == all_of_them[-3:]
        assert latest_steps(history, 1_500) == all_of_them[-1_500:]
        assert latest_steps(history, 10_000) == all_of_them
        assert latest_steps(history, 3, episode=first) == all_of_them[3:6]
        assert latest_steps(history, 2, filter="kind:error") == all_of_them[4:6]
        assert latest_steps(history, 9, filter="kind:error") == all_of_them[1:6]
        assert latest_steps(history, 9, filter="kind:handoff") == []


def test_an_id_is_as_short_as_its_neighbours_let_it_be(builder: HistoryBuilder) -> None:
    """Every shortened id answers to its own episode alone, and none ends with a dash."""
    ids = [
        "01900000-0000-7000-8000-000000000001",
        "01900000-0000-7000-8000-000000000002",
        "01900000-0001-7000-8000-000000000000",
        "01910000-0000-7000-8000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ]
    for each in ids:
        builder.episode(id=each)
    with opened(builder) as history, ShortIds(builder.path) as short:
        shortened = [short.shortest(each) for each in ids]

        assert [history.episode(each).id for each in shortened] == ids
        assert [len(each) for each in shortened] == [36, 36, 13, 8, 8]
        assert not [each for each in shortened if each.endswith("-")]


def test_an_id_of_a_list_tells_itself_from_the_others() -> None:
    """Where only a list is known, an id keeps its whole time, and as much more as the list asks for."""
    ids = [
        "01900000-0000-7000-8000-000000000001",
        "01900000-0000-7000-8000-000000000002",
        "01900000-0001-7000-8000-000000000000",
        "01910000-0000-7000-8000-000000000000",
    ]
    with ListedIds(ids) as short:
        assert [len(short.shortest(each)) for each in ids] == [36, 36, 13, 13]


def test_what_an_episode_is_doing(builder: HistoryBuilder) -> None:
    """It is doing the innermost call that is open, or else what came last, told in the name of its call."""
    episode = builder.episode()
    outer = episode.log(ToolCall(tool="outer"))
    inner = episode.log(ToolCall(tool="inner", arguments={"mm": 4}))
    with opened(builder) as history:
        assert doing(history.steps()) == "inner(mm=4)"
    episode.log(Observation(result=1), closes=inner)
    with opened(builder) as history:
        assert doing(history.steps()) == "outer()"
    episode.log(Observation(result=2), closes=outer)
    with opened(builder) as history:
        assert doing(history.steps()) == "outer → 2"
    assert doing([]) == ""
