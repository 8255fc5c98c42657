"""How long a page takes at 10,000 and at 1,000,000 steps."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.agent import thought
from benchmarks.figure import Figure
from stepstream import ObservabilityProvider
from stepstream.reading.history import History

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 10_000
LARGE = 1_000_000
PAGE = 1_000
ROUNDS = 21
_EPISODES = 10


def run(place: Path) -> list[Figure]:
    """Measure pages by cursor and by episode in a small and in a large database."""
    small = _pages(_filled(place / "small" / "history.db", SMALL))
    large = _pages(_filled(place / "large" / "history.db", LARGE))
    return [
        Figure(f"{PAGE:,} of {LARGE:,} steps by cursor", (large[0],), "ms", 15),
        Figure(f"{PAGE:,} of {LARGE:,} steps by episode", (large[1],), "ms", 15),
        Figure("by cursor, large / small", (large[0] / small[0],), "x", 1.5),
        Figure("by episode, large / small", (large[1] / small[1],), "x", 1.5),
    ]


def _filled(database: Path, steps: int) -> Path:
    database.parent.mkdir()
    with ObservabilityProvider(database) as provider:
        for number in range(_EPISODES):
            with provider.episode(f"episode {number}", agent="planner", role="planner") as episode:
                for _ in range(steps // _EPISODES):
                    episode.log_event(thought())
            provider.flush(timeout_s=600)
    return database


def _pages(database: Path) -> tuple[float, float]:
    with History.open(database) as history:
        last = history.info().last_cursor
        episode = history.episodes()[len(history.episodes()) // 2].id
        middle = history.steps(episode=episode, limit=1)[0].cursor + last // _EPISODES // 2 - PAGE
        by_cursor, by_episode = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = history.steps(after=last // 2, limit=PAGE)
            by_cursor.append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            same = history.steps(episode=episode, after=middle, limit=PAGE)
            by_episode.append(1000 * (time.perf_counter() - began))
            if len(found) != PAGE or not same:
                raise RuntimeError("the page is not whole")
    return median(by_cursor), median(by_episode)
