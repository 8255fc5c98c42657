"""A plain script with tools: functions and methods, one decorator, no set-up."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import BaseModel

import stepstream
from stepstream import ErrorReport, Observation, ToolCall, agent, log_event, logger, tool
from stepstream.testing.spool_steps import LoggedStep, logged_steps


class Stress(BaseModel):
    """What a simulation gives."""

    max_mpa: float
    element: int


@dataclass
class Material:
    """A project's own type, as an argument."""

    name: str
    yield_mpa: float


class Solver(Protocol):
    """Something a tool is given and nobody needs to see."""

    def solve(self, thickness_mm: float) -> float: ...


class Plate:
    """The real part."""

    def solve(self, thickness_mm: float) -> float:
        """Stress of a plate."""
        if thickness_mm <= 0:
            raise ValueError(f"a plate of {thickness_mm} mm")
        return 720.0 / thickness_mm


@tool(exclude=("solver",))
def simulate(thickness_mm: float, material: Material, *, solver: Solver) -> Stress:
    """Compute the stress of a bracket."""
    logger.thought(f"{material.name} yields at {material.yield_mpa} MPa")
    return Stress(max_mpa=solver.solve(thickness_mm), element=17)


class Workshop:
    """Tools can be methods."""

    @tool
    def weigh(self, volume_mm3: float, /, density: float = 7.85e-6) -> float:
        """Weigh a part."""
        return volume_mm3 * density

    @staticmethod
    @tool
    def lots(size: int) -> list[int]:
        """Cut a lot into pieces."""
        return list(range(size))


@agent("engineer", role="engineer")
def engineer(thickness_mm: float) -> Stress:
    """An agent that tries, and tries again."""
    try:
        return simulate(-1.0, Material("steel", 235.0), solver=Plate())
    except ValueError:
        return simulate(thickness_mm, Material("steel", 235.0), solver=Plate())


def design() -> float:
    """The whole script."""
    with stepstream.episode("Design a wall bracket", problem="bracket-17") as episode:
        stress = engineer(4.0)
        workshop = Workshop()
        mass = workshop.weigh(120_000.0)
        workshop.lots(3)
        log_event(stepstream.Feedback(author="reviewer", score=0.9))
        episode.finish(outcome="accepted", score=stress.max_mpa)
    return mass


@pytest.fixture
def steps(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> list[LoggedStep]:
    """What the script leaves behind."""
    monkeypatch.setenv("STEPSTREAM_COMMITTER", "none")
    assert design() == pytest.approx(0.942)
    return logged_steps(workspace / "history.db")


def test_a_script_needs_no_set_up(steps: list[LoggedStep]) -> None:
    """The default provider opens by itself, and every tool call and its answer is in the history."""
    assert [step.kind for step in steps] == [
        "status_change",
        "tool_call",
        "thought",
        "error_report",
        "tool_call",
        "thought",
        "observation",
        "tool_call",
        "observation",
        "tool_call",
        "observation",
        "feedback",
        "status_change",
    ]


def test_arguments_are_recorded_by_name(steps: list[LoggedStep]) -> None:
    """Models and dataclasses stand as JSON, excluded parameters and self do not stand at all."""
    calls = [step.payload for step in steps if isinstance(step.payload, ToolCall)]

    assert [call.tool for call in calls] == ["simulate", "simulate", "weigh", "lots"]
    assert calls[1].arguments == {
        "thickness_mm": 4.0,
        "material": {"name": "steel", "yield_mpa": 235.0},
    }
    assert calls[2].arguments == {"volume_mm3": 120_000.0}


def test_results_and_errors_close_their_calls(steps: list[LoggedStep]) -> None:
    """A result is an Observation and an exception an ErrorReport; both close the call they answer."""
    failed, answered = steps[3], steps[6]

    assert isinstance(failed.payload, ErrorReport)
    assert failed.payload.exception_type == "ValueError"
    assert failed.payload.frames[-1].function == "solve"
    assert failed.closes == steps[1].id
    assert isinstance(answered.payload, Observation)
    assert answered.payload.result == {"max_mpa": 180.0, "element": 17}
    assert answered.closes == steps[4].id


def test_steps_know_their_agent_and_their_tool_call(steps: list[LoggedStep]) -> None:
    """What is logged inside a tool is nested under its call, and carries the agent around it."""
    assert steps[2].parent_id == steps[1].id
    assert {step.agent for step in steps[1:7]} == {"engineer"}
    assert {step.role for step in steps[1:7]} == {"engineer"}
    assert {step.agent for step in steps[7:]} == {None}


def test_a_wrapped_function_is_still_the_function() -> None:
    """Signature, annotations, name, docstring and return type of a tool are those of the function."""
    assert str(inspect.signature(simulate)) == (
        "(thickness_mm: 'float', material: 'Material', *, solver: 'Solver') -> 'Stress'"
    )
    assert simulate.__name__ == "simulate"
    assert simulate.__doc__ == "Compute the stress of a bracket."
    assert simulate.__annotations__["return"] == "Stress"
