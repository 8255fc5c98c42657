"""What a role can decide, which tools there are, and the papers the roles hand each other.

A role's script is a generator: it yields decisions and is sent what its tools answered.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from stepstream.demo.bracket import (
    Design,
    Geometry,
    GeometryError,
    MassEstimate,
    estimate_mass,
    make_geometry,
)
from stepstream.demo.catalogue import Bolt, CatalogueAnswer, Fact, Material, Problem, search_catalogue
from stepstream.demo.mesh import MeshReport, export_mesh, measure_mesh
from stepstream.demo.stress import Recheck, Screening, SimulationResult, recheck, screen, simulate

Role = Literal["planner", "engineer", "reviewer"]
ToolName = Literal[
    "search_catalogue",
    "make_geometry",
    "estimate_mass",
    "simulate",
    "screen",
    "export_mesh",
    "measure_mesh",
    "recheck",
    "review",
]
Outcome = Literal["accepted", "rejected", "stopped"]


class ReviewDecision(Fact):
    """The reviewer's verdict, with the figures it rests on; an accepted design has no `reasons`."""

    accepted: bool
    reasons: tuple[str, ...]
    mass_g: float
    safety_factor: float
    deflection_mm: float
    score: float


class Assignment(Fact):
    """What the planner asks for: materials in the order to try them, bolts from the smallest up."""

    problem: Problem
    materials: tuple[Material, ...]
    bolts: tuple[Bolt, ...]


class Submission(Fact):
    """What the engineer hands to the reviewer: the design, its mesh and the figures claimed for it."""

    problem: Problem
    design: Design
    mesh_name: str
    mass_g: float
    safety_factor: float
    deflection_mm: float


class Shortfall(Fact):
    """What the engineer reports when nothing meets the limits: the lightest design that held, if any did."""

    designs: int
    lightest: Design | None
    lightest_g: float | None


Enclosure = Assignment | Submission | ReviewDecision | Shortfall


@dataclass(frozen=True, slots=True)
class Think:
    """A thought, citing the figures it rests on."""

    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the role means to do, in order."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UseTool:
    """A tool to call; its result, or the `GeometryError` it raises, goes back to the team."""

    name: ToolName
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HandOver:
    """The next role's turn: what it is told, and the typed papers it gets."""

    to: Role
    message: str
    enclosed: Enclosure


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the episode."""

    outcome: Outcome
    score: float
    reason: str


Decision = Think | Plan | UseTool | HandOver | Finish
ToolResult = (
    CatalogueAnswer
    | Geometry
    | MassEstimate
    | SimulationResult
    | Screening
    | MeshReport
    | Recheck
    | ReviewDecision
)
Reply = ToolResult | GeometryError
R = TypeVar("R", bound=ToolResult)
T = TypeVar("T")
Asking = Generator[Decision, Reply | None, T]
"""A part of a script: yields decisions, is sent the answers of tools, and returns what it found."""
Script = Asking[None]


class Turn(NamedTuple):
    """One decision and whose it is."""

    role: Role
    decision: Decision


def review(
    problem: Problem, material: Material, mesh: MeshReport, second: Recheck, deflection_mm: float
) -> ReviewDecision:
    """Judge a design by the mass of its mesh, the second method's safety factor and its deflection."""
    mass_g = mesh.volume_mm3 * material.density_kg_m3 * 1e-6
    reasons: list[str] = []
    if not mesh.watertight:
        reasons.append(f"{mesh.file_name} is not a closed surface")
    if mass_g > problem.mass_max_g:
        reasons.append(f"the mesh weighs {mass_g:.0f} g, {mass_g - problem.mass_max_g:.0f} g over the limit")
    if second.safety_factor < problem.safety_min:
        reasons.append(
            f"with the load {second.offset_mm:g} mm off its place the second method finds "
            f"{second.max_von_mises_mpa:.0f} MPa in the {second.stress_in}: "
            f"a safety factor of {second.safety_factor:.3f}, below {problem.safety_min:g}"
        )
    if deflection_mm > problem.deflection_max_mm:
        reasons.append(f"it sinks {deflection_mm:.2f} mm, more than {problem.deflection_max_mm:g} mm")
    return ReviewDecision(
        accepted=not reasons,
        reasons=tuple(reasons),
        mass_g=mass_g,
        safety_factor=second.safety_factor,
        deflection_mm=deflection_mm,
        score=0.0 if reasons else round(1.0 - mass_g / problem.mass_max_g / 2.0, 3),
    )


TOOLS: Mapping[ToolName, Callable[..., ToolResult]] = {
    "search_catalogue": search_catalogue,
    "make_geometry": make_geometry,
    "estimate_mass": estimate_mass,
    "simulate": simulate,
    "screen": screen,
    "export_mesh": export_mesh,
    "measure_mesh": measure_mesh,
    "recheck": recheck,
    "review": review,
}
"""Every tool by name: plain functions, to be wrapped by whoever records their calls."""


class WrongAnswer(TypeError):
    """A team was handed something else than what the tool it asked for returns."""

    def __init__(self, name: ToolName, expected: str, reply: object) -> None:
        """Name the tool, what it returns and what came."""
        super().__init__(f"{name} answers with {expected}, not {type(reply).__name__}")


def use(expected: type[R], name: ToolName, /, **arguments: object) -> Asking[R | GeometryError]:
    """Use a tool; what it refuses comes back as the error it raised."""
    reply = yield UseTool(name, arguments)
    if not isinstance(reply, expected | GeometryError):
        raise WrongAnswer(name, expected.__name__, reply)
    return reply


def ask(expected: type[R], name: ToolName, /, **arguments: object) -> Asking[R]:
    """Use a tool that cannot refuse what it is given here."""
    reply = yield from use(expected, name, **arguments)
    if isinstance(reply, GeometryError):
        raise reply
    return reply
