"""Segments: born locked, described twice, and read by releases that come later and earlier."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.frames import HandSegment, new_id
from tests.support.rounds import open_files

from stepstream.schemas.identity import id_text
from stepstream.spool.segment import (
    BLOCK_BYTES,
    FORMAT,
    NotASegment,
    OwnedSegment,
    SegmentHeader,
    SegmentState,
    Tally,
    decode_header,
    decode_tally,
    encode_block,
    encode_tally,
)

if TYPE_CHECKING:
    from tests.support.rounds import Place

    from stepstream.spool.directory import SpoolDirectory


def header(**changes: str | int | bool) -> SegmentHeader:
    """A header as a recorder writes it."""
    fields: dict[str, str | int | bool] = {
        "format": FORMAT,
        "database_id": id_text(bytes(16)),
        "recorder_id": id_text(bytes(range(16))),
        "boot_id": "ab" * 16,
        "first_number": 0,
        "created_at": 1,
        "pid": 1,
        "host": "bench",
        "release": "0.1.0",
        "durable": False,
    }
    return SegmentHeader.model_validate({**fields, **changes})


@given(
    st.builds(
        header,
        first_number=st.integers(0, 2**63 - 1),
        pid=st.integers(0, 2**63 - 1),
        host=st.text(max_size=64),
        release=st.text(max_size=20),
        durable=st.booleans(),
    ),
    st.builds(
        Tally, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), state=st.sampled_from(SegmentState)
    ),
)
def test_a_first_block_reads_back(described: SegmentHeader, tally: Tally) -> None:
    """What a segment is, and what its owner said last, read back from the block."""
    block = encode_block(described, tally)

    assert len(block) == BLOCK_BYTES
    assert decode_header(block) == described
    assert decode_tally(block) == tally


def test_the_block_is_what_its_description_says() -> None:
    """A block written from the description of the format reads as the recorder's own."""
    by_hand = HandSegment(new_id(), first=7)
    by_hand.next, by_hand.refused = 12, 3

    assert decode_header(by_hand.block()).model_dump() == by_hand.header
    assert decode_tally(by_hand.block()) == Tally(12, 3, SegmentState.CLOSED)


def test_either_copy_of_the_description_is_enough() -> None:
    """A block of which one half is destroyed still says what the segment is."""
    block = encode_block(header(), Tally(0, 0, SegmentState.OPEN))
    half = BLOCK_BYTES // 2

    assert decode_header(bytes(half) + block[half:]) == header()
    assert decode_header(block[:half] + bytes(half)) == header()
    with pytest.raises(NotASegment):
        decode_header(bytes(BLOCK_BYTES))


def test_a_description_that_does_not_fit_is_an_error_of_the_file() -> None:
    """A header too long for its half of the block is refused before anything is written."""
    with pytest.raises(OSError, match="does not fit"):
        encode_block(header(host="h" * 3_000), Tally(0, 0, SegmentState.OPEN))


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_segment(data: bytes) -> None:
    """Bytes that are no block raise NotASegment and nothing else."""
    with pytest.raises(NotASegment):
        decode_header(data)
    assert decode_tally(data) is None


def test_fields_of_a_later_release_are_read_over() -> None:
    """A header with fields that only a later release knows reads as the rest of it says."""
    by_hand = HandSegment(new_id(), colour="blue", retries=3)

    assert decode_header(by_hand.block()).recorder_id == by_hand.header["recorder_id"]


@pytest.mark.parametrize(
    "changes",
    [
        {"recorder_id": "me"},
        {"database_id": ""},
        {"pid": 2**63},
        {"pid": -1},
        {"created_at": 2**63},
        {"first_number": -1},
        {"durable": "yes"},
        {"host": 1},
    ],
)
def test_a_description_without_sense_is_no_segment(changes: dict[str, str | int]) -> None:
    """A sound block whose fields mean nothing raises NotASegment, as a damaged one does."""
    with pytest.raises(NotASegment):
        decode_header(HandSegment(new_id(), **changes).block())


def test_a_missing_field_is_no_segment() -> None:
    """A block without a recorder's id cannot be read."""
    by_hand = HandSegment(new_id())
    del by_hand.header["recorder_id"]

    with pytest.raises(NotASegment, match="recorder_id"):
        decode_header(by_hand.block())


@given(st.integers(0, 20), st.integers(0, 7))
def test_a_torn_tally_says_nothing(position: int, bit: int) -> None:
    """A tally with any bit the other way is None, not other numbers."""
    block = bytearray(encode_block(header(), Tally(41, 7, SegmentState.SEALED)))
    block[BLOCK_BYTES - 64 + position] ^= 1 << bit

    assert decode_tally(bytes(block)) is None


def test_a_state_of_a_later_release_keeps_its_numbers() -> None:
    """A tally in a state that this release does not know still counts."""
    by_hand = HandSegment(new_id())
    by_hand.next, by_hand.state = 9, 250

    assert decode_tally(by_hand.block()) == Tally(9, 0, SegmentState.OPEN)


def test_a_tally_is_rewritten_in_place(spool: SpoolDirectory, place: Place) -> None:
    """Noting a tally changes those bytes of the block alone, and not the length of the file."""
    segment = OwnedSegment(spool, header())
    path = place.spool / segment.name
    before = path.read_bytes()
    segment.note(Tally(5, 2, SegmentState.OPEN))
    after = path.read_bytes()
    segment.close()

    assert len(after) == len(before) == BLOCK_BYTES
    assert decode_tally(after) == Tally(5, 2, SegmentState.OPEN)
    changed = [position for position in range(BLOCK_BYTES) if before[position] != after[position]]
    start = BLOCK_BYTES - 64
    assert changed
    assert set(changed) <= set(range(start, start + len(encode_tally(Tally(0, 0, SegmentState.OPEN)))))


def is_locked(path: str) -> bool:
    """Whether somebody holds the lock of a file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_segment_is_born_locked_and_described(
    spool: SpoolDirectory, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment the file gets its visible name it is locked and its first block is whole."""
    seen: list[tuple[bool, SegmentHeader]] = []
    rename = os.rename

    def watched(source: str, target: str, **directories: int) -> None:
        path = os.fspath(place.spool / source)
        seen.append((is_locked(path), decode_header((place.spool / source).read_bytes())))
        assert source.startswith(".")
        assert place.segments() == []
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", watched)
    segment = OwnedSegment(spool, header())

    assert seen == [(True, header())]
    assert place.segments() == [segment.name]
    assert (place.spool / segment.name).stat().st_mode & 0o777 == 0o600
    segment.close()
    assert not is_locked(os.fspath(place.spool / segment.name))


def test_a_closed_segment_fails_like_a_file_and_not_like_a_mistake(spool: SpoolDirectory) -> None:
    """Who flushes or looks at a segment that a signal handler closed meanwhile meets an error of the file."""
    segment = OwnedSegment(spool, header(), 0)
    segment.close()
    with pytest.raises(OSError, match="closed"):
        segment.sync()
    assert not segment.still_named()


def test_names_are_never_taken_twice(spool: SpoolDirectory, place: Place) -> None:
    """Two segments of one process and one header have different files."""
    first, second = OwnedSegment(spool, header()), OwnedSegment(spool, header())

    assert len(place.segments()) == 2
    first.close()
    second.close()


def test_a_segment_that_finds_no_room_leaves_nothing_behind(spool: SpoolDirectory, place: Place) -> None:
    """When the first block cannot be written whole there is an OSError, no file, and no open descriptor."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
            before = open_files()
            try:
                OwnedSegment(spool, header())
            except OSError:
                status = 0 if open_files() == before else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [path.name for path in place.spool.iterdir()] == ["database"]


def test_a_removed_or_replaced_file_is_noticed(spool: SpoolDirectory, place: Place) -> None:
    """An owner can tell that its path names nothing, or another file."""
    segment = OwnedSegment(spool, header())
    path = place.spool / segment.name
    assert segment.still_named()
    path.unlink()
    assert not segment.still_named()
    path.write_text("another")
    assert not segment.still_named()
    segment.close()


def test_closing_in_a_child_leaves_the_parents_lock(spool: SpoolDirectory, place: Place) -> None:
    """A forked child that closes the inherited descriptor does not unlock the parent's segment."""
    segment = OwnedSegment(spool, header())
    child = os.fork()
    if child == 0:
        segment.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert is_locked(os.fspath(place.spool / segment.name))
    segment.close()


def test_closing_twice_closes_once(spool: SpoolDirectory) -> None:
    """A second close does not close a descriptor that somebody else has got in the meantime."""
    segment = OwnedSegment(spool, header())
    number = segment.descriptor
    segment.close()
    other = os.open(os.devnull, os.O_RDONLY)
    segment.close()
    try:
        assert other == number
        os.fstat(other)
    finally:
        os.close(other)


def test_the_header_is_plain_json(spool: SpoolDirectory, place: Place) -> None:
    """A person can read in the file whose it is, with nothing but a pager."""
    segment = OwnedSegment(spool, header(host="workstation"))
    text = (place.spool / segment.name).read_bytes()[16:].split(b"\0")[0]
    segment.close()

    assert json.loads(text)["host"] == "workstation"
