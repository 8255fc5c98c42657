"""Byte ranges: whatever a client asks for, the part lies inside of the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepstream.server.byte_range import ByteRange, Unsatisfiable, asked_range, names_entity


@pytest.mark.parametrize(
    ("header", "size", "part"),
    [
        (None, 10, None),
        ("bytes=0-", 10, ByteRange(0, 10)),
        ("bytes=2-4", 10, ByteRange(2, 5)),
        ("bytes=2-400", 10, ByteRange(2, 10)),
        ("bytes=-3", 10, ByteRange(7, 10)),
        ("bytes=-30", 10, ByteRange(0, 10)),
        ("Bytes= 2-4 ", 10, ByteRange(2, 5)),
        ("bytes=4-2", 10, None),
        ("bytes=1-2,4-5", 10, None),
        ("items=1-2", 10, None),
        ("bytes=1٣-", 10, None),
        ("", 10, None),
    ],
)
def test_a_range_is_read(header: str | None, size: int, part: ByteRange | None) -> None:
    """One part is told by its ends, and what cannot be read asks for the whole."""
    assert asked_range(header, size) == part


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10), ("bytes=-5", 0)]
)
def test_a_range_without_a_byte_is_refused(header: str, size: int) -> None:
    """A part that begins behind the end, or has no length, is no part."""
    with pytest.raises(Unsatisfiable):
        asked_range(header, size)


@given(st.one_of(st.text(max_size=30), st.from_regex(r"bytes=\d*-\d*(,\d*-\d*)?")), st.integers(0, 1 << 40))
def test_a_part_lies_inside_of_the_file(header: str, size: int) -> None:
    """Whatever the header says, a part has at least one byte and none behind the end."""
    try:
        part = asked_range(header, size)
    except Unsatisfiable:
        return

    assert part is None or 0 <= part.start < part.stop <= size


@pytest.mark.parametrize(
    ("header", "is_named"), [('"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False), ("", False)]
)
def test_an_entity_is_named_weakly_or_strongly(header: str, is_named: bool) -> None:
    """The tag counts wherever it stands in the list, weak or strong, and a star names every one."""
    assert names_entity(header, '"a"') is is_named
