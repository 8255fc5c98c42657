"""The README's example, word for word, and what is in the database afterwards."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

from stepstream import (
    ErrorReport,
    History,
    JsonObject,
    ObservabilityProvider,
    Observation,
    Status,
    StepPayload,
    Thought,
    ToolCall,
    upcast,
)


class SimulationResult(StepPayload, kind="readme_simulation_result", version=2):
    max_stress_mpa: float


@upcast("readme_simulation_result", 1)
def _(old: JsonObject) -> JsonObject:
    return {"max_stress_mpa": old["stress"]}


def test_the_readme_example_records_an_episode(workspace: Path) -> None:
    """The example of the README runs as it stands, and its steps come back typed and in order."""
    Path("bracket.stl").write_text("solid bracket\nendsolid bracket\n")

    with ObservabilityProvider("history.db") as provider:
        with provider.episode(
            "Design a wall bracket", agent="planner", role="planner", problem="bracket-17", tags=("demo",)
        ) as episode:
            episode.log_event(Thought(text="Start from the load case."))
            with episode.tool_call("simulate", {"thickness_mm": 4.0}) as call:
                call.observe({"max_stress_mpa": 180.0})
                artifact = call.attach("bracket.stl")
            episode.log_event(SimulationResult(max_stress_mpa=180.0))
            episode.finish(outcome="accepted", score=0.93)
        assert provider.flush(timeout_s=20.0)
        steps = provider.read(after=0, limit=1000)
        events = list(islice(provider.subscribe(after=0), len(steps)))

    assert [step.kind for step in steps] == [
        "status_change",
        "thought",
        "tool_call",
        "observation",
        "artifact_attached",
        "readme_simulation_result",
        "status_change",
    ]
    assert [step.sequence for step in steps] == list(range(7))
    assert [event.cursor for event in events] == [step.cursor for step in steps]
    call_step, observation, attached = steps[2:5]
    assert isinstance(call_step.payload, ToolCall)
    assert call_step.payload.arguments == {"thickness_mm": 4.0}
    assert isinstance(observation.payload, Observation)
    assert observation.payload.result == {"max_stress_mpa": 180.0}
    assert observation.closes == call_step.id
    assert attached.parent_id == call_step.id
    assert (
        (Path("history.db-artifacts") / artifact.sha256[:2] / artifact.sha256[2:])
        .read_text()
        .startswith("solid")
    )
    assert {(step.agent, step.role) for step in steps} == {("planner", "planner")}

    with History.open("history.db") as history:
        (recorded,) = history.episodes()
    assert recorded.name == "Design a wall bracket"
    assert (recorded.status, recorded.outcome, recorded.score) == (Status.COMPLETED, "accepted", 0.93)
    assert (recorded.problem, recorded.tags) == ("bracket-17", ("demo",))
    assert recorded.code_version is not None


def test_an_error_in_a_tool_call_is_recorded_and_raised_unchanged(workspace: Path) -> None:
    """An exception closes the call and fails the episode, and the caller catches the very same object."""
    error = ValueError("the mesh has holes")
    caught: BaseException | None = None

    with ObservabilityProvider("history.db") as provider:
        try:
            with provider.episode("Design a wall bracket") as episode, episode.tool_call("mesh"):
                raise error
        except ValueError as exc:
            caught = exc
        assert provider.flush(timeout_s=20.0)
        steps = provider.read()

    assert caught is error
    assert [step.kind for step in steps] == [
        "status_change",
        "tool_call",
        "error_report",
        "error_report",
        "status_change",
    ]
    report = steps[2].payload
    assert isinstance(report, ErrorReport)
    assert report.message == "the mesh has holes"
    assert report.exception_type == "ValueError"
    assert steps[2].closes == steps[1].id


async def test_the_same_example_runs_under_asyncio(workspace: Path) -> None:
    """Provider, episode, flush and subscription have an asynchronous form of the same meaning."""
    (workspace / "run.log").write_text("converged\n")
    async with ObservabilityProvider("history.db") as provider:
        async with provider.episode("Design a wall bracket") as episode:
            episode.log_event(Thought(text="Start from the load case."))
            artifact = await episode.aattach("run.log")
        assert await provider.aflush(timeout_s=20.0)
        kinds: list[str] = []
        async with asyncio.timeout(20):
            async for event in provider.asubscribe(after=0):
                kinds.append(event.type)
                if len(kinds) == 4:
                    break

    assert artifact.size_bytes == 10
    assert kinds == ["step_recorded"] * 4
