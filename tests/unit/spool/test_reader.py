"""The reader: whole frames in order, nothing given up before it is committed, and nobody waited for."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest
from tests.support.frames import BLOCK_BYTES, Owner, encode_frame, thought
from tests.support.rounds import descriptors, open_files

from stepstream.spool.reader import WINDOW_BYTES, SegmentGone, SegmentReader
from stepstream.spool.segment import NotASegment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.frames import HandSegment
    from tests.support.rounds import Place

    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.frame import Frame


@pytest.fixture
def segment(place: Place) -> HandSegment:
    return place.segment().steps(5)


@pytest.fixture
def path(place: Place, segment: HandSegment) -> Path:
    return segment.write(place.spool)


@pytest.fixture
def reader(spool: SpoolDirectory, path: Path) -> Iterator[SegmentReader]:
    reader = SegmentReader(spool, path.name)
    yield reader
    reader.close()


def numbers(frames: list[Frame]) -> list[int]:
    return [frame[1] for frame in frames]


def test_frames_are_looked_at_taken_and_committed(reader: SegmentReader) -> None:
    """Looking does not take, taking does not consume, and committing moves the offset."""
    assert numbers(reader.look()) == [0, 1, 2, 3, 4]
    assert numbers(reader.look()) == [0, 1, 2, 3, 4]
    taken = reader.take(2)
    assert numbers(taken) == [0, 1]
    assert numbers(reader.look()) == [2, 3, 4]
    assert reader.consumed == BLOCK_BYTES
    reader.committed(taken[-1][5])
    assert reader.consumed == taken[-1][5]
    assert numbers(reader.take(3)) == [2, 3, 4]
    assert reader.look() == []
    assert not reader.has_more


def test_what_was_not_committed_comes_again(reader: SegmentReader) -> None:
    """After a rewind everything behind the offset is read anew."""
    reader.look()
    first = reader.take(2)
    reader.committed(first[-1][5])
    reader.take(3)
    reader.rewind()
    assert numbers(reader.look()) == [2, 3, 4]


def test_a_commit_after_a_rewind_moves_past_what_was_read_before(reader: SegmentReader) -> None:
    """When half of a batch is committed alone, reading goes on behind it."""
    reader.look()
    taken = reader.take(5)
    reader.rewind()
    reader.committed(taken[2][5])
    assert numbers(reader.look()) == [3, 4]


def test_reading_begins_where_the_database_says(
    spool: SpoolDirectory, path: Path, segment: HandSegment
) -> None:
    """A reader that is told an offset begins there."""
    offset = BLOCK_BYTES + sum(map(len, segment.frames[:3]))
    reader = SegmentReader(spool, path.name, offset)
    assert reader.is_known
    assert numbers(reader.look()) == [3, 4]
    reader.close()


def test_an_offset_behind_the_end_reads_nothing(spool: SpoolDirectory, path: Path) -> None:
    """An offset beyond the end of the file, as after a power cut, reads nothing and raises nothing."""
    reader = SegmentReader(spool, path.name, 10**9)
    assert reader.look() == []
    assert not reader.has_more
    assert reader.tail() == b""
    reader.close()


def test_a_frame_that_is_being_written_is_waited_for(place: Place, spool: SpoolDirectory) -> None:
    """A frame that is there in part is read when the rest has come, at whatever byte it was cut."""
    segment = place.segment().steps(2)
    for cut in (1, 10, 43, 44, 60, len(segment.frames[1]) - 1):
        data = segment.block() + segment.frames[0] + segment.frames[1][:cut]
        path = segment.write(place.spool, data)
        reader = SegmentReader(spool, path.name)
        with Owner(path) as owner:
            assert numbers(reader.look()) == [0]
            reader.take(1)
            assert reader.look() == []
            assert reader.has_more
            owner.write(segment.frames[1][cut:])
            assert numbers(reader.look()) == [1]
        reader.close()


@pytest.mark.parametrize("window", [1, 100, 4096, WINDOW_BYTES])
def test_any_window_reads_every_frame(place: Place, spool: SpoolDirectory, window: int) -> None:
    """Whatever the window is, frames of any size come through in order."""
    segment = place.segment()
    for size in (10, 100_000, 10, 3_000_000, 10, 10):
        segment.step(thought("x" * size))
    path = segment.write(place.spool)
    reader = SegmentReader(spool, path.name)
    found: list[int] = []
    while frames := reader.look(window):
        found += numbers(reader.take(len(frames)))
    reader.close()

    assert found == [0, 1, 2, 3, 4, 5]


def test_damage_is_set_aside_once(place: Place, spool: SpoolDirectory) -> None:
    """Damaged bytes are copied below the spool under the name of their segment and place."""
    segment = place.segment().steps(1).add(b"garbage").steps(1)
    path = segment.write(place.spool)
    reader = SegmentReader(spool, path.name)
    assert numbers(reader.look()) == [0, 1]
    assert numbers(reader.look()) == [0, 1]
    reader.close()
    start = BLOCK_BYTES + len(segment.frames[0])

    assert reader.kept_aside(start) is None
    assert reader.kept_aside(start + 1) == f"damaged/{path.name}-{start}-{start + 7}"
    assert [kept.read_bytes() for kept in place.damaged()] == [b"garbage"]
    assert [kept.stat().st_mode & 0o777 for kept in place.damaged()] == [0o600]


def test_a_living_owner_is_not_called_dead(reader: SegmentReader, path: Path) -> None:
    """While somebody holds the lock the owner lives; once it is free the reader has it and keeps it."""
    with Owner(path):
        assert not reader.owner_is_dead()
        assert not reader.owner_is_dead()
    assert reader.owner_is_dead()
    with pytest.raises(BlockingIOError):
        Owner(path)
    reader.rest()
    with pytest.raises(BlockingIOError):
        Owner(path)


def test_a_resting_reader_opens_the_file_again(reader: SegmentReader, path: Path) -> None:
    """A reader that gave up its descriptor reads, counts and sets aside as before."""
    assert numbers(reader.look()) == [0, 1, 2, 3, 4]
    reader.take(1)
    reader.rest()
    assert numbers(reader.look()) == [1, 2, 3, 4]
    assert reader.keep_aside(BLOCK_BYTES, BLOCK_BYTES + 4) == f"damaged/{path.name}-4096-4100"
    reader.rest()
    assert reader.tally() is not None
    reader.rest()
    assert reader.size() == path.stat().st_size
    reader.rest()
    assert reader.tail() == b""


def test_a_removed_file_is_gone(reader: SegmentReader, path: Path) -> None:
    """A reader that comes back to a removed file says so."""
    reader.rest()
    path.unlink()
    with pytest.raises(SegmentGone):
        reader.size()
    with pytest.raises(SegmentGone):
        reader.look()


def test_without_descriptors_a_file_is_not_gone(spool: SpoolDirectory, path: Path) -> None:
    """A process that is at the limit of its descriptors does not take a segment for removed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            highest = max(descriptors())
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
            taken = []
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            try:
                SegmentReader(spool, path.name)
            except SegmentGone:
                status = 2
            except OSError:
                status = 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(4096), b"\xf5stepspl" + bytes(4088)])
def test_what_is_no_segment_is_refused_and_closed(place: Place, spool: SpoolDirectory, data: bytes) -> None:
    """A file without a sound first block raises NotASegment and leaves no descriptor open."""
    path = place.segment().write(place.spool, data)
    before = open_files()
    with pytest.raises(NotASegment):
        SegmentReader(spool, path.name)
    assert open_files() == before


def test_a_format_of_a_later_release_is_not_read(place: Place, spool: SpoolDirectory) -> None:
    """A segment that says it is laid out otherwise is not looked into."""
    path = place.segment(format=2).steps(2).write(place.spool)
    reader = SegmentReader(spool, path.name)
    assert reader.look() == []
    assert reader.blocked_by is not None
    reader.close()


def test_a_newer_frame_blocks_at_its_place(place: Place, spool: SpoolDirectory) -> None:
    """Frames before a newer one are read, and the newer one and all behind it stay."""
    segment = place.segment().steps(2)
    newer = encode_frame(segment.recorder, 2, b"?", version=2)
    path = segment.add(newer, numbers=1).steps(1).write(place.spool)
    reader = SegmentReader(spool, path.name)
    reader.take(len(reader.look()))
    assert reader.look() == []
    assert reader.blocked_by is not None
    assert reader.blocked_by.version == 2
    assert not reader.has_more
    reader.close()


def test_deleting_removes_the_file_and_gives_up_the_lock(reader: SegmentReader, path: Path) -> None:
    """Deletion is final, and a file that is gone already is no error."""
    reader.owner_is_dead()
    reader.delete()
    assert not path.exists()
    reader.delete()


def test_rest_means_no_commit_since_it_was_last_asked(reader: SegmentReader) -> None:
    """A reader has rested when nothing was committed between two questions."""
    assert not reader.has_rested()
    assert reader.has_rested()
    reader.look()
    reader.committed(reader.take(1)[0][5])
    assert not reader.has_rested()
    assert reader.has_rested()
