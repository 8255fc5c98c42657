"""How far something is: a bar for a person, a line every ten seconds for a log.

Knows stderr. What is drawn never touches the data on stdout.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from stepstream.cli.untrusted import one_line

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from stepstream.cli.output import Output

_BAR_AFTER_S = 0.5
_LINE_INTERVAL_S = 10.0


class Progress:
    """Draws how far a piece of work is, once it has taken long enough to be worth it."""

    def __init__(self, output: Output, what: str, total: int, unit: str) -> None:
        """Begin.

        Args:
            output: Where words go.
            what: What is being done.
            total: The position at which it is done; 0 when nobody knows.
            unit: What is counted.
        """
        self._output = output
        self._what = one_line(what)
        self._total = total
        self._unit = unit
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._due = time.monotonic() + (_BAR_AFTER_S if output.words_are_seen else _LINE_INTERVAL_S)

    def at(self, count: int, position: int) -> None:
        """So much is done.

        Args:
            count: How many of the unit.
            position: How far that is on the way to the total.
        """
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=position, count=f"{count:,}")
            return
        now = time.monotonic()
        if now < self._due:
            return
        if self._output.words_are_seen:
            self._draw(count, position)
        else:
            self._due = now + _LINE_INTERVAL_S
            share = f", {100 * position // self._total} %" if self._total else ""
            self._output.say(f"{self._what}: {count:,} {self._unit}{share}")

    def _draw(self, count: int, position: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn(f"{{task.fields[count]}} {self._unit}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False, markup=False),
            transient=True,
        )
        self._bar.start()
        description = Text(self._what).plain
        self._task = self._bar.add_task(
            description, total=self._total or None, completed=position, count=f"{count:,}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
