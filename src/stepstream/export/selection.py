"""Which steps are exported, and page after page of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.reading.history import History
    from stepstream.schemas.step import Step

Progress = Callable[[int, int], None]
"""Told after every page how many steps are written and the cursor of the last one."""

_PAGE_STEPS = 1000


class Selection(NamedTuple):
    """Which steps are wanted; None asks for nothing more."""

    episode: str | None = None
    filter: str | None = None


def pages(history: History, selection: Selection) -> Iterator[list[Step]]:
    """The selected steps that are committed by now, in the order of their cursors."""
    end = history.last_cursor()
    after = 0
    while after < end:
        page = history.steps(
            episode=selection.episode, after=after, limit=_PAGE_STEPS, filter=selection.filter
        )
        wanted = [step for step in page if step.cursor <= end]
        if wanted:
            yield wanted
        if len(page) < _PAGE_STEPS or len(wanted) < len(page):
            return
        after = page[-1].cursor
