"""The demo's own kinds of steps, as a project writes them: what a simulation found, what a review decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from stepstream.schemas.payload import StepPayload

if TYPE_CHECKING:
    from stepstream.demo import decision, stress
    from stepstream.demo.bracket import Design


class SimulationResult(StepPayload, kind="bracket_simulation"):
    """What the solver found of a design.

    Attributes:
        design: The design in one line.
        load_n: The load it was under.
        max_stress_mpa: The highest stress, and below it where that is.
        stress_in: The member with the highest stress.
        deflection_mm: How far the load sinks.
        safety_factor: The least of plate, anchors and pull-through.
        governing: What gives way first.
        passes: How often the mesh of the solver was refined.
    """

    design: str
    load_n: float
    max_stress_mpa: float
    stress_in: str
    deflection_mm: float
    safety_factor: float
    governing: str
    passes: int

    @classmethod
    def of(cls, design: Design, result: stress.SimulationResult) -> Self:
        """The step that tells of a result."""
        return cls(
            design=str(design),
            load_n=result.load_n,
            max_stress_mpa=result.max_stress_mpa,
            stress_in=result.stress_in,
            deflection_mm=result.deflection_mm,
            safety_factor=result.safety_factor,
            governing=result.governing,
            passes=len(result.refinements),
        )


class ReviewDecision(StepPayload, kind="bracket_review"):
    """The reviewer's verdict.

    Attributes:
        accepted: Whether the design may be made.
        reasons: Why not; empty when it may.
        mass_g: What the mesh weighs.
        safety_factor: What the second method finds.
        deflection_mm: What the engineer claims.
        score: How good it is, from 0 to 1.
    """

    accepted: bool
    reasons: tuple[str, ...]
    mass_g: float
    safety_factor: float
    deflection_mm: float
    score: float

    @classmethod
    def of(cls, verdict: decision.ReviewDecision) -> Self:
        """The step that tells of a verdict."""
        return cls(**verdict.model_dump())
