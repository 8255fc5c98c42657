"""Backups that released versions took are restored by this one; see the folder ``released``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.backups import Rig

from stepstream.backup.catalogue import Moment
from stepstream.reading.history import History

RELEASED = Path(__file__).with_name("released")


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASED.iterdir()))
@pytest.mark.parametrize(("minutes", "steps"), [(0, 21), (10, 24)], ids=["full", "increment"])
def test_a_backup_of_a_release_is_restored(release: str, minutes: int, steps: int, tmp_path: Path) -> None:
    """The full one and the increment behind it lead to what was recorded then, and its file comes along."""
    # A target is written to when it is asked what it can do, and what is kept here stays as it is.
    shutil.copytree(RELEASED / release, tmp_path / "safe")
    rig = Rig(tmp_path / "none.db", f"file://{tmp_path}/safe")
    taken_at = (1_795_000_000 + 60 * minutes) * 1_000_000_000

    restored = rig.restore(tmp_path / "back.db", Moment(at_ns=taken_at))

    assert (restored.contents.steps, restored.artifacts) == (steps, 1)
    with History.open(tmp_path / "back.db") as history:
        assert history.verify(deep=True).is_whole
        assert len(list(history.steps())) == steps
