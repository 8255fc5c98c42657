"""A process that commits steps to a history and rings the bell, as a committer does; for tests of readers.

Prints one line a commit: its last cursor and when it was done, in ns of the monotonic clock.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.support.history_builder import HistoryBuilder

from stepstream.bus.bell import Bell
from stepstream.schemas.kinds import Thought
from stepstream.spool.directory import SpoolDirectory


def write(database: Path, commits: int, steps_a_commit: int, pause_s: float) -> None:
    """Commit steps."""
    builder = HistoryBuilder(database)
    bell = Bell(SpoolDirectory(database))
    episode = builder.episode()
    for _ in range(commits):
        for _ in range(steps_a_commit):
            episode.log(Thought(text="x" * 500))
        cursor = builder.commit()
        done = time.monotonic_ns()
        bell.publish(cursor)
        print(cursor, done, flush=True)
        time.sleep(pause_s)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
