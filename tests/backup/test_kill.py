"""kill -9 at every stage of a backup: there is no half of one, and the next run succeeds and sweeps."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.backups import Rig, rows

from stepstream.backup.journal import JobState, Stage
from stepstream.errors import BackupRunning

_SCRIPT = """
import os, signal, sys
from pathlib import Path
from stepstream.backup.journal import Stage
from tests.support.backups import Rig

class Deadly(list):
    def append(self, job):
        if job.stage is Stage(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

rig = Rig(Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None)
rig.stages = Deadly()
rig.take()
"""


def die(rig: Rig, stage: Stage) -> None:
    """Take a backup in a process that is killed at a stage."""
    arguments = [rig.database, rig.url, rig.endpoint or "", stage.value]
    killed = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, arguments)], capture_output=True, timeout=50, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in {Stage.RESTORING, Stage.DONE}])
def test_a_job_that_was_killed_left_no_half_backup(s3_rig: Rig, tmp_path: Path, stage: Stage) -> None:
    """Before its manifest there is no backup, after it a whole one; the journal says that it was cut off."""
    die(s3_rig, stage)

    job = s3_rig.journal.jobs()[0]
    assert (job.state, job.stage, job.error_type) == (JobState.FAILED, stage, "Interrupted")
    manifests = [name for name in s3_rig.objects() if "/manifests/" in name]
    assert len(manifests) == (stage is Stage.TIDYING)
    assert s3_rig.take().state is JobState.SUCCEEDED
    s3_rig.restore(tmp_path / "back.db")
    assert rows(tmp_path / "back.db") == rows(s3_rig.database)
    assert list((s3_rig.journal.path / "work").iterdir()) == []


def test_a_copy_that_was_left_is_swept(rig: Rig) -> None:
    """The next job removes what a killed one has copied, before it copies itself."""
    die(rig, Stage.UPLOADING)
    assert list((rig.journal.path / "work").iterdir())

    with rig.journal.take_turn():
        assert list((rig.journal.path / "work").iterdir()) == []


def test_one_backup_at_a_time(rig: Rig) -> None:
    """Whoever comes second is told which job runs."""
    with rig.journal.take_turn() as turn:
        turn.name("01900000-0000-7000-8000-000000000001")
        with pytest.raises(BackupRunning) as caught:
            rig.journal.take_turn()
        assert caught.value.job == "01900000-0000-7000-8000-000000000001"
        assert rig.journal.running_id() == caught.value.job
    assert rig.journal.running_id() is None
    assert rig.take().state is JobState.SUCCEEDED


def test_a_full_disk_is_told(rig: Rig) -> None:
    """A copy that would take the agents' last bytes is not made, and the journal says so."""
    from stepstream.errors import SnapshotFailed

    settings = rig.settings.model_copy(update={"disk_free_bytes_min": 1 << 60})

    with pytest.raises(SnapshotFailed, match="make room"):
        rig.take(settings=settings)
    assert rig.journal.jobs()[0].error_type == "SnapshotFailed"
