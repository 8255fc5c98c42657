"""What one provider records, shown as it is committed, until its episode ends."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from stepstream.cli.step_line import StepLines
from stepstream.reading.matcher import Passing
from stepstream.schemas.episode import Status
from stepstream.schemas.event import StepRecorded
from stepstream.schemas.kinds import StatusChange

if TYPE_CHECKING:
    from stepstream.cli.output import Output
    from stepstream.sdk.provider import ObservabilityProvider

_LAST_WORD_S = 2.0


class Live:
    """Follows the steps of this process's next episode."""

    def __init__(self, provider: ObservabilityProvider, output: Output) -> None:
        """Subscribe; what is committed from now on is shown.

        Raises:
            StoreError: The database cannot be read.
        """
        self._output = output
        self._events = provider.subscribe()
        self._lines = StepLines(output.width)
        self._passing = Passing()
        self._timer: threading.Timer | None = None
        self._pid = os.getpid()

    def show(self) -> None:
        """Print step after step until the first episode that begins has ended."""
        episode: str | None = None
        for event in self._events:
            if not isinstance(event, StepRecorded):
                continue
            step = event.step
            begins = isinstance(step.payload, StatusChange) and step.payload.start is not None
            if begins and episode is None and step.origin.pid == self._pid:
                episode = step.episode_id
            if step.episode_id != episode:
                continue
            self._output.show(self._lines.of(step, self._passing.opener(step), None))
            self._output.flush()
            self._passing.note(step)
            if isinstance(step.payload, StatusChange) and step.payload.status is not Status.RUNNING:
                return

    def end_soon(self) -> None:
        """Nothing more will be logged: do not wait for ever for what was refused."""
        self._timer = threading.Timer(_LAST_WORD_S, self._events.close)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Let go of the database."""
        self._events.close()
        if self._timer is not None:
            self._timer.cancel()
