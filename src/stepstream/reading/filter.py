"""The filter: one grammar for the page's address, ``tail``, ``ls``, live streams, saved views and exports.

::

    kind:tool_call tool:run_sim* status:error agent:planner dur>5s tok>2000 cost>0.05 seq:100..200 since:-5m
    has:artifact text~/regex/ "free text" -kind:log (a OR b)

What stands side by side must hold together; ``OR`` binds weaker; ``-`` negates. Words without a key, and
texts in quotes, are looked for in what was recorded, upper and lower case alike. ``*`` in a value stands for
any characters unless the value is quoted. What is not known compares with nothing.

Keys of steps and of episodes: ``agent``, ``role``, ``status``, ``dur``, ``tok``, ``cost``, ``since``,
``until``, ``has``, ``text``. Of steps, and so of an episode with such a step: ``kind``, ``tool``, ``seq``.
Of episodes only: ``name``, ``problem``, ``tag``, ``outcome``, ``score``, ``attempt``, ``steps``, ``errors``.
A call and the step that closes it share tool, status and duration; a model's call has the tokens and the
cost of its reply.

Knows the grammar and turns text into a tree. Must not know SQL or steps: two compilers give the tree its
meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Self

from stepstream.errors import FilterInvalid
from stepstream.reading.leaves import regex
from stepstream.reading.span import SpanStatus

CHARACTERS_MAX = 2_000
CONDITIONS_MAX = 100
DEPTH_MAX = 20


class Word(StrEnum):
    """A key whose value is a text."""

    KIND = "kind"
    TOOL = "tool"
    AGENT = "agent"
    ROLE = "role"
    NAME = "name"
    PROBLEM = "problem"
    TAG = "tag"
    OUTCOME = "outcome"


class Figure(StrEnum):
    """A key whose value is a number; durations are in ns."""

    DURATION = "dur"
    TOKENS = "tok"
    COST = "cost"
    SEQUENCE = "seq"
    SCORE = "score"
    ATTEMPT = "attempt"
    STEPS = "steps"
    ERRORS = "errors"


class Possession(StrEnum):
    """What ``has:`` asks for."""

    ARTIFACT = "artifact"
    TOKENS = "tokens"
    COST = "cost"


class Operator(StrEnum):
    """How a figure is compared."""

    GREATER = ">"
    GREATER_EQUAL = ">="
    LESS = "<"
    LESS_EQUAL = "<="
    EQUAL = "="


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Named:
    """A word is a value, or with ``is_glob`` fits a pattern."""

    position: int
    word: Word
    value: str
    is_glob: bool = False


@dataclass(frozen=True, slots=True)
class Resembles:
    """A regular expression is found in a word, or with None in any text that was recorded."""

    position: int
    word: Word | None
    regex: str


@dataclass(frozen=True, slots=True)
class Contains:
    """A text stands somewhere in what was recorded."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class Stands:
    """Something that takes time is in a state."""

    position: int
    status: SpanStatus


@dataclass(frozen=True, slots=True)
class Has:
    """Something is there."""

    position: int
    what: Possession


@dataclass(frozen=True, slots=True)
class Compares:
    """A figure is known and compares."""

    position: int
    figure: Figure
    operator: Operator
    value: int | float


@dataclass(frozen=True, slots=True)
class When:
    """It happened at a moment or later, or with ``before`` earlier.

    ``moment`` is ns since 1970 UTC; with ``is_ago`` ns before the filter is used.
    """

    position: int
    moment: int
    is_ago: bool
    before: bool


Expression = All | Either | Not | Named | Resembles | Contains | Stands | Has | Compares | When


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as it was written, and what it says."""

    text: str
    expression: Expression

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a filter; an empty one lets everything pass.

        Raises:
            FilterInvalid: It cannot be read; the error says where, and what could stand there.
        """
        return cls(text, _Parser(text).parse())


_KIND_SHORT = {
    "artifact": "artifact_attached",
    "error": "error_report",
    "log": "log_line",
    "plan": "plan_update",
    "status": "status_change",
}
_STATUS = {status.value: status for status in SpanStatus} | {
    "cut-off": SpanStatus.CUT_OFF,
    "completed": SpanStatus.OK,
    "failed": SpanStatus.ERROR,
    "interrupted": SpanStatus.CUT_OFF,
}
_WORDS = {word.value: word for word in Word}
_FIGURES = {figure.value: figure for figure in Figure}
_OTHER_KEYS = ("status", "has", "since", "until", "text")
_KEYS = (*_WORDS, *_FIGURES, *_OTHER_KEYS)

_KEY = re.compile(r"([A-Za-z_]+)(>=|<=|[:~><=])")
_BARE = re.compile(r"[^\s()\"]+")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)?")
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_ENDS = frozenset(" \t\r\n()")


class _Parser:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._conditions = 0
        self._depth = 0

    def parse(self) -> Expression:
        if len(self._text) > CHARACTERS_MAX:
            raise self._wrong(CHARACTERS_MAX, f"expected at most {CHARACTERS_MAX} characters")
        if not self._text.strip():
            return All(())
        expression = self._either()
        if self._at < len(self._text):
            raise self._wrong(self._at, "expected no ')' here: none was opened")
        return expression

    def _wrong(self, position: int, expected: str) -> FilterInvalid:
        return FilterInvalid(self._text, position, expected)

    # -- structure

    def _either(self) -> Expression:
        parts = [self._all()]
        while self._take_keyword("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self) -> Expression:
        parts: list[Expression] = []
        while True:
            self._skip_space()
            if self._is_end() or self._sees_keyword("OR"):
                break
            if self._take_keyword("AND"):
                self._skip_space()
                if not parts or self._is_end() or self._sees_keyword("OR"):
                    raise self._wrong(self._at, "expected a condition on both sides of AND")
            parts.append(self._one())
        if not parts:
            raise self._wrong(self._at, "expected a condition")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(self._at, f"expected at most {DEPTH_MAX} levels of '(' and '-'")
        try:
            return self._term()
        finally:
            self._depth -= 1

    def _term(self) -> Expression:
        start = self._at
        match self._text[start : start + 1]:
            case "-":
                self._at += 1
                if self._is_end() or self._text[self._at] in _ENDS - {"("}:
                    raise self._wrong(self._at, "expected a condition right behind '-'")
                return Not(self._one())
            case "(":
                self._at += 1
                inner = self._either()
                if self._text[self._at : self._at + 1] != ")":
                    raise self._wrong(self._at, f"expected ')' for the '(' at {start}")
                self._at += 1
                return inner
            case '"':
                return self._counted(Contains(start, self._quoted()))
            case _:
                return self._counted(self._condition())

    def _counted(self, condition: Expression) -> Expression:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise self._wrong(self._at, f"expected at most {CONDITIONS_MAX} conditions")
        return condition

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _is_end(self) -> bool:
        return self._at >= len(self._text) or self._text[self._at] == ")"

    def _sees_keyword(self, keyword: str) -> bool:
        end = self._at + len(keyword)
        return self._text.startswith(keyword, self._at) and (
            end >= len(self._text) or self._text[end] in _ENDS or self._text[end].isspace()
        )

    def _take_keyword(self, keyword: str) -> bool:
        self._skip_space()
        found = self._sees_keyword(keyword)
        if found:
            self._at += len(keyword)
        return found

    # -- texts

    def _quoted(self) -> str:
        start = self._at
        characters: list[str] = []
        self._at += 1
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                if not characters:
                    raise self._wrong(start, "expected a text between the quotes")
                return "".join(characters)
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in ('"', "\\"):
                self._at += 1
                character = self._text[self._at]
            characters.append(character)
            self._at += 1
        raise self._wrong(start, "expected a closing quote")

    def _bare(self, expected: str) -> str:
        found = _BARE.match(self._text, self._at)
        if found is None:
            raise self._wrong(self._at, expected)
        self._at = found.end()
        return found.group()

    def _regex(self) -> str:
        start = self._at
        if self._text[start : start + 1] != "/":
            raise self._wrong(start, "expected a regular expression between slashes, as in ~/bolt|nut/")
        end = start + 1
        while end < len(self._text) and self._text[end] != "/":
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._wrong(start, "expected a closing slash")
        source = self._text[start + 1 : end].replace("\\/", "/")
        self._at = end + 1
        if self._text[self._at : self._at + 1] == "i":
            self._at += 1
            source = f"(?i){source}"
        if not self._is_end() and self._text[self._at] not in _ENDS and not self._text[self._at].isspace():
            raise self._wrong(self._at, "expected a space behind the regular expression; 'i' ignores case")
        try:
            regex(source)
        except ValueError as error:
            raise self._wrong(start + 1, f"expected a regular expression: {error}") from None
        return source

    # -- conditions

    def _condition(self) -> Expression:
        start = self._at
        found = _KEY.match(self._text, start)
        if found is None:
            return Contains(start, self._bare("expected a condition"))
        key, operator = found.group(1).lower(), found.group(2)
        if key not in _KEYS:
            raise self._wrong(
                start,
                f"expected a key, one of {', '.join(_KEYS)}; to look for the text itself put it in quotes",
            )
        self._at = found.end()
        if key in _WORDS:
            return self._word(start, _WORDS[key], operator)
        if key in _FIGURES:
            return self._figure(start, _FIGURES[key], operator)
        if key == "text" and operator == "~":
            return Resembles(start, None, self._regex())
        if operator not in (":", "="):
            raise self._wrong(found.end(1), f"expected ':' behind {key}")
        if key == "text":
            return Contains(start, self._value()[0])
        return self._special(start, key)

    def _special(self, start: int, key: str) -> Expression:
        at = self._at
        if key in ("since", "until"):
            moment, is_ago = self._moment(at, self._value()[0])
            return When(start, moment, is_ago, before=key == "until")
        value = self._value()[0]
        if key == "status":
            if value not in _STATUS:
                raise self._wrong(at, f"expected one of {', '.join(_STATUS)}")
            return Stands(start, _STATUS[value])
        try:
            return Has(start, Possession(value))
        except ValueError:
            raise self._wrong(at, f"expected one of {', '.join(Possession)}") from None

    def _value(self) -> tuple[str, bool]:
        """The text behind an operator, and whether it was quoted."""
        if self._text[self._at : self._at + 1] == '"':
            return self._quoted(), True
        return self._bare("expected a value"), False

    def _word(self, start: int, word: Word, operator: str) -> Expression:
        if operator == "~":
            return Resembles(start, word, self._regex())
        if operator not in (":", "="):
            raise self._wrong(start + len(word), f"expected ':' or '~' behind {word}")
        value, is_quoted = self._value()
        short = _KIND_SHORT.get(value) if word is Word.KIND else None
        if short is not None:
            return Either((Named(start, word, value), Named(start, word, short)))
        return Named(start, word, value, is_glob=not is_quoted and "*" in value)

    def _figure(self, start: int, figure: Figure, operator: str) -> Expression:
        if operator == "~":
            raise self._wrong(start + len(figure), f"expected one of : > >= < <= = behind {figure}")
        at = self._at
        value = self._bare("expected a number")
        if operator not in (":", "=") or ".." not in value:
            compared = Operator.EQUAL if operator == ":" else Operator(operator)
            return Compares(start, figure, compared, self._number(at, figure, value))
        low, _, high = value.partition("..")
        parts: list[Expression] = []
        if low:
            parts.append(Compares(start, figure, Operator.GREATER_EQUAL, self._number(at, figure, low)))
        if high:
            place = at + len(low) + 2
            parts.append(Compares(start, figure, Operator.LESS_EQUAL, self._number(place, figure, high)))
        if not parts:
            raise self._wrong(at, "expected a number on at least one side of '..'")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _number(self, at: int, figure: Figure, value: str) -> int | float:
        if figure is Figure.DURATION:
            found = _DURATION.fullmatch(value)
            if found is None:
                raise self._wrong(at, "expected a duration, as 5s, 300ms, 1.5h")
            return _nanoseconds(found)
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise self._wrong(at, "expected a number") from None
        if not number.is_finite() or abs(number) >= 1 << 63:
            raise self._wrong(at, "expected a number of ordinary size")
        return int(number) if number == number.to_integral_value() else float(number)

    def _moment(self, at: int, value: str) -> tuple[int, bool]:
        found = _DURATION.fullmatch(value.removeprefix("-"))
        if found is not None and found.group(2) is not None:
            return _nanoseconds(found), True
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
        except (ValueError, OverflowError):
            raise self._wrong(
                at, "expected how long ago, as -5m or -2d, or a time in UTC, as 2026-11-22T10:30"
            ) from None
        return microseconds * 1_000, False


def _nanoseconds(found: re.Match[str]) -> int:
    nanoseconds = Decimal(found.group(1)) * _UNIT_NS[found.group(2) or "s"]
    return min(int(nanoseconds), (1 << 63) - 1)
