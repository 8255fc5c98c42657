"""A job: from a copy of the database to a backup on the target, whole or not at all.

Knows the order of the stages and what each leaves behind. Must not know who asked. Nothing of it touches an
agent: the database is read once, for as long as it takes to copy it; all else is done with the copy. It is to
run in a process of its own, or of little priority.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from stepstream.backup.account import Account
from stepstream.backup.catalogue import Catalogue, Moment
from stepstream.backup.compression import compressed
from stepstream.backup.contents import kept_artifacts, open_copy, read_contents
from stepstream.backup.increment import Added, copy_increment
from stepstream.backup.journal import JobKind, Stage
from stepstream.backup.layout import Layout, new_backup_id
from stepstream.backup.manifest import (
    BackupKind,
    Contents,
    KeptArtifact,
    LackingArtifact,
    Manifest,
    StoredData,
    encode,
)
from stepstream.backup.retention import tidy
from stepstream.backup.snapshot import copy_database
from stepstream.errors import BackupDamaged, BackupError, TargetUnusable
from stepstream.reading.database import Reader
from stepstream.schemas.release import RELEASE
from stepstream.spool.directory import artifacts_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stepstream.backup.journal import Job, Journal, Turn
    from stepstream.backup.target import Target
    from stepstream.settings import Settings

logger = logging.getLogger("stepstream")

_CHUNK_BYTES = 1024 * 1024
_LITTLE_GAIN = 0.5
_NICENESS = 15


class _Copy(NamedTuple):
    """What is to be stored: a file of ours, and what the database held that it was made from."""

    file: Path
    contents: Contents
    artifacts: list[tuple[str, int]]
    parent: Manifest | None
    taken_at: int


class _Pass:
    """The hashes of what went in and of what came out of one compression."""

    def __init__(self) -> None:
        self.plain = hashlib.sha256()
        self.stored = hashlib.sha256()
        self.plain_bytes = 0
        self.stored_bytes = 0


def step_back() -> None:
    """Let everybody else go first, from here on; where that may not be, we are as everybody."""
    try:
        os.nice(_NICENESS)
    except OSError as error:
        logger.debug("the priority stays as it is: %s", error)


class BackupRun:
    """Takes one backup."""

    def __init__(
        self,
        database: Path,
        settings: Settings,
        target: Target,
        journal: Journal,
        *,
        told: Callable[[Job], None],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Prepare.

        Args:
            database: What is backed up.
            settings: How hard it is compressed, and what is kept.
            target: Where it goes.
            journal: Where it is noted.
            told: Hears how the job stands, a few times a second.
            now: Wall time in ns.
        """
        self._database = database
        self._settings = settings
        self._target = target
        self._journal = journal
        self._told = told
        self._now = now

    def run(self, job: Job, turn: Turn) -> Job:
        """Take it.

        Returns:
            The job as it ended; it is in the journal too.

        Raises:
            BackupError: It failed; that is in the journal too.
            StoreError: The database cannot be read.
            OSError: The disk fails.
        """
        turn.name(job.id)
        self._account = Account(job, self._journal, self._told, self._now)
        with self._account.open():
            self._take(turn.work)
        return self._account.job

    # -- the stages

    def _take(self, work: Path) -> None:
        layout = Layout(self._database_id())
        abilities = self._target.probe(layout.database_id)
        copy = self._copy(work, layout)
        artifacts, lacking = self._attach(copy, layout)
        kind = BackupKind.FULL if copy.parent is None else BackupKind.INCREMENT
        backup_id = new_backup_id(copy.taken_at, copy.contents.epoch, copy.contents.cursor)
        data = self._store(copy.file, layout.data(backup_id, kind), Stage.UPLOADING)
        self._verify(data)
        copy.file.unlink()
        manifest = Manifest(
            id=backup_id,
            kind=kind,
            parent=None if copy.parent is None else copy.parent.id,
            after_cursor=0 if copy.parent is None else copy.parent.contents.cursor,
            release=RELEASE,
            taken_at=copy.taken_at,
            level=self._settings.backup.level,
            contents=copy.contents,
            data=data,
            artifacts=artifacts,
            lacking=lacking,
        )
        self._account.enter(Stage.FINISHING)
        self._target.put_new(layout.manifest(backup_id, kind), encode(manifest))
        self._account.update(backup=backup_id, is_verified=True, note=_note_on(manifest))
        self._tidy(layout, abilities.now_ns, backup_id)

    def _database_id(self) -> str:
        reader = Reader(self._database)
        try:
            return reader.meta("database_id") or ""
        finally:
            reader.close()

    def _copy(self, work: Path, layout: Layout) -> _Copy:
        """Copy the database, or what was added to it since the last backup."""
        self._account.enter(Stage.COPYING)
        taken_at = self._now()
        file = work / "copy.db"
        free = self._settings.disk_free_bytes_min
        parent = self._parent(layout) if self._account.job.kind is JobKind.INCREMENT else None
        added = None if parent is None else copy_increment(self._database, file, parent.contents)
        if added is None:
            parent = None
            copy_database(self._database, file, self._account.progress, free)
            with open_copy(file) as connection:
                added = Added(read_contents(connection), kept_artifacts(connection))
        self._account.update(steps=added.contents.steps, cursor=added.contents.cursor)
        return _Copy(file, added.contents, added.artifacts, parent, taken_at)

    def _parent(self, layout: Layout) -> Manifest | None:
        """The backup that an increment adds to; None where there is none."""
        catalogue = Catalogue(self._target, layout.database_id)
        if not catalogue.listed:
            return None
        try:
            return catalogue.load(catalogue.find(Moment()))
        except BackupDamaged as error:
            logger.warning("there is nothing that an increment could add to: %s", error)
            return None

    def _attach(
        self, copy: _Copy, layout: Layout
    ) -> tuple[tuple[KeptArtifact, ...], tuple[LackingArtifact, ...]]:
        """Send the files that the target lacks."""
        if not copy.artifacts:
            return (), ()
        self._account.enter(Stage.ATTACHING, len(copy.artifacts))
        there = {stored.path for stored in self._target.objects(layout.artifacts) if stored.size}
        kept: list[KeptArtifact] = []
        lacking: list[LackingArtifact] = []
        directory = artifacts_path(self._database)
        for number, (sha256, size) in enumerate(copy.artifacts):
            self._account.progress(number, len(copy.artifacts))
            path = layout.artifact(sha256)
            if path not in there:
                try:
                    self._send(directory / sha256[:2] / sha256[2:], sha256, path)
                except OSError as error:
                    reason = error.strerror or str(error)
                    lacking.append(LackingArtifact(sha256=sha256, reason=reason))
                    self._account.update(artifacts_lacking=len(lacking))
                    continue
                self._account.update(artifacts_sent=self._account.job.artifacts_sent + 1)
            kept.append(KeptArtifact(sha256=sha256, size_bytes=size))
        return tuple(kept), tuple(lacking)

    def _send(self, file: Path, sha256: str, path: str) -> None:
        """Send one file, and see that it arrived.

        Raises:
            OSError: It is not there, or is not what it was.
        """
        if _hash_of(file) != sha256:
            raise OSError(5, "its bytes are not what they were", str(file))
        self._verify(self._store(file, path, None))

    def _store(self, file: Path, path: str, stage: Stage | None) -> StoredData:
        """Compress a file into an object, as parts while it is read."""
        size = file.stat().st_size
        last = _Pass()

        def chunks() -> Iterator[bytes]:
            nonlocal last
            last = each = _Pass()
            if stage is not None:
                self._account.enter(stage, size)
            for packed in compressed(self._read(file, each, size, stage), self._settings.backup.level, size):
                each.stored.update(packed)
                each.stored_bytes += len(packed)
                yield packed

        self._target.upload(path, size, chunks)
        if stage is not None:
            self._account.update(size_bytes=size, stored_bytes=last.stored_bytes)
        return StoredData(
            path=path,
            size_bytes=last.plain_bytes,
            sha256=last.plain.hexdigest(),
            stored_bytes=last.stored_bytes,
            stored_sha256=last.stored.hexdigest(),
        )

    def _read(self, file: Path, each: _Pass, size: int, stage: Stage | None) -> Iterator[bytes]:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                each.plain.update(chunk)
                each.plain_bytes += len(chunk)
                if stage is not None:
                    self._account.progress(each.plain_bytes, size)
                yield chunk

    def _verify(self, data: StoredData) -> None:
        """Read an object again: what the target gives back must be what was sent."""
        is_told = self._account.job.stage is Stage.UPLOADING
        if is_told:
            self._account.enter(Stage.VERIFYING, data.stored_bytes)
        stored = self._target.stat(data.path)
        reason = "it does not show what was written"
        if stored is not None and stored.size == data.stored_bytes:
            found = self._target.hash_of(
                data.path, data.stored_bytes, lambda done: self._account.progress(done, data.stored_bytes)
            )
            if found == data.stored_sha256:
                return
            reason = "it gives back other bytes than were written"
        self._target.delete(data.path)
        raise TargetUnusable(
            f"{self._target.url}/{data.path}", reason, "take the backup again, or another place"
        )

    def _tidy(self, layout: Layout, now_ns: int, newest: str) -> None:
        """What is needless goes; that it could not is worth a note, and no failure of the backup."""
        if self._account.job.kind is not JobKind.FULL:
            return
        self._account.enter(Stage.TIDYING)
        try:
            tidy(self._target, layout, self._settings.backup, now_ns, newest)
        except BackupError as error:
            self._account.update(note=f"old backups could not be removed: {error}")


def _hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _note_on(manifest: Manifest) -> str | None:
    """What a person should hear of a backup that is otherwise well."""
    notes = []
    if manifest.data.size_bytes and manifest.smaller_by < _LITTLE_GAIN and manifest.kind is BackupKind.FULL:
        notes.append(
            f"compression saved only {100 * manifest.smaller_by:.0f} %: what was recorded is dense already"
        )
    if manifest.lacking:
        first = manifest.lacking[0]
        notes.append(
            f"{len(manifest.lacking)} files could not be had, the first is {first.sha256}: {first.reason}"
        )
    return "; ".join(notes) or None
