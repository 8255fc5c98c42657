"""A watched generator or coroutine keeps its protocol, and its consumer is not inside the tool."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import pytest

from stepstream import ObservabilityProvider, Observation, Thought, log_event, tool
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


@pytest.fixture(autouse=True)
def _inside_an_episode(provider: ObservabilityProvider) -> Iterator[None]:
    with provider.episode("test"):
        yield


def _results(steps: list[LoggedStep]) -> list[object]:
    return [step.payload.result for step in steps if isinstance(step.payload, Observation)]


@tool
def echo(start: int) -> Iterator[object]:
    """A generator that uses all of the protocol."""
    got: object = start
    log_event(Thought(text="begun"))
    while True:
        try:
            got = yield got
        except KeyError as error:
            got = repr(error)
        if got is None:
            return "done"


def test_a_generator_keeps_its_protocol(logged: Logged) -> None:
    """next, send, throw and the returned value work as before, and the items are the observation."""
    generator = echo(1)
    assert logged()[1:] == []
    assert next(generator) == 1
    assert generator.send("two") == "two"  # type: ignore[attr-defined]
    assert generator.throw(KeyError("three")) == "KeyError('three')"  # type: ignore[attr-defined]
    with pytest.raises(StopIteration) as stop:
        generator.send(None)  # type: ignore[attr-defined]

    assert stop.value.value == "done"
    assert [step.kind for step in logged()[1:]] == ["tool_call", "thought", "observation"]
    assert _results(logged()) == [
        {"items": [1, "two", "KeyError('three')"], "items_total": 3, "returned": "done"}
    ]


def test_a_generator_that_is_closed_is_cancelled(logged: Logged) -> None:
    """Closing early closes the call as cancelled, with the items given by then."""
    generator = echo(1)
    next(generator)
    generator.close()  # type: ignore[attr-defined]

    assert logged()[-1].payload == Observation(result={"items": [1], "items_total": 1}, cancelled=True)


def test_what_a_generator_raises_is_as_unwatched() -> None:
    """An exception that follows a thrown one has the same context as without us."""

    def plain() -> Iterator[int]:
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("own")

    for generator in (plain(), tool(plain)()):
        next(generator)
        with pytest.raises(ValueError, match="own") as caught:
            generator.throw(KeyError("thrown"))  # type: ignore[attr-defined]
        assert caught.value.__context__ is None


def test_the_consumer_of_a_generator_is_not_inside_the_tool(logged: Logged) -> None:
    """Between two items the caller's steps are the caller's, the generator's are under its call."""

    @tool
    def count() -> Iterator[int]:
        for number in range(2):
            log_event(Thought(text=f"inside {number}"))
            yield number

    for number in count():
        log_event(Thought(text=f"outside {number}"))

    call = next(step for step in logged() if step.kind == "tool_call")
    parents = {step.payload.text: step.parent_id for step in logged() if isinstance(step.payload, Thought)}
    assert parents == {"inside 0": call.id, "outside 0": None, "inside 1": call.id, "outside 1": None}


def test_an_endless_generator_is_recorded_in_bounds(logged: Logged) -> None:
    """Only the first thousand items are kept; all are counted."""

    @tool
    def numbers() -> Iterator[int]:
        yield from range(5000)

    assert sum(numbers()) == sum(range(5000))
    (result,) = _results(logged())
    assert isinstance(result, dict)
    assert (len(result["items"]), result["items_total"]) == (1000, 5000)


async def test_an_asynchronous_generator_keeps_its_protocol(logged: Logged) -> None:
    """asend, athrow and aclose work as before."""

    @tool
    async def echo_async(start: int) -> AsyncIterator[object]:
        got: object = start
        while got is not None:
            try:
                await asyncio.sleep(0)
                got = yield got
            except KeyError as error:
                got = repr(error)

    generator = echo_async(1)
    assert await anext(generator) == 1
    assert await generator.asend(2) == 2  # type: ignore[attr-defined]
    assert await generator.athrow(KeyError("three")) == "KeyError('three')"  # type: ignore[attr-defined]
    with pytest.raises(StopAsyncIteration):
        await generator.asend(None)  # type: ignore[attr-defined]
    early = echo_async(1)
    await anext(early)
    await early.aclose()  # type: ignore[attr-defined]

    assert _results(logged()) == [
        {"items": [1, 2, "KeyError('three')"], "items_total": 3},
        {"items": [1], "items_total": 1},
    ]


async def test_a_coroutine_that_is_cancelled_is_no_error(logged: Logged) -> None:
    """CancelledError closes the call as cancelled and comes through."""

    @tool
    async def wait() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert logged()[-1].payload == Observation(cancelled=True)


async def test_a_plain_function_that_returns_a_coroutine_is_watched_to_its_end(logged: Logged) -> None:
    """A decorator that forgot about async does not hide the work: the call closes when it is awaited."""

    def careless(function: Callable[[int], Coroutine[object, object, int]]) -> Callable[[int], object]:
        @functools.wraps(function)
        def wrapper(value: int) -> object:
            return function(value)

        return wrapper

    @tool
    @careless
    async def double(value: int) -> int:
        await asyncio.sleep(0)
        log_event(Thought(text="inside"))
        return value * 2

    coroutine = double(4)
    assert inspect.iscoroutine(coroutine)
    assert _results(logged()) == []
    assert await coroutine == 8

    steps = logged()
    assert [step.kind for step in steps[1:]] == ["tool_call", "thought", "observation"]
    assert steps[2].parent_id == steps[1].id
