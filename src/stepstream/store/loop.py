"""The committer's day, as a function that a thread or a process runs.

Knows what a committer is made of. How a day goes is ``workday``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.store.committer import Committer
from stepstream.store.workday import spend_day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stepstream.schemas.stream import Delta
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.store.post_office import PostOffice

_ENOUGH = 256


def run_committer(
    database: Path,
    spool: SpoolDirectory,
    settings: Settings,
    *,
    until: Callable[[], bool],
    linger_s: float | None = None,
    post_office: PostOffice | None = None,
    on_deltas: Callable[[Sequence[Delta]], None] | None = None,
) -> None:
    """Commit until told to stop and drained, or until nobody has needed it for a while.

    Args:
        database: The database.
        spool: Its spool.
        settings: Bounds and intervals.
        until: Whether to stop; asked between passes. What was logged before is committed first, for as long
            as a few seconds.
        linger_s: End after so long without owners; None stays.
        post_office: As for ``Committer``.
        on_deltas: As for ``Committer``.
    """
    committer = Committer(database, spool, settings, post_office=post_office, on_deltas=on_deltas)
    wakers = () if post_office is None else (post_office.fileno(),)
    spend_day(committer, spool, until=until, linger_s=linger_s, enough=_ENOUGH, wakers=wakers)
