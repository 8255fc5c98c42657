"""A backup holds the whole history, and a restore gives it back: on every kind of target."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.support.backups import FILES, KEYS, SECRET, Rig, meta, rows
from tests.support.object_store import ObjectServer

from stepstream.backup.compression import decompressed
from stepstream.backup.journal import JobState, Stage
from stepstream.backup.manifest import BackupKind
from stepstream.reading.database import Reader
from stepstream.reading.history import History


def test_what_is_restored_is_what_was_backed_up(any_rig: Rig, tmp_path: Path) -> None:
    """Every row of every table but the spool's comes back, and every file with it."""
    any_rig.take()
    file = tmp_path / "back.db"

    restored = any_rig.restore(file)

    for table in ("step", "episode", "recorder", "content", "artifact", "payload_schema", "redaction"):
        assert rows(file, table) == rows(any_rig.database, table), table
    for data in FILES:
        name = hashlib.sha256(data).hexdigest()
        assert (tmp_path / "back.db-artifacts" / name[:2] / name[2:]).read_bytes() == data
    assert (restored.contents.steps, restored.artifacts, restored.kept) == (301, 2, None)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_restored_database_is_one_of_its_own(rig: Rig, tmp_path: Path) -> None:
    """It has another id and another epoch, awaits no segment, and says where it comes from."""
    job = rig.take()
    file = tmp_path / "back.db"
    rig.restore(file)

    before, after = meta(rig.database), meta(file)

    assert after["database_id"] != before["database_id"]
    assert after["epoch"] != before["epoch"]
    assert after["restored_from"] == job.backup
    assert rows(file, "segment") == []


def test_a_restored_database_verifies(rig: Rig, tmp_path: Path) -> None:
    """What verify proves of a history it proves of a restored one."""
    rig.take()
    rig.restore(tmp_path / "back.db")

    with History.open(tmp_path / "back.db") as history:
        assert history.verify(deep=True).is_whole


def test_a_job_tells_how_it_stands(rig: Rig) -> None:
    """Each stage is told in order, and the journal holds the end of it."""
    job = rig.take()

    seen = list(dict.fromkeys(each.stage for each in rig.stages))
    assert seen == [
        Stage.PROBING,
        Stage.COPYING,
        Stage.ATTACHING,
        Stage.UPLOADING,
        Stage.VERIFYING,
        Stage.FINISHING,
        Stage.TIDYING,
        Stage.DONE,
    ]
    assert job.state is JobState.SUCCEEDED
    assert (job.steps, job.cursor, job.artifacts_sent, job.is_verified) == (301, 301, 2, True)
    assert rig.journal.jobs() == [job]
    assert rig.journal.job(job.id) == job


def test_a_manifest_says_what_a_backup_is(rig: Rig) -> None:
    """It names database, epoch, cursor, counts, sizes and hashes, and they are right."""
    rig.take()
    manifest = rig.manifest()
    stored = (Path(rig.url.removeprefix("file://")) / manifest.data.path).read_bytes()

    assert manifest.kind is BackupKind.FULL
    assert manifest.contents.database_id == meta(rig.database)["database_id"]
    assert manifest.contents.epoch == meta(rig.database)["epoch"]
    assert (manifest.contents.cursor, manifest.contents.steps, manifest.contents.episodes) == (301, 301, 1)
    assert manifest.data.stored_sha256 == hashlib.sha256(stored).hexdigest()
    plain = b"".join(decompressed([stored]))
    assert (manifest.data.sha256, manifest.data.size_bytes) == (hashlib.sha256(plain).hexdigest(), len(plain))


def test_a_file_that_is_there_does_not_travel_again(rig: Rig) -> None:
    """The second backup sends no file, and names all of them."""
    rig.take()
    job = rig.take()

    assert job.artifacts_sent == 0
    assert len(rig.manifest().artifacts) == 2


def test_a_file_that_is_gone_is_told(rig: Rig) -> None:
    """A file that is not beside the database any more is named, and the backup succeeds."""
    gone = hashlib.sha256(FILES[0]).hexdigest()
    shutil.rmtree(rig.database.with_name("history.db-artifacts") / gone[:2])

    job = rig.take()

    assert job.state is JobState.SUCCEEDED
    assert job.artifacts_lacking == 1
    assert gone in (job.note or "")
    assert [each.sha256 for each in rig.manifest().lacking] == [gone]


def test_a_file_that_has_changed_is_not_taken_for_the_other(rig: Rig) -> None:
    """Bytes that are not what their name says do not travel."""
    name = hashlib.sha256(FILES[0]).hexdigest()
    file = rig.database.with_name("history.db-artifacts") / name[:2] / name[2:]
    file.chmod(0o600)
    file.write_bytes(b"something else")

    rig.take()

    assert [each.sha256 for each in rig.manifest().lacking] == [name]


def test_dense_bytes_are_told_and_backed_up(tmp_path: Path) -> None:
    """A database that hardly shrinks says so instead of failing."""
    from tests.support.history_builder import HistoryBuilder

    from stepstream.schemas.kinds import Thought

    path = tmp_path / "dense.db"
    import base64
    import random

    noise = random.Random(7)
    with HistoryBuilder(path) as builder:
        episode = builder.episode()
        for _ in range(200):
            episode.log(Thought(text=base64.b85encode(noise.randbytes(8000)).decode()))
    rig = Rig(path, f"file://{tmp_path}/safe")

    job = rig.take()

    assert job.state is JobState.SUCCEEDED
    assert "compression saved only" in (job.note or "")


def test_what_lies_in_a_directory_is_its_owners(rig: Rig) -> None:
    """A directory that a backup made lets nobody else in."""
    rig.take()

    assert Path(rig.url.removeprefix("file://")).stat().st_mode & 0o777 == 0o700


def test_a_backup_can_be_had_without_stepstream(s3_rig: Rig, s3: ObjectServer, tmp_path: Path) -> None:
    """List the bucket, download, zstd -d, and count with sqlite3: that is all it takes."""
    import re
    import urllib.request

    s3_rig.take()
    bucket = s3_rig.url.removeprefix("s3://").partition("/")[0]
    listing = urllib.request.urlopen(f"{s3.endpoint}/{bucket}?list-type=2&prefix=team/").read().decode()
    (name,) = re.findall(r"<Key>([^<]+\.db\.zst)</Key>", listing)
    packed, plain = tmp_path / "downloaded.db.zst", tmp_path / "downloaded.db"
    packed.write_bytes(urllib.request.urlopen(f"{s3.endpoint}/{bucket}/{name}").read())

    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", "-d", packed, "-o", plain], check=True, timeout=60)
    else:
        plain.write_bytes(b"".join(decompressed([packed.read_bytes()])))
    with sqlite3.connect(plain) as connection:
        (count,) = connection.execute("SELECT count(*) FROM step").fetchone()
    connection.close()

    assert count == 301


def test_no_credential_is_stored(s3_rig: Rig) -> None:
    """Neither the manifest nor the journal holds a key."""
    s3_rig.take()

    noted = b"".join(path.read_bytes() for path in (s3_rig.journal.path / "jobs").iterdir())
    stored = b"".join(s3_rig.target.read_small(name) for name in s3_rig.objects() if name.endswith(".json"))
    for secret in (SECRET, KEYS["AWS_ACCESS_KEY_ID"]):
        assert secret.encode() not in noted + stored


def test_writers_are_not_held_up_by_a_copy(rig: Rig, tmp_path: Path) -> None:
    """A write transaction that is open while a backup is taken stays open, and is not in it."""
    script = (
        "import sys, apsw; from stepstream.store.sqlite.connection import open_writer; from pathlib import Path\n"
        "c = open_writer(Path(sys.argv[1])); c.execute('BEGIN IMMEDIATE')\n"
        "c.execute(\"INSERT INTO meta VALUES ('open', '1')\")\n"
        "print('held', flush=True); sys.stdin.readline(); c.execute('COMMIT'); print('done', flush=True)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, rig.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == "held\n"
        rig.take()
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"
    finally:
        writer.stdin.close()
        writer.stdout.close()
        writer.wait(10)
    rig.restore(tmp_path / "back.db")
    assert "open" not in meta(tmp_path / "back.db")
    reader = Reader(rig.database)
    assert reader.meta("open") == "1"
    reader.close()
