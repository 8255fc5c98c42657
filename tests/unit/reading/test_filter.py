"""The grammar of filters: what a text says, and where it goes wrong."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepstream.errors import FilterInvalid, StepstreamError
from stepstream.reading.filter import (
    All,
    Compares,
    Contains,
    Either,
    Figure,
    Filter,
    Has,
    Named,
    Not,
    Operator,
    Possession,
    Resembles,
    Stands,
    When,
    Word,
)
from stepstream.reading.leaves import matches_glob, regex
from stepstream.reading.span import SpanStatus

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", All(())),
        ("  ", All(())),
        ("kind:tool_call", Named(0, Word.KIND, "tool_call")),
        ("kind:log", Either((Named(0, Word.KIND, "log"), Named(0, Word.KIND, "log_line")))),
        ("tool:run_sim*", Named(0, Word.TOOL, "run_sim*", is_glob=True)),
        ('tool:"run sim*"', Named(0, Word.TOOL, "run sim*")),
        ("Agent:planner", Named(0, Word.AGENT, "planner")),
        ("status:error", Stands(0, SpanStatus.ERROR)),
        ("status:failed", Stands(0, SpanStatus.ERROR)),
        ("status:cut-off", Stands(0, SpanStatus.CUT_OFF)),
        ("dur>5s", Compares(0, Figure.DURATION, Operator.GREATER, 5 * SECOND)),
        ("dur<=1.5m", Compares(0, Figure.DURATION, Operator.LESS_EQUAL, 90 * SECOND)),
        ("dur>2", Compares(0, Figure.DURATION, Operator.GREATER, 2 * SECOND)),
        ("tok>2000", Compares(0, Figure.TOKENS, Operator.GREATER, 2000)),
        ("cost>0.05", Compares(0, Figure.COST, Operator.GREATER, 0.05)),
        ("seq:7", Compares(0, Figure.SEQUENCE, Operator.EQUAL, 7)),
        (
            "seq:100..200",
            All(
                (
                    Compares(0, Figure.SEQUENCE, Operator.GREATER_EQUAL, 100),
                    Compares(0, Figure.SEQUENCE, Operator.LESS_EQUAL, 200),
                )
            ),
        ),
        ("seq:100..", Compares(0, Figure.SEQUENCE, Operator.GREATER_EQUAL, 100)),
        ("seq:..200", Compares(0, Figure.SEQUENCE, Operator.LESS_EQUAL, 200)),
        ("since:-5m", When(0, 300 * SECOND, is_ago=True, before=False)),
        ("until:2d", When(0, 172_800 * SECOND, is_ago=True, before=True)),
        ("since:2026-01-01", When(0, 1_767_225_600 * SECOND, is_ago=False, before=False)),
        ("since:2026-01-01T01:00+01:00", When(0, 1_767_225_600 * SECOND, is_ago=False, before=False)),
        ("has:artifact", Has(0, Possession.ARTIFACT)),
        (r"text~/bolt\/nut/", Resembles(0, None, "bolt/nut")),
        ("text~/bolt nut/i", Resembles(0, None, "(?i)bolt nut")),
        ("agent~/^plan/", Resembles(0, Word.AGENT, "^plan")),
        ("text:bolt", Contains(0, "bolt")),
        ("bolt", Contains(0, "bolt")),
        ("12:30", Contains(0, "12:30")),
        ('"free text"', Contains(0, "free text")),
        (r'"a \"quoted\" \\ word"', Contains(0, r'a "quoted" \ word')),
        ("-bolt", Not(Contains(1, "bolt"))),
        ("--bolt", Not(Not(Contains(2, "bolt")))),
        ("cost>-1", Compares(0, Figure.COST, Operator.GREATER, -1)),
        ("mid-word", Contains(0, "mid-word")),
        ("a b", All((Contains(0, "a"), Contains(2, "b")))),
        ("a AND b", All((Contains(0, "a"), Contains(6, "b")))),
        ("a OR b c", Either((Contains(0, "a"), All((Contains(5, "b"), Contains(7, "c")))))),
        ("(a OR b) c", All((Either((Contains(1, "a"), Contains(6, "b"))), Contains(9, "c")))),
        ("-(a OR b)", Not(Either((Contains(2, "a"), Contains(7, "b"))))),
        ("or and", All((Contains(0, "or"), Contains(3, "and")))),
        ("ORDER", Contains(0, "ORDER")),
    ],
)
def test_a_filter_is_read(text: str, expected: object) -> None:
    """Every form of the grammar becomes the tree that it means."""
    assert Filter.parse(text).expression == expected


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("kind:", 5, "expected a value"),
        ("kinds:thought", 0, "expected a key, one of kind, tool"),
        ("http://x", 0, "put it in quotes"),
        ("kind>x", 4, "expected ':' or '~' behind kind"),
        ("dur~/5/", 3, "expected one of : > >= < <= ="),
        ("dur>5 parsecs dur>soon", 18, "expected a duration"),
        ("tok>many", 4, "expected a number"),
        ("tok>inf", 4, "expected a number of ordinary size"),
        ("seq:..", 4, "at least one side"),
        ("seq:1..x", 7, "expected a number"),
        ("since:yesterday", 6, "expected how long ago"),
        ("has:feathers", 4, "expected one of artifact, tokens, cost"),
        ("status:fine", 7, "expected one of running, ok, error"),
        ("since>-5m", 5, "expected ':' behind since"),
        ('a "open', 2, "expected a closing quote"),
        ('""', 0, "expected a text between the quotes"),
        ("text~regex", 5, "expected a regular expression between slashes"),
        ("text~/open", 5, "expected a closing slash"),
        ("text~/a/x", 8, "expected a space behind the regular expression"),
        ("text~/(/", 6, "unclosed group"),
        (r"text~/(a)\1/", 6, "backreferences are not supported"),
        ("(a", 2, "expected ')' for the '(' at 0"),
        ("a)", 1, "none was opened"),
        ("()", 1, "expected a condition"),
        ("a OR", 4, "expected a condition"),
        ("OR a", 0, "expected a condition"),
        ("a AND", 5, "both sides of AND"),
        ("- a", 1, "right behind '-'"),
        ("-", 1, "right behind '-'"),
        ("(" * 21 + "a" + ")" * 21, 20, "at most 20 levels"),
        (" ".join(["a"] * 101), 201, "at most 100 conditions"),
        ("a" * 2001, 2000, "at most 2000 characters"),
    ],
)
def test_a_mistake_is_placed(text: str, position: int, expected: str) -> None:
    """A filter that cannot be read is refused with the place and with what could stand there."""
    with pytest.raises(FilterInvalid, match=re.escape(expected)) as caught:
        Filter.parse(text)

    assert caught.value.position == position
    assert caught.value.text == text


def test_the_error_draws_the_place() -> None:
    """The message shows the filter with a mark under the mistake, and survives pickling."""
    with pytest.raises(StepstreamError) as caught:
        Filter.parse("agent:planner has:wings")

    assert str(caught.value).splitlines()[1:] == ["  agent:planner has:wings", "                    ^"]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(st.text(alphabet=st.sampled_from('abk:ind~/"()-* ><=.0O5sRt\\'), max_size=40))
@example("kind:~/(")
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser do anything but answer or point into the text."""
    position = 0
    try:
        Filter.parse(text)
    except FilterInvalid as error:
        position = error.position

    assert 0 <= position <= len(text)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=12))
def test_a_glob_is_any_characters_between_its_pieces(pattern: str, value: str) -> None:
    """A star stands for any characters, also none, and everything else for itself."""
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value) is not None

    assert matches_glob(pattern, value) == expected


def test_a_hostile_expression_takes_linear_time() -> None:
    """An expression that makes a backtracking engine hang is answered at once."""
    assert not regex(r"(a+)+(a|aa)*(.*a){9}$")("a" * 20_000 + "b")
