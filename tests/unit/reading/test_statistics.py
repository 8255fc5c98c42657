"""Figures of the newest steps: counted right, and of no more steps than they say."""

from __future__ import annotations

import time

import pytest
from tests.support.history_builder import EPOCH_NS, MILLISECOND, HistoryBuilder

from stepstream.reading import statistics
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.statistics import HistoryStatistics
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Loss, LossReason, Observation, Thought, ToolCall
from stepstream.schemas.model_call import Cost, ModelCall, ModelReply, Usage

RECORDER = "01900000-0000-7000-a000-000000000001"


def counted(builder: HistoryBuilder, *, since: int = 0, filter: str = "") -> HistoryStatistics:
    builder.commit()
    with LocalHistory(builder.path) as history:
        return history.statistics(since=since, filter=filter)


def test_tools_are_told_with_errors_and_durations(builder: HistoryBuilder) -> None:
    """Calls that ended well, failed, were cancelled or run still are told apart, and percentiles are of those that ended."""
    episode = builder.episode()
    for number in range(100):
        call = episode.log(ToolCall(tool="mesh"), at=EPOCH_NS + number * 1_000 * MILLISECOND)
        end = call.at + (number + 1) * MILLISECOND
        match number:
            case 0 | 1:
                episode.log(ErrorReport(message="x"), closes=call, at=end)
            case 2:
                episode.log(Observation(cancelled=True), closes=call, at=end)
            case _:
                episode.log(Observation(result=1), closes=call, at=end)
    episode.log(ToolCall(tool="mesh"))
    episode.log(ToolCall(tool="export"))

    tools = {tool.name: tool for tool in counted(builder).tools}

    mesh = tools["mesh"]
    assert (mesh.calls, mesh.errors, mesh.cancelled, mesh.open, mesh.error_rate) == (101, 2, 1, 1, 0.02)
    assert (mesh.duration.count, mesh.duration.p50_ns, mesh.duration.p95_ns, mesh.duration.max_ns) == (
        100, 50 * MILLISECOND, 95 * MILLISECOND, 100 * MILLISECOND,
    )  # fmt: skip
    assert (tools["export"].open, tools["export"].error_rate, tools["export"].duration.p50_ns) == (
        1,
        None,
        None,
    )


def test_percentiles_of_few_values_are_among_them(builder: HistoryBuilder) -> None:
    """A percentile is the smallest value that so many percent do not exceed, also of three."""
    episode = builder.episode()
    for number in (3, 1, 2):
        call = episode.log(ToolCall(tool="mesh"), at=EPOCH_NS)
        episode.log(Observation(result=1), closes=call, at=EPOCH_NS + number)

    (mesh,) = counted(builder).tools

    assert (mesh.duration.p50_ns, mesh.duration.p95_ns, mesh.duration.max_ns) == (2, 3, 3)


def test_models_are_told_with_tokens_and_costs(builder: HistoryBuilder) -> None:
    """Tokens and money are those of the replies, money by currency."""
    episode = builder.episode()
    for amount, currency in ((0.25, "USD"), (0.5, "USD"), (2.0, "EUR")):
        call = episode.log(ModelCall(model="m"))
        episode.log(
            ModelReply(
                usage=Usage(input_tokens=100, output_tokens=10, cached_input_tokens=7, reasoning_tokens=3),
                cost=Cost(amount=amount, currency=currency, source="x"),
            ),
            closes=call,
        )
    call = episode.log(ModelCall(model="m"))
    episode.log(ModelReply(), closes=call)

    (model,) = counted(builder).models

    assert (model.calls.name, model.calls.calls, model.calls.open) == ("m", 4, 0)
    assert (model.input_tokens, model.output_tokens) == (300, 30)
    assert (model.cached_input_tokens, model.reasoning_tokens) == (21, 9)
    assert {cost.currency: cost.amount for cost in model.costs} == {"USD": 0.75, "EUR": 2.0}


def test_kinds_losses_and_lag_are_counted(builder: HistoryBuilder) -> None:
    """Steps by kind, what is known to be missing, and how long steps waited to be committed."""
    episode = builder.episode()
    for _ in range(5):
        episode.log(Thought(text="x"))
    for first, last in ((3, 5), (9, None)):
        episode.log(Loss(recorder_id=RECORDER, first=first, last=last, reason=LossReason.MISSING, detail="x"))

    found = counted(builder)

    assert {each.kind: each.steps for each in found.kinds} == {"thought": 5, "loss": 2, "status_change": 1}
    assert (found.losses.reports, found.losses.steps) == (2, 4)
    assert (found.lag.count, found.lag.p50_ns, found.lag.p95_ns) == (8, 500_000, 500_000)
    assert (found.steps, found.errors, found.is_complete) == (8, 0, True)
    assert sum(moment.steps for moment in found.moments) == 8


def test_what_was_committed_earlier_is_left_out(builder: HistoryBuilder) -> None:
    """Only the steps of the time that was asked for are counted."""
    episode = builder.episode()
    steps = [episode.log(Thought(text="x")) for _ in range(50)]

    found = counted(builder, since=steps[30].at + 500_000)

    assert (found.steps, found.after, found.cursor) == (20, steps[30].cursor - 1, steps[-1].cursor)
    assert counted(builder, since=time.time_ns()).steps == 0


def test_a_filter_narrows_what_is_counted(builder: HistoryBuilder) -> None:
    """Only steps that pass are counted, and of calls only those that pass themselves."""
    episode = builder.episode()
    for agent in ("coder", "planner", "coder"):
        call = episode.log(ToolCall(tool="mesh"), agent=agent)
        episode.log(Observation(result=1), closes=call, agent=agent)

    found = counted(builder, filter="agent:coder")

    assert (found.steps, found.looked_at, found.tools[0].calls) == (4, 7, 2)


def test_no_more_than_the_newest_steps_are_looked_at(
    builder: HistoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest steps are left out, and the figures say so."""
    monkeypatch.setattr(statistics, "STEPS_MAX", 10)
    episode = builder.episode()
    for _ in range(30):
        episode.log(Thought(text="x"))

    found = counted(builder)

    assert (found.steps, found.looked_at, found.is_complete, found.after) == (10, 10, False, 21)
    assert sum(moment.steps for moment in found.moments) == 10
    assert found.moments[0].at >= EPOCH_NS


def test_an_empty_history_has_figures_too(builder: HistoryBuilder) -> None:
    """Where nothing was recorded everything is nought, and nothing fails."""
    found = counted(builder)

    assert (found.steps, found.kinds, found.tools, found.models, found.moments) == (0, (), (), (), ())
    assert (found.lag.count, found.lag.p50_ns) == (0, None)


def test_times_far_apart_do_not_overflow(builder: HistoryBuilder) -> None:
    """Steps that are said to have happened at the ends of time are counted like any other."""
    episode = builder.episode(at=1)
    for at in (2**63 - 500_001, 1):
        call = episode.log(ToolCall(tool="mesh"), at=at)
        episode.log(Observation(result=1), closes=call, at=2**62)

    assert counted(builder).tools[0].calls == 2
    assert counted(builder, filter="dur>1s").steps == 2
