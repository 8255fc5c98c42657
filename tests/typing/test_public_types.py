"""What type checkers say of the public names; mypy reads this file, and pytest only sees that it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import assert_type

from stepstream import (
    ArtifactRef,
    EpisodeScope,
    Event,
    History,
    ObservabilityProvider,
    Step,
    StepRef,
    Thought,
    agent,
    child_env,
    context_token,
    current_episode,
    episode,
    log_event,
    logger,
    model_call,
    propagate,
    tool,
    tool_call,
)


@tool
def simulate(thickness_mm: float, *, steps: int = 1) -> float:
    return thickness_mm * steps


@tool(exclude=("config",))
async def search(query: str, config: object) -> list[str]:
    return [query]


@agent("coder", role="engineer")
async def node(state: dict[str, str]) -> dict[str, str]:
    return state


@agent("streamer")
@tool
def stream(count: int) -> Iterator[int]:
    yield count


@tool
async def stream_async(count: int) -> AsyncIterator[int]:
    yield count


class Workshop:
    @tool
    def weigh(self, volume: float) -> float:
        return volume

    @tool
    @staticmethod
    def lots(size: int) -> int:
        return size


def check_decorators() -> None:
    """Decorators keep the type of what they decorate."""
    assert_type(simulate(1.0, steps=2), float)
    assert_type(stream(1), Iterator[int])
    assert_type(stream_async(1), AsyncIterator[int])
    assert_type(Workshop().weigh(1.0), float)
    assert_type(Workshop.lots(1), int)
    simulate("thick")  # type: ignore[arg-type]
    simulate(1.0, speed=2)  # type: ignore[call-arg]


def _carry(text: str, *, times: int) -> bytes:
    return text.encode() * times


def check_propagate() -> None:
    """A propagated function has the parameters of the function."""
    carried = propagate(_carry)
    assert_type(carried("x", times=2), bytes)
    carried("x", times="two")  # type: ignore[arg-type]


def check_recording(provider: ObservabilityProvider) -> None:
    """Handles and calls say what they give."""
    with provider as opened, opened.episode("x", tags=("a",)) as scope:
        assert_type(opened, ObservabilityProvider)
        assert_type(scope, EpisodeScope)
        assert_type(scope.log_event(Thought(text="x")), StepRef)
        assert_type(log_event(Thought(text="x")), StepRef)
        assert_type(logger.thought("x"), StepRef)
        with scope.tool_call("t", {"a": object()}) as call:
            assert_type(call.observe(object()), StepRef)
            assert_type(call.attach(Path("x")), ArtifactRef)
        with tool_call("t"), model_call("m", messages=[{"role": "user", "content": "x"}]) as asked:
            assert_type(asked.reply("x"), StepRef)
        with episode("y", parent=scope) as child:
            assert_type(child, EpisodeScope)
        scope.log_event("text")  # type: ignore[arg-type]
        opened.episode("x", colour="red")  # type: ignore[call-arg]
        episode("x", attempt="two")  # type: ignore[arg-type]


async def check_asynchronous_forms(provider: ObservabilityProvider) -> None:
    """The asynchronous forms give what the plain ones give."""
    async with provider as opened, opened.episode("x") as scope, agent("a"):
        assert_type(await search("q", None), list[str])
        assert_type(await node({}), dict[str, str])
        assert_type(await scope.aattach("x"), ArtifactRef)
        assert_type(await opened.aflush(), bool)
        assert_type(await opened.aread(), list[Step])
        async for event in opened.asubscribe(after=0):
            assert_type(event, Event)


def check_reading(provider: ObservabilityProvider) -> None:
    """Readers get typed steps and events."""
    assert_type(provider.read(after=0, limit=10), list[Step])
    assert_type(provider.history, History)
    for event in provider.subscribe():
        assert_type(event, Event)
    assert_type(current_episode(), EpisodeScope | None)
    assert_type(context_token(), str)
    assert_type(child_env(), dict[str, str])


def test_the_file_can_be_imported() -> None:
    """The names above exist at run time too."""
    checks: list[Callable[..., object]] = [check_decorators, check_propagate, check_recording, check_reading]
    assert all(map(callable, checks))
