"""The query: what a person types into the search field.

::

    bolt "did not converge" max_stress* -gusset

Every word and every text in quotes must be there, in any order; what stands in quotes stands together. ``*``
at the end stands for any ending, ``-`` in front leaves out the steps that have it. Upper and lower case,
accents and punctuation make no difference: ``max_stress`` is found as the two words it has. Nothing else
means anything, so that a message can be looked for as it was printed.

Knows the grammar, and how SQLite's FTS5 is asked. What a person wrote reaches FTS5 between quotes only.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from typing import Self, cast

import apsw

from stepstream.errors import FilterInvalid

CHARACTERS_MAX = 1_000
TERMS_MAX = 20

TOKENIZER = ("unicode61", "remove_diacritics", "2")
"""What is a word, as FTS5 wants it; words of the index and of the query are the same."""

_SPACE = re.compile(r"[\s\0]*")
_BARE = re.compile(r"[^\s\0\"]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand together.

    Attributes:
        text: The words as they were typed.
        is_prefix: Whether the last one may go on.
        is_excluded: Whether they must not be there.
    """

    text: str
    is_prefix: bool
    is_excluded: bool

    @property
    def expression(self) -> str:
        """The term as FTS5 reads it."""
        quoted = self.text.replace('"', '""')
        return f'"{quoted}" *' if self.is_prefix else f'"{quoted}"'


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was typed, and what it says.

    Attributes:
        text: What was typed.
        terms: Its terms; one at least is not excluded.
    """

    text: str
    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query.

        Raises:
            FilterInvalid: It cannot be read, or names nothing to look for.
        """
        with closing(apsw.Connection(":memory:")) as connection:
            return cls(text, tuple(_Parser(text, connection).parse()))

    @property
    def expression(self) -> str:
        """The query as FTS5 reads it."""
        wanted = " AND ".join(term.expression for term in self.terms if not term.is_excluded)
        excluded = " OR ".join(term.expression for term in self.terms if term.is_excluded)
        return f"({wanted}) NOT ({excluded})" if excluded else wanted

    @property
    def whole_words(self) -> str | None:
        """What holds for every step that is found and is fast to look up; None where it says nothing more.

        For a beginning of words FTS5 first gathers all words that begin so, wherever they stand.
        """
        if not any(term.is_prefix for term in self.terms):
            return None
        plain = [term for term in self.terms if not (term.is_prefix or term.is_excluded)]
        return " AND ".join(term.expression for term in plain) or None


class _Parser:
    """Reads one query from left to right."""

    def __init__(self, text: str, connection: apsw.Connection) -> None:
        self._whole = text
        # Halves of characters are no words, and cannot be passed on.
        self._text = text.encode("utf-8", "replace").decode()
        self._at = 0
        name, *arguments = TOKENIZER
        self._tokenizer = connection.fts5_tokenizer(name, arguments)

    def parse(self) -> list[Term]:
        if len(self._text) > CHARACTERS_MAX:
            raise self._wrong(CHARACTERS_MAX, f"expected at most {CHARACTERS_MAX} characters")
        terms: list[Term] = []
        while self._skip_space():
            start = self._at
            term = self._term()
            if term is not None:
                terms.append(term)
            if len(terms) > TERMS_MAX:
                raise self._wrong(start, f"expected at most {TERMS_MAX} words")
        if not terms:
            raise self._wrong(len(self._text), "expected a word to look for")
        if all(term.is_excluded for term in terms):
            raise self._wrong(len(self._text), "expected a word to look for beside those that are left out")
        return terms

    def _wrong(self, position: int, expected: str) -> FilterInvalid:
        return FilterInvalid(self._whole, position, expected)

    def _skip_space(self) -> bool:
        """Go to the next term; False when there is none."""
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()
        return self._at < len(self._text)

    def _term(self) -> Term | None:
        """The term here; None for punctuation, which says nothing."""
        is_excluded = self._text[self._at] == "-" and self._at + 1 < len(self._text)
        start = self._at + is_excluded
        if self._text[start] == '"':
            return self._quoted(start, is_excluded=is_excluded)
        found = _BARE.match(self._text, start)
        if found is None:
            # A hyphen by itself.
            self._at = start
            return None
        self._at = found.end()
        words = found.group().rstrip("*")
        is_prefix = words != found.group()
        end = self._last_word_end(words)
        return None if end is None else Term(words, is_prefix and end == len(words.encode()), is_excluded)

    def _quoted(self, start: int, *, is_excluded: bool) -> Term:
        characters: list[str] = []
        at = start + 1
        while self._text[at : at + 1] != '"':
            if self._text[at : at + 1] == "\\" and self._text[at + 1 : at + 2] in ('"', "\\"):
                at += 1
            if at >= len(self._text):
                raise self._wrong(start, "expected a closing quote")
            characters.append(self._text[at])
            at += 1
        self._at = at + 1
        words = "".join(characters).replace("\0", " ")
        end = self._last_word_end(words)
        if end is None:
            raise self._wrong(start, "expected a letter or a digit between the quotes: words are looked for")
        is_prefix = self._text[self._at : self._at + 1] == "*"
        self._at += is_prefix
        return Term(words, is_prefix and end == len(words.encode()), is_excluded)

    def _last_word_end(self, text: str) -> int | None:
        """Where the last word of a text ends, in bytes; None when there is no word in it."""
        found = self._tokenizer(text.encode(), apsw.FTS5_TOKENIZE_QUERY, None)
        words = cast("list[tuple[int, int, str]]", found)
        return words[-1][1] if words else None
