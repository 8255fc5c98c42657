"""What the committer's second check costs: ``python -m benchmarks.decisions.checks [PAYLOADS]``.

Checks the same 600-byte payload as a kind of the core (pydantic, by its class) and as a project's own kind
(jsonschema-rs, by the schema its recorder announced), and prints microseconds a payload.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from stepstream import StepPayload, Thought
from stepstream.store.validation import SchemaAnnouncement, Validation

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


class Idea(StepPayload, kind="measured_idea"):
    """A project's own kind with the fields of a thought."""

    text: str


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    validation = Validation({})
    schema = Idea.model_json_schema(mode="serialization")
    validation.announce(SchemaAnnouncement(kind=Idea.kind, version=1, schema=schema))
    payload = Thought(text="x" * 590).encoded()
    ways: dict[str, Callable[[], object]] = {
        "core kind, by its class": lambda: validation.check("thought", 1, payload),
        "own kind, by its announced schema": lambda: validation.check("measured_idea", 1, payload),
    }
    for name, check in ways.items():
        best = min(microseconds(check, count) for _ in range(ROUNDS))
        print(f"{name:36} {best:6.2f} us")


def microseconds(check: Callable[[], object], count: int) -> float:
    """The time of one call."""
    began = time.perf_counter()
    for _ in range(count):
        check()
    return 1e6 * (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
