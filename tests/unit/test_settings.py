"""Settings: arguments beat the environment, which beats the file, and what is wrong says where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from stepstream.errors import ConfigurationInvalid
from stepstream.settings import BackupLevel, BackupSettings, CommitterMode, Durability, Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def write(database: Path, text: str) -> None:
    """Put a configuration file beside the database."""
    (database.parent / "stepstream.toml").write_text(text, "utf-8")


def test_without_anything_the_defaults_hold(database: Path) -> None:
    """No file, no variable and no argument mean the documented defaults."""
    assert Settings.load(database, {}) == Settings()
    assert Settings().step_bytes_max == 8 * 1024 * 1024
    assert Settings().spool_bytes_max == 1024 * 1024 * 1024
    assert Settings().committer is CommitterMode.PROCESS


def test_arguments_beat_environment_beats_file(database: Path) -> None:
    """Each source beats the ones below it, option by option."""
    write(database, "linger_s = 1.0\nflush_timeout_s = 1.0\npool_bytes_min = 100\n")
    environment = {"STEPSTREAM_LINGER_S": "2", "STEPSTREAM_FLUSH_TIMEOUT_S": "2"}
    settings = Settings.load(database, environment, linger_s=3.0)

    assert (settings.linger_s, settings.flush_timeout_s, settings.pool_bytes_min) == (3.0, 2.0, 100)


def test_none_means_not_given(database: Path) -> None:
    """An argument of None leaves the other sources their say."""
    assert Settings.load(database, {"STEPSTREAM_LINGER_S": "2"}, linger_s=None).linger_s == 2.0


def test_the_process_environment_is_read_by_default(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping the variables of the process count."""
    monkeypatch.setenv("STEPSTREAM_DURABILITY", "power")
    assert Settings.load(database).durability is Durability.POWER


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("COMMITTER", "thread", CommitterMode.THREAD),
        ("DURABILITY", "power", Durability.POWER),
        ("STRICT", "true", True),
        ("STRICT", "1", True),
        ("STRICT", "0", False),
        ("UNSAFE_LOCATION", "yes", True),
        ("STEP_BYTES_MAX", "4096", 4096),
        ("DISK_FREE_PERCENT_MIN", "0.5", 0.5),
    ],
)
def test_text_from_the_environment_is_understood(
    database: Path, variable: str, text: str, expected: object
) -> None:
    """Words, numbers and switches are read from text."""
    settings = Settings.load(database, {f"STEPSTREAM_{variable}": text})
    assert getattr(settings, variable.lower()) == expected


def test_every_option_can_be_set_by_its_variable(database: Path) -> None:
    """Each option but the tables has a variable of its name, and a wrong word in it is named."""
    for name, field in Settings.model_fields.items():
        variable = f"STEPSTREAM_{name.upper()}"
        if field.annotation == str | None:
            # Whether a path will do is for whoever goes there to say.
            assert getattr(Settings.load(database, {variable: "/a/path"}), name) == "/a/path"
            assert getattr(Settings.load(database, {variable: ""}), name) is None
            continue
        if name in {"redaction", "backup"}:
            continue
        with pytest.raises(ConfigurationInvalid, match=variable):
            Settings.load(database, {variable: "no such thing"})


def test_every_entry_of_backups_can_be_set_by_its_variable(database: Path) -> None:
    """Each entry of [backup] has a variable, which beats the file; a wrong word in it is named."""
    write(database, '[backup]\ntarget = "file:///old"\nkeep_daily = 3\n')
    for name, field in BackupSettings.model_fields.items():
        variable = f"STEPSTREAM_BACKUP_{name.upper()}"
        if field.annotation == str | None:
            assert getattr(Settings.load(database, {variable: "x"}).backup, name) == "x"
            assert getattr(Settings.load(database, {variable: ""}).backup, name) is None
            continue
        with pytest.raises(ConfigurationInvalid, match=variable):
            Settings.load(database, {variable: "no such thing"})
    settings = Settings.load(
        database, {"STEPSTREAM_BACKUP_LEVEL": "max", "STEPSTREAM_BACKUP_EVERY_HOURS": "24"}
    )
    assert settings.backup == BackupSettings(
        target="file:///old", keep_daily=3, level=BackupLevel.MAX, every_hours=24.0
    )


@pytest.mark.parametrize("text", ["backup = 1", "[backup]\nno_such_entry = 1", "[backup]\nkeep_daily = 0"])
def test_a_wrong_entry_of_backups_is_named(database: Path, text: str) -> None:
    """What stands in the file and cannot be used is told with the file."""
    write(database, text)

    with pytest.raises(ConfigurationInvalid, match=r"stepstream\.toml"):
        Settings.load(database, {"STEPSTREAM_BACKUP_TARGET": "file:///x"})


@pytest.mark.parametrize(
    ("arguments", "environment", "text", "place"),
    [
        ({"linger_s": -1}, {}, "", "argument linger_s"),
        ({}, {"STEPSTREAM_LINGER_S": "-1"}, "", "STEPSTREAM_LINGER_S"),
        ({}, {}, "linger_s = -1", "stepstream.toml"),
        ({}, {}, "no_such_option = 1", "stepstream.toml"),
        ({}, {}, "linger_s = [1]", "stepstream.toml"),
        ({}, {"STEPSTREAM_COMMITTER": "nobody"}, "", "STEPSTREAM_COMMITTER"),
        ({}, {"STEPSTREAM_STEP_BYTES_MAX": "8 MiB"}, "", "STEPSTREAM_STEP_BYTES_MAX"),
        ({"step_bytes_max": 10**12}, {}, "", "argument step_bytes_max"),
        ({"flush_timeout_s": float("nan")}, {}, "", "argument flush_timeout_s"),
        ({"no_such_option": 1}, {}, "", "argument no_such_option"),
        ({}, {}, "[redaction]\nnames = 'password'", "stepstream.toml"),
        ({}, {}, "[redaction.patterns]\nours = 'x'", "stepstream.toml"),
        ({}, {}, "[redaction.patterns.ours]\nregex = 1", "stepstream.toml"),
        ({}, {}, "[redaction]\nmore = 1", "stepstream.toml"),
    ],
)
def test_a_wrong_value_names_its_source(
    database: Path, arguments: dict[str, Any], environment: dict[str, str], text: str, place: str
) -> None:
    """The error says which argument, variable or file is wrong, and what is expected there."""
    write(database, text)
    with pytest.raises(ConfigurationInvalid, match=re.escape(place)) as told:
        Settings.load(database, environment, **arguments)
    assert "expected" in str(told.value)


@pytest.mark.parametrize("content", [b"linger_s = ", b"\xff\xfe", b"= 1", b"[redaction"])
def test_a_file_that_cannot_be_read_is_named(database: Path, content: bytes) -> None:
    """A configuration file that is no TOML raises with its path."""
    (database.parent / "stepstream.toml").write_bytes(content)
    with pytest.raises(ConfigurationInvalid, match=r"stepstream\.toml"):
        Settings.load(database, {})


def test_a_directory_in_the_files_place_is_named(database: Path) -> None:
    """A directory called stepstream.toml is an error that names it, not a crash."""
    (database.parent / "stepstream.toml").mkdir()
    with pytest.raises(ConfigurationInvalid, match=r"stepstream\.toml"):
        Settings.load(database, {})


def test_a_project_adds_its_secrets_in_the_file(database: Path) -> None:
    """The redaction table is read with lists and nested tables."""
    write(
        database,
        '[redaction]\nnames = ["employee number"]\n'
        '[redaction.patterns.badge]\nregex = "B-[0-9]{6}"\nliterals = ["B-"]\n',
    )
    redaction = Settings.load(database, {}).redaction

    assert redaction.names == ("employee number",)
    assert redaction.patterns["badge"].literals == ("B-",)


def test_settings_do_not_change(database: Path) -> None:
    """Settings are frozen, and travel to the committer process as JSON without a change."""
    settings = Settings.load(database, {"STEPSTREAM_STRICT": "1"}, linger_s=0.25)
    with pytest.raises(ValueError, match="frozen"):
        settings.linger_s = 1.0  # type: ignore[misc]
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_every_option_is_described() -> None:
    """The docstring of Settings says what each option means."""
    described = re.findall(r"^\s+(\w+): ", Settings.__doc__ or "", re.MULTILINE)
    assert set(Settings.model_fields) <= set(described)
