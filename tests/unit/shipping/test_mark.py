"""The mark: how far a segment is acknowledged stands in the segment, and never says too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.rounds import Pen

from stepstream.shipping.mark import (
    UNMARKED,
    Mark,
    decode_mark,
    encode_mark,
    forget_mark,
    read_mark,
    set_mark,
)
from stepstream.spool.segment import BLOCK_BYTES, SegmentState, Tally, decode_header, decode_tally

if TYPE_CHECKING:
    from tests.support.rounds import Place


def test_a_mark_is_read_back(place: Place) -> None:
    """What is marked is read back, while the owner goes on writing frames and its tally."""
    pen = Pen(place)
    pen.write("0")
    (name,) = place.segments()
    assert decode_mark((place.spool / name).read_bytes()) == UNMARKED

    set_mark(pen.spool, name, Mark(5000, 3))
    pen.write("1")
    pen.close()

    with (place.spool / name).open("rb") as file:
        assert read_mark(file.fileno()) == Mark(5000, 3)
    block = (place.spool / name).read_bytes()[:BLOCK_BYTES]
    assert decode_tally(block) == Tally(2, 0, SegmentState.CLOSED)
    assert decode_header(block).database == place.database_id


def test_a_mark_never_goes_back_by_itself(place: Place) -> None:
    """A shipper that was stopped and wakes up late does not take back what its successor has marked."""
    pen = Pen(place)
    pen.write("0")
    (name,) = place.segments()
    set_mark(pen.spool, name, Mark(9000, 9))
    set_mark(pen.spool, name, Mark(5000, 3))
    assert decode_mark((place.spool / name).read_bytes()) == Mark(9000, 9)

    forget_mark(pen.spool, name)
    assert decode_mark((place.spool / name).read_bytes()) == UNMARKED
    pen.close()


@pytest.mark.parametrize("place_in_mark", range(20))
def test_half_a_mark_is_none(place_in_mark: int) -> None:
    """A mark of which any byte is another one says nothing."""
    block = bytearray(BLOCK_BYTES)
    block[BLOCK_BYTES - 32 : BLOCK_BYTES - 12] = encode_mark(Mark(5000, 3))
    assert decode_mark(bytes(block)) == Mark(5000, 3)
    block[BLOCK_BYTES - 32 + place_in_mark] ^= 0x10
    assert decode_mark(bytes(block)) == UNMARKED
    assert decode_mark(b"") == UNMARKED
