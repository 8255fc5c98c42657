"""What was known at a step, for people: the plan, what was open, the files, the conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.cli.colours import AgentColours
from stepstream.cli.figures import bytes_held, clock_time, counted
from stepstream.cli.output import Block, Span, bold, dim
from stepstream.cli.summary import EPISODE_MARKS, PLAN_SIGNS, message_text, summarise
from stepstream.cli.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.output import Line
    from stepstream.reading.state import Conversation, EpisodeState
    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import Episode

_SEPARATOR = " · "
_UNCUT = 100_000
_HASH_DIGITS = 12
_SPEAKER_COLUMNS = 10


def state_lines(episode: Episode, state: EpisodeState, width: int | None) -> Iterator[Line | Block]:
    """The state of an episode when a step had just been logged."""
    mark = EPISODE_MARKS[state.status]
    agent = " / ".join(filter(None, dict.fromkeys((state.agent, state.role))))
    yield Span(mark.glyph, mark.ink), Span(" "), bold(one_line(f"{episode.name} after step {state.sequence}"))
    about = (state.status.value, state.reason, clock_time(state.occurred_at), agent and f"logged by {agent}")
    yield Span("  "), dim(one_line(_SEPARATOR.join(filter(None, about))))
    yield from _section(
        "plan", [(Span(f"{PLAN_SIGNS[item.status]} "), Span(one_line(item.text))) for item in state.plan]
    )
    room = _UNCUT if width is None else width - 4
    yield from _section(
        "open",
        [
            (Span(one_line(f"step {step.sequence}  {step.agent or ''}  {summary.name}{summary.text}", room)),)
            for step in state.open_steps
            for summary in (summarise(step),)
        ],
        nothing="nothing",
    )
    yield from _section("files", [_file(file) for file in state.artifacts])
    colours = AgentColours()
    for conversation in state.conversations:
        yield from _conversation(conversation, colours)


def _section(title: str, lines: list[Line], nothing: str = "") -> Iterator[Line]:
    if lines or nothing:
        yield ()
        yield (dim(title),)
        for line in lines or [(dim(nothing),)]:
            yield Span("  "), *line


def _file(file: ArtifactRef) -> Line:
    about = (bytes_held(file.size_bytes), one_line(file.media_type), file.sha256[:_HASH_DIGITS])
    return Span(one_line(file.name)), dim(f"  {'  '.join(about)}")


def _conversation(conversation: Conversation, colours: AgentColours) -> Iterator[Line | Block]:
    name = one_line(conversation.agent or conversation.role or "nobody in particular")
    yield ()
    yield (
        dim("conversation of "),
        Span(name, colours.of(name)),
        dim(f", {counted(len(conversation.messages), 'message')}"),
    )
    for message in conversation.messages:
        text = message_text(message)
        speaker = one_line(
            message.role.value if message.name is None else f"{message.role.value} {message.name}"
        )
        if "\n" in text:
            yield (dim(f"  {speaker}"),)
            yield Block(text, "    ")
        else:
            yield dim(f"  {speaker:<{_SPEAKER_COLUMNS}} "), Span(one_line(text))
