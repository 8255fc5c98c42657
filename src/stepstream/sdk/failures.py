"""Failures of our own while we merely watch: counted, told once, and raised only where tests ask for it.

Knows nothing of what failed. An agent never sees any of it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter

logger = logging.getLogger("stepstream")

STRICT_VARIABLE = "STEPSTREAM_STRICT"

_counts: Counter[str] = Counter()


def note(what: str, error: Exception, *, strict: bool | None = None) -> None:
    """Count a failure and tell the log of the first of its kind.

    Args:
        what: What could not be recorded.
        error: Why.
        strict: Whether to raise instead; None asks the environment, where no provider can be asked.

    Raises:
        Exception: The error itself, where watching is strict.
    """
    if strict is None:
        strict = os.environ.get(STRICT_VARIABLE, "").lower() in {"1", "true", "yes", "on"}
    if strict:
        raise error
    _counts[what] += 1
    if _counts[what] == 1:
        logger.warning("%s could not be recorded as it was: %s: %s", what, type(error).__name__, error)


def count(what: str, number: int = 1) -> None:
    """Count something that was kept otherwise than it was, without a word in the log."""
    _counts[what] += number


def counts() -> dict[str, int]:
    """What could not be recorded as it was, in this process."""
    return dict(_counts)
