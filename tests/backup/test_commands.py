"""``stepstream backup``, ``backups`` and ``restore``, as a person and a script run them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
from tests.support.backups import KEYS, SECRET, Rig, meta, rows
from tests.support.command_line import CommandLine, plain_environment
from tests.support.object_store import ObjectServer
from typer.testing import CliRunner

from stepstream.backup.layout import is_backup_id
from stepstream.cli.commands import app
from stepstream.errors import StepstreamError


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every command."""
    plain = plain_environment(tmp_path_factory.mktemp("bytecode"))
    return {name: value for name, value in plain.items() if not name.startswith("AWS_")}


@pytest.fixture
def line(rig: Rig, environment: dict[str, str]) -> CommandLine:
    """The command line beside the history, which is told where backups go."""
    command_line = CommandLine(rig.database.parent, environment | {"STEPSTREAM_BACKUP_TARGET": rig.url})
    command_line.environment["HOME"] = os.environ["HOME"]
    return command_line


def test_there_and_back(line: CommandLine, rig: Rig) -> None:
    """A backup is taken, listed, proven and restored, and each command says so."""
    taken = line("backup")
    listed = line("backups")
    proven = line("restore", "--verify")
    restored = line("restore", "back.db")

    assert [done.code for done in (taken, listed, proven, restored)] == [0, 0, 0, 0]
    name = taken.out.strip()
    assert is_backup_id(name)
    assert "301 steps up to cursor 301" in taken.err
    assert "smaller, 2 new files; read again and found whole" in taken.err
    assert name in listed.out
    assert "the backup can be restored: 301 steps" in proven.err
    assert "back.db is restored: 301 steps" in restored.err
    assert rows(rig.database.with_name("back.db")) == rows(rig.database)


def test_a_script_reads_json(line: CommandLine, rig: Rig) -> None:
    """Each command answers with one JSON object."""
    taken = line("backup", "--level", "max", "--json").json()
    added = line("backup", "--incremental", "--json").json()
    listed = line("backups", "--json").json()
    restored = line("restore", "back.db", "--json").json()
    proven = line("restore", "--verify", "--at", "301", "--json").json()

    assert (taken["state"], taken["kind"], added["kind"]) == ("succeeded", "full", "increment")
    found = cast("list[dict[str, object]]", listed["backups"])
    assert [each["id"] for each in found] == [added["backup"], taken["backup"]]
    assert [each["kind"] for each in found] == ["increment", "full"]
    assert (restored["backup"], restored["steps"], restored["kept"]) == (added["backup"], 301, None)
    assert proven["backup"] == taken["backup"]


def test_a_file_that_is_there_makes_way_only_when_told(line: CommandLine, rig: Rig) -> None:
    """Exit code 4 without --force; with it the old file is kept and named."""
    line("backup")
    before = meta(rig.database)["database_id"]

    refused = line("restore", "history.db")
    forced = line("restore", "history.db", "--force")

    assert refused.code == 4
    assert "--force" in refused.err
    assert forced.code == 0
    assert "what was there before: history.db.before-" in forced.err
    assert meta(rig.database)["database_id"] != before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["restore"], 2, "--verify"),
        (["restore", "back.db", "--verify"], 2, "--verify"),
        (["restore", "back.db", "--at", "yesterday"], 2, "2026-11-22T03:00"),
        (["restore", "back.db", "--at", "2020-01-01"], 3, "stepstream backups"),
        (["restore", "back.db", "--at", "302"], 3, "cursor 302"),
        (["restore", "."], 2, "is a directory"),
        (["backups", "--database", "ffff"], 3, "name one of"),
        (["backup", "--target", "ftp://x"], 4, "s3://bucket/prefix"),
        (["backup", "--level", "highest"], 2, "highest"),
    ],
)
def test_what_cannot_be_done_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    """The exit code says what kind of failure it is, and the message what to do."""
    rig.take()
    monkeypatch.chdir(rig.database.parent)
    monkeypatch.setenv("STEPSTREAM_BACKUP_TARGET", rig.url)

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert not isinstance(done.exception, StepstreamError)


def test_without_a_target_the_ways_to_state_one_are_told(line: CommandLine) -> None:
    """Whoever has not said where backups go is told how to."""
    done = line("backup", STEPSTREAM_BACKUP_TARGET="")

    assert done.code == 2
    assert "[backup] in stepstream.toml" in done.err


def test_the_target_may_stand_in_the_file(line: CommandLine, rig: Rig) -> None:
    """The table [backup] of stepstream.toml says where backups go."""
    (rig.database.parent / "stepstream.toml").write_text(f'[backup]\ntarget = "{rig.url}"\nlevel = "max"\n')
    del line.environment["STEPSTREAM_BACKUP_TARGET"]

    assert line("backup").code == 0


def test_a_failure_is_told_to_who_looks_for_backups(line: CommandLine, rig: Rig, tmp_path: Path) -> None:
    """The list says that the last backup failed, and why."""
    line("backup")
    failed = line("backup", STEPSTREAM_DISK_FREE_BYTES_MIN=str(1 << 60))

    listed = line("backups")

    assert failed.code == 1
    assert "make room" in failed.err
    assert "the last one failed" in listed.err
    assert "make room" in listed.err


def test_credentials_come_from_the_usual_places_and_are_not_shown(
    line: CommandLine, rig: Rig, s3: ObjectServer
) -> None:
    """Keys in the environment or in a profile let us in; nothing that is printed holds one."""
    url = f"s3://{s3.bucket()}/team"
    here = {"STEPSTREAM_BACKUP_TARGET": url, "AWS_ENDPOINT_URL": s3.endpoint}
    folder = Path(line.environment["HOME"]) / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        f"[team]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n"
    )

    by_environment = line("backup", **here, **KEYS)
    by_profile = line("backups", **here, AWS_PROFILE="team")
    without = line("backups", **here)

    assert (by_environment.code, by_profile.code, without.code) == (0, 0, 4)
    assert "AWS_ACCESS_KEY_ID" in without.err
    for done in (by_environment, by_profile, without):
        assert SECRET not in done.out + done.err
        assert KEYS["AWS_ACCESS_KEY_ID"] not in done.out + done.err


def test_steps_in_the_spool_are_backed_up(line: CommandLine, rig: Rig) -> None:
    """What was logged before the command and not yet committed is in the backup."""
    script = (
        "import sys; from stepstream import ObservabilityProvider, Thought\n"
        "with ObservabilityProvider(sys.argv[1], committer='none', flush_timeout_s=0) as p, p.episode('x') as e:\n"
        "    e.log_event(Thought(text='waits in the spool'))\n"
    )
    assert line.python("-c", script, rig.database).code == 0

    taken = line("backup", "--json").json()

    assert taken["steps"] == 301 + 3


def test_progress_is_drawn_at_a_terminal(line: CommandLine) -> None:
    """At a terminal the end of it stands on the screen, and the bars do not stay."""
    drawn = line.at_terminal("backup")
    drawn.read_until("found whole")
    drawn.close()
