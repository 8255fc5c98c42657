"""An agent that logs a ToolCall and at once holds its interpreter lock for 5 s in one C call.

``python -m benchmarks.holder DATABASE`` prints how many ms a subscriber in another process had to wait.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time

from stepstream import ObservabilityProvider

HOLD_S = 5

_SUBSCRIBER = """
import sys, time
from stepstream import ObservabilityProvider, ToolCall
with ObservabilityProvider(sys.argv[1]) as provider:
    events = iter(provider.subscribe(after=None))
    print("ready", flush=True)
    for event in events:
        payload = event.step.payload
        if isinstance(payload, ToolCall) and payload.tool == "hold":
            print((time.monotonic_ns() - payload.arguments["called_at"]) / 1e6, flush=True)
            break
"""


def main() -> None:
    """Call, hold, and tell what the subscriber saw."""
    subscriber = subprocess.Popen(
        [sys.executable, "-c", _SUBSCRIBER, sys.argv[1]], stdout=subprocess.PIPE, text=True
    )
    if subscriber.stdout is None or subscriber.stdout.readline().strip() != "ready":
        raise RuntimeError("the subscriber of the benchmark did not start")
    holding = ctypes.PyDLL(None)
    with ObservabilityProvider(sys.argv[1]) as provider, provider.episode("hold", agent="cad") as episode:
        time.sleep(0.5)
        with episode.tool_call("hold", {"called_at": time.monotonic_ns()}):
            # PyDLL keeps the interpreter lock during the call.
            holding.sleep(HOLD_S)
    out, _ = subscriber.communicate(timeout=60)
    print(out.strip())


if __name__ == "__main__":
    main()
