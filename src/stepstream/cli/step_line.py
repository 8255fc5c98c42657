"""Steps as they go by, a line each: when, which episode, who, what, and how long what ended had taken.

Knows the layout of a line, whose columns only ever grow. Must not know where steps come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.cli.colours import AgentColours
from stepstream.cli.figures import clock_time, duration
from stepstream.cli.output import Block, Ink, Span, dim
from stepstream.cli.summary import summarise
from stepstream.cli.untrusted import columns, fit, one_line
from stepstream.schemas.error_report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.output import Line
    from stepstream.schemas.step import Step

_EPISODE_COLUMNS_MAX = 18
_AGENT_COLUMNS_MAX = 12
_TEXT_COLUMNS_MIN = 20
_UNCUT = 100_000
_GAP = Span("  ")


class StepLines:
    """Lays out one stream of steps."""

    def __init__(self, width: int | None, *, full: bool = False) -> None:
        """Prepare a stream.

        Args:
            width: The columns of a line; None cuts nothing.
            full: Show whole texts and tracebacks, in as many lines as they have.
        """
        self._width = None if full else width
        self._full = full
        self._colours = AgentColours()
        self._episode_columns = 0
        self._agent_columns = 0

    def of(self, step: Step, opener: Step | None, episode: str | None) -> Iterator[Line | Block]:
        """The line of a step.

        Args:
            step: The step.
            opener: The step it closes, when it is known.
            episode: The name of its episode; None where all steps are of one.
        """
        summary = summarise(step, opener)
        took = "" if opener is None else duration(step.occurred_at - opener.occurred_at)
        left = self._left(step, episode)
        used = sum(columns(span.text) for span in left) + 2
        room = (
            _UNCUT
            if self._width is None
            else max(_TEXT_COLUMNS_MIN, self._width - used - (len(took) + 2 if took else 0))
        )
        is_long = self._full and "\n" in summary.text.strip()
        name, text = (summary._replace(text="") if is_long else summary).fitted(room)
        words = [Span(name, Ink.BOLD), Span(text, Ink.RED if summary.is_error else Ink.PLAIN)]
        right: list[Span] = []
        if took:
            used += sum(columns(span.text) for span in words)
            edge = 2 if self._width is None else max(2, self._width - used - len(took))
            right = [Span(" " * edge), dim(took)]
        yield (*left, Span(summary.mark.glyph, summary.mark.ink), Span(" "), *words, *right)
        if is_long:
            yield Block(summary.text.strip("\n"), "    ", Ink.RED if summary.is_error else Ink.PLAIN)
        if self._full and isinstance(step.payload, ErrorReport) and step.payload.traceback:
            yield Block(step.payload.traceback.rstrip("\n"), "    ", Ink.DIM)

    def _left(self, step: Step, episode: str | None) -> list[Span]:
        """Time, episode and agent."""
        spans = [dim(clock_time(step.occurred_at)), _GAP]
        if episode is not None:
            name = one_line(episode, _EPISODE_COLUMNS_MAX)
            self._episode_columns = max(self._episode_columns, columns(name))
            spans += [dim(name + " " * (self._episode_columns - columns(name))), _GAP]
        agent = one_line(step.agent or step.role or "", _AGENT_COLUMNS_MAX)
        self._agent_columns = max(self._agent_columns, columns(agent))
        if self._agent_columns:
            blank = " " * (self._agent_columns - columns(agent))
            spans += [Span(fit(agent, _AGENT_COLUMNS_MAX) + blank, self._colours.of(agent)), _GAP]
        return spans
