"""An episode for people: its header, its tree, its errors.

Knows how steps are laid out in lines. Must not know where they come from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stepstream.cli.colours import AgentColours
from stepstream.cli.figures import age, clock_time, counted, date_time, duration
from stepstream.cli.output import Block, Ink, Span, bold, dim, red
from stepstream.cli.summary import (
    EPISODE_MARKS,
    error_text,
    status_text,
    summarise,
    summarise_pair,
)
from stepstream.cli.untrusted import columns, fit, one_line
from stepstream.reading.span import SpanStatus
from stepstream.schemas.episode import Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import ArtifactAttached, Observation, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stepstream.cli.output import Line
    from stepstream.cli.summary import Summary
    from stepstream.reading.tree import EpisodeTree, TreeNode
    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step

_AGENT_COLUMNS_MAX = 14
_TEXT_COLUMNS_MIN = 24
_UNCUT = 100_000
_SEPARATOR = " · "


def header_lines(episode: Episode, steps: Sequence[Step], width: int | None) -> Iterator[Line]:
    """What the episode is and how it went."""
    mark = EPISODE_MARKS[episode.status]
    how = one_line(status_text(episode.status, episode.outcome, episode.score, episode.reason))
    yield Span(mark.glyph, mark.ink), Span(" "), bold(one_line(episode.name, width and width - 2))
    yield Span("  "), Span(how if width is None else fit(how, width - 2), mark.ink)
    about = [
        episode.id,
        episode.problem and f"problem {episode.problem}",
        f"attempt {episode.attempt}" if episode.attempt > 1 else "",
        " ".join(dict.fromkeys(filter(None, (_name(episode.agent, episode.role), *map(_actor, steps))))),
        " ".join(f"#{tag}" for tag in episode.tags),
        f"part of {episode.parent_id}" if episode.parent_id else "",
        "its beginning is not here" if episode.implied else "",
    ]
    yield Span("  "), dim(one_line(_SEPARATOR.join(filter(None, about)), width and width - 2))
    now = time.time_ns()
    running = episode.status is Status.RUNNING
    took = duration((now if running else episode.ended_at or episode.last_at) - episode.started_at)
    files = len({file.sha256 for step in steps for file in _artifacts(step)})
    figures = [
        date_time(episode.started_at),
        f"{took} so far" if running else took,
        counted(episode.steps, "step"),
        counted(files, "file") if files else "",
    ]
    errors = [dim(_SEPARATOR), red(counted(episode.errors, "error"))] if episode.errors else []
    silence = [dim(f"{_SEPARATOR}last sign of life {age(now - episode.last_at)} ago")] if running else []
    yield Span("  "), dim(_SEPARATOR.join(filter(None, figures))), *errors, *silence


def tree_lines(tree: EpisodeTree, width: int | None, *, traceback: bool) -> Iterator[Line | Block]:
    """The steps, nested; a call and its answer are one line with the time between them at its end."""
    rows = list(_walk(tree.roots))
    names = [_actor(node.step) for node, _ in rows]
    layout = _Layout(
        sequence=len(str(max((node.step.sequence for node, _ in rows), default=0))),
        agent=min(_AGENT_COLUMNS_MAX, max((columns(name) for name in names), default=0)),
        width=width,
    )
    colours = AgentColours()
    before = None
    for (node, depth), name in zip(rows, names, strict=True):
        # A person sees who acts when that changes; a program on every line.
        shown = "" if width is not None and name == before else name
        before = name
        yield layout.line(node, depth, Span(shown, colours.of(name)))
        yield from _failure(node, layout, depth, traceback=traceback)
    for child in tree.child_episodes:
        mark = EPISODE_MARKS[child.status]
        how = one_line(status_text(child.status, child.outcome, child.score, None))
        yield (
            Span(" " * (layout.left - 2)),
            Span(mark.glyph, mark.ink),
            Span(" "),
            bold(one_line(child.name)),
            Span(f"  {how}  "),
            dim(child.id),
        )


def error_lines(
    step: Step, opener: Step | None, width: int | None, *, traceback: bool
) -> Iterator[Line | Block]:
    """A step that tells of something wrong: where, what, and the line of code it came from."""
    summary = summarise(step, opener)
    place = f"{step.sequence}  {clock_time(step.occurred_at)}"
    about = [bold(one_line(summary.name)), Span("  ")] if summary.name else []
    yield (
        Span(summary.mark.glyph, summary.mark.ink),
        Span(" "),
        *about,
        dim(one_line(_SEPARATOR.join(filter(None, (f"step {place}", _actor(step)))))),
    )
    yield Block(_error_message(step, summary), "  ", Ink.RED)
    if opener is not None:
        name, call = summarise(opener).fitted(_UNCUT if width is None else width - 5)
        yield Span("  "), dim(f"in {name}{call}")
    if isinstance(step.payload, ErrorReport):
        yield from _origin(step.payload, "  ", traceback=traceback)
    yield ()


class _Layout:
    """Where the columns of a tree stand."""

    def __init__(self, sequence: int, agent: int, width: int | None) -> None:
        self.sequence = sequence
        self.agent = agent
        self.width = width
        self.left = sequence + 2 + agent + (2 if agent else 0) + 2

    def line(self, node: TreeNode, depth: int, agent: Span) -> Line:
        """One node: sequence, agent, sign, words, and at the right edge how long it took."""
        summary = summarise_pair(node.step, node.closing, node.status)
        took = "" if node.duration_ns is None else duration(node.duration_ns)
        if node.status is SpanStatus.RUNNING and node.duration_ns is None:
            took = f"{duration(time.time_ns() - node.step.occurred_at)} so far" if _opens(node.step) else ""
        name = fit(one_line(agent.text), self.agent)
        words = self._words(summary, depth, took)
        used = sum(columns(span.text) for span in words)
        gap = 2 if self.width is None else max(2, self.width - self.left - 2 * depth - used - len(took))
        return (
            dim(f"{node.step.sequence:>{self.sequence}}"),
            Span("  "),
            Span(name + " " * (self.agent - columns(name)), agent.ink),
            Span("  " if self.agent else ""),
            Span("  " * depth),
            Span(summary.mark.glyph, summary.mark.ink),
            Span(" "),
            *words,
            *((Span(" " * gap), dim(took)) if took else ()),
        )

    def _words(self, summary: Summary, depth: int, took: str) -> list[Span]:
        ink = Ink.RED if summary.is_error else Ink.PLAIN
        room = _UNCUT
        if self.width is not None:
            room = max(_TEXT_COLUMNS_MIN, self.width - self.left - 2 * depth - (len(took) + 2 if took else 0))
        name, words = summary.fitted(room)
        return [Span(name, Ink.BOLD), Span(words, ink)]


def _walk(roots: Sequence[TreeNode]) -> Iterator[tuple[TreeNode, int]]:
    """Every node with its depth, from top to bottom."""
    waiting = [(node, 0) for node in reversed(roots)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in reversed(node.children)]


def _failure(node: TreeNode, layout: _Layout, depth: int, *, traceback: bool) -> Iterator[Line | Block]:
    """Under a call that failed: what went wrong."""
    closing = node.closing
    error = closing.payload if closing is not None else node.step.payload
    if not isinstance(error, ErrorReport):
        return
    left = " " * (layout.left + 2 * depth)
    if closing is not None:
        room = _UNCUT if layout.width is None else max(_TEXT_COLUMNS_MIN, layout.width - len(left))
        yield Span(left), red(one_line(error_text(error), room))
    if traceback:
        yield from _origin(error, left, traceback=True)


def _origin(error: ErrorReport, left: str, *, traceback: bool) -> Iterator[Line | Block]:
    """Where an error came from: its whole traceback, or the innermost line of code."""
    if traceback and error.traceback:
        yield Block(error.traceback.rstrip("\n"), left, Ink.DIM)
    elif error.frames:
        frame = error.frames[-1]
        code = f"  {frame.code}" if frame.code else ""
        yield Span(left), dim(one_line(f"at {frame.file}:{frame.line} in {frame.function}{code}"))


def _error_message(step: Step, summary: Summary) -> str:
    return error_text(step.payload) if isinstance(step.payload, ErrorReport) else summary.text


def _actor(step: Step) -> str:
    return _name(step.agent, step.role)


def _name(agent: str | None, role: str | None) -> str:
    return one_line(agent or role or "", _AGENT_COLUMNS_MAX)


def _opens(step: Step) -> bool:
    return step.kind in {"tool_call", "model_call"}


def _artifacts(step: Step) -> tuple[ArtifactRef, ...]:
    match step.payload:
        case ArtifactAttached(artifact=file):
            return (file,)
        case ToolCall(artifacts=files) | Observation(artifacts=files):
            return files
        case _:
            return ()
