"""The ring: the last committed steps, each encoded once, in pages of which each makes one message.

Knows cursors and bounds. Must not know where steps come from, nor who reads them.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from stepstream.server.stream.message import MESSAGE_BYTES_MAX, MESSAGE_STEPS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.schemas.step import Step

RING_STEPS_MAX = 4_096
RING_BYTES_MAX = 8 * 1024 * 1024


class Life(NamedTuple):
    """Which life of the database it is, and the cursors it has."""

    epoch: str
    pruned_to: int
    last: int


class Page:
    """Steps in a row, of which the last page of a ring may still get more.

    Attributes:
        cursors: Their cursors.
        steps: The steps.
        encoded: Each as JSON.
        last: The cursor of the last one.
        size: How many bytes of JSON they are.
    """

    __slots__ = ("cursors", "encoded", "last", "size", "steps")

    def __init__(self) -> None:
        self.cursors: list[int] = []
        self.steps: list[Step] = []
        self.encoded: list[bytes] = []
        self.last = 0
        self.size = 0

    def has_room(self, size: int) -> bool:
        """Whether another step still fits; the first one always does."""
        return not self.cursors or (
            len(self.cursors) < MESSAGE_STEPS_MAX and self.size + size <= MESSAGE_BYTES_MAX
        )

    def append(self, step: Step, encoded: bytes) -> None:
        """Add the next step."""
        self.cursors.append(step.cursor)
        self.steps.append(step)
        self.encoded.append(encoded)
        self.last = step.cursor
        self.size += len(encoded)


_LAST = attrgetter("last")


class Ring:
    """Every step of one life of the database behind a cursor.

    Attributes:
        life: The life of the database, as it was when the ring began.
        after: Everything behind this cursor is here.
        last: The cursor up to which everything is here.
    """

    def __init__(
        self,
        life: Life,
        after: int,
        *,
        steps_max: int = RING_STEPS_MAX,
        bytes_max: int = RING_BYTES_MAX,
    ) -> None:
        self.life = life
        self.after = self.last = after
        self._steps_max = steps_max
        self._bytes_max = bytes_max
        self._pages: list[Page] = []
        self._count = 0
        self._size = 0

    @property
    def pages(self) -> Sequence[Page]:
        """The pages, the oldest first."""
        return self._pages

    @property
    def count(self) -> int:
        """How many steps are here."""
        return self._count

    @property
    def size(self) -> int:
        """How many bytes of JSON they are."""
        return self._size

    def append(self, step: Step, encoded: bytes) -> None:
        """Add the next step; nothing goes before ``trim``."""
        if not self._pages or not self._pages[-1].has_room(len(encoded)):
            self._pages.append(Page())
        self._pages[-1].append(step, encoded)
        self.last = step.cursor
        self._count += 1
        self._size += len(encoded)

    def trim(self) -> None:
        """Let the oldest pages go, as far as the bounds ask for it; the newest one stays, however large."""
        dropped = 0
        while dropped < len(self._pages) - 1 and self._is_over():
            page = self._pages[dropped]
            dropped += 1
            self._count -= len(page.cursors)
            self._size -= page.size
            self.after = page.last
        del self._pages[:dropped]

    def _is_over(self) -> bool:
        return self._count > self._steps_max or self._size > self._bytes_max

    def page(self, after: int) -> Page | None:
        """The page with the first step behind a cursor; None when there is no such step."""
        if after >= self.last:
            return None
        newest = self._pages[-1]
        if newest.cursors[0] > after and len(self._pages) > 1:
            return self._pages[bisect_right(self._pages, after, key=_LAST)]
        return newest
