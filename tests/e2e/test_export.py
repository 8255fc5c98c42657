"""Export and snapshot: files that are whole, consistent and readable by others."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepstream.reading.history import History
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


def steps_of(database: Path) -> list[Step]:
    """Every step of a history."""
    with History.open(database) as history:
        return history.steps(limit=None)


class TestJsonLines:
    """One Step a line."""

    def test_every_line_reads_back_as_its_step(self, stepstream: CommandLine, recorded: Path) -> None:
        """The file holds every step, and each line is validated into the very step that was read."""
        done = stepstream("export", "--jsonl", "steps.jsonl", "--db", recorded)
        lines = (stepstream.directory / "steps.jsonl").read_text("utf-8").splitlines()

        assert (done.code, done.out) == (0, "")
        assert [Step.model_validate_json(line).model_dump() for line in lines] == [
            step.model_dump() for step in steps_of(recorded)
        ]

    def test_stdout_is_the_file(self, stepstream: CommandLine, recorded: Path) -> None:
        """A dash writes the same lines to stdout and no word beside them."""
        stepstream("export", "--jsonl", "steps.jsonl", "--db", recorded)
        done = stepstream("export", "--jsonl", "-", "--db", recorded)

        assert done.out == (stepstream.directory / "steps.jsonl").read_text("utf-8")
        assert done.err == ""

    def test_many_pages(self, stepstream: CommandLine) -> None:
        """A history of several pages is exported whole, each step once."""
        stepstream("demo", "--steps", "2500", "--quiet", "--db", "history.db")
        lines = stepstream("export", "--jsonl", "-").out.splitlines()

        assert [json.loads(line)["cursor"] for line in lines] == list(range(1, 2501))

    def test_an_episode_and_a_filter(self, stepstream: CommandLine, recorded: Path) -> None:
        """Only what was asked for is exported."""
        done = stepstream("export", "kind:tool_call", "--episode", "@last", "--jsonl", "-", "--db", recorded)
        (latest, *_) = stepstream("ls", "--jsonl", "--db", recorded).json_lines()

        lines = [json.loads(line) for line in done.out.splitlines()]
        assert {(line["kind"], line["episode_id"]) for line in lines} == {("tool_call", latest["id"])}

    def test_an_existing_file_is_replaced_whole(self, stepstream: CommandLine, recorded: Path) -> None:
        """A file of that name is replaced in one moment, and nothing else is left in the directory."""
        target = stepstream.directory / "steps.jsonl"
        target.write_text("old")
        report = stepstream("export", "--jsonl", target, "--json", "--db", recorded).json()

        assert report == {
            "path": str(target),
            "steps": len(steps_of(recorded)),
            "bytes": target.stat().st_size,
        }
        assert [path.name for path in stepstream.directory.iterdir()] == ["steps.jsonl"]

    def test_a_failure_leaves_the_old_file(self, stepstream: CommandLine, recorded: Path) -> None:
        """When the export cannot be finished the old file stays as it was."""
        target = stepstream.directory / "steps.jsonl"
        target.write_text("old")
        done = stepstream("export", "nonsense:x", "--jsonl", target, "--db", recorded)

        assert done.code == 2
        assert target.read_text() == "old"
        assert [path.name for path in stepstream.directory.iterdir()] == ["steps.jsonl"]

    @pytest.mark.parametrize("suffix", ["", "-wal", "-spool/x.jsonl", "-artifacts/x.jsonl"])
    def test_the_history_is_never_written_over(
        self, stepstream: CommandLine, recorded: Path, suffix: str
    ) -> None:
        """The database, its log, its spool and its artifacts are refused as targets."""
        before = recorded.read_bytes()[:100]
        done = stepstream("export", "--jsonl", f"{recorded}{suffix}", "--db", recorded)

        assert done.code == 4
        assert "belongs to the history itself" in done.err
        assert recorded.read_bytes()[:100] == before

    def test_where_to_must_be_said(self, stepstream: CommandLine, recorded: Path) -> None:
        """No target, and two of them, are usage errors."""
        assert stepstream("export", "--db", recorded).code == 2
        assert stepstream("export", "--jsonl", "a", "--parquet", "b", "--db", recorded).code == 2


class TestParquet:
    """The columns of History.arrow in a file."""

    def test_rows_and_columns(self, stepstream: CommandLine, recorded: Path) -> None:
        """The file has a row a step, and its payloads are the steps' JSON."""
        parquet = pytest.importorskip("pyarrow.parquet")
        report = stepstream("export", "--parquet", "steps.parquet", "--json", "--db", recorded).json()
        table = parquet.read_table(stepstream.directory / "steps.parquet")
        steps = steps_of(recorded)

        assert report["steps"] == table.num_rows == len(steps)
        assert table.column("cursor").to_pylist() == [step.cursor for step in steps]
        assert [json.loads(text) for text in table.column("payload").to_pylist()] == [
            json.loads(step.payload.encoded()) for step in steps
        ]

    def test_a_missing_extra_is_named(self, stepstream: CommandLine, recorded: Path) -> None:
        """Without pyarrow the command says what to install, and writes nothing."""
        blocker = "import sys; sys.modules['pyarrow'] = None; from stepstream.cli.main import main; main()"
        done = stepstream.python("-c", blocker, "export", "--parquet", "x.parquet", "--db", recorded)

        assert done.code == 4
        assert "pip install 'stepstream[arrow]'" in done.err
        assert not list(stepstream.directory.iterdir())


class TestSnapshot:
    """A copy of the database."""

    def test_any_sqlite_opens_the_copy(self, stepstream: CommandLine, recorded: Path) -> None:
        """The copy is one sound file, for its owner only, that Python's own SQLite reads."""
        done = stepstream("snapshot", "copy.db", "--json", "--db", recorded)
        copy = stepstream.directory / "copy.db"
        connection = sqlite3.connect(copy)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM step").fetchone() == (done.json()["steps"],)
        finally:
            connection.close()

        assert [path.name for path in stepstream.directory.iterdir()] == ["copy.db"]
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert [step.model_dump() for step in steps_of(copy)] == [
            step.model_dump() for step in steps_of(recorded)
        ]

    def test_nothing_is_replaced_unasked(self, stepstream: CommandLine, recorded: Path) -> None:
        """A file that is there stays, unless it is said that it shall go."""
        target = stepstream.directory / "copy.db"
        target.write_text("precious")
        refused = stepstream("snapshot", target, "--db", recorded)

        assert (refused.code, target.read_text()) == (4, "precious")
        assert "--force" in refused.err
        assert stepstream("snapshot", target, "--force", "--db", recorded).code == 0
        assert target.read_bytes().startswith(b"SQLite format 3")

    def test_the_history_is_no_target(self, stepstream: CommandLine, recorded: Path) -> None:
        """The database itself is refused even with force, and so is a directory."""
        assert stepstream("snapshot", recorded, "--force", "--db", recorded).code == 4
        assert stepstream("snapshot", stepstream.directory, "--db", recorded).code == 2

    def test_a_copy_under_load_is_the_database_at_a_cursor(self, stepstream: CommandLine) -> None:
        """Taken while an agent logs, the copy holds exactly the steps up to one cursor, and verifies."""
        load = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "stepstream",
                "demo",
                "--steps",
                "100000",
                "--rate",
                "1500",
                "--db",
                "history.db",
                "-q",
            ],
            cwd=stepstream.directory,
            env=stepstream.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            stepstream.follow("tail", "-f", "kind:thought").read_until("Design bracket-14")
            copies = [stepstream.directory / f"copy{number}.db" for number in range(3)]
            reports = [stepstream("snapshot", copy, "--json").json() for copy in copies]
        finally:
            load.kill()
            load.wait(30)
        whole = steps_of(stepstream.directory / "history.db")

        assert len({report["cursor"] for report in reports}) == 3
        for copy, report in zip(copies, reports, strict=True):
            cursor = int(str(report["cursor"]))
            assert [step.id for step in steps_of(copy)] == [
                step.id for step in whole if step.cursor <= cursor
            ]
            assert stepstream("verify", "--db", copy).code == 0

    def test_the_copy_begins_an_epoch_when_it_is_recorded_into(
        self, stepstream: CommandLine, recorded: Path
    ) -> None:
        """Recording into a copy goes on behind its last cursor, under an epoch of its own."""
        stepstream("snapshot", "copy.db", "--db", recorded)
        copy = stepstream.directory / "copy.db"
        with History.open(copy) as history:
            before = history.info()
        stepstream.python(
            "-c", "from stepstream import episode\nwith episode('more'): pass", STEPSTREAM_DB=str(copy)
        )
        stepstream("ls", "--db", copy)
        with History.open(copy) as history:
            after = history.info()

        assert after.database_id == before.database_id
        assert after.epoch != before.epoch
        assert after.last_cursor == before.last_cursor + 2
