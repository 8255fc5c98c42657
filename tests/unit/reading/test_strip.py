"""An episode as a strip: every step is in one of its parts."""

from __future__ import annotations

import pytest
from tests.support.history_builder import EPOCH_NS, MILLISECOND, HistoryBuilder

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.strip import EpisodeStrip
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall


def fill(builder: HistoryBuilder, rounds: int) -> str:
    """An episode with a call each round that fails every seventh time."""
    episode = builder.episode()
    for number in range(rounds):
        call = episode.log(ToolCall(tool="mesh"))
        failed = number % 7 == 0
        episode.log(ErrorReport(message="y") if failed else Observation(result=1), closes=call)
    builder.commit()
    return episode.id


def cut(builder: HistoryBuilder, episode: str, count: int) -> EpisodeStrip:
    history = LocalHistory(builder.path)
    try:
        return BoundedHistory(history).strip(episode, count=count)
    finally:
        history.close()


@pytest.mark.parametrize("count", [1, 7, 240, 1_000])
def test_parts_hold_every_step_once(builder: HistoryBuilder, count: int) -> None:
    """However many parts there are, each holds what occurred in it, and together they hold all."""
    episode = fill(builder, 50)

    found = cut(builder, episode, count)

    with LocalHistory(builder.path) as history:
        steps = history.steps(episode=episode, limit=None)
    for number, bucket in enumerate(found.buckets):
        begins = found.since + number * found.width_ns
        inside = [step for step in steps if begins <= step.occurred_at < begins + found.width_ns]
        assert bucket.steps == len(inside)
        assert bucket.errors == sum(step.kind == "error_report" for step in inside)
        assert not inside or bucket.first == inside[0].sequence
    assert len(found.buckets) == count
    assert sum(bucket.steps for bucket in found.buckets) == found.steps == len(steps)


def test_clocks_that_disagree_lose_no_step(builder: HistoryBuilder) -> None:
    """Where steps do not follow the clock each is in some part, and none is in two."""
    episode = builder.episode()
    for number in range(60):
        episode.log(Thought(text="x"), at=EPOCH_NS + (number * 37 % 60) * MILLISECOND)
    builder.commit()

    found = cut(builder, episode.id, 13)

    assert sum(bucket.steps for bucket in found.buckets) == found.steps == 61
    assert all(bucket.steps >= 0 for bucket in found.buckets)


def test_an_episode_of_one_step_is_a_strip(builder: HistoryBuilder) -> None:
    """What has only begun has its step in the first part."""
    episode = builder.episode()
    builder.commit()

    found = cut(builder, episode.id, 5)

    assert [bucket.steps for bucket in found.buckets] == [1, 0, 0, 0, 0]
