"""Retention: which backups are needless, and what lies on the target that no backup needs.

Knows moments and names. Must not know what is in a backup. The newest full backup is never removed, nothing
is removed that an unreadable manifest might need, and nothing so young that somebody may still write it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from stepstream.backup.catalogue import Catalogue
from stepstream.backup.layout import artifact_of, backup_id_of
from stepstream.backup.manifest import BackupKind
from stepstream.errors import BackupDamaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.backup.catalogue import Listed
    from stepstream.backup.layout import Layout
    from stepstream.backup.target import Target
    from stepstream.settings import BackupSettings

logger = logging.getLogger("stepstream")

_SECOND_NS = 1_000_000_000
# Longer than any job tries: what is younger may belong to one that runs elsewhere.
_LEFT_BEHIND_NS = 24 * 3600 * _SECOND_NS
# Full backups whose increments are kept, counted from the newest.
_FULL_WITH_INCREMENTS = 2


def tidy(target: Target, layout: Layout, settings: BackupSettings, now_ns: int, newest: str) -> list[str]:
    """Remove needless backups, then what no backup needs.

    Args:
        target: Where they are.
        layout: Whose they are.
        settings: How many are kept.
        now_ns: What the target's clock says.
        newest: The backup that has just been taken and verified, in whose favour others go.

    Returns:
        The objects that were removed.

    Raises:
        BackupError: The target fails; what is left is removed another time.
    """
    catalogue = Catalogue(target, layout.database_id)
    if newest not in {each.id for each in catalogue.listed}:
        logger.warning("%s does not list what was just written; nothing is removed there", catalogue.place)
        return []
    kept = needed(catalogue.listed, settings)
    removed = []
    for listed in catalogue.listed:
        if listed not in kept:
            # The manifest first: without it the rest is no backup, and is swept if we end here.
            for path in (listed.path, layout.data(listed.id, listed.kind)):
                target.delete(path)
                removed.append(path)
    removed += _sweep_data(target, layout, kept, now_ns - _LEFT_BEHIND_NS)
    removed += _sweep_artifacts(target, layout, catalogue, kept, now_ns - _LEFT_BEHIND_NS)
    target.sweep_parts(now_ns - _LEFT_BEHIND_NS)
    return removed


def needed(listed: Sequence[Listed], settings: BackupSettings) -> set[Listed]:
    """Of each of the last days, weeks and months the last full backup; and the increments of the newest."""
    full = [each for each in listed if each.kind is BackupKind.FULL]
    kept = set(full[-1:])
    for period, count in (
        ("%Y-%m-%d", settings.keep_daily),
        ("%G-%V", settings.keep_weekly),
        ("%Y-%m", settings.keep_monthly),
    ):
        kept |= _last_of_each(full, period, count)
    if not full:
        return set(listed)
    since = full[-_FULL_WITH_INCREMENTS:][0].taken_at
    return kept | {each for each in listed if each.kind is BackupKind.INCREMENT and each.taken_at >= since}


def _last_of_each(full: Sequence[Listed], period: str, count: int) -> set[Listed]:
    last = {time.strftime(period, time.gmtime(each.taken_at // _SECOND_NS)): each for each in full}
    return {last[name] for name in sorted(last)[-count:]} if count else set()


def _sweep_data(target: Target, layout: Layout, kept: set[Listed], older_than_ns: int) -> list[str]:
    """Remove what jobs left that ended before their manifest, and what their probes left."""
    names = {each.id for each in kept}
    removed = []
    for folder in (*(kind.value for kind in BackupKind), "probe"):
        for stored in target.objects(f"{layout.database_id}/{folder}"):
            is_left = folder == "probe" or backup_id_of(stored.path) not in {None, *names}
            if is_left and stored.modified_ns < older_than_ns:
                target.delete(stored.path)
                removed.append(stored.path)
    return removed


def _sweep_artifacts(
    target: Target, layout: Layout, catalogue: Catalogue, kept: set[Listed], older_than_ns: int
) -> list[str]:
    """Remove the files that no backup names any more; none while a manifest cannot be read."""
    try:
        named = {each.sha256 for listed in kept for each in catalogue.load(listed).artifacts}
    except BackupDamaged as error:
        logger.warning("artifacts are not looked through, for some may still be needed: %s", error)
        return []
    removed = []
    for stored in target.objects(layout.artifacts):
        sha256 = artifact_of(stored.path)
        if sha256 is not None and sha256 not in named and stored.modified_ns < older_than_ns:
            target.delete(stored.path)
            removed.append(stored.path)
    return removed
