"""``stepstream search``: the steps that have some words, the newest first, by episode."""

from __future__ import annotations

import os
import re
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stepstream.cli.access import (
    HistoryOption,
    JsonLinesOption,
    JsonOption,
    open_history,
    pasted,
    place_of,
)
from stepstream.cli.untrusted import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.access import Place
    from stepstream.cli.colours import AgentColours
    from stepstream.cli.output import Line, Output, Span
    from stepstream.cli.short_id import ListedIds, ShortIds
    from stepstream.reading.history import History
    from stepstream.reading.search.hit import SearchHit, SearchPage, Snippet
    from stepstream.schemas.record import JsonObject

_PAGE_HITS = 100
_SPACE = re.compile(r"\s+")
_AGENT_COLUMNS_MAX = 12
_BEFORE_HIT = 3
"""What was found begins in the first third of its line."""


class Wanted(NamedTuple):
    """What the person looks for; ``limit`` 0 means all of it."""

    text: str
    filter: str | None
    episode: str | None
    limit: int


def search(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORD", help="As in: bolt max_stress* '\"did not converge\" -gusset'"),
    ],
    *,
    filter: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="What else holds: kind:error since:-1h")
    ] = "",
    episode: Annotated[str, typer.Option("--episode", metavar="ID", help="Only this episode.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most how many; 0 for all.")] = 20,
    as_json: JsonOption = False,
    as_json_lines: JsonLinesOption = False,
    db: HistoryOption = None,
) -> None:
    """Find steps by their words, the newest first.

    All words must be there. "quoted words" stand together, word* may go on, -word must not be there.
    """
    from stepstream.cli.output import Output
    from stepstream.reading.filter import Filter
    from stepstream.reading.search.query import Query

    output = Output()
    place = place_of(db)
    wanted = Wanted(" ".join(words), filter or None, episode or None, limit)
    # What cannot be read is refused before anything is indexed.
    Query.parse(wanted.text)
    Filter.parse(filter)
    with open_history(place, output) as history:
        if isinstance(place, Path):
            _bring_up_to_date(place, history.last_cursor(), output)
        pages = _pages(history, wanted, output)
        if as_json_lines:
            for page in pages:
                for hit in page.items:
                    output.json_line(hit)
        elif as_json:
            output.json(_json(list(pages)))
        else:
            _show(list(pages), place, output, wanted)


def _bring_up_to_date(database: Path, last: int, output: Output) -> None:
    """Let the index reach all steps there are, as far as that can be had; searching goes on in any case."""
    from stepstream.cli.progress import Progress
    from stepstream.errors import StoreError
    from stepstream.reading.search.indexer import Indexing, bring_up_to_date
    from stepstream.settings import Settings

    if not os.access(database.parent, os.W_OK):
        return
    with (
        Progress(output, "indexing", last, "steps") as drawn,
        closing(Indexing(database, Settings.load(database))) as work,
    ):
        try:
            bring_up_to_date(work, lambda progress: drawn.at(progress.indexed_to, progress.indexed_to))
        except (OSError, StoreError) as error:
            output.say(f"the search index cannot be kept: {error}")


def _pages(history: History, wanted: Wanted, output: Output) -> Iterator[SearchPage]:
    """Page after page, until there is enough or nothing more."""
    from stepstream.cli.figures import counted
    from stepstream.cli.progress import Progress

    before: int | None = None
    found = 0
    last = history.last_cursor()
    with Progress(output, "searching", last, "steps") as drawn:
        while True:
            page = history.search(
                wanted.text,
                filter=wanted.filter,
                episode=wanted.episode,
                before=before,
                limit=_PAGE_HITS if wanted.limit == 0 else min(_PAGE_HITS, wanted.limit - found),
            )
            yield page
            unindexed = page.last_cursor - page.indexed_to
            if before is None and page.next is not None and unindexed > _PAGE_HITS:
                output.say(f"{counted(unindexed, 'step')} are not indexed and are read one by one")
            found += len(page.items)
            before = page.next
            if before is None or found == wanted.limit > 0:
                return
            drawn.at(last - before, last - before)


# -- what is shown


def _json(pages: list[SearchPage]) -> JsonObject:
    """All pages as one."""
    last: JsonObject = pages[-1].model_dump(mode="json")
    return {**last, "items": [hit.model_dump(mode="json") for page in pages for hit in page.items]}


def _show(pages: list[SearchPage], place: Place, output: Output, wanted: Wanted) -> None:
    from stepstream.cli.figures import counted
    from stepstream.cli.short_id import short_ids

    hits = [hit for page in pages for hit in page.items]
    with short_ids(place, [hit.episode_id for hit in hits]) as short:
        output.show(hit_lines(hits, short, output.width))
        if hits:
            example = f"show {short.shortest(hits[0].episode_id)} --step {hits[0].sequence}"
            output.say(f"see a step with: {pasted(example, place)}")
        else:
            output.say("no step has these words; leave one out, or let one go on: word*")
    if pages[-1].next is not None:
        output.say(f"the newest {counted(len(hits), 'step')}; more with: --limit {10 * max(1, wanted.limit)}")


def hit_lines(hits: list[SearchHit], short: ShortIds | ListedIds, width: int | None) -> Iterator[Line]:
    """The hits under their episodes; the episode with the newest one comes first."""
    from stepstream.cli.colours import AgentColours
    from stepstream.cli.figures import counted
    from stepstream.cli.output import bold, dim
    from stepstream.cli.untrusted import one_line

    colours = AgentColours()
    episodes: dict[str, list[SearchHit]] = {}
    for hit in hits:
        episodes.setdefault(hit.episode_id, []).append(hit)
    for episode_id, own in episodes.items():
        count = counted(len(own), "hit")
        yield bold(one_line(own[0].episode_name)), dim(f"  {short.shortest(episode_id)}  {count}")
        for hit, left in zip(own, _left_columns(own, colours), strict=True):
            room = None if width is None else width - sum(columns(span.text) for span in left)
            yield (*left, *snippet_spans(hit.snippet, room))


def _left_columns(hits: list[SearchHit], colours: AgentColours) -> Iterator[Line]:
    """Sequence, age, agent and kind of each hit, in columns."""
    from stepstream.cli.figures import age
    from stepstream.cli.output import Span, dim
    from stepstream.cli.untrusted import one_line

    now = time.time_ns()
    rows = [
        (
            f"#{hit.sequence}",
            age(now - hit.occurred_at),
            one_line(hit.agent or hit.role or "", _AGENT_COLUMNS_MAX),
            one_line(hit.kind),
        )
        for hit in hits
    ]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sequence, ago, agent, kind = (
            cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield dim(f"  {sequence}  {ago}  "), Span(agent, colours.of(row[2])), dim(f"  {kind}  ")


def snippet_spans(snippet: Snippet, columns_max: int | None) -> Iterator[Span]:
    """A snippet in one line, what was looked for in an ink of its own."""
    from stepstream.cli.output import Ink, Span
    from stepstream.cli.untrusted import fit, neutral

    text, highlights = snippet.text, [(found.start, found.end) for found in snippet.highlights]
    begin = 0
    if columns_max is not None and highlights:
        begin = max(0, min(highlights[0][0] - columns_max // _BEFORE_HIT, len(text) - columns_max))
    room = columns_max
    place = begin
    pieces = [("…", "")] if begin else []
    for start, end in highlights:
        pieces += [(text[place:start], Ink.PLAIN), (text[start:end], Ink.YELLOW)]
        place = end
    for piece, ink in (*pieces, (text[place:], Ink.PLAIN)):
        line = neutral(_SPACE.sub(" ", piece))
        if room is not None:
            line = fit(line, room)
            room -= columns(line)
        if line:
            yield Span(line, ink)
