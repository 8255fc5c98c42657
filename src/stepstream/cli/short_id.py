"""Ids as short as they can be typed: the shortest beginning, of eight digits at least, that fits no other.

Knows the table of episodes. The neighbours of an id in the order of ids tell how much of it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from stepstream.reading.database import Reader
from stepstream.schemas.identity import id_bytes, id_text

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CHARACTERS_MIN = 8


class ShortIds:
    """Shortens the ids of one history's episodes."""

    def __init__(self, database: Path) -> None:
        """Open the history.

        Raises:
            FileNotFoundError: There is no such file.
            StoreError: It cannot be read.
        """
        self._reader = Reader(database)

    def shortest(self, episode_id: str) -> str:
        """The shortest beginning of an id that no other episode of the history has."""
        raw = id_bytes(episode_id)
        needed = CHARACTERS_MIN
        for sql in (
            "SELECT id FROM episode WHERE id > ? ORDER BY id LIMIT 1",
            "SELECT id FROM episode WHERE id < ? ORDER BY id DESC LIMIT 1",
        ):
            neighbour = self._reader.first(sql, (raw,))
            if isinstance(neighbour, bytes):
                needed = max(needed, _common(episode_id, id_text(neighbour)) + 1)
        # A beginning that ends with a dash says no more than without it.
        while episode_id[needed - 1 : needed] == "-":
            needed += 1
        return episode_id[:needed]

    def close(self) -> None:
        """Let go of the history."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _common(one: str, other: str) -> int:
    """How many characters two ids have in common at their beginning."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))
