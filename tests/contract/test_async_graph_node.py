"""An asynchronous graph as agent frameworks build it: nodes run concurrently and hand state on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from stepstream import (
    ChatMessage,
    ChatRole,
    ModelCall,
    ModelReply,
    ObservabilityProvider,
    Observation,
    Sampling,
    TextPart,
    Thought,
    ToolCall,
    Usage,
    agent,
    current_episode,
    log_event,
    model_call,
    tool,
)
from stepstream.testing.spool_steps import LoggedStep, logged_steps

State = dict[str, str]
Node = Callable[[State], Coroutine[None, None, State]]


async def run_graph(layers: list[list[Node]], state: State) -> State:
    """A graph runner in miniature: the nodes of a layer run as concurrent tasks."""
    for layer in layers:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node(dict(state))) for node in layer]
        for task in tasks:
            state |= task.result()
    return state


@tool
async def search(query: str) -> list[str]:
    """Look something up."""
    await asyncio.sleep(0)
    log_event(Thought(text=f"searching {query}"))
    await asyncio.sleep(0)
    return [f"{query}: found"]


@tool
async def stream(count: int) -> AsyncIterator[int]:
    """Give numbers as they come."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


@agent("planner", role="planner")
async def plan(state: State) -> State:
    """Ask a model what to do."""
    question = ChatMessage(role=ChatRole.USER, parts=(TextPart(text=state["task"]),))
    with model_call("small-model", messages=(question,), sampling=Sampling(temperature=0.0)) as call:
        await asyncio.sleep(0)
        call.reply("Use steel.", usage=Usage(input_tokens=12, output_tokens=3), finish_reason="stop")
    return {"plan": "Use steel."}


@agent("engineer", role="engineer")
async def engineer(state: State) -> State:
    """Use two tools."""
    found = await search("steel")
    total = 0
    async for number in stream(3):
        total += number
    return {"engineer": f"{found[0]} {total}"}


async def reviewer(state: State) -> State:
    """The context-manager form."""
    async with agent("reviewer", role="reviewer"):
        log_event(Thought(text="Looks fine."))
        await search("norms")
    return {"review": "accepted"}


@pytest.fixture
async def steps(workspace: Path) -> list[LoggedStep]:
    """What one run of the graph leaves behind."""
    async with (
        ObservabilityProvider("history.db", committer="none") as provider,
        provider.episode("Design a wall bracket") as episode,
    ):
        assert current_episode() is episode
        state = await run_graph([[plan], [engineer, reviewer]], {"task": "Hold 50 kg."})
        episode.finish(outcome=state["review"])
    return logged_steps(workspace / "history.db")


async def test_concurrent_nodes_keep_their_own_context(steps: list[LoggedStep]) -> None:
    """Each step carries the agent of its own task, however the tasks interleave."""
    agents = {step.payload.text: step.agent for step in steps if isinstance(step.payload, Thought)}

    assert agents == {"searching steel": "engineer", "Looks fine.": "reviewer", "searching norms": "reviewer"}


async def test_every_call_is_closed_by_its_own_answer(steps: list[LoggedStep]) -> None:
    """Answers close the calls they answer, nested steps stand under them, and nothing stays open."""
    calls = {step.id: step for step in steps if isinstance(step.payload, ToolCall | ModelCall)}
    closing = {step.closes: step for step in steps if step.closes}

    assert set(calls) == set(closing)
    for identity, call in calls.items():
        assert closing[identity].agent == call.agent
    for step in steps:
        if isinstance(step.payload, Thought) and step.payload.text.startswith("searching"):
            parent = calls[step.parent_id or ""].payload
            assert isinstance(parent, ToolCall)
            assert step.payload.text == f"searching {parent.arguments['query']}"


async def test_a_model_call_keeps_what_training_needs(steps: list[LoggedStep]) -> None:
    """Messages, sampling, reply, usage and finish reason have their typed places."""
    asked = next(step.payload for step in steps if isinstance(step.payload, ModelCall))
    answered = next(step.payload for step in steps if isinstance(step.payload, ModelReply))

    assert asked.model == "small-model"
    assert asked.sampling == Sampling(temperature=0.0)
    assert answered.message is not None
    assert answered.message.parts == (TextPart(text="Use steel."),)
    assert answered.usage == Usage(input_tokens=12, output_tokens=3)


async def test_a_streaming_tool_is_observed_when_it_is_exhausted(steps: list[LoggedStep]) -> None:
    """What an asynchronous generator yielded is its observation."""
    results = [step.payload.result for step in steps if isinstance(step.payload, Observation)]

    assert {"items": [0, 1, 2], "items_total": 3} in results


async def test_a_cancelled_node_closes_its_call_as_cancelled(workspace: Path) -> None:
    """Cancelling a task is no error: the tool call is closed as cancelled, the episode likewise."""

    @tool
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        async with (
            ObservabilityProvider("history.db", committer="none") as provider,
            provider.episode("Wait"),
        ):
            await wait_for_ever()

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    steps = logged_steps(workspace / "history.db")
    assert [step.kind for step in steps] == ["status_change", "tool_call", "observation", "status_change"]
    assert steps[2].payload == Observation(cancelled=True)
    assert steps[3].payload.status == "cancelled"  # type: ignore[attr-defined]


def test_a_wrapped_coroutine_function_is_still_one() -> None:
    """Graph frameworks look at a node before they run it; they must see what they would have seen."""
    assert inspect.iscoroutinefunction(search)
    assert inspect.iscoroutinefunction(engineer)
    assert inspect.isasyncgenfunction(stream)
