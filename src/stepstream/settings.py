"""Every option of stepstream: its meaning, unit, default and environment name.

Knows where options come from: arguments beat the environment, which beats ``stepstream.toml`` beside the
database, which beats the defaults below. Must not know what any option does to the code that reads it.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stepstream.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_PREFIX = "STEPSTREAM_"
DATABASE_VARIABLE = "STEPSTREAM_DB"
FILE_NAME = "stepstream.toml"

_MIB = 1024 * 1024
_TABLES = frozenset({"redaction", "backup"})


class CommitterMode(StrEnum):
    """Where the committer runs when no server is there to do the work."""

    PROCESS = "process"
    THREAD = "thread"
    NONE = "none"


class Durability(StrEnum):
    """What a step that ``log_event`` returned from survives."""

    PROCESS = "process"
    POWER = "power"


class BackupLevel(StrEnum):
    """How hard a backup is compressed; both are read by plain ``zstd -d``."""

    DEFAULT = "default"
    MAX = "max"


class BackupSettings(BaseModel):
    """Where backups go, how often, and how long they are kept.

    Attributes:
        target: ``s3://bucket/prefix`` or ``file:///directory``; ``gs://``, ``az://`` are untested.
        endpoint: The address of an S3 server that is not Amazon's.
        region: The region of the bucket.
        path_style: Whether the bucket stands in the path of an S3 address, and not in its host.
        level: How hard it is compressed.
        every_hours: How often a server takes one by itself; 0 never.
        increment_minutes: How often a server takes an increment between two full ones; 0 never.
        drill_days: How often a server that takes backups by itself restores one to see that it can; 0 never.
        keep_daily: Of how many days the last backup is kept.
        keep_weekly: Of how many weeks.
        keep_monthly: Of how many months.
        patience_s: For how long a job goes on trying while the target fails.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    target: str | None = None
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    level: BackupLevel = BackupLevel.DEFAULT
    every_hours: float = Field(default=0.0, ge=0)
    increment_minutes: float = Field(default=0.0, ge=0)
    drill_days: float = Field(default=7.0, ge=0)
    keep_daily: int = Field(default=7, ge=1)
    keep_weekly: int = Field(default=4, ge=0)
    keep_monthly: int = Field(default=12, ge=0)
    patience_s: float = Field(default=900.0, ge=0)

    @field_validator("target", "endpoint", "region", mode="before")
    @classmethod
    def _read_nothing(cls, value: object) -> object:
        """The empty text stands for nothing, as in the other options."""
        return None if value == "" else value


class RedactionPattern(BaseModel):
    """One shape of secret of a project's own.

    Attributes:
        regex: The expression; its group ``secret`` is replaced, else the whole match.
        literals: Texts of which one stands in every match; only steps that hold one meet the expression.
        every_step: Run the expression on every step instead, at tens of microseconds each.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    regex: str
    literals: tuple[str, ...] = ()
    every_step: bool = False


class RedactionSettings(BaseModel):
    """A project's own secrets, added to the built-in rules.

    Attributes:
        enabled: Whether anything is redacted at all.
        patterns: Shapes by kind of secret.
        names: Names whose string values are secret wherever they stand.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    enabled: bool = True
    patterns: dict[str, RedactionPattern] = Field(default_factory=dict)
    names: tuple[str, ...] = ()


class Settings(BaseModel):
    """Every option, with its default; units stand last in the names.

    Attributes:
        committer: Where steps are committed when no server runs: a process of its own, a thread of this
            process (for test suites that open a hundred databases), or nowhere until somebody else does.
        durability: ``process`` survives the death of any process; ``power`` also waits for the disk.
        step_bytes_max: The largest payload, as JSON.
        segment_bytes_max: A spool segment is closed and a new one begun beyond this size.
        spool_bytes_max: New steps are refused, counted and shown while the spool holds more than this.
        disk_free_bytes_min: New steps are refused while less than this is free.
        disk_free_percent_min: The same as a share of the disk.
        log_sync_interval_ms: How long a commit may wait to be flushed to the disk.
        pool_bytes_min: Texts of at least this size are stored once, by hash.
        linger_s: How long an idle committer process waits for another agent before it ends.
        flush_timeout_s: How long closing a provider waits for its steps to be committed.
        spool_shared_group: Whether members of the directory's group may record too.
        unsafe_location: Whether to record on a file system known to lose locks.
        strict: Whether what merely watches raises when it cannot record; for tests.
        spool_directory: Where steps for a server wait on this machine; None for the user's state directory.
        token_file: A file that holds the token for a server, where ``STEPSTREAM_TOKEN`` does not.
        redaction: A project's own secrets.
        backup: Where backups go, how often, and how long they are kept.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    committer: CommitterMode = CommitterMode.PROCESS
    durability: Durability = Durability.PROCESS
    step_bytes_max: int = Field(default=8 * _MIB, ge=1024, le=64 * _MIB)
    segment_bytes_max: int = Field(default=8 * _MIB, ge=16 * 1024)
    spool_bytes_max: int = Field(default=1024 * _MIB, ge=_MIB)
    disk_free_bytes_min: int = Field(default=256 * _MIB, ge=0)
    disk_free_percent_min: float = Field(default=2.0, ge=0, le=90)
    log_sync_interval_ms: int = Field(default=50, ge=1)
    pool_bytes_min: int = Field(default=1024, ge=64)
    linger_s: float = Field(default=5.0, ge=0)
    flush_timeout_s: float = Field(default=5.0, ge=0)
    spool_shared_group: bool = False
    unsafe_location: bool = False
    strict: bool = False
    spool_directory: str | None = None
    token_file: str | None = None
    redaction: RedactionSettings = RedactionSettings()
    backup: BackupSettings = BackupSettings()

    @field_validator("spool_directory", "token_file", mode="before")
    @classmethod
    def _read_nothing(cls, value: object) -> object:
        """A file of options has no word for nothing but the empty text."""
        return None if value == "" else value

    @classmethod
    def load(
        cls,
        database: Path,
        environment: Mapping[str, str] | None = None,
        **arguments: str | float | bool | None,
    ) -> Self:
        """Read the options for a database.

        Args:
            database: Path of the database; ``stepstream.toml`` is looked for beside it.
            environment: Variables by name; the process's own by default.
            **arguments: Options given in code; None means not given.

        Raises:
            ConfigurationInvalid: A value cannot be used; the message says where it came from.
        """
        environment = os.environ if environment is None else environment
        values = _from_file(database.parent / FILE_NAME)
        sources = dict.fromkeys(values, str(database.parent / FILE_NAME))
        for name in cls.model_fields:
            variable = ENVIRONMENT_PREFIX + name.upper()
            if name not in _TABLES and variable in environment:
                values[name] = environment[variable]
                sources[name] = variable
        _add_backup(values, sources, environment)
        for name, value in arguments.items():
            if value is not None:
                values[name] = value
                sources[name] = f"argument {name}"
        try:
            # Text from the environment is read leniently; the ranges hold all the same.
            return cls.model_validate(values, strict=False)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            first = str(detail["loc"][0])
            inner = sources.get(".".join(map(str, detail["loc"])))
            if inner is not None and len(detail["loc"]) > 1:
                raise ConfigurationInvalid(inner, repr(detail["input"]), detail["msg"]) from None
            where = sources.get(first, first)
            place = where if len(detail["loc"]) == 1 else f"{where} {'.'.join(map(str, detail['loc']))}"
            raise ConfigurationInvalid(place, repr(detail["input"]), detail["msg"]) from None


def _add_backup(values: dict[str, object], sources: dict[str, str], environment: Mapping[str, str]) -> None:
    """Lay the variables of the table ``[backup]`` over what the file says."""
    stated = {
        name: variable
        for name in BackupSettings.model_fields
        if (variable := f"{ENVIRONMENT_PREFIX}BACKUP_{name.upper()}") in environment
    }
    table = values.get("backup", {})
    # What is no table is refused as it stands.
    if stated and isinstance(table, dict):
        values["backup"] = table | {name: environment[variable] for name, variable in stated.items()}
        sources.update({f"backup.{name}": variable for name, variable in stated.items()})


def _from_file(path: Path) -> dict[str, object]:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(str(path), "unreadable", f"a TOML file ({error})") from None
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(str(path), "not TOML", str(error)) from None
