"""The demo's team: real runs over real tools, from the problem to the verdict, and the endless search."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from traceback import extract_tb

import pytest

from stepstream.demo.bracket import Design, GeometryError, MassEstimate, make_geometry
from stepstream.demo.catalogue import Problem, material_named
from stepstream.demo.decision import (
    TOOLS,
    Finish,
    HandOver,
    Plan,
    Reply,
    ReviewDecision,
    Think,
    Turn,
    UseTool,
    WrongAnswer,
)
from stepstream.demo.mesh import measure_mesh
from stepstream.demo.policy import OutOfTurn, Team
from stepstream.demo.stress import SimulationResult, recheck, simulate

NUMBERS = range(21)


@dataclass
class Run:
    """What a driver saw: every turn, what the tools answered, and which designs they refused."""

    problem: Problem
    folder: Path
    turns: list[Turn] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    @property
    def errors(self) -> list[GeometryError]:
        return [reply for reply in self.replies if isinstance(reply, GeometryError)]

    @property
    def rejections(self) -> list[ReviewDecision]:
        return [reply for reply in self.replies if isinstance(reply, ReviewDecision) and not reply.accepted]

    @property
    def verdict(self) -> Finish:
        last = self.turns[-1].decision
        assert isinstance(last, Finish)
        return last

    def uses(self, name: str) -> list[UseTool]:
        """The calls of one tool, in order."""
        decisions = (turn.decision for turn in self.turns)
        return [use for use in decisions if isinstance(use, UseTool) and use.name == name]


def design_of(use: UseTool) -> Design:
    """The design a tool was called with."""
    design = use.arguments["design"]
    assert isinstance(design, Design)
    return design


def drive(team: Team) -> Iterator[tuple[Turn, Reply | None]]:
    """Run the tools a team asks for and yield each turn with what its tool answered."""
    for turn in team:
        reply: Reply | None = None
        if isinstance(turn.decision, UseTool):
            try:
                reply = TOOLS[turn.decision.name](**turn.decision.arguments)
            except GeometryError as error:
                reply = error
            team.learn(reply)
        yield turn, reply


def run(number: int, folder: Path) -> Run:
    """Drive one problem to its verdict."""
    result = Run(Problem.numbered(number), folder)
    for turn, reply in drive(Team(result.problem, folder)):
        result.turns.append(turn)
        if reply is not None:
            result.replies.append(reply)
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Problems 0 to 20, each run once."""
    return [run(number, tmp_path_factory.mktemp(f"problem-{number}")) for number in NUMBERS]


def accepted(runs: list[Run]) -> list[Run]:
    """The runs whose design was accepted."""
    return [run for run in runs if run.verdict.outcome == "accepted"]


class TestOutcomes:
    """What comes of the numbered problems."""

    def test_every_problem_ends_with_a_verdict(self, runs: list[Run]) -> None:
        """Each run ends, and only once, accepted or rejected, with a score and a reason."""
        for run in runs:
            finishes = [turn.decision for turn in run.turns if isinstance(turn.decision, Finish)]
            assert finishes == [run.verdict]
            assert run.verdict.outcome in {"accepted", "rejected"}
            assert 0.0 <= run.verdict.score <= 1.0
            assert run.verdict.reason

    def test_some_are_accepted_and_some_cannot_be_met(self, runs: list[Run]) -> None:
        """Most problems have a design that is accepted; a few ask for what cannot be had."""
        outcomes = Counter(run.verdict.outcome for run in runs)
        assert outcomes["accepted"] > 10
        assert outcomes["rejected"] >= 1

    def test_paths_differ(self, runs: list[Run]) -> None:
        """Some problems are settled by two simulations, others take more than ten."""
        counts = [len(run.uses("simulate")) for run in runs]
        assert min(counts) <= 2
        assert max(counts) >= 10

    def test_accepted_designs_hold(self, runs: list[Run]) -> None:
        """What was accepted meets every limit, calculated anew, in its last mesh as in the simulation."""
        for run in accepted(runs):
            problem, export = run.problem, run.uses("export_mesh")[-1]
            design, path = design_of(export), export.arguments["path"]
            assert isinstance(path, Path)
            first, second = simulate(design, problem.load_n), recheck(design, problem.load_n)
            mass_g = measure_mesh(path).volume_mm3 * material_named(design.material).density_kg_m3 * 1e-6
            assert mass_g <= problem.mass_max_g
            assert first.deflection_mm <= problem.deflection_max_mm
            assert min(first.safety_factor, second.safety_factor) >= problem.safety_min

    def test_what_cannot_be_met_is_said_with_figures(self, runs: list[Run]) -> None:
        """A rejected order names how many designs were tried and how near the lightest came."""
        rejected = [run for run in runs if run.verdict.outcome == "rejected"]
        for run in rejected:
            assert f"none of {len(run.uses('simulate'))} designs" in run.verdict.reason
            assert run.verdict.score < 0.5


class TestFailuresAndRecovery:
    """Tools that refuse, and a reviewer who does."""

    def test_tools_fail_for_real_and_the_engineer_recovers(self, runs: list[Run]) -> None:
        """Accepted runs met a GeometryError raised inside the geometry, and went on with another design."""
        recovered = [run for run in accepted(runs) if run.errors]
        assert recovered
        for run in recovered:
            for error in run.errors:
                frames = extract_tb(error.__traceback__)
                assert frames[-1].filename.endswith("bracket.py")
                assert len(frames) > 2

    def test_several_kinds_of_failure_occur(self, runs: list[Run]) -> None:
        """Missing stock, tight bends, bends under washers and narrow plates all occur among the problems."""
        kinds = {type(error).__name__ for run in runs for error in run.errors}
        assert {"StockThicknessMissing", "BendTooTight", "BendUnderWasher", "PlateTooNarrow"} <= kinds

    def test_a_refused_design_is_not_asked_for_again(self, runs: list[Run]) -> None:
        """A design that cannot be made is asked for once in a run."""
        for run in runs:
            refused = []
            for use in run.uses("make_geometry"):
                try:
                    make_geometry(design_of(use))
                except GeometryError:
                    refused.append(design_of(use))
            assert len(refused) == len(set(refused)) == len(run.errors)

    def test_the_thought_after_a_failure_cites_it(self, runs: list[Run]) -> None:
        """What the engineer thinks next repeats the error's message."""
        for run in runs:
            errors = iter(run.errors)
            thoughts = [turn.decision.text for turn in run.turns if isinstance(turn.decision, Think)]
            assert all(any(str(error) in thought for thought in thoughts) for error in errors)

    def test_the_reviewer_sends_some_designs_back(self, runs: list[Run]) -> None:
        """Some accepted designs were rejected first, for a reason with figures, and came back changed."""
        revised = [run for run in accepted(runs) if run.rejections]
        assert revised
        for run in revised:
            exports = run.uses("export_mesh")
            assert len(exports) == len(run.rejections) + 1
            assert design_of(exports[0]) != design_of(exports[-1])
            assert all(re.search(r"\d", reason) for decision in run.rejections for reason in decision.reasons)

    def test_some_designs_pass_at_once(self, runs: list[Run]) -> None:
        """Some designs are accepted by the reviewer the first time."""
        assert any(not run.rejections for run in accepted(runs))


class TestDecisions:
    """What is decided, and from what."""

    def test_three_roles_take_turns(self, runs: list[Run]) -> None:
        """Every accepted run goes from the planner over the engineer and the reviewer back to the planner."""
        for run in accepted(runs):
            roles = [turn.role for turn in run.turns]
            changes = [roles[0], *(after for before, after in pairwise(roles) if before != after)]
            assert (changes[0], changes[1], changes[-2], changes[-1]) == (
                "planner",
                "engineer",
                "reviewer",
                "planner",
            )
            assert any(isinstance(turn.decision, Plan) for turn in run.turns)

    def test_a_handover_changes_the_role(self, runs: list[Run]) -> None:
        """The turn after a handover belongs to the role it went to, and no other turn changes the role."""
        for run in runs:
            for before, after in pairwise(run.turns):
                expected = before.decision.to if isinstance(before.decision, HandOver) else before.role
                assert after.role == expected

    def test_thoughts_cite_figures(self, runs: list[Run]) -> None:
        """Nearly every thought has a number in it."""
        thoughts = [t.decision.text for run in runs for t in run.turns if isinstance(t.decision, Think)]
        assert sum(bool(re.search(r"\d", text)) for text in thoughts) / len(thoughts) > 0.95

    def test_the_simulated_stress_is_what_is_thought_about(self, runs: list[Run]) -> None:
        """The thought after a simulation quotes the stress that simulation found."""
        run = runs[0]
        stresses = [
            f"{reply.max_stress_mpa:.0f} MPa" for reply in run.replies if isinstance(reply, SimulationResult)
        ]
        thoughts = " ".join(turn.decision.text for turn in run.turns if isinstance(turn.decision, Think))
        assert stresses
        assert all(stress in thoughts for stress in stresses)

    def test_decisions_follow_the_results(self, tmp_path: Path) -> None:
        """A scale that shows double makes the same team decide otherwise."""
        usual = run(4, tmp_path)
        team, decisions = Team(Problem.numbered(4), tmp_path), []
        for turn in team:
            decisions.append(turn.decision)
            if isinstance(turn.decision, UseTool):
                try:
                    reply: Reply = TOOLS[turn.decision.name](**turn.decision.arguments)
                except GeometryError as error:
                    reply = error
                if isinstance(reply, MassEstimate):
                    reply = reply.model_copy(update={"mass_g": 2.0 * reply.mass_g})
                team.learn(reply)
        assert usual.verdict.outcome == "accepted"
        assert decisions != [turn.decision for turn in usual.turns]

    def test_runs_are_deterministic(self, runs: list[Run], tmp_path: Path) -> None:
        """The same problem brings the same decisions and results, wherever it runs."""
        for number in (0, 3):
            again = run(number, tmp_path)
            first = [repr(turn).replace(str(runs[number].folder), "") for turn in runs[number].turns]
            assert [repr(turn).replace(str(tmp_path), "") for turn in again.turns] == first
            assert [repr(reply) for reply in again.replies] == [repr(reply) for reply in runs[number].replies]

    def test_files_are_written(self, runs: list[Run]) -> None:
        """A run leaves the solver's log and a mesh for every submission in its folder, and nothing else."""
        for run in runs:
            names = sorted(path.name for path in run.folder.iterdir())
            meshes = [f"{run.problem.name}-v{index + 1}.stl" for index in range(len(run.uses("export_mesh")))]
            assert names == sorted([f"{run.problem.name}.log", *meshes])


class TestDriving:
    """The seam between a team and whoever drives it."""

    def test_a_tool_must_be_answered(self, tmp_path: Path) -> None:
        """A team that is not told what its tool answered refuses to go on."""
        team = Team(Problem.numbered(0), tmp_path)
        while not isinstance(next(team).decision, UseTool):
            pass
        with pytest.raises(OutOfTurn, match="search_catalogue"):
            next(team)

    def test_an_answer_nobody_asked_for_is_refused(self, tmp_path: Path) -> None:
        """A team takes no answer before it has asked."""
        with pytest.raises(OutOfTurn):
            Team(Problem.numbered(0), tmp_path).learn(
                MassEstimate(volume_mm3=1.0, mass_g=1.0, material_eur=1.0)
            )

    def test_an_answer_of_the_wrong_kind_is_refused(self, tmp_path: Path) -> None:
        """A team says which tool should have answered and what came instead."""
        team = Team(Problem.numbered(0), tmp_path)
        while not isinstance(next(team).decision, UseTool):
            pass
        team.learn(MassEstimate(volume_mm3=1.0, mass_g=1.0, material_eur=1.0))
        with pytest.raises(
            WrongAnswer, match="search_catalogue answers with CatalogueAnswer, not MassEstimate"
        ):
            next(team)

    def test_a_finished_team_stays_finished(self, tmp_path: Path) -> None:
        """After the verdict there is no further turn."""
        team = Team(Problem.numbered(4), tmp_path)
        assert list(drive(team))
        assert list(team) == []

    def test_a_team_can_be_stopped_before_its_verdict(self, tmp_path: Path) -> None:
        """A team that is stopped early ends with the next turn, without a verdict."""
        team = Team(Problem.numbered(0), tmp_path)
        list(islice(drive(team), 5))
        team.stop()
        assert [turn.decision for turn, _ in drive(team)] == [
            Finish("stopped", 0.0, "stopped before a verdict")
        ]


class TestExploration:
    """The endless variant, a load generator of real work."""

    def test_exploring_goes_on_until_stopped_and_keeps_the_verdict(self, tmp_path: Path) -> None:
        """After the verdict the team tries variants for as long as it is let, then ends with that verdict."""
        usual = run(4, tmp_path).verdict
        team = Team(Problem.numbered(4), tmp_path, explore=True)
        turns = [turn for turn, _ in islice(drive(team), 3000)]
        team.stop()
        assert len(turns) == 3000
        assert [turn.decision for turn in team] == [usual]

    def test_exploring_evaluates_for_real(self, tmp_path: Path) -> None:
        """Most variants are screened, some cannot be made, and what is reported as best gets lighter."""
        team = Team(Problem.numbered(4), tmp_path, explore=True)
        seen = list(islice(drive(team), 3000))
        replies = [reply for turn, reply in seen if getattr(turn.decision, "name", "") == "screen"]
        refused = sum(isinstance(reply, GeometryError) for reply in replies)
        assert len(replies) > 2500
        assert 0.02 < refused / len(replies) < 0.6
        assert len({repr(reply) for reply in replies}) > 1000

    def test_exploring_works_without_an_accepted_design(self, tmp_path: Path) -> None:
        """A problem that cannot be met is explored too, and still ends as rejected."""
        team = Team(Problem.numbered(3), tmp_path, explore=True)
        list(islice(drive(team), 500))
        team.stop()
        assert next(team).decision == run(3, tmp_path).verdict
