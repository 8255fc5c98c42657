"""Text of agents on a terminal: shown, never obeyed, and cut without breaking a character."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepstream.cli.untrusted import columns, fit, neutral, neutral_json, neutral_lines, one_line

ANYTHING = st.text(st.characters(), max_size=200)


def obeyed(text: str) -> list[str]:
    """The characters a terminal would obey."""
    return [character for character in text if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}]


@given(ANYTHING)
def test_nothing_a_terminal_obeys_is_left_in_a_line(text: str) -> None:
    """Whatever the text, its line holds no control character, no half of a character and no line break."""
    assert obeyed(one_line(text)) == []
    assert obeyed(neutral(text)) == []


@given(ANYTHING)
def test_lines_keep_their_breaks_and_nothing_else(text: str) -> None:
    """A text of several lines keeps line breaks and tabs, and no other control character."""
    assert set(obeyed(neutral_lines(text))) <= {"\n", "\t"}


@given(st.text(max_size=200))
def test_neutral_json_means_the_same(text: str) -> None:
    """JSON for a terminal holds nothing that it obeys, and reads back as the same value."""
    encoded = json.dumps(text, ensure_ascii=False)

    assert json.loads(neutral_json(encoded)) == text
    assert set(obeyed(neutral_json(encoded))) <= {"\n", "\t"}


@given(ANYTHING, st.integers(0, 60))
def test_a_cut_line_fits(text: str, columns_max: int) -> None:
    """A line that is cut takes at most the columns it was given."""
    assert columns(one_line(text, columns_max)) <= columns_max


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud800b", "a\\ud800b"),
        ("\U000e0041", "\\U000e0041"),
        ("\x7f", "␡"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("日本語 é", "日本語 é"),
        ("  a \r\n\t b  ", "a b"),
    ],
)
def test_what_is_shown_instead(text: str, shown: str) -> None:
    """Escapes become signs that tell what they were, and ordinary text of any language stays as it is."""
    assert one_line(text) == shown


def test_wide_characters_count_twice() -> None:
    """A line of wide characters is cut by what it takes on the screen, not by its length."""
    assert columns("日本語") == 6
    assert fit("日本語", 5) == "日本…"
    assert fit("abcdef", 5) == "abcd…"


def test_a_megabyte_is_cut_before_it_is_read() -> None:
    """A line of a megabyte is shown as any other."""
    assert one_line("x" * 1_000_000, 10) == "xxxxxxxxx…"
    assert columns(one_line("e\u0301" * 1_000_000, 10)) <= 10
