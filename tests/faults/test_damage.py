"""Damage is local and visible: what can be read is stored, the rest kept aside and named by its numbers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.frames import (
    BLOCK_BYTES,
    CLOSED,
    FRAME_HEAD,
    FRAME_HEADER_BYTES,
    MAGIC,
    TALLY_AT,
    HandSegment,
    Owner,
    encode_frame,
    encode_step,
    new_id,
    thought,
)
from tests.support.rounds import Office, Place, Shelf, stored_texts

from stepstream.spool.frame import frame_seed, scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.fault

FRAMES = 5
HIT = 2
"""The frame in the middle, whose damage is looked at."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def five(place: Place, state: int = CLOSED) -> HandSegment:
    """A segment of five steps whose owner closed it, or was killed and said nothing."""
    segment = place.segment().steps(FRAMES)
    segment.state = state
    return segment


def spans(segment: HandSegment) -> list[tuple[int, int]]:
    """Where the frames of a segment begin and end."""
    position = BLOCK_BYTES
    found = []
    for frame in segment.frames:
        found.append((position, position + len(frame)))
        position += len(frame)
    return found


def flipped(data: bytes, position: int, bit: int) -> bytes:
    """The data with one bit the other way."""
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def check(shelf: Shelf, segment: HandSegment, lost: Iterable[int] = (), *, count: int = FRAMES) -> None:
    """Everything but ``lost`` is stored, once and in order, and exactly ``lost`` is named."""
    lost = set(lost)
    expected = [str(number) for number in range(count) if number not in lost]
    assert shelf.texts(segment.recorder) == expected
    assert shelf.missing(segment.recorder) == lost


# ------------------------------------------------------------------------------------------------- bit flips


def frame_positions(segment: HandSegment, frame: int) -> Iterator[tuple[int, int]]:
    """Every bit of a frame's header, and one of every byte of its body."""
    start, end = spans(segment)[frame]
    for position in range(start, start + FRAME_HEADER_BYTES):
        yield from ((position, bit) for bit in range(8))
    yield from ((position, position % 8) for position in range(start + FRAME_HEADER_BYTES, end))


def test_a_flip_in_a_frame_costs_that_frame_alone(place: Place) -> None:
    """A flip of any bit of a frame loses that frame, names its number, and leaves its neighbours alone."""
    segments = []
    for position, bit in frame_positions(five(place), HIT):
        segment = five(place)
        segment.write(place.spool, flipped(segment.encoded(), position, bit))
        segments.append(segment)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment in segments:
        check(shelf, segment, {HIT})
        (loss,) = shelf.losses(segment.recorder)
        assert loss.reason == "damaged"
        assert loss.kept_as is not None
    assert len(place.damaged()) == len(segments)


def test_a_flip_in_the_last_frame_of_a_closed_segment_is_numbered(place: Place) -> None:
    """A flip in the last frame is named by its number when the owner could say how many there were."""
    segments = []
    for position, bit in frame_positions(five(place), FRAMES - 1):
        segment = five(place)
        segment.write(place.spool, flipped(segment.encoded(), position, bit))
        segments.append(segment)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment in segments:
        check(shelf, segment, {FRAMES - 1})
        (loss,) = shelf.losses(segment.recorder)
        assert (loss.first, loss.last, loss.reason) == (FRAMES - 1, FRAMES - 1, "damaged")
        assert loss.kept_as is not None


def test_a_flip_in_the_last_frame_of_a_killed_owner_is_told(place: Place) -> None:
    """A flip in the last frame of a killed owner is a loss whose end nobody can know."""
    segments = []
    for position, bit in frame_positions(five(place), FRAMES - 1):
        segment = five(place)
        segment.write(place.spool, flipped(segment.as_killed(), position, bit))
        segments.append(segment)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment in segments:
        check(shelf, segment, {FRAMES - 1})
        (loss,) = shelf.losses(segment.recorder)
        assert (loss.first, loss.last, loss.reason) == (FRAMES - 1, None, "damaged")


def test_a_flip_in_the_first_block_costs_nothing(place: Place) -> None:
    """A flip of any bit of a segment's first block, its header and its tally included, loses no step."""
    length = len(json.dumps(five(place).header, separators=(",", ":"))) + 16
    places = [(position, bit) for position in range(16) for bit in range(8)]
    places += [(position, position % 8) for position in range(16, length)]
    places += [(TALLY_AT + offset, bit) for offset in range(21) for bit in range(8)]
    places += [(position, 3) for position in range(length, BLOCK_BYTES, 97)]
    segments = []
    for position, bit in places:
        segment = five(place)
        segment.write(place.spool, flipped(segment.encoded(), position, bit))
        segments.append(segment)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment in segments:
        check(shelf, segment)


def test_random_flips_are_local(place: Place) -> None:
    """One flip anywhere in a segment loses one frame at most, and what it loses is named."""
    randomness = random.Random(2311)
    segments = []
    for _ in range(300):
        segment = five(place)
        data = segment.encoded()
        position = randomness.randrange(BLOCK_BYTES, len(data))
        segment.write(place.spool, flipped(data, position, randomness.randrange(8)))
        segments.append((segment, position))
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment, position in segments:
        (hit,) = [n for n, (start, end) in enumerate(spans(segment)) if start <= position < end]
        check(shelf, segment, {hit})


def test_many_flips_in_one_segment_cost_the_frames_they_hit(place: Place) -> None:
    """Every second frame of a long segment is hit, and every other one is stored."""
    segment = place.segment().steps(400)
    data = segment.encoded()
    for start, _ in spans(segment)[1::2]:
        data = flipped(data, start + 50, 0)
    segment.write(place.spool, data)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, range(1, 400, 2), count=400)


def test_damage_in_a_living_segment_holds_nobody_up(place: Place) -> None:
    """While its owner goes on, a damaged frame is stepped over as soon as a sound one stands behind it."""
    segment = place.segment().steps(3)
    path = segment.write(place.spool, segment.as_killed())
    with Owner(path) as owner, Office(place) as office:
        for number in range(3, 12):
            before = len(segment.frames)
            segment.steps(1)
            frame = segment.frames[before]
            owner.write(flipped(frame, len(frame) - 5, 1) if number % 3 == 0 else frame)
            if number % 3 == 1:
                office.until(lambda number=number: str(number) in stored_texts(place.database))
        owner.die()
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {3, 6, 9}, count=12)


def careless_scan(data: bytes) -> list[bytes]:
    """The bodies that a reader finds which believes every length and checks no sum."""
    bodies, offset = [], 0
    while offset + FRAME_HEADER_BYTES <= len(data):
        magic, _, _, _, length, *_ = FRAME_HEAD.unpack_from(data, offset)
        if magic != MAGIC:
            break
        start = offset + FRAME_HEADER_BYTES
        bodies.append(data[start : start + length])
        offset = start + length
    return bodies


def test_without_the_checksums_flips_would_go_unnoticed(place: Place) -> None:
    """A reader that checks no sums takes every flipped body for what was logged; ours takes none."""
    segment = five(place)
    data = segment.encoded()[BLOCK_BYTES:]
    start, end = (offset - BLOCK_BYTES for offset in spans(segment)[HIT])
    logged = careless_scan(data)
    seed = frame_seed(segment.recorder)
    noticed = unnoticed = 0
    for position in range(start + FRAME_HEADER_BYTES, end):
        changed = flipped(data, position, position % 8)
        found = careless_scan(changed)
        unnoticed += len(found) == FRAMES and found != logged
        frames, stop = scan(changed, seed, 0)
        noticed += [body for _, _, _, _, body, _ in frames] == logged[:HIT] and stop is not None

    assert unnoticed == noticed == end - start - FRAME_HEADER_BYTES


# ----------------------------------------------------------------------------------------------------- tails


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
def test_a_tail_cut_anywhere_is_a_frame_that_never_was(place: Place, killed: bool) -> None:
    """A last frame cut at any byte is dropped, and named where its owner lived to count it."""
    segments = []
    start, end = spans(five(place))[-1]
    for cut in range(start, end):
        segment = five(place)
        data = segment.as_killed() if killed else segment.encoded()
        segment.write(place.spool, data[:cut])
        segments.append(segment)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    for segment in segments:
        assert shelf.texts(segment.recorder) == ["0", "1", "2", "3"]
        assert shelf.missing(segment.recorder) == (set() if killed else {FRAMES - 1})


@pytest.mark.parametrize("zeros_from", [0, 1, 4, 20, 43, 44, 60, 120])
@pytest.mark.parametrize("more", [0, 1, 100, 3 * 1024 * 1024])
def test_a_tail_of_zeros_is_told(place: Place, zeros_from: int, more: int) -> None:
    """A tail that a power cut filled with zeros is a loss, and what stood before it is stored."""
    segment = five(place)
    start, end = spans(segment)[-1]
    data = segment.as_killed()[: start + zeros_from]
    segment.write(place.spool, data + bytes(end - len(data) + more))
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {FRAMES - 1})
    (kept,) = place.damaged()
    assert kept.stat().st_size == end - start + more


def test_a_huge_damaged_last_frame_is_told_and_kept(place: Place) -> None:
    """A whole frame of 3 MiB with one flip, the last of a killed owner, is a loss, and kept whole."""
    segment = place.segment().steps(1).step(thought("x" * 3 * 1024 * 1024))
    start, end = spans(segment)[1]
    segment.write(place.spool, flipped(segment.as_killed(), end - 1000, 5))
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.missing(segment.recorder) == {1}
    (kept,) = place.damaged()
    assert kept.stat().st_size == end - start


def test_a_hole_in_the_middle_is_stepped_over(place: Place) -> None:
    """Ten MiB of zeros in the middle of a segment lose nothing but themselves."""
    segment = place.segment().steps(2).add(bytes(10 * 1024 * 1024)).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    check(shelf, segment, count=4)


# ------------------------------------------------------------------------------------- what is no frame here


GARBAGE = {
    "text": b"not a frame at all",
    "zeros": bytes(500),
    "magic": MAGIC,
    "magics": MAGIC * 40,
    "half a header": encode_frame(new_id(), 0, b"x" * 90)[:30],
    "a newline": b"\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_between_frames_is_set_aside(place: Place, name: str) -> None:
    """Bytes between two frames cost no step, are no loss, and are kept."""
    segment = place.segment().steps(2).add(GARBAGE[name]).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, count=4)
    assert [path.read_bytes() for path in place.damaged()] == [GARBAGE[name]]


def test_duplicated_frames_are_stored_once(place: Place) -> None:
    """Frames that stand twice, near or far apart, are stored once, and nothing is called lost."""
    segment = place.segment().steps(3)
    segment.add(segment.frames[2]).add(segment.frames[0]).steps(2).add(segment.frames[1])
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment)


def test_a_replayed_segment_is_not_stored_again(place: Place) -> None:
    """A copy of a segment that was stored before adds nothing."""
    segment = five(place)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        segment.write(place.spool)
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment)


def test_a_frame_of_another_recorder_never_validates(place: Place) -> None:
    """A stale block of somebody else's segment is damage, not a step."""
    other = place.segment().steps(1)
    segment = place.segment().steps(2).add(other.frames[0]).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, count=4)
    assert other.recorder not in shelf.recorders
    assert [path.read_bytes() for path in place.damaged()] == other.frames


@pytest.mark.parametrize("length", [0, 1, 90, 100_000, 2**32 - 1])
def test_a_length_that_lies_costs_its_own_frame(place: Place, length: int) -> None:
    """A sound header with a wrong length loses its frame, however far the length points."""
    segment = place.segment().steps(1)
    segment.body(encode_step(thought("liar"), episode=segment.episode), length=length).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts(segment.recorder) == ["0", "2", "3"]
    assert shelf.missing(segment.recorder) == {1}


def test_a_liar_at_the_end_holds_nobody_up(place: Place) -> None:
    """Behind a frame whose length points beyond the end, a living owner's next frame is read all the same."""
    segment = place.segment().steps(1)
    segment.body(encode_step(thought("liar"), episode=segment.episode), length=2**31)
    path = segment.write(place.spool)
    bystander = five(place)
    bystander.write(place.spool)
    with Office(place) as office, Owner(path) as owner:
        office.until(lambda: office.committer.elected)
        office.until(lambda: len(Shelf(place.database).texts(bystander.recorder)) == FRAMES)
        before = len(segment.frames)
        segment.steps(2)
        owner.write(b"".join(segment.frames[before:]))
        office.until(lambda: Shelf(place.database).texts(segment.recorder) == ["0", "2", "3"])
        owner.die()
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.missing(segment.recorder) == {1}


def test_a_frame_larger_than_the_window_is_read(place: Place) -> None:
    """Frames of 9 MiB, twice the size of a pass, come through with what stands around them."""
    large = "x" * (9 * 1024 * 1024)
    segment = place.segment().steps(1).step(thought(large)).steps(1).step(thought(large)).steps(1)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    texts = [step.payload["text"] for step in shelf.steps if step.kind == "thought"]
    assert texts == ["0", None, "2", None, "4"], "the large ones are in the pool"
    assert shelf.losses() == []


# ------------------------------------------------------------------------------------------- a newer release


def test_a_newer_frame_is_left_in_place_and_said(place: Place) -> None:
    """A committer that meets a frame of a newer version leaves it in place, steps down and says so."""
    segment = place.segment().steps(2).body(b"of the future", version=2).steps(1)
    path = segment.write(place.spool)
    bystander = five(place)
    bystander.write(place.spool)
    with Office(place) as office:
        office.until(lambda: "newer" in office.committer.state)
        assert not office.committer.elected
        with Office(place) as other:
            assert other.committer.stand(), "the office must be free for a newer committer"
        office.until(lambda: bystander.recorder in Shelf(place.database).recorders)
        office.until(lambda: len(Shelf(place.database).texts(bystander.recorder)) == FRAMES)
        shelf = Shelf(place.database)

    assert path.read_bytes() == segment.encoded()
    assert shelf.texts(segment.recorder) == ["0", "1"]
    assert shelf.losses(segment.recorder) == []


def test_a_server_that_meets_a_newer_frame_lets_others_stand(place: Place) -> None:
    """A server that cannot read a newer frame does not keep the newer committer out."""
    place.segment().steps(2).body(b"of the future", version=2).write(place.spool)
    with Office(place, server=True) as office:
        office.until(lambda: "newer" in office.committer.state)
        with Office(place) as other:
            assert other.committer.stand()
