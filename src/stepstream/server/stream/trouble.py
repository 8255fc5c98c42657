"""What keeps the stream from telling everything: stated while it lasts, and logged once.

Knows words. Must not know what is read, nor how.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stepstream.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("stepstream")

_REMEMBERED_MAX = 1_000


class Trouble:
    """What cannot be read at the moment, and the steps that never can.

    Attributes:
        missing: How many steps had to be left out.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._epoch: str | None = None
        self._failing: dict[str, str] = {}
        self._missed: dict[str, None] = {}

    @property
    def text(self) -> str | None:
        """What is wrong, in words; None when nothing is."""
        return next(iter(self._failing.values()), None) or next(reversed(self._missed), None)

    def begin(self, epoch: str) -> None:
        """A life of the database is read from here on; what was wrong with another one is over."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._missed.clear()
            self.missing = 0

    def fail(self, what: str, error: Exception) -> None:
        """Something cannot be read for the time being."""
        reason = f"{what} cannot be read: {type(error).__name__}: {error}"
        if reason != self._failing.get(what):
            logger.warning("the live stream waits: %s", reason, exc_info=not isinstance(error, StoreError))
        self._failing[what] = reason

    def work(self, what: str) -> None:
        """It can be read again."""
        self._failing.pop(what, None)

    def miss(self, unreadable: Sequence[str]) -> None:
        """Steps are left out; the same one is read for one client after another, and counts once."""
        for reason in unreadable:
            if reason in self._missed:
                continue
            logger.warning("the live stream leaves out a step: %s", reason)
            self.missing += 1
            self._missed[reason] = None
            if len(self._missed) > _REMEMBERED_MAX:
                del self._missed[next(iter(self._missed))]
