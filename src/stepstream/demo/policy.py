"""Who decides what: planner, engineer and reviewer, each a deterministic function of the tool results it saw.

A role is a script: a generator that yields decisions and is sent what its tools answered. It calls no tool
itself and knows nothing of recording; whoever drives a `Team` runs the tools and hands back their results, or
the `GeometryError` they raised:

    team = Team(Problem.numbered(17), folder)
    for turn in team:
        match turn.decision:
            case UseTool(name, arguments):
                try:
                    team.learn(TOOLS[name](**arguments))
                except GeometryError as error:
                    team.learn(error)
            case Think() | Plan() | HandOver() | Finish():
                ...
"""

from pathlib import Path
from typing import Self, assert_never

from stepstream.demo.catalogue import Bolt, CatalogueAnswer, Material, Problem
from stepstream.demo.decision import (
    Assignment,
    Enclosure,
    Finish,
    HandOver,
    Plan,
    Reply,
    ReviewDecision,
    Role,
    Script,
    Shortfall,
    Submission,
    Think,
    ToolName,
    Turn,
    UseTool,
    ask,
)
from stepstream.demo.engineer import Engineer, bolt_strength_n, likely_mass_g
from stepstream.demo.exploration import explore
from stepstream.demo.mesh import MeshReport
from stepstream.demo.stress import Recheck


class Planner:
    """Chooses the materials worth trying, and closes the episode with what came of it."""

    def __init__(self, problem: Problem) -> None:
        """Plan for one problem."""
        self._problem = problem
        self._spare: tuple[Material, ...] = ()
        self._bolts: tuple[Bolt, ...] = ()

    def start(self) -> Script:
        """Rank materials and bolts by hand calculation and hand over to the engineer."""
        problem, mounting = self._problem, self._problem.mounting
        moment_nmm = problem.load_n * mounting.reach_mm
        yield Think(
            f"{problem.load_n / 1000.0:g} kN at {mounting.reach_mm:g} mm bends the wall end with "
            f"{moment_nmm / 1000.0:.0f} N m. Limits: {problem.mass_max_g:g} g, "
            f"{problem.deflection_max_mm:g} mm, safety factor {problem.safety_min:g}."
        )
        materials = (yield from ask(CatalogueAnswer, "search_catalogue", kind="material")).materials
        likely_g = {material.name: likely_mass_g(problem, material) for material in materials}
        ranked = sorted(materials, key=lambda material: likely_g[material.name])
        in_reach = [material for material in ranked if likely_g[material.name] <= 1.3 * problem.mass_max_g]
        chosen = tuple(sorted(in_reach, key=lambda material: likely_g[material.name] * material.price_eur_kg))
        self._spare = tuple(material for material in ranked if material not in chosen)
        chosen = chosen or self._spare_material()
        yield Think(
            "A plain plate would weigh about "
            + ", ".join(f"{likely_g[material.name]:.0f} g in {material.name}" for material in ranked)
            + f". Worth trying, the cheapest first: {_names(chosen)}."
        )
        bolts = (yield from ask(CatalogueAnswer, "search_catalogue", kind="bolt", name="8.8")).bolts
        pull_n = moment_nmm / (2.0 * (mounting.anchor_high_mm - mounting.anchor_low_mm / 2.0))
        self._bolts = tuple(bolt for bolt in bolts if bolt_strength_n(bolt) > problem.safety_min * pull_n)
        yield Think(
            f"Each upper anchor pulls with about {pull_n:.0f} N; "
            f"{self._bolts[0].name} is the smallest bolt that may do."
        )
        yield Plan(
            (
                f"engineer: work out a bracket in {_names(chosen)} and simulate it",
                "engineer: export the mesh of the lightest design that meets every limit",
                "reviewer: measure the mesh and check the stress by a second method",
            )
        )
        yield self._assign(chosen)

    def close(self, verdict: ReviewDecision) -> Script:
        """Finish with an accepted design."""
        yield Finish(
            "accepted",
            verdict.score,
            f"{verdict.mass_g:.0f} g of {self._problem.mass_max_g:g} g, "
            f"safety factor {verdict.safety_factor:.2f}, {verdict.deflection_mm:.2f} mm",
        )

    def reconsider(self, report: Shortfall) -> Script:
        """Offer a material that looked too heavy, or finish without a design, saying how near it came."""
        problem = self._problem
        reason, score = f"none of {report.designs} designs held {problem.load_n:g} N", 0.0
        if report.lightest is not None and report.lightest_g is not None:
            reason = (
                f"none of {report.designs} designs passed; the lightest that held weighs "
                f"{report.lightest_g:.0f} g where {problem.mass_max_g:g} g is asked: {report.lightest}"
            )
            score = round(min(0.5, 0.5 * problem.mass_max_g / report.lightest_g), 3)
        if chosen := self._spare_material():
            yield Think(f"So far, {reason}. {_names(chosen)} looked too heavy, but a gusset may change that.")
            yield self._assign(chosen)
        else:
            yield Think(f"There is no other material to try, and {reason}. I close the order unfilled.")
            yield Finish("rejected", score, reason)

    def _spare_material(self) -> tuple[Material, ...]:
        """Take the lightest material not tried yet."""
        chosen, self._spare = self._spare[:1], self._spare[1:]
        return chosen

    def _assign(self, materials: tuple[Material, ...]) -> HandOver:
        return HandOver(
            "engineer",
            f"Work in {_names(materials)}, from {self._bolts[0].name} up; "
            f"stay below {self._problem.mass_max_g:g} g.",
            Assignment(problem=self._problem, materials=materials, bolts=self._bolts),
        )


def _names(materials: tuple[Material, ...]) -> str:
    return " or ".join(material.name for material in materials)


class Reviewer:
    """Checks what is submitted by other means than it was worked out."""

    def __init__(self, problem: Problem, folder: Path) -> None:
        """Review one problem's designs, whose meshes are in `folder`."""
        self._problem = problem
        self._folder = folder

    def check(self, submission: Submission) -> Script:
        """Measure the mesh, evaluate the stress anew and pass the verdict on."""
        design, problem = submission.design, self._problem
        mesh = yield from ask(MeshReport, "measure_mesh", path=self._folder / submission.mesh_name)
        second = yield from ask(Recheck, "recheck", design=design, load_n=problem.load_n)
        materials = (
            yield from ask(CatalogueAnswer, "search_catalogue", kind="material", name=design.material)
        ).materials
        verdict = yield from ask(
            ReviewDecision,
            "review",
            problem=problem,
            material=materials[0],
            mesh=mesh,
            second=second,
            deflection_mm=submission.deflection_mm,
        )
        yield Think(
            f"The mesh encloses {mesh.volume_mm3 / 1000.0:.2f} cm3, so {verdict.mass_g:.1f} g "
            f"where {submission.mass_g:.1f} g is claimed. With the load {second.offset_mm:g} mm off, "
            f"the second method finds {second.max_von_mises_mpa:.0f} MPa in the {second.stress_in}: "
            f"{second.safety_factor:.3f} where {submission.safety_factor:.3f} is claimed."
        )
        if verdict.accepted:
            yield HandOver("planner", f"Accepted, score {verdict.score:g}.", verdict)
        else:
            yield HandOver("engineer", f"Rejected: {'; '.join(verdict.reasons)}.", verdict)


class OutOfTurn(RuntimeError):
    """Whoever drives a team did not answer its question, or answered without being asked."""

    def __init__(self, asked: ToolName | None) -> None:
        """Say what the team waits for."""
        wants = f"waits for what {asked} answered: hand it to learn()" if asked else "has asked for no tool"
        super().__init__(f"the team {wants}")


class Team:
    """Planner, engineer and reviewer at one problem: an iterator of turns, fed with what the tools answer.

    Args:
        problem: What is to be designed.
        folder: An existing directory for meshes and the solver's log.
        explore: Go on varying the design after the verdict, without end, until `stop` is called.
    """

    def __init__(self, problem: Problem, folder: Path, *, explore: bool = False) -> None:
        self.problem = problem
        self._planner = Planner(problem)
        self._engineer = Engineer(problem, folder)
        self._reviewer = Reviewer(problem, folder)
        self._explore = explore
        self._role: Role = "planner"
        self._script = self._planner.start()
        self._asked: ToolName | None = None
        self._answer: Reply | None = None
        self._verdict: Finish | None = None
        self._stopping = self._finished = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Turn:
        """Decide what happens next.

        Raises:
            StopIteration: The team has finished.
            OutOfTurn: A tool was asked for and its answer not handed to `learn`.
        """
        if self._finished:
            raise StopIteration
        if self._stopping:
            return self._finish(self._verdict or Finish("stopped", 0.0, "stopped before a verdict"))
        if self._asked is not None and self._answer is None:
            raise OutOfTurn(self._asked)
        decision = self._script.send(self._answer)
        self._answer = self._asked = None
        match decision:
            case UseTool(name):
                self._asked = name
            case HandOver(to, _, enclosed):
                turn = Turn(self._role, decision)
                self._role, self._script = to, self._opening(enclosed)
                return turn
            case Finish() if self._explore:
                return self._begin_exploring(decision)
            case Finish():
                return self._finish(decision)
            case Think() | Plan():
                pass
        return Turn(self._role, decision)

    def learn(self, reply: Reply) -> None:
        """Take what the tool last asked for has answered: its result, or the `GeometryError` it raised."""
        if self._asked is None or self._answer is not None:
            raise OutOfTurn(None)
        self._answer = reply

    def stop(self) -> None:
        """Let the next turn be the last: the verdict, if there is one."""
        self._stopping = True

    def _finish(self, verdict: Finish) -> Turn:
        self._finished = True
        return Turn("planner", verdict)

    def _begin_exploring(self, verdict: Finish) -> Turn:
        """Keep the verdict for the end and let the engineer go on from the best design there is."""
        self._verdict = verdict
        text = f"The order is {verdict.outcome}: {verdict.reason}. While there is time, we look for better."
        turn = Turn(self._role, Think(text))
        self._role, self._script = "engineer", explore(self.problem, self._engineer.best)
        return turn

    def _opening(self, enclosed: Enclosure) -> Script:
        match enclosed:
            case Assignment():
                return self._engineer.take(enclosed)
            case Submission():
                return self._reviewer.check(enclosed)
            case ReviewDecision(accepted=True):
                return self._planner.close(enclosed)
            case ReviewDecision():
                return self._engineer.revise(enclosed)
            case Shortfall():
                return self._planner.reconsider(enclosed)
        assert_never(enclosed)
