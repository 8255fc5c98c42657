"""``demo``: real work, watched; and the load generator."""

from __future__ import annotations

import json
import re
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from stepstream.demo.mesh import measure_mesh
from stepstream.reading.history import History
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import ArtifactAttached, Feedback, Handoff, PlanUpdate, ToolCall
from stepstream.schemas.record import JsonObject
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


@pytest.fixture(scope="module")
def steps(recorded: Path) -> list[Step]:
    """The steps of problem 14, which meets a failure, is sent back once and then accepted."""
    with History.open(recorded) as history:
        (episode,) = history.episodes(filter="problem:bracket-14")
        return history.steps(episode=episode.id, limit=None)


class TestRecorded:
    """What the demo's team leaves behind."""

    def test_three_roles_hand_the_work_on(self, steps: list[Step]) -> None:
        """Planner, engineer and reviewer act in their roles, and hand the work to each other."""
        handoffs = [
            (step.role, step.payload.recipient_role) for step in steps if isinstance(step.payload, Handoff)
        ]

        assert {step.role for step in steps} == {"planner", "engineer", "reviewer"}
        assert handoffs == [
            ("planner", "engineer"),
            ("engineer", "reviewer"),
            ("reviewer", "engineer"),
            ("engineer", "reviewer"),
            ("reviewer", "planner"),
        ]

    def test_a_tool_fails_and_the_team_goes_on(self, steps: list[Step]) -> None:
        """A genuine failure closes its tool call with a traceback, and a later call of the tool succeeds."""
        calls = {step.id: step for step in steps if isinstance(step.payload, ToolCall)}
        failures = [step for step in steps if isinstance(step.payload, ErrorReport)]

        assert failures
        for failure in failures:
            assert isinstance(failure.payload, ErrorReport)
            call = calls[failure.closes or ""]
            assert failure.payload.traceback is not None
            assert "in make_geometry" in failure.payload.traceback
            later = [
                step.sequence
                for step in steps
                if step.kind == "observation"
                and cast("ToolCall", calls[step.closes or ""].payload).tool
                == cast("ToolCall", call.payload).tool
            ]
            assert max(later) > failure.sequence

    def test_the_plan_follows_the_work(self, steps: list[Step]) -> None:
        """The plan is stated, kept up to date, and done in the end."""
        plans = [step.payload for step in steps if isinstance(step.payload, PlanUpdate)]

        assert [item.status for item in plans[0].items] == ["pending"] * 3
        assert [item.status for item in plans[-1].items] == ["done"] * 3

    def test_the_reviewer_judges_what_was_handed_in(self, steps: list[Step]) -> None:
        """Feedback with a score is aimed at the very step with which the engineer handed the design in."""
        judged = [step.payload for step in steps if isinstance(step.payload, Feedback)]
        targets = {step.id: step for step in steps}

        assert [feedback.label for feedback in judged] == ["rejected", "accepted"]
        assert all(isinstance(targets[feedback.target or ""].payload, Handoff) for feedback in judged)
        assert judged[-1].score == pytest.approx(0.558)

    def test_the_mesh_is_a_real_one(self, steps: list[Step], recorded: Path, tmp_path: Path) -> None:
        """The attached STL is a closed surface of as many triangles as it states; the log tells of passes."""
        files = {
            step.payload.artifact.name: step.payload.artifact
            for step in steps
            if isinstance(step.payload, ArtifactAttached)
        }
        stored = {
            name: Path(f"{recorded}-artifacts", file.sha256[:2], file.sha256[2:]).read_bytes()
            for name, file in files.items()
        }
        mesh = stored["bracket-14-v2.stl"]
        (tmp_path / "mesh.stl").write_bytes(mesh)

        assert len(mesh) == 84 + 50 * struct.unpack_from("<I", mesh, 80)[0]
        assert measure_mesh(tmp_path / "mesh.stl").watertight
        assert b"pass" in stored["bracket-14.log"] or b"stations" in stored["bracket-14.log"]

    def test_its_own_kinds_are_nested_in_their_calls(self, steps: list[Step]) -> None:
        """What a simulation found and a review decided are kinds of its own, under the call that did it."""
        tools = {step.id: step.payload.tool for step in steps if isinstance(step.payload, ToolCall)}

        assert {tools[step.parent_id or ""] for step in steps if step.kind == "bracket_simulation"} == {
            "simulate"
        }
        assert {tools[step.parent_id or ""] for step in steps if step.kind == "bracket_review"} == {"review"}


class TestWatched:
    """The run a person sees."""

    def test_it_is_shown_live_and_ends_with_what_to_do_next(self, stepstream: CommandLine) -> None:
        """Lines go by while it works; it ends with the verdict and commands that can be pasted and run."""
        done = stepstream("demo", "--speed", "20")
        *commands, serving = re.findall(r"^  stepstream (.+)$", done.err, re.MULTILINE)

        assert done.code == 0
        # It serves until it is interrupted; tests/e2e/test_page.py starts it.
        assert serving == "serve --open --db stepstream-demo/history.db"
        assert re.search(r"engineer  ✗ make_geometry StockThicknessMissing: ", done.out)
        assert "accepted: 760 g of 860 g" in done.err
        assert [stepstream(*command.split()).code for command in commands] == [0, 0]

    def test_every_step_is_shown_once(self, stepstream: CommandLine) -> None:
        """The lines are as many as the steps in the database."""
        done = stepstream("demo", "--speed", "20", "--problem", "9")
        (episode,) = stepstream("ls", "--jsonl", "--db", "stepstream-demo/history.db").json_lines()

        assert len(done.out.splitlines()) == episode["steps"]

    def test_it_keeps_to_its_own_directory(self, stepstream: CommandLine) -> None:
        """A person's own history is not touched, whatever the environment says, and meshes can be opened."""
        stepstream(
            "demo", "--quiet", "--problem", "9", STEPSTREAM_DB=str(stepstream.directory / "history.db")
        )

        assert [path.name for path in stepstream.directory.iterdir()] == ["stepstream-demo"]
        assert (stepstream.directory / "stepstream-demo" / "bracket-9-v1.stl").exists()
        assert (stepstream.directory / "stepstream-demo" / "history.db").exists()

    def test_two_runs_decide_alike(self, stepstream: CommandLine) -> None:
        """Decisions depend on the tools' results alone: two runs log the same steps."""
        for _ in range(2):
            stepstream("demo", "--quiet", "--problem", "9", "--db", "history.db")
        with History.open(stepstream.directory / "history.db") as history:
            runs = [history.steps(episode=episode.id, limit=None) for episode in history.episodes()]
        told = [
            [
                (step.kind, step.role, re.sub(r"/tmp/[^\"]*/", "", step.payload.encoded().decode()))
                for step in run
            ]
            for run in runs
        ]
        without_files = [
            [step for step in run if step[0] not in {"error_report", "feedback", "artifact_attached"}]
            for run in told
        ]

        assert without_files[0] == without_files[1]

    def test_it_can_be_interrupted(self, stepstream: CommandLine) -> None:
        """Ctrl-C ends the episode in order, with code 130 and no traceback."""
        following = stepstream.at_terminal("demo", "--speed", "0.5")
        following.read_until("Limits: 860 g")
        code = following.interrupt()
        (episode,) = stepstream("ls", "--jsonl", "--db", "stepstream-demo/history.db").json_lines()

        assert code == 130
        assert "Traceback" not in following.text
        assert (episode["status"], episode["outcome"]) == ("completed", "stopped")

    def test_without_a_committer_it_still_ends(self, stepstream: CommandLine) -> None:
        """Where nobody may commit it cannot be shown live, but it works, ends and says what is missing."""
        done = stepstream("demo", STEPSTREAM_COMMITTER="none")

        assert done.code == 0
        assert "not all of it is in the database" in done.err


class TestLoad:
    """The load generator."""

    def test_the_number_of_steps_is_exact(self, stepstream: CommandLine) -> None:
        """So many steps are asked for, so many are in the database, shared out among the episodes."""
        report = stepstream(
            "demo", "--steps", "1001", "--episodes", "3", "--json", "--db", "history.db"
        ).json()
        listed = stepstream("ls", "--jsonl").json_lines()

        assert (report["steps"], report["refused"], report["is_committed"]) == (1001, 0, True)
        assert sorted(int(str(episode["steps"])) for episode in listed) == [333, 334, 334]
        assert stepstream("verify", "--json").json()["steps"] == 1001

    @pytest.mark.parametrize("steps", [8, 9, 17, 60])
    def test_few_steps_are_exact_too(self, stepstream: CommandLine, steps: int) -> None:
        """However few steps there may be, the episode begins, ends and has exactly so many."""
        stepstream("demo", "--steps", str(steps), "--quiet", "--db", "history.db")
        (episode,) = stepstream("ls", "--jsonl").json_lines()

        assert (episode["steps"], episode["status"]) == (steps, "completed")

    def test_too_few_steps_are_refused(self, stepstream: CommandLine) -> None:
        """Fewer steps than an episode has are a usage error."""
        assert stepstream("demo", "--steps", "3", "--db", "history.db").code == 2

    def test_the_rate_is_kept(self, stepstream: CommandLine) -> None:
        """At a rate, a number of steps takes the time that the rate says."""
        stepstream("--version")
        began = time.monotonic()
        done = stepstream("demo", "--steps", "200", "--rate", "100", "--json", "--db", "history.db")
        took = time.monotonic() - began

        with History.open(stepstream.directory / "history.db") as history:
            steps = history.steps(limit=None)
        logged_s = (steps[-1].occurred_at - steps[0].occurred_at) / 1e9
        assert done.json()["steps"] == 200
        assert 1.8 < logged_s < 4.0
        assert took < 20

    def test_episodes_are_different_problems(self, stepstream: CommandLine) -> None:
        """Several episodes are several orders, each with its verdict."""
        done = stepstream("demo", "--episodes", "2", "--problem", "1", "--json", "--db", "history.db")
        episodes = cast("list[JsonObject]", json.loads(done.out)["episodes"])
        listed = stepstream("ls", "--jsonl").json_lines()

        assert [episode["outcome"] for episode in episodes] == ["accepted", "accepted"]
        assert {episode["problem"] for episode in listed} == {"bracket-1", "bracket-2"}
