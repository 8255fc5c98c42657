"""Where a command writes: data and words apart, colour only for a person."""

from __future__ import annotations

import io

import pytest

from stepstream.cli.output import Block, Output, Span, bold, red


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at an ordinary terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "72")


def test_off_a_terminal_there_is_no_colour() -> None:
    """A pipe gets the text alone, and lines of any length."""
    data, words = io.StringIO(), io.StringIO()
    output = Output(data, words)
    output.line(bold("a"), red("b"))
    output.say(red("c"))

    assert (data.getvalue(), words.getvalue()) == ("ab\n", "c\n")
    assert (output.is_terminal, output.width) == (False, None)


def test_a_terminal_gets_colour() -> None:
    """A person sees inks, each ended where it was begun."""
    data = Screen()
    output = Output(data, io.StringIO())
    output.line(bold("a"), "b")

    assert data.getvalue() == "\x1b[1ma\x1b[0mb\n"
    assert output.width == 72


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")])
def test_colour_can_be_declined(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and a terminal that can do nothing are respected."""
    monkeypatch.setenv(name, value)
    data = Screen()
    Output(data, io.StringIO()).line(bold("a"))

    assert data.getvalue() == "a\n"


def test_no_way_leads_an_escape_to_a_terminal() -> None:
    """Lines, blocks, JSON and raw text are neutral on a terminal, whoever forgot to make them so."""
    data, words = Screen(), Screen()
    output = Output(data, words)
    output.line(Span("\x1b[2J"))
    output.show([Block("\x1b[2J\nsecond \x07", "  ")])
    output.json({"a": "\x9b2J"})
    output.json_line({"a": "\x1b[2J"})
    output.raw("\x1b[2J\n")
    output.say("\x1b[2J")
    output.error("one \x1b[2J\ntwo \x1b[2J")

    assert "\x1b[2J" not in data.getvalue() + words.getvalue()
    assert "\x9b" not in data.getvalue()
    assert "\n  second ␇\n" in data.getvalue()


def test_raw_data_is_untouched_off_a_terminal() -> None:
    """Another program gets every byte as it is."""
    data = io.StringIO()
    Output(data, io.StringIO()).raw("\x1b[2J\n")

    assert data.getvalue() == "\x1b[2J\n"
