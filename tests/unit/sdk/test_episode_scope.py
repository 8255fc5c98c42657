"""An episode begins with its block, ends as its block ends, and is ended once, by who began it."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from stepstream import (
    DataUse,
    Ending,
    ErrorReport,
    NotOpen,
    ObservabilityProvider,
    Status,
    StatusChange,
    Thought,
    ValidationFailed,
    agent,
    current_episode,
)
from stepstream.schemas.episode import EpisodeEnd, EpisodeStart
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


class LoadCase(BaseModel):
    """A project's own metadata."""

    force_n: float
    points: list[int]


def _start(step: LoggedStep) -> EpisodeStart:
    assert isinstance(step.payload, StatusChange)
    assert step.payload.start is not None
    return step.payload.start


def _end(step: LoggedStep) -> StatusChange:
    assert isinstance(step.payload, StatusChange)
    assert step.payload.end is not None
    return step.payload


def test_the_first_step_tells_what_the_episode_is(provider: ObservabilityProvider, logged: Logged) -> None:
    """All that is stated of an episode stands in its first step, with the code that runs."""
    with provider.episode(
        "Design",
        agent="planner",
        role="boss",
        problem="bracket-17",
        attempt=2,
        tags=["demo", "steel"],
        metadata=LoadCase(force_n=500.0, points=[1, 2]),
        data_use=DataUse(split="train", licence="CC0"),
    ) as episode:
        pass

    first = logged()[0]
    start = _start(first)
    assert (first.episode_id, first.agent, first.role, first.parent_id) == (
        episode.id,
        "planner",
        "boss",
        None,
    )
    assert (start.name, start.problem, start.attempt, start.tags) == (
        "Design",
        "bracket-17",
        2,
        ("demo", "steel"),
    )
    assert start.metadata is not None
    assert start.metadata.model == f"{__name__}.LoadCase"
    assert start.metadata.value == {"force_n": 500.0, "points": [1, 2]}
    assert start.data_use == DataUse(split="train", licence="CC0")
    assert start.code_version is not None
    assert any(package.startswith("pydantic==") for package in start.code_version.packages)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"attempt": 0}, "attempt"),
        ({"tags": "demo"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"problem": 17}, "problem"),
        ({"parent": "yesterday"}, "parent_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": LoadCase(force_n=math.nan, points=[])}, "force_n"),
        ({"agent": 17}, "agent"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_before_anything_begins(
    provider: ObservabilityProvider, logged: Logged, options: dict[str, object], field: str
) -> None:
    """An episode with a wrong argument raises where it is made, naming the field."""
    with pytest.raises(ValidationFailed, match=field):
        provider.episode("test", **options)  # type: ignore[arg-type]
    assert logged() == []


@pytest.mark.parametrize(
    ("exc", "status", "reported"),
    [
        (None, Status.COMPLETED, False),
        (ValueError("no"), Status.FAILED, True),
        (SystemExit(), Status.COMPLETED, False),
        (SystemExit(0), Status.COMPLETED, False),
        (SystemExit(2), Status.FAILED, True),
        (SystemExit("fatal"), Status.FAILED, True),
        (KeyboardInterrupt(), Status.CANCELLED, False),
        (GeneratorExit(), Status.CANCELLED, False),
        (asyncio.CancelledError(), Status.CANCELLED, False),
        (BaseExceptionGroup("g", [asyncio.CancelledError(), KeyboardInterrupt()]), Status.CANCELLED, False),
        (BaseExceptionGroup("g", [asyncio.CancelledError(), ValueError()]), Status.FAILED, True),
        (BaseException("odd"), Status.FAILED, True),
    ],
    ids=repr,
)
def test_an_episode_ends_as_its_block_ends(
    provider: ObservabilityProvider, logged: Logged, exc: BaseException | None, status: Status, reported: bool
) -> None:
    """Completed, failed with its error told first, or cancelled; the exception itself passes unchanged."""
    caught: BaseException | None = None
    try:
        with provider.episode("test"):
            if exc is not None:
                raise exc
    except BaseException as error:  # noqa: BLE001 - the test is about what comes through
        caught = error

    steps = logged()
    assert caught is exc
    assert [step.kind for step in steps[1:-1]] == (["error_report"] if reported else [])
    assert _end(steps[-1]).status is status


def test_an_outcome_is_written_when_it_is_stated(provider: ObservabilityProvider, logged: Logged) -> None:
    """finish() ends the episode at once: a process that dies a moment later has not lost the outcome."""
    with provider.episode("test") as episode:
        episode.finish(outcome="accepted", score=0.5, reason="good enough", ending="terminated")
        end = _end(logged()[-1])
        episode.log_event(Thought(text="afterwards"))

    assert end.status is Status.COMPLETED
    assert end.reason == "good enough"
    assert end.end == EpisodeEnd(outcome="accepted", score=0.5, ending=Ending.TERMINATED)
    assert [step.kind for step in logged()] == ["status_change", "status_change", "thought"]


def test_an_episode_is_finished_once(provider: ObservabilityProvider) -> None:
    """A second finish is refused, during the block and after it."""
    with provider.episode("test") as episode:
        episode.finish(outcome="accepted")
        with pytest.raises(NotOpen, match="has its end"):
            episode.finish(outcome="rejected")
    with provider.episode("other") as other:
        pass
    with pytest.raises(NotOpen, match="has its end"):
        other.finish()


@pytest.mark.parametrize("wrong", [{"score": math.nan}, {"outcome": 1}, {"ending": "suddenly"}], ids=str)
def test_a_wrong_outcome_ends_nothing(
    provider: ObservabilityProvider, logged: Logged, wrong: dict[str, object]
) -> None:
    """An argument that does not fit raises, and the episode can still be finished."""
    with provider.episode("test") as episode:
        with pytest.raises(ValidationFailed):
            episode.finish(**wrong)  # type: ignore[arg-type]
        episode.finish(outcome="accepted")

    assert len(logged()) == 2


def test_an_error_after_the_end_is_told_and_undoes_nothing(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """An exception behind finish() is a step after the end, not another end."""

    def finish_and_fail() -> None:
        with provider.episode("test") as episode:
            episode.finish(outcome="accepted")
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        finish_and_fail()

    steps = logged()
    assert [step.kind for step in steps] == ["status_change", "status_change", "error_report"]
    assert isinstance(steps[2].payload, ErrorReport)


def test_the_end_names_what_was_still_running(provider: ObservabilityProvider, logged: Logged) -> None:
    """Calls that nobody has closed stand in the last step, and hold nobody inside the episode."""
    with provider.episode("test") as episode:
        call = episode.tool_call("simulate").__enter__()

    end = _end(logged()[-1]).end
    assert end is not None
    assert end.open_steps == (call.id,)
    assert current_episode() is None


def test_an_episode_is_entered_once(provider: ObservabilityProvider) -> None:
    """The handle of an episode is good for one block, and for nothing before it."""
    episode = provider.episode("test")
    with pytest.raises(NotOpen, match="enter it first"):
        episode.log_event(Thought(text="too early"))
    with pytest.raises(NotOpen, match="enter it first"), episode.tool_call("t"):
        pass
    with pytest.raises(NotOpen):
        episode.finish()
    with episode:
        pass
    with pytest.raises(NotOpen, match="entered before"), episode:
        pass


def test_an_episode_inside_another_knows_its_parent(provider: ObservabilityProvider, logged: Logged) -> None:
    """The current episode, or the one that is named, is the parent; its agent goes on logging."""
    with provider.episode("outer", agent="planner", role="boss") as outer:
        with outer.tool_call("delegate") as call, provider.episode("inner") as inner:
            assert current_episode() is inner
        assert current_episode() is outer
        with provider.episode("sibling", parent=inner, agent="coder"):
            pass
        with outer.episode("child"):
            pass

    starts = [step for step in logged() if isinstance(step.payload, StatusChange) and step.payload.start]
    assert [_start(step).parent_id for step in starts] == [None, outer.id, inner.id, outer.id]
    assert [step.parent_id for step in starts] == [None, call.id, None, None]
    assert [(step.agent, step.role) for step in starts] == [
        ("planner", "boss"),
        ("planner", "boss"),
        ("coder", None),
        ("planner", "boss"),
    ]


def test_a_handle_logs_into_its_own_episode_wherever_it_is_used(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """A handle never takes parent or agent of another episode around it."""
    with provider.episode("a", agent="one") as a, provider.episode("b", agent="two") as b, b.tool_call("t"):
        a.log_event(Thought(text="to a"))

    step = next(step for step in logged() if step.kind == "thought")
    assert (step.episode_id, step.parent_id, step.agent) == (a.id, None, "one")


def test_blocks_left_out_of_order_leave_nobody_in_an_episode_that_is_over(
    provider: ObservabilityProvider,
) -> None:
    """Whatever the order of the exits, nobody is put back into a block that has been left."""
    outer, inner = provider.episode("outer"), provider.episode("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert current_episode() is inner
    inner.__exit__(None, None, None)
    assert current_episode() is None


def test_an_agent_in_a_bare_context_names_itself_in_a_handle_it_was_given(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """A thread without context that says who it is logs as that agent into the handle it holds."""
    from threading import Thread

    with provider.episode("test", agent="planner") as episode:

        def work() -> None:
            episode.log_event(Thought(text="as whoever holds the handle"))
            with agent("worker", role="hand"):
                episode.log_event(Thought(text="as myself"))

        thread = Thread(target=work)
        thread.start()
        thread.join()

    assert [(step.agent, step.role) for step in logged()[1:3]] == [("planner", None), ("worker", "hand")]


def test_a_forked_child_leaves_the_blocks_of_its_parent_silently(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """Neither the episode nor the call it was forked in is closed by a child that falls out of them."""
    parent = os.getpid()
    try:
        with provider.episode("test") as episode, episode.tool_call("fork"):
            child = os.fork()
            if child == 0:
                episode.log_event(Thought(text="child"))
                raise SystemExit(3)
            os.waitpid(child, 0)
    except SystemExit:
        assert os.getpid() != parent
        os._exit(0)

    assert [step.kind for step in logged()] == [
        "status_change",
        "tool_call",
        "thought",
        "observation",
        "status_change",
    ]
