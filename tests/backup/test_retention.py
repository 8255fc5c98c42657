"""Retention: what is kept of days, weeks and months, what is swept, and what never goes."""

from __future__ import annotations

import calendar
import os
import time
from pathlib import Path

import pytest
from tests.support.backups import Rig

from stepstream.backup.catalogue import Catalogue, Listed
from stepstream.backup.layout import Layout, backup_id_of, cursor_of, new_backup_id, taken_at_of
from stepstream.backup.manifest import BackupKind
from stepstream.backup.retention import needed, tidy
from stepstream.settings import BackupSettings

SECOND = 1_000_000_000
DAY = 24 * 3600


def at(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M")) * SECOND


def listed(when: int, kind: BackupKind = BackupKind.FULL) -> Listed:
    name = new_backup_id(when, "ab" * 8, 7)
    return Listed(when, 7, name, kind, f"x/manifests/{kind.value}/{name}.json")


def days(backups: set[Listed]) -> list[str]:
    return sorted(time.strftime("%Y-%m-%d %H:%M", time.gmtime(each.taken_at // SECOND)) for each in backups)


def test_days_weeks_and_months_are_kept() -> None:
    """Of a daily backup over two years seven days, four weeks and twelve months are left."""
    every = [listed(at("2024-11-22 03:00") + number * DAY * SECOND) for number in range(730)]
    kept = needed(every, BackupSettings())

    left = days(kept)
    assert left[-7:] == [f"2026-11-{day} 03:00" for day in range(15, 22)]
    assert {text[:7] for text in left} == {
        *(f"2026-{month:02}" for month in range(1, 12)),
        "2025-12",
    }
    assert len(left) <= 7 + 4 + 12


def test_of_a_day_the_last_is_kept() -> None:
    """Several backups of one day leave the last."""
    every = [listed(at(f"2026-11-22 {hour:02}:00")) for hour in range(24)]

    assert days(needed(every, BackupSettings())) == ["2026-11-22 23:00"]


def test_the_last_one_is_never_removed() -> None:
    """However old it is, and whatever is kept."""
    old = listed(at("2020-01-01 00:00"))

    nothing = BackupSettings().model_copy(update={"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0})

    assert needed([old], nothing) == {old}


def test_increments_of_the_last_two_are_kept() -> None:
    """Older ones go with the minutes that nobody asks for any more."""
    full = [listed(at(f"2026-11-{day} 03:00")) for day in (19, 20, 21)]
    increments = [listed(at(f"2026-11-{day} 12:00"), BackupKind.INCREMENT) for day in (19, 20, 21)]

    kept = needed(sorted(full + increments), BackupSettings())

    assert days(kept - set(full)) == ["2026-11-20 12:00", "2026-11-21 12:00"]


def test_a_name_tells_when_and_how_far() -> None:
    """What a person reads in it a program reads too."""
    name = new_backup_id(at("2026-11-22 03:00"), "0123456789abcdef", 184_223)

    assert name.startswith("2026-11-22T03-00-00Z-01234567-184223-")
    assert (taken_at_of(name), cursor_of(name)) == (at("2026-11-22 03:00"), 184_223)
    assert backup_id_of(f"x/full/{name}.db.zst") == backup_id_of(f"{name}.json") == name
    assert backup_id_of("x/full/other.db.zst") is None


def take_daily(rig: Rig, count: int) -> None:
    for number in range(count):
        rig.take(now=lambda number=number: at("2026-01-01 03:00") + number * DAY * SECOND)  # type: ignore[misc]


def test_needless_backups_go_when_a_new_one_is_there(rig: Rig) -> None:
    """With two kept days a third backup removes the first, manifest and data, and no file that is named."""
    settings = rig.settings.model_copy(
        update={
            "backup": rig.settings.backup.model_copy(
                update={"keep_daily": 2, "keep_weekly": 0, "keep_monthly": 0}
            )
        }
    )
    for number in range(3):
        when = at("2026-01-01 03:00") + number * DAY * SECOND
        rig.take(now=lambda when=when: when, settings=settings)  # type: ignore[misc]

    assert [time.gmtime(each.taken_at // SECOND).tm_mday for each in rig.catalogue.listed] == [2, 3]
    assert sum(name.endswith(".db.zst") for name in rig.objects()) == 2
    assert sum("/artifacts/" in name for name in rig.objects()) == 2


def left_behind(rig: Rig, *, hours: float) -> list[Path]:
    """What a job leaves that was killed some hours ago."""
    root = Path(rig.url.removeprefix("file://")) / rig.database_id
    name = new_backup_id(at("2026-01-01 03:00"), "ab" * 8, 7)
    left = [
        root / "full" / f"{name}.db.zst",
        root / "full" / f"{name}.db.zst#1",
        root / "artifacts" / "ab" / f"{'ab' * 32}.zst",
        root / "probe" / "left",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (time.time() - hours * 3600,) * 2)
    return left


def test_what_killed_jobs_left_is_swept_when_it_is_old(rig: Rig) -> None:
    """Objects that no manifest names go after a day, and not before: somebody may still write them."""
    rig.take()
    young = left_behind(rig, hours=1)
    rig.take()
    assert all(path.exists() for path in young)
    old = left_behind(rig, hours=30)
    rig.take()

    assert not any(path.exists() for path in old)


def test_no_file_is_swept_while_a_manifest_cannot_be_read(rig: Rig) -> None:
    """Some manifest that nobody can read may name it."""
    rig.take(now=lambda: at("2026-01-01 03:00"))
    root = Path(rig.url.removeprefix("file://")) / rig.database_id
    (manifest,) = (root / "manifests").rglob("*.json")
    manifest.write_bytes(b"damaged")
    stray = left_behind(rig, hours=30)[2]

    rig.take(now=lambda: at("2026-01-02 03:00"))

    assert stray.exists()


def test_nothing_is_removed_where_the_new_backup_is_not_listed(rig: Rig) -> None:
    """A target that does not show what was just written is not trusted with removals."""
    take_daily(rig, 2)
    settings = BackupSettings(keep_daily=1, keep_weekly=0, keep_monthly=0)
    layout = Layout(rig.database_id)

    assert tidy(rig.target, layout, settings, time.time_ns(), "another one") == []
    assert len(Catalogue(rig.target, rig.database_id).listed) == 2


@pytest.mark.parametrize("keep", [{"keep_daily": 0}, {"keep_weekly": -1}])
def test_a_setting_that_keeps_nothing_is_refused(keep: dict[str, int]) -> None:
    """At least one day is kept."""
    with pytest.raises(ValueError, match="greater than or equal"):
        BackupSettings(**keep)
