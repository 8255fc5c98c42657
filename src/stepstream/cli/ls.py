"""``stepstream ls``: the episodes, what became of them and what they are doing now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stepstream.cli.access import (
    FilterArgument,
    HistoryOption,
    JsonLinesOption,
    JsonOption,
    open_history,
    pasted,
    place_of,
    program,
)

if TYPE_CHECKING:
    from stepstream.cli.access import Place
    from stepstream.cli.output import Line, Output
    from stepstream.reading.history import History
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.record import JsonObject
    from stepstream.schemas.step import Step

_RECENT_STEPS = 100


class Listed(NamedTuple):
    """An episode of the list with what its last steps tell.

    Attributes:
        episode: The episode.
        now: What it is doing, or how it ended.
        who: The roles that acted lately, or the agents where no role is stated; the one that began first.
    """

    episode: Episode
    now: str
    who: tuple[str, ...]


def ls(
    filter: FilterArgument = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most how many; 0 for all.")] = 20,
    as_json: JsonOption = False,
    as_json_lines: JsonLinesOption = False,
    db: HistoryOption = None,
) -> None:
    """List episodes, the latest first."""
    from stepstream.cli.output import Output

    output = Output()
    place = place_of(db)
    with open_history(place, output) as history:
        episodes = history.episodes(filter=filter or None, limit=limit or None)
        listed = [_look(history, episode) for episode in episodes]
        if as_json_lines:
            for each in listed:
                output.json_line(_json(each))
        elif as_json:
            output.json({"episodes": [_json(each) for each in listed]})
        else:
            _show(listed, place, output, filter, limit)


def _look(history: History, episode: Episode) -> Listed:
    from stepstream.cli.latest import latest_steps
    from stepstream.schemas.episode import Status

    recent = latest_steps(history, _RECENT_STEPS, episode=episode)
    running = episode.status is Status.RUNNING
    ended = ", ".join(filter(None, (episode.outcome, episode.reason)))
    who = dict.fromkeys(
        name
        for name in (episode.role or episode.agent, *(step.role or step.agent for step in recent))
        if name
    )
    return Listed(episode, doing(recent) if running else ended, tuple(who))


def doing(recent: list[Step]) -> str:
    """What an episode is doing, as its last steps tell: the innermost open call, or what came last."""
    from stepstream.cli.summary import summarise
    from stepstream.schemas.core import OPENING_KINDS

    closed = {step.closes for step in recent}
    opened = {step.id: step for step in recent}
    for step in reversed(recent):
        if step.kind in OPENING_KINDS and step.id not in closed:
            summary = summarise(step)
            return f"{summary.name}{summary.text}"
    if not recent:
        return ""
    summary = summarise(recent[-1], opened.get(recent[-1].closes or ""))
    return " ".join(filter(None, (summary.name, summary.text)))


def _json(listed: Listed) -> JsonObject:
    episode: JsonObject = listed.episode.model_dump(mode="json")
    return {**episode, "now": listed.now, "who": list(listed.who)}


def _show(listed: list[Listed], place: Place, output: Output, filter: str, limit: int) -> None:
    if not listed:
        output.say(
            "no episode passes the filter; leave a condition out"
            if filter
            else f"no episode has been recorded yet; to see some: {program()} demo"
        )
        return
    output.show(episode_lines(listed, place, output.width))
    if len(listed) == limit:
        more = pasted(f"ls --limit {10 * limit}", place)
        output.say(f"the latest {limit}; more with: {more}")


def episode_lines(listed: list[Listed], place: Place, width: int | None) -> list[Line]:
    """The list as a table."""
    from stepstream.cli.figures import age, duration
    from stepstream.cli.output import Ink, Span, dim, red
    from stepstream.cli.short_id import short_ids
    from stepstream.cli.summary import EPISODE_MARKS
    from stepstream.cli.table import Column, Table
    from stepstream.schemas.episode import Status

    now = time.time_ns()
    table = Table(
        Column("", drop=0),
        Column("ID"),
        Column("EPISODE", width_min=24),
        Column("STATUS", drop=4),
        Column("NOW", width_min=24),
        Column("WHO", width_min=16, drop=6),
        Column("STEPS", is_right=True),
        Column("ERRORS", is_right=True),
        Column("TOOK", is_right=True, drop=3),
        Column("AGE", is_right=True),
        Column("SCORE", is_right=True, drop=5),
    )
    with short_ids(place, [each.episode.id for each in listed]) as short:
        for episode, doing_now, who in listed:
            mark = EPISODE_MARKS[episode.status]
            running = episode.status is Status.RUNNING
            table.add(
                Span(mark.glyph, mark.ink),
                short.shortest(episode.id),
                Span(episode.name, Ink.BOLD),
                Span(episode.status.value, mark.ink),
                doing_now,
                dim(" ".join(who)),
                f"{episode.steps:,}",
                red(f"{episode.errors:,}") if episode.errors else dim("·"),
                duration((now if running else episode.ended_at or episode.last_at) - episode.started_at),
                age(now - episode.last_at),
                "" if episode.score is None else f"{episode.score:g}",
            )
    return table.lines(width)
