"""The endless variant: designs varied and evaluated for as long as somebody wants steps.

It is real work, and cheap: one coarse simulation a variant.
"""

from collections.abc import Callable, Iterator
from itertools import count, cycle
from math import inf
from random import Random

from stepstream.demo.bracket import Design, GeometryError, Gusset
from stepstream.demo.catalogue import MATERIALS, STOCK_MM, Problem
from stepstream.demo.decision import Script, Think, use
from stepstream.demo.engineer import likely_thickness_mm, likely_width_mm
from stepstream.demo.stress import Screening

STALE_MAX = 120
"""After how many variants without a find an exploration starts afresh."""


def explore(problem: Problem, start: Design | None = None) -> Script:
    """Vary a design for ever and keep what is lighter and still meets the limits: a hill climb.

    Every decision but a few is a call of `screen`; some variants cannot be made, and their `GeometryError` is
    an answer like any other. After a while without a find the climb starts afresh in the next material.
    """
    draw = Random(problem.number).random  # noqa: S311 - not a secret
    starts = _starts(problem, start)
    incumbent, best_g, stale, failed = next(starts), inf, 0, 0
    variant = incumbent
    for number in count(1):
        reply = yield from use(Screening, "screen", design=variant, load_n=problem.load_n)
        stale += 1
        if isinstance(reply, GeometryError):
            failed += 1
            if failed % 20 == 1:
                yield Think(f"{failed} of {number} variants could not be made, lastly: {reply}.")
        elif _penalised_g(problem, reply) < best_g:
            best_g, incumbent, stale = _penalised_g(problem, reply), variant, 0
            yield Think(
                f"Variant {number}, {variant}: {reply.mass_g:.0f} g, {reply.deflection_mm:.2f} mm, "
                f"safety factor {reply.safety_factor:.2f}. The best so far."
            )
        variant = _varied(incumbent, draw)
        if stale >= STALE_MAX:
            yield Think(
                f"{stale} variants without a find; {incumbent} stays the best of its kind. I start afresh."
            )
            incumbent, best_g, stale = next(starts), inf, 0
            variant = incumbent


def _starts(problem: Problem, start: Design | None) -> Iterator[Design]:
    """Yield the design to begin with, then plain ones in every material, over and over."""
    if start is not None:
        yield start
    for material in cycle(MATERIALS):
        likely_mm = likely_thickness_mm(problem, material)
        thickness_mm = min(STOCK_MM[material.name], key=lambda size_mm: abs(size_mm - likely_mm))
        yield Design(
            mounting=problem.mounting,
            material=material.name,
            bolt="M8 8.8",
            thickness_mm=thickness_mm,
            width_mm=likely_width_mm(problem),
            bend_radius_mm=material.bend_ratio_min * thickness_mm,
        )


def _penalised_g(problem: Problem, screening: Screening) -> float:
    """Return the mass, raised steeply by whatever strength or stiffness is missing."""
    weak = max(1.0, problem.safety_min / screening.safety_factor)
    soft = max(1.0, screening.deflection_mm / problem.deflection_max_mm)
    return screening.mass_g * weak**2 * soft**2


def _varied(design: Design, draw: Callable[[], float]) -> Design:
    """Return a neighbour of a design: one size changed, now and then a gusset put in or left out."""
    stock_mm = STOCK_MM[design.material]
    scale = 0.8 + 0.45 * draw()
    update: dict[str, object]
    match int(draw() * 6.0), design.gusset:
        case 0, _:
            thickness_mm = stock_mm[int(draw() * len(stock_mm))]
            ratio = design.bend_radius_mm / design.thickness_mm
            update = {"thickness_mm": thickness_mm, "bend_radius_mm": round(ratio * thickness_mm, 1)}
        case 1 | 2, _:
            update = {"width_mm": float(round(design.width_mm * scale))}
        case 3, _:
            update = {"bend_radius_mm": round(design.bend_radius_mm * scale, 1)}
        case _, None:
            size_mm = float(round(0.5 * design.mounting.reach_mm * scale))
            update = {"gusset": Gusset(thickness_mm=stock_mm[0], along_arm_mm=size_mm, along_wall_mm=size_mm)}
        case 4, gusset:
            size_mm = stock_mm[int(draw() * len(stock_mm) / 2.0)]
            update = {"gusset": None if draw() < 0.4 else gusset.model_copy(update={"thickness_mm": size_mm})}
        case _, gusset:
            dimension = "along_arm_mm" if draw() < 0.5 else "along_wall_mm"
            size_mm = float(round(getattr(gusset, dimension) * scale))
            update = {"gusset": gusset.model_copy(update={dimension: size_mm})}
    return design.model_copy(update=update)
