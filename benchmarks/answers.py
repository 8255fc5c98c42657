"""What a server costs at rest, and how long its answers take at 10,000 and at 1,000,000 steps."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmarks.agent import TEXT
from benchmarks.figure import Figure
from benchmarks.served import Served
from stepstream import ObservabilityProvider, Thought

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 10_000
LARGE = 1_000_000
EPISODES = 200
ROUNDS = 11
_INDEXED_WITHIN_S = 900.0

PAGES = {
    "episodes": "/episodes?limit=100",
    "episodes, filtered": "/episodes?limit=100&filter=" + quote("agent:planner"),
    "steps by cursor": "/steps?limit=200&after={middle}",
    "steps by cursor, filtered": "/steps?limit=200&after={middle}&filter=" + quote("kind:thought"),
    "steps of an episode": "/episodes/{episode}/steps?limit=200",
}
SEARCHES = {"a common word": "common", "a rare word": "needle", "a phrase": '"common words here"'}


def run(place: Path) -> list[Figure]:
    """Measure an idle server, then pages and searches in a small and in a large database."""
    with Served(place / "idle.db") as served:
        time.sleep(2)
        idle, start_s = served.resident_bytes / 1e6, served.start_s
    small, _ = _answers(_filled(place / "small", SMALL))
    large, searches = _answers(_filled(place / "large", LARGE))
    worst = max(large, key=lambda name: large[name])
    return [
        Figure("an idle server: memory", (idle,), "MB", 90),
        Figure("an idle server: start to first answer", (start_s,), "s", 1.5),
        *(Figure(f"{LARGE:,} steps, {name}", (large[name],), "ms", 50) for name in large),
        Figure(f"{worst}: {LARGE:,} / {SMALL:,}", (large[worst] / small[worst],), "x"),
        *(Figure(f"search {LARGE:,} steps for {name}", (searches[name],), "ms", 200) for name in searches),
    ]


def _filled(place: Path, steps: int) -> Path:
    place.mkdir()
    with ObservabilityProvider(place / "history.db") as provider:
        for number in range(EPISODES):
            with provider.episode(f"episode {number}", agent="planner", role="planner") as episode:
                for step in range(steps // EPISODES):
                    needle = "needle " if (number, step) == (EPISODES // 2, 10) else ""
                    episode.log_event(Thought(text=f"{needle}common words here {number} {step} {TEXT[:560]}"))
            if number % 20 == 0:
                provider.flush(timeout_s=600)
        provider.flush(timeout_s=600)
    return place / "history.db"


def _answers(database: Path) -> tuple[dict[str, float], dict[str, float]]:
    with Served(database) as served:
        info = served.http.request("GET", f"{served.url}/api/v1/info").json()
        listed = served.http.request("GET", f"{served.url}/api/v1/episodes?limit=100").json()["items"]
        middle = info["last_cursor"] // 2
        episode = listed[len(listed) // 2]["episode"]["id"]
        _wait_indexed(served, info["last_cursor"])
        pages = {
            name: _milliseconds(served, path.format(middle=middle, episode=episode))
            for name, path in PAGES.items()
        }
        searches = {
            name: _milliseconds(served, f"/search?q={quote(words)}") for name, words in SEARCHES.items()
        }
    return pages, searches


def _wait_indexed(served: Served, cursor: int) -> None:
    deadline = time.monotonic() + _INDEXED_WITHIN_S
    while time.monotonic() < deadline:
        found = served.http.request("GET", f"{served.url}/api/v1/search?q=needle&limit=1").json()
        if found["indexed_to"] >= cursor:
            return
        time.sleep(1)
    raise RuntimeError("the search index is not built in time")


def _milliseconds(served: Served, path: str) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = served.http.request("GET", f"{served.url}/api/v1{path}")
        times.append(1000 * (time.perf_counter() - began))
        if answer.status != 200 or not answer.json()["items"]:
            raise RuntimeError(f"{path}: {answer.status} {answer.data.decode()[:300]}")
    return median(times)
