"""Restoring over what is there: never unasked, never while it is written, and what was there is kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.backups import Rig, meta, rows, write_history
from tests.support.command_line import wait_for

from stepstream import ObservabilityProvider, Thought
from stepstream.backup.catalogue import Moment
from stepstream.errors import BackupNotFound, RestoreRefused
from stepstream.reading.history import History
from stepstream.settings import Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer


def drain(database: Path) -> None:
    """Be the committer until nothing is left to commit."""
    spool = SpoolDirectory(database)
    committer = Committer(database, spool, Settings())
    try:
        wait_for(committer.stand, "the election")
        wait_for(lambda: committer.work() == 0 and not committer.waiting_bytes(), "the commits")
    finally:
        committer.close()
        spool.close()


def test_a_file_that_is_there_stays(rig: Rig, tmp_path: Path) -> None:
    """Without being told to, nothing is put in its place."""
    rig.take()
    file = tmp_path / "mine.txt"
    file.write_text("mine")

    with pytest.raises(RestoreRefused, match="--force"):
        rig.restore(file)
    assert file.read_text() == "mine"


def test_a_log_that_was_left_is_not_given_to_another_database(rig: Rig, tmp_path: Path) -> None:
    """A -wal of a database that is gone would be read as the new one's."""
    rig.take()
    (tmp_path / "back.db-wal").write_bytes(b"left")

    with pytest.raises(RestoreRefused, match="of another database lies beside it"):
        rig.restore(tmp_path / "back.db")
    assert not (tmp_path / "back.db").exists()

    kept = rig.restore(tmp_path / "back.db", force=True).kept
    assert kept is not None
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"left"


def test_with_force_what_was_there_is_kept_with_its_log(rig: Rig) -> None:
    """The file that made way opens as it was, with what stood in its log alone."""
    rig.take()
    before = rows(rig.database)
    assert rig.database.with_name("history.db-wal").exists()

    kept = rig.restore(rig.database, force=True).kept

    assert kept is not None
    assert kept.with_name(kept.name + "-wal").exists()
    assert rows(kept) == before == rows(rig.database)
    assert meta(kept)["database_id"] != meta(rig.database)["database_id"]


def test_a_history_that_is_written_does_not_make_way(rig: Rig) -> None:
    """While somebody commits the file stays, also with force."""
    rig.take()
    before = meta(rig.database)["database_id"]
    spool = SpoolDirectory(rig.database)
    committer = Committer(rig.database, spool, Settings())
    try:
        wait_for(committer.stand, "the election")
        with pytest.raises(RestoreRefused, match="writes to it"):
            rig.restore(rig.database, force=True)
    finally:
        committer.close()
        spool.close()
    assert meta(rig.database)["database_id"] == before


def test_a_committer_on_a_restored_database_reports_no_loss(tmp_path: Path) -> None:
    """Segments and recorders of the original are not missed by whoever commits to the restored one."""
    database = tmp_path / "history.db"
    provider = ObservabilityProvider(database, committer="thread")
    with provider, provider.episode("runs on") as episode:
        for number in range(20):
            episode.log_event(Thought(text=str(number)))
        provider.flush()
        rig = Rig(database, f"file://{tmp_path}/safe")
        rig.take()
        assert rig.manifest().contents.segments
    file = tmp_path / "elsewhere" / "back.db"
    file.parent.mkdir()
    rig.restore(file)

    again = ObservabilityProvider(file, committer="thread")
    with again, again.episode("afterwards") as episode:
        episode.log_event(Thought(text="on the restored one"))
        again.flush()
        # Longer than a committer waits before it looks for what is missing.
        time.sleep(2.5)
        episode.log_event(Thought(text="and more"))
        again.flush()
    with History.open(file) as history:
        assert history.info().losses == 0
        assert history.info().episodes == 2


def test_agents_of_the_original_can_be_adopted(tmp_path: Path) -> None:
    """What the spool still held when the file made way goes on where the backup ends, each step once."""
    database = tmp_path / "history.db"
    provider = ObservabilityProvider(database, committer="none")
    with provider, provider.episode("cut") as episode:
        episode.log_event(Thought(text="before"))
        drain(database)
        rig = Rig(database, f"file://{tmp_path}/safe")
        rig.take()
        episode.log_event(Thought(text="after"))
    rig.restore(database, force=True)

    subprocess.run(
        [sys.executable, "-m", "stepstream", "spool", "adopt", "--db", database],
        check=True,
        timeout=50,
        capture_output=True,
    )
    drain(database)
    with History.open(database) as history:
        texts = [step.payload.text for step in history.steps() if isinstance(step.payload, Thought)]
        assert texts == ["before", "after"]
        assert history.info().losses == 0


def test_the_moment_is_chosen(rig: Rig, tmp_path: Path) -> None:
    """By time the last before it, by cursor the first that reaches it, by name that one."""
    second = 1_000_000_000
    first = rig.take(now=lambda: 1_700_000_000 * second)
    rig.database.unlink()
    for suffix in ("-wal", "-shm"):
        rig.database.with_name(f"history.db{suffix}").unlink(missing_ok=True)
    later = Rig(rig.database, rig.url)
    write_history(tmp_path / "other.db", steps=1)

    catalogue = rig.catalogue
    assert catalogue.find(Moment(at_ns=1_700_000_001 * second)).id == first.backup
    assert catalogue.find(Moment(cursor=301)).id == first.backup
    assert catalogue.find(Moment(id=first.backup)).id == first.backup
    for moment in (Moment(at_ns=1_600_000_000 * second), Moment(cursor=302), Moment(id="2021")):
        with pytest.raises(BackupNotFound):
            later.restore(tmp_path / "back.db", moment)


def test_an_empty_target_says_so(rig: Rig, tmp_path: Path) -> None:
    """Where there is no backup the error says that, and what to do."""
    from stepstream.backup.catalogue import the_database

    with pytest.raises(BackupNotFound, match="stepstream backups"):
        the_database(rig.target, None)


def test_a_file_beside_the_database_is_not_trusted_by_its_name(rig: Rig, tmp_path: Path) -> None:
    """Where other bytes lie under an artifact's name, the backup's take their place."""
    rig.take()
    rig.restore(tmp_path / "back.db")
    (path, *_) = [each for each in (tmp_path / "back.db-artifacts").rglob("*") if each.is_file()]
    sound = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"spoilt")

    rig.restore(tmp_path / "back.db", force=True)

    assert path.read_bytes() == sound
