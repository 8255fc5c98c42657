"""The steps around a step of the ring: what a filter asks when it says ``tool:`` of an observation.

Knows what went by, and asks the table for what went by too long ago. What a step opened is closed later, so
that the step that closes it is never known here: a stream says what was known when a step was committed.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from stepstream.errors import StepstreamError
from stepstream.reading.matcher import Passing

if TYPE_CHECKING:
    from stepstream.reading.history import History
    from stepstream.schemas.step import Step

logger = logging.getLogger("stepstream")


class Vicinity(Passing):
    """The surroundings of the steps of a ring; they may be asked for in any order and at any time."""

    def __init__(self, history: History, steps_max: int) -> None:
        super().__init__()
        self._history = history
        self._closing_max = steps_max
        self._openers: OrderedDict[str, Step | None] = OrderedDict()

    def note(self, step: Step) -> None:
        opener = super().opener(step)
        if opener is not None:
            self._remember(step, opener)
        super().note(step)

    def opener(self, step: Step) -> Step | None:
        if step.closes is None:
            return None
        if step.id not in self._openers:
            self._remember(step, self._look_up(step))
        return self._openers[step.id]

    def opened(self, step_id: str) -> Step | None:
        """The step with an id, while nothing has closed it."""
        return self._open.get(step_id)

    def _remember(self, step: Step, opener: Step | None) -> None:
        self._openers[step.id] = opener
        if len(self._openers) > self._closing_max:
            self._openers.popitem(last=False)

    def _look_up(self, step: Step) -> Step | None:
        try:
            return self._history.opener(step)
        except (StepstreamError, OSError) as error:
            logger.warning("what step %s closes cannot be read: %s", step.id, error)
            return None

    def forget(self) -> None:
        """Begin anew."""
        self._open.clear()
        self._openers.clear()
