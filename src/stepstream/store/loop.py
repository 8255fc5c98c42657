"""The committer's day: work while there is work, sleep in inotify when there is none, end when told.

Under load it makes a pass about every millisecond; nobody pays for being watched. After some idle passes it
watches the spool directory and sleeps until a file there changes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stepstream.store.committer import Committer
from stepstream.store.sleeper import Sleeper, another_commits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stepstream.schemas.stream import Delta
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.store.post_office import PostOffice

_PAUSE_S = 0.001
# A pass of so many frames has behind it what a pause would gather.
_ENOUGH = 256
_IDLE_PASSES = 30
_DRAIN_S = 3.0


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
    sleeper = Sleeper(spool, *([] if post_office is None else [post_office.fileno()]))
    idle = 0
    needed_at = time.monotonic()
    ends_at = 0.0
    try:
        while True:
            stopping = until()
            count = committer.work()
            if stopping:
                ends_at = ends_at or time.monotonic() + _DRAIN_S
                # Agents that go on logging are their next committer's business.
                if count == 0 or not committer.elected or time.monotonic() > ends_at:
                    return
            if count:
                idle = 0
                if count < _ENOUGH:
                    time.sleep(_PAUSE_S)
                continue
            idle += 1
            now = time.monotonic()
            # While we wait for a database that is busy, the lock that is held is our own.
            waits = committer.elected or committer.holds_lock
            if linger_s is not None and not waits and another_commits(spool):
                return
            if committer.has_owners():
                needed_at = now
            elif linger_s is not None and now - needed_at > linger_s and _nobody_came(committer):
                return
            if idle < _IDLE_PASSES:
                time.sleep(_PAUSE_S)
            else:
                sleeper.sleep(committer.settle)
    finally:
        sleeper.close()
        committer.close()


def _nobody_came(committer: Committer) -> bool:
    """Give up the office, then look once more: an agent that came meanwhile saw the lock held."""
    committer.leave()
    try:
        return not committer.has_segments()
    except OSError:
        return False
