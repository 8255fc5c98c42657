"""What a search answers: the steps that were found, each with the place where the words stand.

Knows the shape of answers. Must not know how they are found.
"""

from __future__ import annotations

from stepstream.schemas.identity import Identifier
from stepstream.schemas.record import Record


class Highlight(Record):
    """A part of a snippet that was looked for: from ``start`` up to but not including ``end``.

    Both count characters, that is code points.
    """

    start: int
    end: int


class Snippet(Record):
    """A piece of a step's text, as it was recorded; an ellipsis stands where it was cut.

    Attributes:
        text: The piece.
        highlights: What in it was looked for, in order and without overlap.
    """

    text: str
    highlights: tuple[Highlight, ...]


class SearchHit(Record):
    """A step that was found.

    Attributes:
        id: The step.
        cursor: Its cursor.
        episode_id: The episode it belongs to.
        episode_name: What that episode is about.
        sequence: Its sequence in the episode.
        kind: What it is.
        agent: Who logged it.
        role: The agent's role.
        occurred_at: When; ns since 1970 UTC.
        snippet: Where the words stand.
    """

    id: Identifier
    cursor: int
    episode_id: Identifier
    episode_name: str
    sequence: int
    kind: str
    agent: str | None
    role: str | None
    occurred_at: int
    snippet: Snippet


class SearchPage(Record):
    """Steps that were found, the newest first.

    A page is bounded in the time it takes: one that has few hits, or none, may still have a next one.

    Attributes:
        items: The steps.
        next: The cursor to pass as ``before`` for the next page; None when there is nothing more.
        searched_to: Every step from there to where the page began was looked at.
        is_complete: Whether there is nothing more.
        indexed_to: How far the index reaches. Newer steps are read one by one, which takes long where they
            are many.
        last_cursor: The last cursor when the page was made.
        epoch: Which life of the database the cursors belong to.
    """

    items: tuple[SearchHit, ...]
    next: int | None
    searched_to: int
    is_complete: bool
    indexed_to: int
    last_cursor: int
    epoch: str
