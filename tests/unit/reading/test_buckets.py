"""A long episode along its clock: what is counted in buckets is what is there."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.history_builder import EPOCH_NS, MILLISECOND, HistoryBuilder

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.buckets import EXACT_STEPS_MAX, LANES_MAX, BucketTimeline, ExactTimeline
from stepstream.reading.local_history import LocalHistory
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall


def fill(builder: HistoryBuilder, rounds: int) -> str:
    """An episode of two agents: a call of two milliseconds, a thought, and an error every tenth round."""
    episode = builder.episode(agent="planner", role=None)
    for number in range(rounds):
        call = episode.log(ToolCall(tool="mesh"), agent="coder")
        episode.log(Thought(text="x"))
        failed = number % 10 == 0
        episode.log(ErrorReport(message="y") if failed else Observation(result=1), agent="coder", closes=call)
    builder.commit()
    return episode.id


def bucketed(history: LocalHistory, episode: str, **part: int) -> BucketTimeline:
    view = BoundedHistory(history).timeline(episode, **part)
    assert isinstance(view, BucketTimeline)
    return view


def test_a_short_episode_is_told_bar_by_bar(builder: HistoryBuilder) -> None:
    """It is the timeline that a history gives."""
    episode = fill(builder, 20)
    history = LocalHistory(builder.path)

    view = BoundedHistory(history).timeline(episode)

    assert isinstance(view, ExactTimeline)
    assert view.timeline == history.timeline(episode)
    history.close()


@pytest.mark.parametrize("count", [1, 7, 100, 2_000])
def test_buckets_hold_every_step_once(builder: HistoryBuilder, count: int) -> None:
    """However many there are, they add up to the steps of the episode, each in its stretch of time."""
    rounds = EXACT_STEPS_MAX // 3 + 10
    episode = fill(builder, rounds)
    history = LocalHistory(builder.path)

    view = bucketed(history, episode, count=count)

    steps = history.steps(episode=episode, limit=None)
    expected = Counter((step.occurred_at - view.since) // view.width_ns for step in steps)
    assert {bucket.index: bucket.steps for bucket in view.buckets if bucket.steps} == expected
    assert len(view.buckets) <= count
    assert sum(bucket.errors for bucket in view.buckets) == (rounds + 9) // 10
    kinds: Counter[str] = Counter()
    for bucket in view.buckets:
        kinds.update({each.kind: each.steps for each in bucket.kinds})
    assert kinds == Counter(step.kind for step in steps)
    for bucket in view.buckets:
        inside = [
            step.sequence
            for step in steps
            if (step.occurred_at - view.since) // view.width_ns == bucket.index
        ]
        assert (bucket.first, bucket.last) == ((min(inside), max(inside)) if inside else (None, None))
    history.close()


def test_buckets_know_how_long_somebody_was_busy(builder: HistoryBuilder) -> None:
    """The shares add up to the time in which a call was open, however calls overlap and nest."""
    episode = builder.episode(agent="planner", role=None, at=EPOCH_NS)
    for number in range(EXACT_STEPS_MAX):
        at = EPOCH_NS + number * 10 * MILLISECOND
        outer = episode.log(ToolCall(tool="outer"), agent="a", at=at)
        inner = episode.log(ToolCall(tool="inner"), agent="b", at=at + MILLISECOND)
        episode.log(Observation(result=1), agent="b", closes=inner, at=at + 3 * MILLISECOND)
        episode.log(Observation(result=1), agent="a", closes=outer, at=at + 5 * MILLISECOND)
    builder.commit()
    history = LocalHistory(builder.path)

    view = bucketed(history, episode.id, count=100)

    lanes = {lane.name: sum(cell.busy for cell in lane.cells) * view.width_ns for lane in view.lanes}
    assert sum(bucket.busy for bucket in view.buckets) * view.width_ns == pytest.approx(
        EXACT_STEPS_MAX * 5 * MILLISECOND, rel=0.01
    )
    assert lanes["a"] == pytest.approx(EXACT_STEPS_MAX * 5 * MILLISECOND, rel=0.01)
    assert lanes["b"] == pytest.approx(EXACT_STEPS_MAX * 2 * MILLISECOND, rel=0.01)
    history.close()


def test_a_call_that_nothing_closed_is_busy_to_the_end(builder: HistoryBuilder) -> None:
    """What runs still, or was cut off, is busy in every bucket behind its start."""
    episode = builder.episode(agent="planner", role=None)
    episode.log(ToolCall(tool="mesh"))
    for _ in range(EXACT_STEPS_MAX + 10):
        episode.log(Thought(text="x"))
    builder.commit()
    history = LocalHistory(builder.path)

    view = bucketed(history, episode.id, count=10)

    assert [bucket.busy for bucket in view.buckets[1:]] == [1.0] * 9
    history.close()


def test_a_part_is_told_bar_by_bar_with_what_was_open_before_it(builder: HistoryBuilder) -> None:
    """Close enough, every bar is there, also one that began before the part and ends behind it."""
    episode = builder.episode(agent="planner", role=None)
    long_call = episode.log(ToolCall(tool="long"))
    calls = []
    for _ in range(EXACT_STEPS_MAX):
        call = episode.log(ToolCall(tool="short"))
        episode.log(Observation(result=1), closes=call)
        calls.append(call)
    last = episode.log(Observation(result=1), closes=long_call)
    builder.commit()
    history = LocalHistory(builder.path)

    view = BoundedHistory(history).timeline(episode.id, since=calls[100].at + 1, until=calls[110].at + 1)

    assert isinstance(view, ExactTimeline)
    spans = {span.sequence: span.ended_at for span in view.timeline.spans}
    assert spans.pop(long_call.sequence) == last.at
    assert list(spans) == [call.sequence for call in calls[100:111]]
    assert all(ended_at is not None for ended_at in spans.values())
    history.close()


def test_a_part_that_is_long_is_gathered_within_its_ends(builder: HistoryBuilder) -> None:
    """A part of an episode is gathered as the whole is, between its own ends."""
    episode = fill(builder, EXACT_STEPS_MAX)
    history = LocalHistory(builder.path)
    since, until = EPOCH_NS + 1_000 * MILLISECOND, EPOCH_NS + 5_000 * MILLISECOND

    view = bucketed(history, episode, since=since, until=until, count=50)

    assert (view.since, view.until) == (since, until)
    assert sum(bucket.steps for bucket in view.buckets) == sum(
        since <= step.occurred_at < until for step in history.steps(episode=episode, limit=None)
    )
    history.close()


def test_many_agents_share_a_lane(builder: HistoryBuilder) -> None:
    """Beyond twenty lanes the less busy ones are told together, and none is left out."""
    episode = builder.episode(agent="planner", role=None)
    for number in range(EXACT_STEPS_MAX + 100):
        episode.log(Thought(text="x"), agent=f"agent {number % 50}")
    builder.commit()
    history = LocalHistory(builder.path)

    view = bucketed(history, episode.id)

    assert len(view.lanes) == LANES_MAX + 1
    assert sum(cell.steps for lane in view.lanes for cell in lane.cells) == EXACT_STEPS_MAX + 101
    assert "other" in {lane.name for lane in view.lanes}
    history.close()
