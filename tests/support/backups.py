"""Taking backups in a test as the command line and the server do: a history, a target, a journal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.history_builder import HistoryBuilder

from stepstream.backup.catalogue import Catalogue, Moment, databases
from stepstream.backup.job import BackupRun
from stepstream.backup.journal import Job, JobKind, Journal, Trigger, new_job
from stepstream.backup.manifest import Manifest
from stepstream.backup.place import Timing
from stepstream.backup.restore import Restored, restore
from stepstream.backup.target import Target
from stepstream.schemas.kinds import Thought
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.settings import BackupSettings, Settings
from stepstream.store.sqlite.connection import open_reader

SECRET = "sekret/key+of%a=target"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
FILES = (b"solid bracket\n" * 1000, os.urandom(3000))


def write_history(path: Path, steps: int = 300, files: Sequence[bytes] = FILES) -> None:
    """A history of some steps, long texts among them, and some files."""
    kept = [ArtifactStore(path, Settings()).keep(data, "part.stl", "model/stl") for data in files]
    with HistoryBuilder(path) as builder:
        for reference in kept:
            builder.keep(reference.sha256, reference.size_bytes)
        episode = builder.episode()
        for number in range(steps):
            episode.log(Thought(text=f"{number}: the load case {number % 7} asks for more wall. " * 30))


def rows(path: Path, table: str = "step") -> list[tuple[object, ...]]:
    """Every row of a table, in one order."""
    connection = open_reader(path)
    try:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
    finally:
        connection.close()


def meta(path: Path) -> dict[str, str]:
    """What a database says of itself."""
    return {str(name): str(value) for name, value in rows(path, "meta")}


@dataclass
class Rig:
    """A history, and a target for its backups."""

    database: Path
    url: str
    endpoint: str | None = None
    patience_s: float = 20.0
    request_s: float = 10.0
    environment: dict[str, str] = field(default_factory=lambda: dict(KEYS))
    stages: list[Job] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """As a person would state them."""
        backup = BackupSettings(target=self.url, endpoint=self.endpoint, patience_s=self.patience_s)
        return Settings(backup=backup, disk_free_bytes_min=0)

    @property
    def target(self) -> Target:
        """The target, newly opened."""
        timing = Timing(patience_s=self.patience_s, request_s=self.request_s, connect_s=3)
        return Target.open(self.url, self.settings.backup, self.environment, timing)

    @property
    def journal(self) -> Journal:
        """Where jobs are noted."""
        return Journal(self.database)

    def take(
        self,
        kind: JobKind = JobKind.FULL,
        now: Callable[[], int] = time.time_ns,
        settings: Settings | None = None,
    ) -> Job:
        """Take a backup."""
        run = BackupRun(
            self.database,
            settings or self.settings,
            self.target,
            self.journal,
            told=self.stages.append,
            now=now,
        )
        with self.journal.take_turn() as turn:
            return run.run(new_job(kind, Trigger.COMMAND, self.target.url, now()), turn)

    @property
    def database_id(self) -> str:
        """The one database that the target has backups of."""
        (found,) = databases(self.target)
        return found

    @property
    def catalogue(self) -> Catalogue:
        """What lies on the target."""
        return Catalogue(self.target, self.database_id)

    def manifest(self) -> Manifest:
        """The newest backup."""
        return self.catalogue.load(self.catalogue.listed[-1])

    def restore(self, file: Path, moment: Moment | None = None, *, force: bool = False) -> Restored:
        """Restore a backup."""
        return restore(
            self.target,
            self.database_id,
            moment or Moment(),
            file,
            force=force,
            told=lambda done, total: None,
        )

    def objects(self) -> list[str]:
        """The names of all that lies on the target."""
        return [stored.path for stored in self.target.objects("")]
