"""Increments: only what is new travels, and a chain of them leads to every moment between."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.backups import Rig, rows
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.backup.catalogue import Moment
from stepstream.backup.journal import Job, JobKind, JobState
from stepstream.backup.manifest import BackupKind
from stepstream.errors import BackupDamaged
from stepstream.reading.history import History
from stepstream.schemas.episode import Status
from stepstream.schemas.kinds import Thought
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.settings import Settings

SECOND = 1_000_000_000
TABLES = ("step", "episode", "recorder", "content", "artifact", "payload_schema", "redaction")


class Growing:
    """A history that grows between its backups, and what each of them should hold."""

    def __init__(self, directory: Path) -> None:
        self.builder = HistoryBuilder(directory / "history.db")
        self.rig = Rig(directory / "history.db", f"file://{directory}/safe")
        self.episode: EpisodeScript = self.builder.episode("grows")
        self.held: dict[int, dict[str, list[tuple[object, ...]]]] = {}
        self.moment = 1_700_000_000

    def think(self, count: int, text: str = "a thought of some length that is pooled. ") -> None:
        for number in range(count):
            self.episode.log(Thought(text=f"{number} {text * 40}"))
        self.builder.commit()

    def back_up(self, kind: JobKind) -> Job:
        self.moment += 60
        moment = self.moment
        job = self.rig.take(kind, now=lambda: moment * SECOND)
        self.held[moment] = {table: rows(self.rig.database, table) for table in TABLES}
        return job


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    """A history with a full backup and three increments; files and episodes come with them."""
    growing = Growing(tmp_path)
    growing.think(100)
    growing.back_up(JobKind.FULL)
    growing.think(5)
    growing.back_up(JobKind.INCREMENT)
    kept = ArtifactStore(growing.rig.database, Settings()).keep(b"late file", "late.stl", "model/stl")
    growing.builder.keep(kept.sha256, kept.size_bytes)
    growing.episode.finish(Status.FAILED)
    growing.episode = growing.builder.episode("second")
    growing.builder.commit()
    growing.back_up(JobKind.INCREMENT)
    growing.think(3, "another thought, long enough for the pool. ")
    growing.back_up(JobKind.INCREMENT)
    growing.builder.close()
    return growing


def test_every_moment_can_be_restored(growing: Growing, tmp_path: Path) -> None:
    """Full or increment: the restored database is what the original was then, row by row."""
    for number, (moment, held) in enumerate(growing.held.items()):
        file = tmp_path / f"back-{number}.db"
        restored = growing.rig.restore(file, Moment(at_ns=moment * SECOND))
        for table in TABLES:
            assert rows(file, table) == held[table], (table, number)
        assert restored.contents.steps == len(held["step"])
    with History.open(file) as history:
        assert history.verify(deep=True).is_whole
        assert history.info().last_cursor == 111


def test_only_what_is_new_travels(growing: Growing) -> None:
    """An increment names what it adds to, holds the new steps alone, and brings the new file."""
    full, first, second, third = (growing.rig.catalogue.load(each) for each in growing.rig.catalogue.listed)

    assert [each.kind for each in (full, first)] == [BackupKind.FULL, BackupKind.INCREMENT]
    assert (first.parent, second.parent, third.parent) == (full.id, first.id, second.id)
    assert (first.after_cursor, first.contents.cursor) == (full.contents.cursor, full.contents.cursor + 5)
    assert first.data.size_bytes < full.data.size_bytes / 2
    assert (len(full.artifacts), len(first.artifacts), len(second.artifacts)) == (0, 0, 1)


def test_without_a_full_backup_an_increment_is_one(growing: Growing, tmp_path: Path) -> None:
    """There is nothing yet that could be added to."""
    rig = Rig(growing.rig.database, f"file://{tmp_path}/elsewhere")

    job = rig.take(JobKind.INCREMENT)

    assert job.state is JobState.SUCCEEDED
    assert rig.manifest().kind is BackupKind.FULL


def test_in_a_new_epoch_an_increment_is_a_full_backup(growing: Growing) -> None:
    """Cursors that may be given out twice say nothing about what is new."""
    copy = growing.rig.database.with_name("copy")
    copy.write_bytes(growing.rig.database.read_bytes())
    copy.replace(growing.rig.database)
    with HistoryBuilder(growing.rig.database):
        pass

    growing.back_up(JobKind.INCREMENT)

    assert growing.rig.manifest().kind is BackupKind.FULL


def test_steps_that_went_make_a_full_backup(growing: Growing) -> None:
    """An increment can only add."""
    from stepstream.store.sqlite.connection import open_writer

    writer = open_writer(growing.rig.database)
    writer.execute("DELETE FROM step WHERE cursor = 7")
    writer.close()

    growing.back_up(JobKind.INCREMENT)

    assert growing.rig.manifest().kind is BackupKind.FULL


def test_a_chain_with_a_missing_link_is_damaged(growing: Growing, tmp_path: Path) -> None:
    """An increment whose parent is gone is not restored, what is before it is."""
    catalogue = growing.rig.catalogue
    middle = catalogue.listed[2]
    growing.rig.target.delete(middle.path)

    with pytest.raises(BackupDamaged, match="is missing"):
        growing.rig.restore(tmp_path / "back.db")
    growing.rig.restore(tmp_path / "back.db", Moment(id=catalogue.listed[1].id))


def test_an_increment_of_nothing_is_small(growing: Growing, tmp_path: Path) -> None:
    """When nothing happened the increment says just that, and leads on."""
    growing.back_up(JobKind.INCREMENT)

    assert growing.rig.manifest().data.stored_bytes < 10_000
    growing.rig.restore(tmp_path / "back.db")
    assert rows(tmp_path / "back.db") == rows(growing.rig.database)
