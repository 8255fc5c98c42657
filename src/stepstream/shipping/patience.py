"""Patience: how long to wait before the next try, longer each time, and never in step with others."""

from __future__ import annotations

import random
import time

_FIRST_S = 0.05
_LONGEST_S = 30.0
_DOUBLINGS_MAX = 12


class Patience:
    """When to try again."""

    def __init__(self) -> None:
        self.failures = 0
        self._resume_at = 0.0

    @property
    def pause_s(self) -> float:
        """How long it still is until the next try."""
        return max(0.0, self._resume_at - time.monotonic())

    def fail(self, at_least_s: float = 0.0) -> None:
        """A try has failed.

        Args:
            at_least_s: How long to wait in any case.
        """
        wait_s = min(_LONGEST_S, _FIRST_S * 2 ** min(self.failures, _DOUBLINGS_MAX))
        self.failures += 1
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - nobody guesses anything by it
        # Of many who were told the same, each comes at a time of its own.
        self.rest(max(wait_s * jitter, at_least_s * (1.5 - jitter / 2)))

    def rest(self, wait_s: float) -> None:
        """Wait so long."""
        self._resume_at = time.monotonic() + wait_s

    def end(self) -> None:
        """Try at once."""
        self._resume_at = 0.0

    def succeed(self) -> None:
        """All is well again."""
        self.failures = 0
        self._resume_at = 0.0
