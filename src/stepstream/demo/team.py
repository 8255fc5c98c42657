"""The team at work, recorded: what any project would write around its own agents and tools.

Roles are agents, tools are decorated functions, meshes and the solver's log are attached, handing over and
judging are steps. Knows the public interface of stepstream and the team's decisions; not how either works.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, assert_never

from stepstream.demo import decision as decisions
from stepstream.demo import mesh, stress
from stepstream.demo.bracket import Design, GeometryError, estimate_mass, make_geometry
from stepstream.demo.catalogue import Material, Problem, search_catalogue
from stepstream.demo.decision import Finish, HandOver, Plan, Think, UseTool
from stepstream.demo.mesh import MeshReport, measure_mesh
from stepstream.demo.policy import Team
from stepstream.demo.steps import ReviewDecision, SimulationResult
from stepstream.demo.stress import Recheck, recheck, screen
from stepstream.schemas.kinds import Feedback, Handoff, PlanItem, PlanStatus, PlanUpdate, Thought
from stepstream.sdk.agent import agent
from stepstream.sdk.current import attach, log_event
from stepstream.sdk.tool import tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stepstream.demo.decision import Decision, Reply, ToolName, ToolResult
    from stepstream.schemas.step import StepRef
    from stepstream.sdk.episode_scope import EpisodeScope
    from stepstream.sdk.provider import ObservabilityProvider

_STEPS_OF_A_DECISION = 4
_STEPS_OF_THE_END = 2
STEPS_MIN = 8
"""An episode of the demo has at least so many steps."""


@tool(exclude=("log_path",))
def simulate(design: Design, load_n: float, log_path: Path | None = None) -> stress.SimulationResult:
    """Compute stress and deflection, refining until they settle."""
    result = stress.simulate(design, load_n, log_path)
    log_event(SimulationResult.of(design, result))
    return result


@tool
def export_mesh(design: Design, path: Path) -> MeshReport:
    """Write the design's surface as STL."""
    report = mesh.export_mesh(design, path)
    attach(path)
    return report


@tool
def review(
    problem: Problem, material: Material, mesh: MeshReport, second: Recheck, deflection_mm: float
) -> decisions.ReviewDecision:
    """Judge a design by its mesh and the second method."""
    verdict = decisions.review(problem, material, mesh, second, deflection_mm)
    log_event(ReviewDecision.of(verdict))
    return verdict


_TOOLS: Mapping[ToolName, Callable[..., ToolResult]] = {
    "search_catalogue": tool(search_catalogue),
    "make_geometry": tool(make_geometry),
    "estimate_mass": tool(estimate_mass),
    "simulate": simulate,
    "screen": tool(screen),
    "export_mesh": export_mesh,
    "measure_mesh": tool(measure_mesh),
    "recheck": tool(recheck),
    "review": review,
}


class Verdict(NamedTuple):
    """How a run ended.

    Attributes:
        episode_id: The episode.
        outcome: ``accepted``, ``rejected`` or ``stopped``.
        score: How good the design is, from 0 to 1.
        reason: The figures.
        steps: How many steps were logged.
    """

    episode_id: str
    outcome: str
    score: float
    reason: str
    steps: int


class Run:
    """One problem, worked out by a team and recorded as one episode."""

    def __init__(
        self,
        provider: ObservabilityProvider,
        problem: Problem,
        folder: Path,
        *,
        steps: int | None = None,
        pace: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            provider: Where it is recorded.
            problem: What is to be designed.
            folder: An existing directory for meshes and the solver's log.
            steps: Log exactly so many, trying further designs until then; None ends with the verdict.
            pace: Called before every decision with the steps logged so far; may wait.

        Raises:
            ValueError: Fewer steps are asked for than an episode has.
        """
        if steps is not None and steps < STEPS_MIN:
            raise ValueError(f"an episode of the demo has at least {STEPS_MIN} steps, not {steps}")
        self._provider = provider
        self._problem = problem
        self._log = folder / f"{problem.name}.log"
        self._limit = steps
        self._pace = pace
        self._team = Team(problem, folder, explore=steps is not None)
        self._agents = {role: agent(role, role=role) for role in ("planner", "engineer", "reviewer")}
        self._logged = 0
        self._plan: tuple[str, ...] = ()
        self._submission: StepRef | None = None

    def stop(self) -> None:
        """End after the decision that is being carried out; may be called from any thread."""
        self._team.stop()

    def record(self) -> Verdict:
        """Work the problem out."""
        problem = self._problem
        with self._provider.episode(
            f"Design {problem.name}",
            agent="planner",
            role="planner",
            problem=problem.name,
            tags=("demo",),
        ) as episode:
            self._logged = 1
            finish = Finish("stopped", 0.0, "it never began")
            for role, decision in self._team:
                if self._pace is not None:
                    self._pace(self._logged)
                if isinstance(decision, Finish):
                    finish = decision
                    break
                if self._is_near_the_end():
                    self._team.stop()
                    continue
                with self._agents[role]:
                    self._carry_out(role, decision)
            with self._agents["planner"]:
                self._end(episode, finish)
        return Verdict(episode.id, finish.outcome, finish.score, finish.reason, self._logged)

    def _is_near_the_end(self) -> bool:
        reserved = _STEPS_OF_A_DECISION + _STEPS_OF_THE_END
        return self._limit is not None and self._logged + reserved > self._limit

    def _carry_out(self, role: str, decision: Decision) -> None:
        match decision:
            case Think(text):
                self._event(Thought(text=text))
            case Plan(items):
                self._plan = items
                self._tell_plan(0)
            case UseTool(name, arguments):
                self._team.learn(self._use(name, arguments))
            case HandOver():
                self._hand_over(role, decision)
            case Finish():
                pass
            case _:
                assert_never(decision)

    def _use(self, name: ToolName, arguments: Mapping[str, object]) -> Reply:
        """Call a tool; what it refuses is an answer to learn from."""
        self._logged += 2
        try:
            reply = _TOOLS[name](**arguments)
        except GeometryError as error:
            return error
        self._logged += name in {"simulate", "export_mesh", "review"}
        return reply

    def _hand_over(self, role: str, decision: HandOver) -> None:
        step = self._event(
            Handoff(recipient=decision.to, recipient_role=decision.to, message=decision.message)
        )
        match decision.enclosed:
            case decisions.Assignment():
                self._tell_plan(1)
            case decisions.Submission():
                self._submission = step
                self._tell_plan(3)
            case decisions.ReviewDecision() as verdict:
                self._event(
                    Feedback(
                        author=role,
                        target=None if self._submission is None else self._submission.id,
                        score=verdict.score,
                        label="accepted" if verdict.accepted else "rejected",
                        comment="; ".join(verdict.reasons) or None,
                    )
                )
                self._tell_plan(4 if verdict.accepted else 1)
            case decisions.Shortfall():
                pass

    def _tell_plan(self, active: int) -> None:
        """The plan as it stands: what comes before the active item, counted from 1, is done."""
        if self._plan:
            items = tuple(
                PlanItem(text=text, status=_plan_status(number, active))
                for number, text in enumerate(self._plan, start=1)
            )
            self._event(PlanUpdate(items=items))

    def _event(self, payload: Thought | PlanUpdate | Handoff | Feedback) -> StepRef:
        self._logged += 1
        return log_event(payload)

    def _end(self, episode: EpisodeScope, finish: Finish) -> None:
        """Attach the solver's log and say how it went; where a number of steps was asked for, fill it up."""
        has_log = self._log.exists()
        while self._limit is not None and self._logged + has_log + 1 < self._limit:
            self._event(Thought(text=f"{self._limit} steps were asked for; I stop here."))
        if has_log:
            episode.attach(self._log)
            self._logged += 1
        ending = "truncated" if finish.outcome == "stopped" else "terminated"
        episode.finish(finish.outcome, score=finish.score, reason=finish.reason, ending=ending)
        self._logged += 1


def _plan_status(number: int, active: int) -> PlanStatus:
    if number < active:
        return PlanStatus.DONE
    return PlanStatus.ACTIVE if number == active else PlanStatus.PENDING


class Pace:
    """Waits so that steps are logged at a rate, however long each takes."""

    def __init__(self, steps_a_second: float) -> None:
        """Begin now.

        Args:
            steps_a_second: How many; more than 0.
        """
        self._interval_s = 1.0 / steps_a_second
        self._began = time.monotonic()
        self._before = 0

    def begin_another(self, steps: int) -> None:
        """Another episode begins; so many steps were logged in all before it."""
        self._before = steps

    def __call__(self, steps: int) -> None:
        """Wait until so many steps of this episode are due."""
        due = self._began + (self._before + steps) * self._interval_s
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
