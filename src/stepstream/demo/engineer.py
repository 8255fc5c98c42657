"""The engineer: works out designs by what the tools found, until one meets every limit.

Formulas in here are estimates for choosing the next design, never the proof that it holds.
"""

from collections.abc import Iterator
from math import ceil, floor, inf, sqrt
from pathlib import Path
from typing import NamedTuple

from stepstream.demo.bracket import (
    BendTooTight,
    BendUnderWasher,
    Design,
    Geometry,
    GeometryError,
    Gusset,
    GussetDoesNotFit,
    MassEstimate,
    PlateTooNarrow,
    StockThicknessMissing,
)
from stepstream.demo.catalogue import Bolt, CatalogueAnswer, Material, Problem
from stepstream.demo.decision import (
    Asking,
    Assignment,
    HandOver,
    ReviewDecision,
    Script,
    Shortfall,
    Submission,
    Think,
    ask,
    use,
)
from stepstream.demo.mesh import MeshReport
from stepstream.demo.stress import SimulationResult

ROUNDS_MAX = 12
"""How many designs the engineer works out in one material before trying the next."""

REVISIONS_MAX = 3
"""How often the engineer reworks what the reviewer sent back."""

BEND_USUAL = 1.5
"""The bend radius the press has a tool for, as a multiple of the thickness."""


def likely_mass_g(problem: Problem, material: Material) -> float:
    """Return about what a plain bracket weighs, from its thickness in bending alone."""
    mounting = problem.mounting
    length_mm = mounting.reach_mm + mounting.anchor_high_mm
    return (
        material.density_kg_m3
        * 1e-6
        * likely_width_mm(problem)
        * length_mm
        * likely_thickness_mm(problem, material)
    )


def likely_width_mm(problem: Problem) -> float:
    """Return about how wide a plate the anchors ask for."""
    return problem.mounting.anchor_spacing_mm + 25.0


def likely_thickness_mm(problem: Problem, material: Material) -> float:
    """Return the thickness that carries the moment with the safety factor, with a fifth for the bend."""
    moment_nmm = problem.load_n * problem.mounting.reach_mm
    return sqrt(6.0 * moment_nmm * problem.safety_min * 1.2 / (likely_width_mm(problem) * material.yield_mpa))


def bolt_strength_n(bolt: Bolt) -> float:
    """Return about what a bolt carries in tension with some shear."""
    return 0.5 * bolt.ultimate_mpa * bolt.stress_area_mm2


class Work(NamedTuple):
    """A design the engineer has worked out, with what the tools said of it."""

    design: Design
    mass_g: float
    simulation: SimulationResult


class Move(NamedTuple):
    """The next design to try, and why."""

    design: Design
    why: str


class Engineer:
    """Works out designs until one meets every limit: repairs, strengthens, stiffens, lightens."""

    def __init__(self, problem: Problem, folder: Path) -> None:
        """Work on one problem, with the mesh and the solver's log in `folder`."""
        self._problem = problem
        self._folder = folder
        self._log_path = folder / f"{problem.name}.log"
        self._materials: list[Material] = []
        self._bolts: tuple[Bolt, ...] = ()
        self._stock_mm: dict[str, tuple[float, ...]] = {}
        self._bend_ratio: dict[str, float] = {}
        self._bend_room_mm = inf
        self._width_min_mm = 0.0
        self._gusset_limit_mm: dict[str, float] = {}
        self._safety_wanted = problem.safety_min
        self._mass_wanted_g = problem.mass_max_g
        self._submitted: Work | None = None
        self._submissions = 0
        self._designs = 0
        self._lightest: Work | None = None

    @property
    def best(self) -> Design | None:
        """The design last submitted, else the lightest that held."""
        work = self._submitted or self._lightest
        return work.design if work else None

    def take(self, assignment: Assignment) -> Script:
        """Try the materials in order and submit the first design that meets every limit."""
        self._materials, self._bolts = list(assignment.materials), assignment.bolts
        yield from self._try_materials()

    def revise(self, verdict: ReviewDecision) -> Script:
        """Rework the design that was sent back, with margins that answer the reviewer's figures."""
        work = self._submitted
        if work is None or self._submissions > REVISIONS_MAX:
            yield from self._try_materials()
            return
        if verdict.safety_factor < self._problem.safety_min:
            # What the reviewer's method finds is taken to keep its ratio to what mine does.
            ratio = work.simulation.safety_factor / verdict.safety_factor
            self._safety_wanted = 1.005 * ratio * self._problem.safety_min
        self._mass_wanted_g *= min(1.0, 0.995 * self._problem.mass_max_g / verdict.mass_g)
        yield Think(
            f"Sent back: {'; '.join(verdict.reasons)}. My own safety factor was "
            f"{work.simulation.safety_factor:.3f}, so I now aim at {self._safety_wanted:.3f}."
        )
        yield from self._submit_or_go_on((yield from self._develop(work.design)))

    def _try_materials(self) -> Script:
        work: Work | None = None
        while work is None and self._materials:
            design = yield from self._first_design(self._materials.pop(0))
            work = yield from self._develop(design)
        yield from self._submit_or_go_on(work)

    def _submit_or_go_on(self, work: Work | None) -> Script:
        if work is None and self._materials:
            yield from self._try_materials()
        elif work is None:
            lightest = self._lightest
            yield HandOver(
                "planner",
                f"I have worked out {self._designs} designs; none meets every limit.",
                Shortfall(
                    designs=self._designs,
                    lightest=lightest.design if lightest else None,
                    lightest_g=lightest.mass_g if lightest else None,
                ),
            )
        else:
            yield from self._submit(work)

    def _submit(self, work: Work) -> Script:
        self._submitted, self._submissions = work, self._submissions + 1
        path = self._folder / f"{self._problem.name}-v{self._submissions}.stl"
        mesh = yield from ask(MeshReport, "export_mesh", design=work.design, path=path)
        yield HandOver(
            "reviewer",
            f"{work.design}: {work.mass_g:.0f} g, safety factor {work.simulation.safety_factor:.2f}, "
            f"{work.simulation.deflection_mm:.2f} mm; {mesh.triangles} triangles in {mesh.file_name}.",
            Submission(
                problem=self._problem,
                design=work.design,
                mesh_name=mesh.file_name,
                mass_g=work.mass_g,
                safety_factor=work.simulation.safety_factor,
                deflection_mm=work.simulation.deflection_mm,
            ),
        )

    def _first_design(self, material: Material) -> Asking[Design]:
        """Guess a design from the moment; once a guess was not in stock, look into the catalogue first."""
        problem, bolt = self._problem, self._bolts[0]
        thickness_mm = ceil(2.0 * likely_thickness_mm(problem, material)) / 2.0
        width_mm = 5.0 * ceil((problem.mounting.anchor_spacing_mm + 3.0 * bolt.hole_mm) / 5.0)
        text = f"By hand, {width_mm:g} mm of {material.name} must be {thickness_mm:g} mm thick"
        if self._stock_mm:
            stock_mm = yield from self._stock(material.name)
            thickness_mm = next((size_mm for size_mm in stock_mm if size_mm >= thickness_mm), stock_mm[-1])
            text += f"; the catalogue has {thickness_mm:g} mm"
        yield Think(f"{text}.")
        return Design(
            mounting=problem.mounting,
            material=material.name,
            bolt=bolt.name,
            thickness_mm=thickness_mm,
            width_mm=width_mm,
            bend_radius_mm=self._usual_bend_mm(material.name, thickness_mm),
        )

    def _usual_bend_mm(self, material: str, thickness_mm: float) -> float:
        return ceil(2.0 * thickness_mm * self._bend_ratio.get(material, BEND_USUAL)) / 2.0

    def _bends(self, material: str, thickness_mm: float) -> bool:
        """Say whether, for all that is known by now, such a plate can be bent clear of the anchors."""
        return thickness_mm + self._usual_bend_mm(material, thickness_mm) <= self._bend_room_mm

    def _stock(self, material: str) -> Asking[tuple[float, ...]]:
        if material not in self._stock_mm:
            answer = yield from ask(CatalogueAnswer, "search_catalogue", kind="plate", name=material)
            self._stock_mm[material] = tuple(plate.thickness_mm for plate in answer.plates)
        return self._stock_mm[material]

    def _develop(self, design: Design) -> Asking[Work | None]:
        """Change a design step by step until it meets every limit; return the lightest that does."""
        seen: set[Design] = set()
        best: Work | None = None
        moves: Iterator[Move] = iter(())
        for _ in range(ROUNDS_MAX):
            seen.add(design)
            geometry = yield from use(Geometry, "make_geometry", design=design)
            if isinstance(geometry, GeometryError):
                repaired = yield from self._repair(design, geometry)
                if repaired is not None and repaired not in seen:
                    design = repaired
                    continue
                # Nothing new there: on with what else the last simulation suggested.
                verdict = "I have been there."
            else:
                work = yield from self._work_out(design)
                if self._meets(work):
                    best = work if best is None or work.mass_g < best.mass_g else best
                elif best is not None:
                    yield Think(f"{self._verdict(work)} I go back to {best.design}.")
                    break
                stock_mm = yield from self._stock(design.material)
                moves = self._moves(work, stock_mm, self._shares(work))
                verdict = self._verdict(work)
            move = next((move for move in moves if move.design not in seen), None)
            if move is None:
                yield Think(
                    f"{verdict} {'That is as light as I get it.' if best else 'I know nothing better.'}"
                )
                break
            yield Think(f"{verdict} {move.why}")
            design = move.design
        return best

    def _work_out(self, design: Design) -> Asking[Work]:
        self._designs += 1
        mass_g = (yield from ask(MassEstimate, "estimate_mass", design=design)).mass_g
        simulation = yield from ask(
            SimulationResult, "simulate", design=design, load_n=self._problem.load_n, log_path=self._log_path
        )
        work = Work(design, mass_g, simulation)
        strength, stiffness, _ = self._shares(work)
        holds = strength <= 1.0 and stiffness <= 1.0
        if holds and (self._lightest is None or mass_g < self._lightest.mass_g):
            self._lightest = work
        return work

    def _shares(self, work: Work) -> tuple[float, float, float]:
        """Return how much of strength, stiffness and mass a design uses up; more than 1 is too much."""
        simulation = work.simulation
        return (
            self._safety_wanted / simulation.safety_factor,
            simulation.deflection_mm / self._problem.deflection_max_mm,
            work.mass_g / self._mass_wanted_g,
        )

    def _meets(self, work: Work) -> bool:
        return max(self._shares(work)) <= 1.0

    def _verdict(self, work: Work) -> str:
        simulation, problem = work.simulation, self._problem
        return (
            f"{simulation.max_stress_mpa:.0f} MPa in the {simulation.stress_in} "
            f"against {simulation.yield_mpa:g} MPa: safety factor {simulation.safety_factor:.2f} "
            f"of {self._safety_wanted:.2f} ({simulation.governing}); "
            f"{simulation.deflection_mm:.2f} of {problem.deflection_max_mm:g} mm; "
            f"{work.mass_g:.0f} of {self._mass_wanted_g:.0f} g."
        )

    def _repair(self, design: Design, error: GeometryError) -> Asking[Design | None]:
        """Choose differently what could not be made, by the limit the error names."""
        change: dict[str, object] | None = None
        match error:
            case StockThicknessMissing():
                stock_mm = yield from self._stock(design.material)
                chosen_mm = next((size_mm for size_mm in stock_mm if size_mm >= error.asked_mm), stock_mm[-1])
                bend_mm = self._usual_bend_mm(design.material, chosen_mm)
                change = {"thickness_mm": chosen_mm, "bend_radius_mm": bend_mm}
            case BendTooTight():
                self._bend_ratio[design.material] = error.limit_mm / design.thickness_mm
                change = {"bend_radius_mm": error.limit_mm}
            case BendUnderWasher():
                change = yield from self._fit_bend(design, error)
            case PlateTooNarrow():
                self._width_min_mm = float(ceil(error.limit_mm))
                change = {"width_mm": self._width_min_mm}
            case GussetDoesNotFit() if design.gusset is not None and error.dimension != "thickness_mm":
                too_large = error.asked_mm > error.limit_mm
                size_mm = float(floor(error.limit_mm) if too_large else ceil(error.limit_mm))
                change = {"gusset": design.gusset.model_copy(update={error.dimension: size_mm})}
                if too_large:
                    self._gusset_limit_mm[error.dimension] = size_mm
        if change is None:
            yield Think(f"That cannot be made: {error}. I know no other way in {design.material}.")
            return None
        changed = design.model_copy(update=change)
        yield Think(f"That cannot be made: {error}. I take {changed} instead.")
        return changed

    def _fit_bend(self, design: Design, error: BendUnderWasher) -> Asking[dict[str, object] | None]:
        """Take the largest bend that fits, or a plate thin enough for its bend, stiffened by a gusset."""
        stock_mm = yield from self._stock(design.material)
        ratio = self._bend_ratio.get(design.material, BEND_USUAL)
        room_mm = self._bend_room_mm = error.limit_mm + design.thickness_mm
        if error.limit_mm >= ratio * design.thickness_mm:
            return {"bend_radius_mm": floor(2.0 * error.limit_mm) / 2.0}
        thinner_mm = [size_mm for size_mm in stock_mm if self._bends(design.material, size_mm)]
        if not thinner_mm:
            return None
        bend_mm = self._usual_bend_mm(design.material, thinner_mm[-1])
        gusset = design.gusset or self._first_gusset(design, stock_mm)
        return {
            "thickness_mm": thinner_mm[-1],
            "bend_radius_mm": min(bend_mm, room_mm - thinner_mm[-1]),
            "gusset": gusset,
        }

    def _first_gusset(self, design: Design, stock_mm: tuple[float, ...]) -> Gusset:
        mounting = design.mounting
        return Gusset(
            thickness_mm=next(size_mm for size_mm in stock_mm if size_mm >= 0.5 * design.thickness_mm),
            along_arm_mm=5.0 * round(0.14 * mounting.reach_mm),
            along_wall_mm=5.0 * round(0.12 * mounting.anchor_high_mm),
        )

    def _moves(
        self, work: Work, stock_mm: tuple[float, ...], shares: tuple[float, float, float]
    ) -> Iterator[Move]:
        """Yield the changes worth trying, the most promising first."""
        strength, stiffness, mass = shares
        if max(strength, stiffness) <= 1.0:
            yield from self._lighter(work, stock_mm, strength, stiffness)
            if mass > 1.0:
                yield from self._ribbed(work, stock_mm, mass)
        elif mass <= 1.0 and work.design.gusset is None:
            yield from self._stronger(work, stock_mm, shares)
            yield from self._ribbed(work, stock_mm, mass)
        elif mass <= 1.0:
            yield from self._ribbed(work, stock_mm, mass)
            yield from self._stronger(work, stock_mm, shares)
        else:
            yield from self._ribbed(work, stock_mm, mass)

    def _lighter(
        self, work: Work, stock_mm: tuple[float, ...], strength: float, stiffness: float
    ) -> Iterator[Move]:
        design, slack = work.design, max(strength, stiffness)
        for size_mm in stock_mm:
            ratio = design.thickness_mm / size_mm
            if ratio > 1.0 and strength * ratio**2 <= 1.0 and stiffness * ratio**3 <= 1.0:
                yield self._with_thickness(work, size_mm)
                break
        width_mm = max(self._width_min_mm, float(ceil(design.width_mm * slack)))
        if slack < 0.98 and width_mm < design.width_mm:
            why = f"{1.0 - slack:.0%} of it is idle; {width_mm:g} mm of width should do."
            yield Move(design.model_copy(update={"width_mm": width_mm}), why)
        if design.gusset is not None and design.gusset.thickness_mm > stock_mm[0]:
            rib_mm = max(size_mm for size_mm in stock_mm if size_mm < design.gusset.thickness_mm)
            yield self._with_gusset(work, "thickness_mm", rib_mm, f"{rib_mm:g} mm of gusset may do.")

    def _stronger(
        self, work: Work, stock_mm: tuple[float, ...], shares: tuple[float, float, float]
    ) -> Iterator[Move]:
        design, simulation = work.design, work.simulation
        strength, stiffness, mass = shares
        if simulation.governing == "anchors":
            names = [bolt.name for bolt in self._bolts]
            for name in names[names.index(design.bolt) + 1 :]:
                yield Move(design.model_copy(update={"bolt": name}), f"The anchors give way first: {name}.")
        concentration = simulation.stress_concentration
        if simulation.governing == "bend" and stiffness <= 1.0 < strength < 1.15 and concentration > 1.1:
            bend_mm = min(float(ceil(1.6 * design.bend_radius_mm)), self._bend_room_mm - design.thickness_mm)
            why = (
                f"The bend raises {simulation.nominal_stress_mpa:.0f} MPa by {concentration:.2f}; "
                f"over a radius of {bend_mm:g} mm it raises it less."
            )
            yield Move(design.model_copy(update={"bend_radius_mm": bend_mm}), why)
        thicker = max(strength ** (1 / 2), stiffness ** (1 / 3))
        for size_mm in stock_mm:
            if size_mm > design.thickness_mm and thicker * design.thickness_mm <= size_mm:
                if mass * size_mm / design.thickness_mm <= 1.0 and self._bends(design.material, size_mm):
                    yield self._with_thickness(work, size_mm)
                break
        wider = max(strength, stiffness)
        if mass * wider <= 1.0:
            width_mm = float(ceil(design.width_mm * wider))
            why = f"{width_mm:g} mm of width makes up for it."
            yield Move(design.model_copy(update={"width_mm": width_mm}), why)

    def _ribbed(self, work: Work, stock_mm: tuple[float, ...], mass: float) -> Iterator[Move]:
        """Yield ways to carry more with a gusset, on a thinner plate where the mass asks for it."""
        design, gusset = work.design, work.design.gusset
        if gusset is None:
            plates_mm = [size_mm for size_mm in stock_mm if mass * size_mm / design.thickness_mm <= 0.85]
            for size_mm in reversed(plates_mm):
                rib = self._first_gusset(design, stock_mm)
                bend_mm = self._usual_bend_mm(design.material, size_mm)
                update = {"thickness_mm": size_mm, "bend_radius_mm": bend_mm, "gusset": rib}
                why = f"I try a plate of {size_mm:g} mm with a gusset of {rib.thickness_mm:g} mm."
                yield Move(design.model_copy(update=update), why)
        elif mass <= 1.2:
            if work.simulation.stress_in == "arm":
                longer_mm = self._grown_mm(gusset.along_arm_mm, "along_arm_mm")
                why = f"The arm is weak beside the gusset: I make it {longer_mm:g} mm long."
                yield self._with_gusset(work, "along_arm_mm", longer_mm, why)
            if work.simulation.stress_in == "leg":
                taller_mm = self._grown_mm(gusset.along_wall_mm, "along_wall_mm")
                why = f"The leg is weak beside the gusset: I make it {taller_mm:g} mm tall."
                yield self._with_gusset(work, "along_wall_mm", taller_mm, why)
            for size_mm in stock_mm:
                if size_mm > gusset.thickness_mm:
                    why = f"I try a thicker gusset, {size_mm:g} mm."
                    yield self._with_gusset(work, "thickness_mm", size_mm, why)
                    break

    def _grown_mm(self, size_mm: float, dimension: str) -> float:
        return float(min(ceil(1.2 * size_mm), floor(self._gusset_limit_mm.get(dimension, 1e6))))

    def _with_thickness(self, work: Work, thickness_mm: float) -> Move:
        design, ratio = work.design, thickness_mm / work.design.thickness_mm
        bend_mm = self._usual_bend_mm(design.material, thickness_mm)
        why = (
            f"{thickness_mm:g} mm should bring {work.simulation.max_stress_mpa / ratio**2:.0f} MPa, "
            f"{work.simulation.deflection_mm / ratio**3:.2f} mm and {work.mass_g * ratio:.0f} g."
        )
        return Move(design.model_copy(update={"thickness_mm": thickness_mm, "bend_radius_mm": bend_mm}), why)

    def _with_gusset(self, work: Work, dimension: str, size_mm: float, why: str) -> Move:
        gusset = work.design.gusset
        changed = gusset.model_copy(update={dimension: size_mm}) if gusset else None
        return Move(work.design.model_copy(update={"gusset": changed}), why)
