"""How many steps a second a server takes in that are posted to it, each post answered from the disk."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import urllib3

from benchmarks.agent import thought
from benchmarks.figure import Figure
from benchmarks.served import Served
from stepstream.schemas.identity import id_text, new_id

if TYPE_CHECKING:
    from pathlib import Path

SENDERS = 2
POSTS = 20
STEPS = 2_000


def run(place: Path) -> list[Figure]:
    """Measure senders that each wait for their answer, unwatched and watched."""
    alone, watched = _rate(place / "alone.db"), _rate(place / "watched.db", watched=True)
    return [
        Figure("POST /api/v1/steps, on the disk when answered", (alone,), "steps/s", 20_000, at_most=False),
        Figure("the same beside a client of the stream", (watched,), "steps/s"),
    ]


def _rate(database: Path, *, watched: bool = False) -> float:
    bodies = [_bodies(number) for number in range(SENDERS)]
    with Served(database) as served:
        if watched:
            threading.Thread(target=_watch, args=(served.url,), daemon=True).start()
        threads = [threading.Thread(target=_post, args=(served.url, some)) for some in bodies]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        stored = served.http.request("GET", f"{served.url}/api/v1/info").json()["steps"]
    if stored < SENDERS * POSTS * STEPS:
        raise RuntimeError(f"{stored} steps are stored")
    return SENDERS * POSTS * STEPS / took


def _watch(url: str) -> None:
    answer = urllib3.PoolManager().request("GET", f"{url}/api/v1/events?after=0", preload_content=False)
    try:
        for _ in answer.stream(1 << 16):
            pass
    except urllib3.exceptions.HTTPError:
        # The server ended, as it is meant to.
        pass


def _bodies(sender: int) -> list[bytes]:
    recorder = {"id": id_text(new_id()), "pid": sender, "host": "bench", "started_at": time.time_ns()}
    episode = id_text(new_id())
    return [
        json.dumps(
            {
                "recorders": [recorder],
                "steps": [
                    {
                        "id": id_text(new_id()),
                        "episode_id": episode,
                        "kind": "thought",
                        "payload": {"text": thought().text},
                        "occurred_at": time.time_ns(),
                        "agent": "planner",
                        "role": "planner",
                        "recorder": 0,
                        "number": post * STEPS + number,
                    }
                    for number in range(STEPS)
                ],
            }
        ).encode()
        for post in range(POSTS)
    ]


def _post(url: str, bodies: list[bytes]) -> None:
    http = urllib3.PoolManager()
    for body in bodies:
        answer = http.request(
            "POST", f"{url}/api/v1/steps", body=body, headers={"content-type": "application/json"}
        )
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.data.decode()[:500]}")
