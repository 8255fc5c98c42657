"""Ids as short as they can be typed: the shortest beginning, of eight digits at least, that fits no other.

Knows the table of episodes, where there is one here: the neighbours of an id in the order of ids tell how
much of it is needed. Of a server's episodes only those are known that are listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from stepstream.reading.database import Reader
from stepstream.schemas.identity import id_bytes, id_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from stepstream.cli.access import Place

CHARACTERS_MIN = 8
_LISTED_CHARACTERS_MIN = 13
"""The part of an id that is its time, to the millisecond: who is not listed has begun at another one."""


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
        neighbours = (
            self._reader.first(sql, (raw,))
            for sql in (
                "SELECT id FROM episode WHERE id > ? ORDER BY id LIMIT 1",
                "SELECT id FROM episode WHERE id < ? ORDER BY id DESC LIMIT 1",
            )
        )
        others = [id_text(neighbour) for neighbour in neighbours if isinstance(neighbour, bytes)]
        return _shortened(episode_id, others, CHARACTERS_MIN)

    def close(self) -> None:
        """Let go of the history."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ListedIds:
    """Shortens the ids of a list of episodes."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = frozenset(ids)

    def shortest(self, episode_id: str) -> str:
        """The shortest beginning of an id that no other episode of the list has."""
        return _shortened(episode_id, self._ids - {episode_id}, _LISTED_CHARACTERS_MIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def short_ids(place: Place, listed: Sequence[str]) -> ShortIds | ListedIds:
    """What shortens the ids of a list.

    Args:
        place: The history.
        listed: The ids of the list.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: It cannot be read.
    """
    return ShortIds(place) if isinstance(place, Path) else ListedIds(listed)


def _shortened(episode_id: str, others: Iterable[str], characters_min: int) -> str:
    needed = max([characters_min, *(_common(episode_id, other) + 1 for other in others)])
    # A beginning that ends with a dash says no more than without it.
    while episode_id[needed - 1 : needed] == "-":
        needed += 1
    return episode_id[:needed]


def _common(one: str, other: str) -> int:
    """How many characters two ids have in common at their beginning."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))
