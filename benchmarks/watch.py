"""A watching process: ``python -m benchmarks.watch DATABASE committed|subscribed COUNT``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.fleet import latencies_of
from stepstream import ObservabilityProvider, Thought
from stepstream.bus.bell import Listener
from stepstream.schemas.event import StepRecorded
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.sqlite.connection import open_reader

_QUIET_S = 20.0


def main() -> None:
    """Watch as asked and print the latencies."""
    database, how, expected = Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3])
    watch = {"committed": _committed, "subscribed": _subscribed}[how]
    print(json.dumps(watch(database, expected)), flush=True)


def _committed(database: Path, expected: int) -> list[float]:
    listener = Listener(SpoolDirectory(database))
    connection = open_reader(database)
    last = connection.execute("SELECT coalesce(max(cursor), 0) FROM step").get
    print("ready", flush=True)
    found: list[float] = []
    quiet_since = time.monotonic()
    while len(found) < expected and time.monotonic() - quiet_since < _QUIET_S:
        rows = connection.execute(
            "SELECT cursor, payload ->> '$.text' FROM step WHERE cursor > ? AND kind = 'thought'", (last,)
        ).fetchall()
        if not rows:
            listener.wait(0.05)
            continue
        found += latencies_of([text for _, text in rows], time.monotonic_ns())
        last = rows[-1][0]
        quiet_since = time.monotonic()
    return found


def _subscribed(database: Path, expected: int) -> list[float]:
    found: list[float] = []
    with ObservabilityProvider(database) as provider:
        events = provider.subscribe(after=None)
        iterator = iter(events)
        print("ready", flush=True)
        while len(found) < expected:
            event = next(iterator)
            if isinstance(event, StepRecorded) and isinstance(event.step.payload, Thought):
                found += latencies_of([event.step.payload.text], time.monotonic_ns())
    return found


if __name__ == "__main__":
    main()
