"""What a client asks for, read from the parameters of its connection."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepstream.server.problems import Refused
from stepstream.server.stream.query import Place, StreamQuery


def connection(query: bytes = b"", *headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"query_string": query, "headers": list(headers)}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (b"", StreamQuery(None, "", None)),
        (b"after=0", StreamQuery(Place(None, 0), "", None)),
        (b"after=196e:12", StreamQuery(Place("196e", 12), "", None)),
        (b"after=9223372036854775807", StreamQuery(Place(None, (1 << 63) - 1), "", None)),
        (b"filter=kind%3Athought+%22l%C3%A4uft%22", StreamQuery(None, 'kind:thought "läuft"', None)),
        (b"episode=0190&filter=", StreamQuery(None, "", "0190")),
    ],
)
def test_parameters_are_read(query: bytes, wanted: StreamQuery) -> None:
    """A place with and without its epoch, a filter with blanks, an episode."""
    assert StreamQuery.of(connection(query)) == wanted


def test_the_header_of_a_browser_counts_more() -> None:
    """A browser that comes back repeats its first address, so that the header knows better."""
    asked = connection(b"after=3", (b"accept", b"*/*"), (b"last-event-id", b"196e:12"))

    assert StreamQuery.of(asked).after == Place("196e", 12)


@pytest.mark.parametrize(
    "value", ["", " 1", "1 ", "-1", "+1", "1e3", "a:", ":1", "a:b:1", "٣", "9" * 20, "9" * 400]
)
def test_a_place_that_is_none_is_refused(value: str) -> None:
    """Nothing is guessed: resuming at the wrong place would be a silent gap."""
    with pytest.raises(Refused) as refused:
        StreamQuery.of(connection(b"", (b"last-event-id", value.encode())))

    assert refused.value.status == 400
    assert len(refused.value.problems[0].value) < 200


@given(query=st.binary(max_size=60), header=st.binary(max_size=30))
def test_whatever_comes_is_read_or_refused(query: bytes, header: bytes) -> None:
    """No parameter and no header makes anything else of it than a query or a refusal."""
    for asked in (connection(query), connection(b"", (b"last-event-id", header))):
        with suppress(Refused):
            assert isinstance(StreamQuery.of(asked), StreamQuery)
