"""Deltas on their way from any thread to the event loop: so many, and no more.

Knows bounds. Must not know who watches.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.schemas.stream import Delta

WAITING_MAX = 10_000
WAITING_CHARACTERS_MAX = 1024 * 1024


class DeltaBox:
    """Deltas that wait to be passed on; what does not fit is dropped and counted.

    Attributes:
        dropped: How many deltas did not fit.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._guard = threading.Lock()
        self._waiting: list[Delta] = []
        self._characters = 0

    def put(self, deltas: Sequence[Delta]) -> bool:
        """Add deltas, as many as fit; returns whether the box was empty, so that somebody must be called."""
        with self._guard:
            was_empty = not self._waiting
            for index, delta in enumerate(deltas):
                if (
                    len(self._waiting) >= WAITING_MAX
                    or self._characters + len(delta.text) > WAITING_CHARACTERS_MAX
                ):
                    self.dropped += len(deltas) - index
                    break
                self._waiting.append(delta)
                self._characters += len(delta.text)
            return was_empty and bool(self._waiting)

    def take(self) -> list[Delta]:
        """Empty the box."""
        with self._guard:
            taken, self._waiting = self._waiting, []
            self._characters = 0
            return taken
