"""The lens: which texts have the words, and the piece of a text that is shown."""

from __future__ import annotations

from contextlib import closing

import pytest

from stepstream.reading.search.hit import Snippet
from stepstream.reading.search.lens import SNIPPET_CHARACTERS, Lens
from stepstream.reading.search.query import Query
from stepstream.reading.search.words import StepText

FILLER = "lorem ipsum dolor sit amet " * 40


def snippet(query: str, body: str, labels: str = "thought\nplanner") -> Snippet | None:
    with closing(Lens(Query.parse(query))) as lens:
        return lens.snippet(StepText(body, labels))


def highlighted(found: Snippet | None) -> list[str]:
    assert found is not None
    return [found.text[place.start : place.end] for place in found.highlights]


@pytest.mark.parametrize(
    ("query", "body", "found"),
    [
        ("bolt", "A bolt, a BOLT and bolts.", ["bolt", "BOLT"]),
        ("bolt*", "A bolt, a BOLT and bolts.", ["bolt", "BOLT", "bolts"]),
        ('"did not" mesh', "It did not mesh; not did.", ["did not", "mesh"]),
        ("max_stress", "max_stress_mpa", ["max_stress"]),
        ("grosse cafe", "Grosse CAFÉ\u0301", ["Grosse", "CAFÉ\u0301"]),
        ("bolt -nut", "bolt", ["bolt"]),
        ("漢字", "漢字 🦓 bolt", ["漢字"]),
        ("bolt", "🦓🦓 \x02bolt\x03 \x02", ["bolt"]),
    ],
)
def test_what_was_looked_for_is_highlighted(query: str, body: str, found: list[str]) -> None:
    """Highlights are ranges of code points in the text as it was recorded."""
    shown = snippet(query, body)

    assert shown is not None
    assert highlighted(shown) == found
    assert shown.text == body.replace("\x02", " ").replace("\x03", " ")


@pytest.mark.parametrize(("query", "body"), [("bolt", "nut"), ("bolt -nut", "bolt nut"), ('"a b"', "a c b")])
def test_a_text_without_the_words_has_no_snippet(query: str, body: str) -> None:
    """A text that does not have the words is told from one that has."""
    assert snippet(query, body) is None


def test_a_long_text_is_cut_where_the_words_stand() -> None:
    """A snippet is short, has the words, and shows by an ellipsis where it was cut."""
    shown = snippet("gusset", FILLER + "the gusset bends " + FILLER)

    assert shown is not None
    assert highlighted(shown) == ["gusset"]
    assert len(shown.text) <= SNIPPET_CHARACTERS + 2
    assert shown.text.startswith("…")
    assert shown.text.endswith("…")
    assert "the gusset bends" in shown.text


def test_the_place_with_most_words_is_shown() -> None:
    """Of many places the one where different words stand together is chosen."""
    body = "bolt bolt bolt " + FILLER + "bolt beside a gusset and a nut " + FILLER + "nut"

    assert set(highlighted(snippet("bolt gusset nut", body))) == {"bolt", "gusset", "nut"}


def test_a_word_that_never_ends_is_cut() -> None:
    """A highlight that is longer than a snippet ends with it."""
    shown = snippet("x*", FILLER + "x" * 1_000)

    assert shown is not None
    assert shown.highlights[0].end <= len(shown.text)
    assert set(highlighted(shown)[0]) == {"x"}


def test_labels_are_shown_only_where_they_were_found() -> None:
    """The labels of a step are no part of the snippet unless nothing else was found."""
    assert snippet("bolt", "a bolt") == snippet("bolt planner", "a bolt")
    shown = snippet("planner", "a bolt")

    assert shown is not None
    assert shown.text == "a bolt\nthought\nplanner"
    assert highlighted(shown) == ["planner"]


def test_texts_are_matched_newest_first() -> None:
    """The texts with the words are named by their numbers, the highest first, and forgotten."""
    with closing(Lens(Query.parse("bolt"))) as lens:
        assert lens.matching([(1, "bolt"), (2, "nut"), (7, "a bolt")]) == [7, 1]
        assert lens.snippet(StepText("a bolt", "")) is not None
        assert lens.matching([(1, "bolt"), (2, "gusset")]) == [1]
