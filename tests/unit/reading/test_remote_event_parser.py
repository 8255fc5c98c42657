"""Server-Sent Events: the same events come out of the same bytes, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepstream.reading.remote.event_parser import EventParser, EventTooLong, ServerEvent

_words = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=12)


def parsed(*pieces: bytes) -> list[ServerEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(st.data())
def test_pieces_and_line_ends_make_no_difference(data: st.DataObject) -> None:
    """However the bytes are cut, and whichever of the three line ends each line has, the events are the same."""
    events = data.draw(
        st.lists(st.tuples(_words, st.lists(_words, min_size=1, max_size=3), _words), max_size=5)
    )
    lines: list[str] = []
    for name, texts, comment in events:
        lines += [f"event: {name}", f":{comment}", *(f"data: {text}" for text in texts), ""]
    ends: list[str] = []
    for line in lines:
        # A feed behind a return would be the second half of one line end.
        is_half = not line and ends and ends[-1] == "\r"
        ends.append(data.draw(st.sampled_from(["\r", "\r\n"] if is_half else ["\n", "\r", "\r\n"])))
    body = "".join(line + end for line, end in zip(lines, ends, strict=True)).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=10)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    found = parsed(*pieces)

    expected = [ServerEvent(name or "message", "\n".join(texts).encode(), None) for name, texts, _ in events]
    assert found == expected


def test_every_byte_may_come_alone() -> None:
    """Events that come a byte at a time, with both marks at the ends of lines, are whole."""
    body = b"id: e:1\r\nevent: steps\r\ndata: {\r\ndata: }\r\n\r\n:\r\n\r\nid: e:2\r\ndata: x\r\n\r\n"

    expected = [ServerEvent("steps", b"{\n}", "e:1"), ServerEvent("message", b"x", "e:2")]
    assert parsed(*(body[place : place + 1] for place in range(len(body)))) == expected
    assert parsed(body) == expected


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: x\n\n", [ServerEvent("message", b"x", None)]),
        (b"data:x\n\n", [ServerEvent("message", b"x", None)]),
        (b"data:  x\n\n", [ServerEvent("message", b" x", None)]),
        (b"data\n\n", [ServerEvent("message", b"", None)]),
        (b"data\ndata\n\n", [ServerEvent("message", b"\n", None)]),
        (b"\xef\xbb\xbfdata: x\n\n", [ServerEvent("message", b"x", None)]),
        (b"data: a:b\n\n", [ServerEvent("message", b"a:b", None)]),
        (b": hello\n\nretry: 1000\n\n", []),
        (b"event: x\n\ndata: y\n\n", [ServerEvent("message", b"y", None)]),
        (b"id: 1\n\ndata: y\n\n", [ServerEvent("message", b"y", "1")]),
        (b"id: 1\nid: 2\0\ndata: y\n\n", [ServerEvent("message", b"y", "1")]),
        (
            b"id: 1\ndata: y\n\ndata: z\n\n",
            [ServerEvent("message", b"y", "1"), ServerEvent("message", b"z", "1")],
        ),
        (
            b"id: 1\ndata: y\n\nid\ndata: z\n\n",
            [ServerEvent("message", b"y", "1"), ServerEvent("message", b"z", "")],
        ),
        (b"other: 1\ndata: y\n\n", [ServerEvent("message", b"y", None)]),
        (b"data: whole\n\ndata: half\n", [ServerEvent("message", b"whole", None)]),
    ],
)
def test_fields_mean_what_the_standard_says(body: bytes, events: list[ServerEvent]) -> None:
    """Blanks, missing colons, comments, ids that stay, and events that are never completed."""
    assert parsed(body) == events


@pytest.mark.parametrize(
    ("line", "retry_ms"), [(b"retry: 1500", 1500), (b"retry: soon", None), (b"retry: " + b"9" * 5000, None)]
)
def test_the_server_says_when_to_come_back(line: bytes, retry_ms: int | None) -> None:
    """What it says is kept when it is a time that makes sense."""
    parser = EventParser()

    assert list(parser.feed(line + b"\n\n")) == []
    assert parser.retry_ms == retry_ms


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: " + b"x" * 60 + b"\n"])
def test_an_event_that_never_ends_is_given_up(piece: bytes) -> None:
    """Neither a line nor an event may fill the memory."""
    parser = EventParser(event_bytes_max=1000)
    fed = (event for _ in range(100) for event in parser.feed(piece))

    with pytest.raises(EventTooLong):
        list(fed)
