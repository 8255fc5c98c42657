"""An agent process of the benchmarks: logs thoughts of 600 bytes, each with the moment of its call.

``python -m benchmarks.agent DATABASE COUNT RATE NAME``; RATE 0 is flat out. Says ``ready``, waits for a line,
logs, flushes and prints what it measured as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from stepstream import ObservabilityProvider, Thought

TEXT = "x" * 570


def thought() -> Thought:
    """A thought of 600 bytes that carries the moment of its call."""
    return Thought(text=f"{time.monotonic_ns():020d} {TEXT}")


def called_at(text: str) -> int:
    """The moment a thought carries."""
    return int(text[:20])


def main() -> None:
    """Log as asked."""
    database, count, rate, name = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    slowest = 0
    with ObservabilityProvider(database) as provider, provider.episode(name, agent=name) as episode:
        episode.log_event(thought())
        print("ready", flush=True)
        if not sys.stdin.readline():
            return
        began = time.monotonic_ns()
        for number in range(count):
            if rate:
                due = began + int(number * 1e9 / rate)
                while (left := due - time.monotonic_ns()) > 0:
                    time.sleep(left / 1e9)
            payload = thought()
            before = time.monotonic_ns()
            episode.log_event(payload)
            slowest = max(slowest, time.monotonic_ns() - before)
        ended = time.monotonic_ns()
    print(json.dumps({"name": name, "began": began, "ended": ended, "slowest_ms": slowest / 1e6}), flush=True)


if __name__ == "__main__":
    main()
