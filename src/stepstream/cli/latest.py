"""The last steps of a history, looked for from its end, so that a long one costs no more than a short one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepstream.reading.history import History
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

_PAGE_STEPS = 1000
_WINDOW_MIN = 200
_WIDENING = 8


def latest_steps(
    history: History, count: int, *, episode: Episode | None = None, filter: str | None = None
) -> list[Step]:
    """The last steps that pass, in the order of their cursors.

    Args:
        history: Where to look.
        count: At most how many.
        episode: Only those of this episode.
        filter: What else holds for them.

    Raises:
        FilterInvalid: The filter cannot be read.
        StoreError: The history cannot be read.
    """
    end = history.last_cursor() if episode is None else episode.last_cursor
    window = max(_WINDOW_MIN, count)
    while True:
        start = max(0, end - window)
        found = _steps_between(history, start, end, count, episode, filter)
        if len(found) == count or start == 0:
            return found
        window *= _WIDENING


def _steps_between(
    history: History, start: int, end: int, count: int, episode: Episode | None, filter: str | None
) -> list[Step]:
    found: deque[Step] = deque(maxlen=count)
    name = None if episode is None else episode.id
    while True:
        page = history.steps(episode=name, after=start, limit=_PAGE_STEPS, filter=filter)
        found.extend(step for step in page if step.cursor <= end)
        if len(page) < _PAGE_STEPS or page[-1].cursor >= end:
            return list(found)
        start = page[-1].cursor
