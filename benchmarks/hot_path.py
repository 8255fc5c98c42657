"""What a call costs the agent: log_event of a 600-byte Thought against an OpenTelemetry SDK span.

Both carry the same text, agent and role; the span goes through BatchSpanProcessor to the in-memory exporter.
Calls alternate in blocks within one process, so that the machine's moods hit both alike.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.figure import Figure, percentile
from stepstream import ObservabilityProvider, Thought

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "x" * 590
BLOCK = 500
BLOCKS = 24
RATE = 2_000


def run(place: Path) -> list[Figure]:
    """Measure paced and flat out."""
    exporter = InMemorySpanExporter()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = tracer_provider.get_tracer("bench")

    def span() -> None:
        with tracer.start_as_current_span(
            "thought", attributes={"text": TEXT, "agent": "planner", "role": "planner", "episode": "bench"}
        ):
            pass

    figures: list[Figure] = []
    with (
        ObservabilityProvider(place / "history.db") as provider,
        provider.episode("bench", agent="planner", role="planner") as episode,
    ):

        def step() -> None:
            episode.log_event(Thought(text=TEXT))

        for rate, name in ((RATE, f"{RATE:,}/s"), (0, "flat out")):
            ours, theirs = _alternate(step, span, rate, exporter)
            p50, p99 = percentile(ours, 0.5), percentile(ours, 0.99)
            span50, span99 = percentile(theirs, 0.5), percentile(theirs, 0.99)
            figures += [
                Figure(f"log_event p50 / span p50, {name}", (p50 / span50,), "x", 0.45),
                Figure(f"log_event p99 / span p99, {name}", (p99 / span99,), "x", 1.0),
                Figure(f"log_event p50, {name}", (p50,), "us"),
                Figure(f"log_event p99, {name}", (p99,), "us"),
                Figure(f"span p50, {name}", (span50,), "us"),
                Figure(f"span p99, {name}", (span99,), "us"),
            ]
    tracer_provider.shutdown()
    return figures


def _alternate(
    step: Callable[[], None], span: Callable[[], None], rate: int, exporter: InMemorySpanExporter
) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(BLOCKS + 2):
        our_block, their_block = _block(step, rate), _block(span, rate)
        # The first blocks warm caches, imports and the committer.
        if number >= 2:
            ours += our_block
            theirs += their_block
        exporter.clear()
        gc.collect()
        time.sleep(0.05)
    return ours, theirs


def _block(call: Callable[[], None], rate: int) -> list[float]:
    times = []
    began = time.perf_counter_ns()
    for number in range(BLOCK):
        if rate:
            due = began + number * 1_000_000_000 // rate
            while (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
        before = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - before) / 1000)
    return times
