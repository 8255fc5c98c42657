"""The query: what it says, where it is wrong, and that FTS5 understands all of it."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepstream.errors import FilterInvalid
from stepstream.reading.search.query import CHARACTERS_MAX, TERMS_MAX, TOKENIZER, Query, Term

_TABLE = f'CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = "{" ".join(TOKENIZER)}")'
_PIECES = [
    "bolt",
    "Große",
    '"',
    "*",
    "-",
    "\\",
    "AND",
    "OR",
    "NOT",
    "NEAR(",
    ")",
    "^",
    ":",
    "{text}",
    "+",
    ",",
    "\0",
]
queries = st.text(max_size=40) | st.lists(st.sampled_from([*_PIECES, " ", "  "]), max_size=12).map("".join)


def term(text: str, *, is_prefix: bool = False, is_excluded: bool = False) -> Term:
    return Term(text, is_prefix, is_excluded)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("bolt", [term("bolt")]),
        ("  bolt\tnut ", [term("bolt"), term("nut")]),
        ('"did not converge"', [term("did not converge")]),
        ('mesh"did not"', [term("mesh"), term("did not")]),
        (r'"a \"b\" \\ c"', [term('a "b" \\ c')]),
        ("conv*", [term("conv", is_prefix=True)]),
        ('"did not conv"*', [term("did not conv", is_prefix=True)]),
        ("-gusset bolt", [term("gusset", is_excluded=True), term("bolt")]),
        ('bolt -"side by side"', [term("bolt"), term("side by side", is_excluded=True)]),
        ("bolt --nut", [term("bolt"), term("-nut", is_excluded=True)]),
        ("a AND b OR NOT c", [term("a"), term("AND"), term("b"), term("OR"), term("NOT"), term("c")]),
        ("max_stress* text:bolt", [term("max_stress", is_prefix=True), term("text:bolt")]),
        ("f*o", [term("f*o")]),
        # What stands before the star is no word that could go on.
        ("max_*", [term("max_")]),
        ("bolt -> nut && - * -", [term("bolt"), term("nut")]),
        ("caf\0e", [term("caf"), term("e")]),
    ],
)
def test_a_query_says(text: str, terms: list[Term]) -> None:
    """Words, phrases, beginnings and exclusions are told apart, and all else is text."""
    assert list(Query.parse(text).terms) == terms


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "a word to look for"),
        (" -> ", 4, "a word to look for"),
        ("-bolt", 5, "beside those that are left out"),
        ('bolt "nut', 5, "a closing quote"),
        ('bolt "nut\\"', 5, "a closing quote"),
        ('bolt "\\', 5, "a closing quote"),
        ('bolt "->"', 5, "a letter or a digit"),
        ('bolt -""', 6, "a letter or a digit"),
        ("x" * (CHARACTERS_MAX + 1), CHARACTERS_MAX, "characters"),
        ("x " * (TERMS_MAX + 1), 2 * TERMS_MAX, "words"),
    ],
)
def test_a_wrong_query_is_refused_with_the_place(text: str, position: int, expected: str) -> None:
    """What cannot be read is refused with the position and what could stand there."""
    with pytest.raises(FilterInvalid, match=expected) as refusal:
        Query.parse(text)

    assert refusal.value.position == position
    assert refusal.value.text == text


@given(queries)
@example("\ud800 bolt")
@example('"a""b" -"c"*')
@example('"a \\"b" c')
@example("-" * 50 + "a b")
@example("ﬀ* ß* İ* ǅ \u0301a* 漢字*")
def test_no_text_upsets_the_index(text: str) -> None:
    """Any text is refused as a wrong query or understood by FTS5, in which it finds itself."""
    refusal: FilterInvalid | None = None
    try:
        query = Query.parse(text)
    except FilterInvalid as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        return

    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(_TABLE)
        wanted = [each.text for each in query.terms if not each.is_excluded]
        connection.execute("INSERT INTO words VALUES (?)", ("\n".join(wanted),))
        find = "SELECT count(*) FROM words WHERE words MATCH ?"
        only_wanted = " AND ".join(each.expression for each in query.terms if not each.is_excluded)

        assert connection.execute(find, (only_wanted,)).get == 1
        assert connection.execute(find, (query.expression,)).get in {0, 1}
        if query.whole_words is not None:
            assert connection.execute(find, (query.whole_words,)).get == 1
