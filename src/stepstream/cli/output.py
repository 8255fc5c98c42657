"""What a command says: data on stdout, words on stderr, colour only for a person at a terminal.

Knows streams and inks. Must not know what is said. Everything that is written passes through here, so that no
text of an agent reaches a terminal as it is.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TextIO

from stepstream.cli.untrusted import neutral, neutral_json, neutral_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.schemas.record import JsonValue, Record

WIDTH_DEFAULT = 100
_WIDTH_MIN = 40


class Ink(StrEnum):
    """The few inks there are, as terminals name them; legible on light and on dark."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    ERROR = "1;31"


class Span(NamedTuple):
    """A piece of a line in one ink; ``ink`` is an :class:`Ink` or an agent's own colour."""

    text: str
    ink: str = Ink.PLAIN


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A text of several lines, shown as it is but for what a terminal would obey."""

    text: str
    indent: str = ""
    ink: str = Ink.PLAIN


def bold(text: str) -> Span:
    """What the line is about."""
    return Span(text, Ink.BOLD)


def dim(text: str) -> Span:
    """What stands beside it."""
    return Span(text, Ink.DIM)


def red(text: str) -> Span:
    """What went wrong."""
    return Span(text, Ink.RED)


class Output:
    """Where a command writes.

    Attributes:
        is_terminal: Whether a person sees stdout.
        width: How many columns a line has; None off a terminal, where nothing is cut.
    """

    def __init__(self, data: TextIO | None = None, words: TextIO | None = None) -> None:
        """Write to the process's streams, or to others."""
        self._data = data or sys.stdout
        self._words = words or sys.stderr
        for stream in (self._data, self._words):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                # Names of files may hold what the terminal's encoding cannot say.
                reconfigure(errors="backslashreplace")
        self.is_terminal = self._data.isatty()
        self.width = _width(self._data) if self.is_terminal else None
        self._data_coloured = _wants_colour(self._data)
        self._words_coloured = _wants_colour(self._words)

    @property
    def words_are_seen(self) -> bool:
        """Whether a person sees stderr, where progress is drawn."""
        return self._words.isatty() and _is_capable()

    # -- data

    def line(self, *spans: Span | str) -> None:
        """A line of data, neutral."""
        self._data.write(_painted(spans, coloured=self._data_coloured) + "\n")

    def show(self, parts: Iterable[Line | Block]) -> None:
        """Lines and blocks of data, neutral."""
        for part in parts:
            if isinstance(part, Block):
                for line in neutral_lines(part.text).split("\n"):
                    self.line(part.indent, Span(line.expandtabs(4), part.ink))
            else:
                self.line(*part)

    def json(self, value: JsonValue) -> None:
        """One JSON object, laid out for people."""
        from pydantic_core import to_json

        self._write_json(to_json(value, indent=2).decode())

    def json_line(self, value: JsonValue | Record) -> None:
        """One JSON object of a stream, in one line."""
        from pydantic_core import to_json

        self._write_json(to_json(value).decode())

    def _write_json(self, text: str) -> None:
        self._data.write((neutral_json(text) if self.is_terminal else text) + "\n")

    def raw(self, text: str) -> None:
        """A text that is data for another program; made neutral when a person sees it."""
        self._data.write(neutral_lines(text) if self.is_terminal else text)

    def flush(self) -> None:
        """Let the other side see what was written."""
        self._data.flush()

    # -- words

    def say(self, *spans: Span | str) -> None:
        """A word to the person, beside the data and behind what was written of it."""
        self._data.flush()
        self._words.write(_painted(spans, coloured=self._words_coloured) + "\n")
        self._words.flush()

    def error(self, message: str) -> None:
        """What went wrong, in as many lines as the error wrote."""
        first, *rest = neutral_lines(message).split("\n")
        self.say(Span("error:", Ink.ERROR), f" {first}")
        for line in rest:
            self.say(line)


def _painted(spans: Iterable[Span | str], *, coloured: bool) -> str:
    parts = []
    for span in spans:
        text, ink = (span, "") if isinstance(span, str) else span
        # The last guard: whoever builds a line has made it neutral already.
        text = neutral(text)
        parts.append(f"\x1b[{ink}m{text}\x1b[0m" if coloured and ink and text else text)
    return "".join(parts).rstrip(" ") if not coloured else "".join(parts)


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and _is_capable() and not os.environ.get("NO_COLOR")


def _is_capable() -> bool:
    return os.environ.get("TERM", "") not in {"", "dumb"}


def _width(stream: TextIO) -> int:
    stated = os.environ.get("COLUMNS", "")
    if stated.isdecimal() and int(stated) > 0:
        return max(_WIDTH_MIN, int(stated))
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        found = 0
    return max(_WIDTH_MIN, found or WIDTH_DEFAULT)
