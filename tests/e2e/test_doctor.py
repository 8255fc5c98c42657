"""``doctor``, ``verify``, ``init``, ``migrate`` and ``spool``: what is wrong is named with what mends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import apsw
import pytest
from tests.support.command_line import wait_for

from stepstream.schemas.record import JsonObject
from stepstream.settings import BackupSettings, Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import CommandLine, Done

    Run = Callable[..., Done]

LOG = "from stepstream import Thought, episode\nwith episode('{}') as e: e.log_event(Thought(text='x'))\n"
WAIT = """
from stepstream import Thought, episode
with episode('open') as e:
    e.log_event(Thought(text='x'))
    print('ready', flush=True)
    input()
"""


def checks(done: Done) -> dict[str, JsonObject]:
    """What the doctor found, by name."""
    report = cast("JsonObject", json.loads(done.out))
    return {str(check["name"]): check for check in cast("list[JsonObject]", report["checks"])}


@pytest.fixture
def copy(inside: Run, tmp_path: Path, recorded: Path) -> Path:
    """A copy of the recorded history in the test's own directory."""
    path = tmp_path / "history.db"
    assert inside("snapshot", path, "--db", recorded).code == 0
    return path


def change(database: Path, sql: str) -> None:
    """Do to a database what stepstream never would."""
    connection = apsw.Connection(str(database))
    connection.execute(sql)
    connection.close()


class TestDoctor:
    """Every line is ok, warn or fail, with the fix."""

    def test_a_sound_history(self, inside: Run, recorded: Path) -> None:
        """Around a sound history every check passes, for people and as JSON."""
        people = inside("doctor", "--db", recorded)
        report = inside("doctor", "--json", "--db", recorded).json()

        assert people.code == 0
        assert all(line.startswith("✓ ok") for line in people.out.splitlines())
        assert report["is_sound"] is True
        assert {check["level"] for check in cast("list[JsonObject]", report["checks"])} == {"ok"}

    def test_before_anything_is_recorded(self, inside: Run, tmp_path: Path) -> None:
        """Without a database the command that makes one is named, nothing fails and nothing is created."""
        done = inside("doctor")

        assert done.code == 0
        assert "→ stepstream init\n" in done.out
        assert not list(tmp_path.iterdir())

    def test_a_stopped_committer(self, stepstream: CommandLine) -> None:
        """A committer that is stopped is a failure with the command that wakes it."""
        agent = stepstream.agent(WAIT)
        assert agent.stdout is not None
        agent.stdout.readline()
        stepstream("ls")
        spool = SpoolDirectory(stepstream.directory / "history.db", create=False)
        status = read_status(spool)
        spool.close()
        assert status is not None
        os.kill(status.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: not status.is_fresh(), "the silence of a stopped committer")
            done = stepstream("doctor", "--json")
        finally:
            os.kill(status.pid, signal.SIGCONT)
            agent.communicate("\n", timeout=30)

        assert done.code == 1
        assert checks(done)["committer"]["level"] == "fail"
        assert f"kill -CONT {status.pid}" in str(checks(done)["committer"]["fix"])

    def test_steps_that_nobody_commits(self, stepstream: CommandLine) -> None:
        """Waiting steps without a committer are a warning, and the named command brings them in."""
        stepstream.python("-c", LOG.format("left"), STEPSTREAM_COMMITTER="none")
        found = checks(stepstream("doctor", "--json"))["committer"]

        assert (found["level"], found["fix"]) == ("warn", "stepstream ls")
        stepstream(*str(found["fix"]).split()[1:])
        assert checks(stepstream("doctor", "--json"))["committer"]["level"] == "ok"

    def test_a_full_disk(self, inside: Run, copy: Path) -> None:
        """Too little room is a failure."""
        done = inside("doctor", "--json", STEPSTREAM_DISK_FREE_BYTES_MIN=str(1 << 60))

        assert (done.code, checks(done)["room"]["level"]) == (1, "fail")

    def test_a_wrong_setting(self, inside: Run, copy: Path) -> None:
        """A setting that cannot be used is a failure that names it; the other checks run all the same."""
        done = inside("doctor", "--json", STEPSTREAM_LINGER_S="soon")

        assert done.code == 1
        assert "STEPSTREAM_LINGER_S" in str(checks(done)["settings"]["seen"])
        assert checks(done)["integrity"]["level"] == "ok"

    def test_redaction_that_is_off(self, inside: Run, tmp_path: Path, copy: Path) -> None:
        """Secrets stored as they are, are a warning."""
        (tmp_path / "stepstream.toml").write_text("[redaction]\nenabled = false\n")

        assert checks(inside("doctor", "--json"))["redaction"]["level"] == "warn"

    def test_a_file_others_can_read(self, inside: Run, copy: Path) -> None:
        """A database that others can read is a warning, and the named command mends it."""
        copy.chmod(0o644)
        found = checks(inside("doctor", "--json"))["permissions"]

        assert (found["level"], found["fix"]) == ("warn", "chmod 600 history.db")

    def test_a_directory_others_can_write(self, inside: Run, tmp_path: Path, copy: Path) -> None:
        """A spool into which others can write is a failure, since they could forge steps."""
        spool = tmp_path / "history.db-spool"
        spool.mkdir()
        spool.chmod(0o777)

        assert checks(inside("doctor", "--json"))["spool"]["level"] == "fail"

    def test_a_segment_that_is_none(self, inside: Run, copy: Path, tmp_path: Path) -> None:
        """A file in the spool that cannot be read as a segment is a warning that names it."""
        spool = tmp_path / "history.db-spool"
        spool.mkdir(mode=0o700)
        (spool / "garbage.segment").write_bytes(b"x" * 5000)

        found = checks(inside("doctor", "--json"))["unreadable"]
        assert (found["level"], "garbage.segment" in str(found["seen"])) == ("warn", True)

    def test_a_directory_that_is_not_there(self, inside: Run) -> None:
        """A database in a directory that does not exist is a failure with the command that makes it."""
        done = inside("doctor", "--json", "--db", "nowhere/history.db")

        assert (done.code, checks(done)["location"]["fix"]) == (1, "mkdir -p nowhere")

    def test_a_damaged_file(self, inside: Run, copy: Path) -> None:
        """A damaged page is a failure of integrity, and verify finds it too."""
        with copy.open("r+b") as file:
            file.seek(3 * 4096)
            file.write(b"\xff" * 4096 * 3)
        done = inside("doctor", "--json")

        assert done.code == 1
        assert checks(done)["integrity"]["level"] == "fail"
        assert inside("verify", "--deep").code == 1

    def test_a_newer_schema(self, inside: Run, copy: Path) -> None:
        """A database of a newer release is a warning with the upgrade, and migrate refuses it."""
        change(copy, "PRAGMA user_version = 99")
        found = checks(inside("doctor", "--json"))["schema"]
        refused = inside("migrate")

        assert (found["level"], found["fix"]) == ("warn", "pip install --upgrade stepstream")
        assert (refused.code, "pip install --upgrade stepstream" in refused.err) == (4, True)

    def test_known_losses(self, stepstream: CommandLine) -> None:
        """Steps known to be missing are a warning, and verify tells which, with code 1."""
        stepstream.python("-c", LOG.format("whole"), STEPSTREAM_COMMITTER="none")
        (segment,) = (stepstream.directory / "history.db-spool").glob("*.segment")
        data = bytearray(segment.read_bytes())
        middle = data.index(b'"text":"x"')
        data[middle : middle + 4] = b"\0\0\0\0"
        segment.write_bytes(data)
        stepstream("ls")
        found = checks(stepstream("doctor", "--json"))
        verified = stepstream("verify")

        assert found["losses"]["level"] == "warn"
        assert found["damaged"]["level"] == "warn"
        assert verified.code == 1
        assert "steps lost" in verified.out
        assert "stepstream doctor" in verified.err

    def test_a_clock_that_was_set_back(self, inside: Run, copy: Path) -> None:
        """Steps recorded in what is now the future are a warning."""
        change(copy, "UPDATE step SET recorded_at = recorded_at + 3600000000000")

        assert checks(inside("doctor", "--json"))["clock"]["level"] == "warn"

    def test_artifacts_that_are_missing(self, inside: Run, copy: Path, recorded: Path) -> None:
        """Files that the copy does not have beside it are a warning, until they are there."""
        assert checks(inside("doctor", "--json"))["artifacts"]["level"] == "warn"

        shutil.copytree(f"{recorded}-artifacts", f"{copy}-artifacts")
        assert checks(inside("doctor", "--json"))["artifacts"]["level"] == "ok"


class TestVerify:
    """Is everything there?"""

    def test_a_whole_history(self, inside: Run, recorded: Path) -> None:
        """A whole history is told in a line, with code 0, also as JSON."""
        assert re.match(r"✓ whole  \d+ steps · 2 episodes", inside("verify", "--db", recorded).out)
        assert inside("verify", "@last", "--json", "--db", recorded).json()["is_whole"] is True

    def test_a_missing_step(self, inside: Run, copy: Path) -> None:
        """A step that was removed by hand is found, named and ends the command with code 1."""
        change(copy, "DELETE FROM step WHERE cursor = 20")
        done = inside("verify")

        assert done.code == 1
        assert "sequence gap" in done.out
        assert "stepstream verify --deep" in done.err

    def test_a_changed_payload(self, inside: Run, copy: Path) -> None:
        """A payload that no longer fits its schema is found by looking deep."""
        change(copy, "UPDATE step SET payload = '{\"texx\":1}' WHERE kind = 'thought' AND cursor < 10")

        assert inside("verify").code == 0
        assert "payload invalid" in inside("verify", "--deep").out


class TestInit:
    """A beginning."""

    def test_what_it_makes_can_be_recorded_into(self, stepstream: CommandLine) -> None:
        """It makes a database and a file of options, and the lines it prints run and are recorded."""
        done = stepstream("init")
        assert done.code == 0
        assert stepstream.python("-c", done.out).code == 0
        (episode,) = stepstream("ls", "--jsonl").json_lines()

        assert (episode["name"], episode["steps"]) == ("My first episode", 3)
        assert stat.S_IMODE((stepstream.directory / "history.db").stat().st_mode) == 0o600
        assert (stepstream.directory / "stepstream.toml").exists()

    def test_a_second_time_changes_nothing(self, stepstream: CommandLine) -> None:
        """Run again, it leaves database and options as they are."""
        stepstream("init")
        options = stepstream.directory / "stepstream.toml"
        options.write_text("linger_s = 1.5\n")
        before = (stepstream.directory / "history.db").stat().st_ino
        again = stepstream("init")

        assert again.code == 0
        assert again.err.count("is there already") == 2
        assert options.read_text() == "linger_s = 1.5\n"
        assert (stepstream.directory / "history.db").stat().st_ino == before

    def test_a_dry_run_writes_nothing(self, inside: Run, tmp_path: Path) -> None:
        """A dry run only says what would be written."""
        done = inside("init", "--dry-run")

        assert "would create history.db" in done.err
        assert "would write stepstream.toml" in done.err
        assert not list(tmp_path.iterdir())

    def test_every_option_is_explained_with_its_default(self, stepstream: CommandLine) -> None:
        """The file of options names every option, and uncommented it means the defaults."""
        stepstream("init")
        text = (stepstream.directory / "stepstream.toml").read_text()
        options = re.findall(r"^# (\w+ = .*|\[backup\])$", text.partition("# Secrets")[0], re.MULTILINE)
        uncommented = "\n".join(options)

        assert {*tomllib.loads(uncommented), "redaction"} == set(Settings.model_fields)
        assert set(tomllib.loads(uncommented)["backup"]) == set(BackupSettings.model_fields)
        (stepstream.directory / "stepstream.toml").write_text(uncommented)
        assert Settings.load(stepstream.directory / "history.db", {}) == Settings()

    def test_a_foreign_file_is_left_alone(self, stepstream: CommandLine) -> None:
        """A file of another kind at the path is refused."""
        (stepstream.directory / "history.db").write_text("precious" * 100)
        done = stepstream("init")

        assert done.code == 4
        assert (stepstream.directory / "history.db").read_text() == "precious" * 100

    def test_a_missing_directory_is_named(self, inside: Run) -> None:
        """A directory that is not there is told with the command that makes it."""
        done = inside("init", "--db", "nowhere/history.db")

        assert done.code == 3
        assert "mkdir -p nowhere" in done.err


class TestMigrate:
    """The schema of a database."""

    def test_nothing_to_do(self, inside: Run, recorded: Path) -> None:
        """A database of this release's schema is left as it is."""
        assert "nothing to do" in inside("migrate", "--db", recorded).err
        assert inside("migrate", "--json", "--db", recorded).json()["migrations"] == []


class TestSpool:
    """Segments, and taking over those of another database."""

    @pytest.fixture
    def foreign(self, stepstream: CommandLine, copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A database in whose spool lie the steps of one that was there before."""
        hidden = copy.rename(copy.with_name("other.db"))
        stepstream.python("-c", LOG.format("left behind"), STEPSTREAM_COMMITTER="none")
        return hidden.rename(stepstream.directory / "history.db")

    def test_what_waits_is_listed(self, stepstream: CommandLine) -> None:
        """A segment is listed with its process and whether that still writes."""
        agent = stepstream.agent(WAIT)
        assert agent.stdout is not None
        agent.stdout.readline()
        people = stepstream("spool", "ls").out
        (segment,) = cast("list[JsonObject]", stepstream("spool", "ls", "--json").json()["segments"])
        agent.communicate("\n", timeout=30)

        assert f"{agent.pid} on " in people
        assert (segment["pid"], segment["is_owned"], segment["is_of_this_database"]) == (
            agent.pid,
            True,
            True,
        )

    def test_another_databases_steps_are_taken_over(self, stepstream: CommandLine, foreign: Path) -> None:
        """The doctor names them, reading leaves them alone, and adopting brings them in, once."""
        fix = str(checks(stepstream("doctor", "--json"))["other databases"]["fix"])
        before = stepstream("ls", "--jsonl").json_lines()
        dry = stepstream("spool", "adopt", "--dry-run", "--json").json()
        assert len(stepstream("ls", "--jsonl").json_lines()) == len(before)
        adopted = stepstream(*fix.split()[1:], "--json").json()
        after = stepstream("ls", "--jsonl").json_lines()

        assert fix == "stepstream spool adopt"
        assert len(cast("list[object]", dry["adopted"])) == len(cast("list[object]", adopted["adopted"])) == 1
        assert [episode["name"] for episode in after if episode not in before] == ["left behind"]
        assert "other databases" not in checks(stepstream("doctor", "--json"))
        assert cast("list[object]", stepstream("spool", "adopt", "--json").json()["adopted"]) == []
        assert stepstream("verify").code == 0

    def test_a_segment_in_use_is_left_alone(self, stepstream: CommandLine, copy: Path) -> None:
        """What a process still writes to is not taken over, and the code says so."""
        hidden = copy.rename(copy.with_name("other.db"))
        stepstream.environment["STEPSTREAM_COMMITTER"] = "none"
        agent = stepstream.agent(WAIT)
        assert agent.stdout is not None
        agent.stdout.readline()
        hidden.rename(stepstream.directory / "history.db")
        done = stepstream("spool", "adopt")
        agent.communicate("\n", timeout=30)

        assert done.code == 4
        assert f"process {agent.pid}" in done.err
