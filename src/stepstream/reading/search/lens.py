"""The lens: texts held against a query, to see which of them have the words, and where.

The words are found by a table of FTS5's in memory, of the same make as the index, so that both always agree.

Knows texts. Must not know where they are from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import apsw

from stepstream.reading.search.hit import Highlight, Snippet
from stepstream.reading.search.query import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.reading.search.query import Query
    from stepstream.reading.search.words import StepText

SNIPPET_CHARACTERS = 240

_BEFORE_CHARACTERS = 60
_SPACE_WITHIN = 20
# Control characters are space to the index, so that a text has the same words without them.
_BEGIN, _END = "\x02", "\x03"
_MARKS = re.compile(f"[{_BEGIN}{_END}]")

_FTS5 = f'fts5 (text, tokenize = "{" ".join(TOKENIZER)}")'
_TABLES = f"CREATE VIRTUAL TABLE heap USING {_FTS5}; CREATE VIRTUAL TABLE shown USING {_FTS5};"
_ADD = "INSERT INTO heap (rowid, text) VALUES (?, ?)"
_MATCHING = "SELECT rowid FROM heap WHERE heap MATCH ? ORDER BY rowid DESC"
_SHOW = "INSERT INTO shown (rowid, text) VALUES (?, ?)"
_MARKED = f"SELECT highlight(shown, 0, '{_BEGIN}', '{_END}') FROM shown WHERE shown MATCH ? AND rowid = ?"


class Lens:
    """One query, to hold texts against. Not thread-safe."""

    def __init__(self, query: Query) -> None:
        self._expression = query.expression
        self._looked = 0
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(_TABLES)
        # Never committed: that halves the time.
        self._connection.execute("BEGIN")

    def matching(self, texts: Iterable[tuple[int, str]]) -> list[int]:
        """The numbers of the texts that have the words, the highest first."""
        self._connection.executemany(_ADD, texts)
        found = self._connection.execute(_MATCHING, (self._expression,)).fetchall()
        self._connection.execute("DELETE FROM heap")
        return [cast("int", row[0]) for row in found]

    def snippet(self, text: StepText) -> Snippet | None:
        """Where in a text the words stand; None when it does not have them."""
        self._looked += 1
        self._connection.execute(_SHOW, (self._looked, _MARKS.sub(" ", text.whole)))
        marked = self._connection.execute(_MARKED, (self._expression, self._looked)).get
        if marked is None:
            return None
        whole, found = _unmarked(cast("str", marked))
        if found and found[0][0] < len(text.body):
            # The labels are told beside the snippet.
            whole = whole[: len(text.body)]
        return _snippet(whole, [(start, min(end, len(whole))) for start, end in found if start < len(whole)])

    def close(self) -> None:
        """Let go of the memory."""
        self._connection.close()


def _snippet(text: str, found: list[tuple[int, int]]) -> Snippet:
    """The piece of a text with the most different words that were looked for."""
    if len(text) <= SNIPPET_CHARACTERS:
        return Snippet(text=text, highlights=tuple(Highlight(start=start, end=end) for start, end in found))
    begin = _begin(text, found)
    end = min(len(text), begin + SNIPPET_CHARACTERS)
    left, right = "…" if begin else "", "…" if end < len(text) else ""
    highlights = tuple(
        Highlight(start=max(start, begin) - begin + len(left), end=min(stop, end) - begin + len(left))
        for start, stop in found
        if start < end and stop > begin
    )
    return Snippet(text=f"{left}{text[begin:end]}{right}", highlights=highlights)


def _unmarked(marked_text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text itself, and where the marks stood in it."""
    pieces: list[str] = []
    found: list[tuple[int, int]] = []
    length = 0
    # Between a mark of a beginning and the next one of an end stands what was found.
    for place, piece in enumerate(_MARKS.split(marked_text)):
        if place % 2 and piece:
            found.append((length, length + len(piece)))
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces), found


def _begin(text: str, found: list[tuple[int, int]]) -> int:
    """Where to cut: before the first of those places that have most different words within a snippet."""
    best, begin = 0, 0
    first = 0
    inside: dict[str, int] = {}
    for start, end in found:
        word = text[start:end].casefold()
        inside[word] = inside.get(word, 0) + 1
        while end - found[first][0] > SNIPPET_CHARACTERS - _BEFORE_CHARACTERS and found[first][0] < start:
            old = text[slice(*found[first])].casefold()
            inside[old] -= 1
            if not inside[old]:
                del inside[old]
            first += 1
        if len(inside) > best:
            best, begin = len(inside), found[first][0]
    begin = max(0, min(begin - _BEFORE_CHARACTERS, len(text) - SNIPPET_CHARACTERS))
    # Not in the middle of a word, if one begins soon.
    return begin + _to_space(text, begin) if begin else 0


def _to_space(text: str, begin: int) -> int:
    for offset, character in enumerate(text[begin : begin + _SPACE_WITHIN]):
        if character.isspace():
            return offset + 1
    return 0
