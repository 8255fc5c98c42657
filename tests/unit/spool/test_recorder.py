"""The recorder: every frame has a number, refused ones included, and the agent never hears of the disk."""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.rounds import Pen, Place, settings

from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.frame import BODY_BYTES_MAX, frame_seed, scan
from stepstream.spool.segment import BLOCK_BYTES, SegmentState, decode_header, decode_tally

if TYPE_CHECKING:
    from stepstream.spool.frame import Frame
    from stepstream.spool.segment import SegmentHeader, Tally

pytestmark = pytest.mark.filterwarnings("error")


class Written:
    """A segment as it lies on the disk."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.header: SegmentHeader = decode_header(data)
        tally = decode_tally(data)
        assert tally is not None
        self.tally: Tally = tally
        self.frames: list[Frame]
        self.frames, self.stop = scan(data[BLOCK_BYTES:], frame_seed(self.header.recorder), BLOCK_BYTES)
        self.numbers = [frame[1] for frame in self.frames]


def segments(place: Place) -> list[Written]:
    """Every segment of a place, oldest first."""
    return [Written(place.spool / name) for name in place.segments()]


def test_nothing_is_written_before_the_first_frame(place: Place) -> None:
    """Opening and closing a recorder leaves no file."""
    Pen(place).close()

    assert place.segments() == []


def test_frames_are_numbered_and_stamped(place: Place) -> None:
    """Frames stand in the file in the order of their numbers, stamps and times."""
    pen = Pen(place)
    before = time.monotonic_ns()
    for number in range(50):
        assert pen.write(str(number))
    pen.close()
    (segment,) = segments(place)

    assert segment.numbers == list(range(50))
    stamps = [frame[0] for frame in segment.frames]
    assert stamps == sorted(stamps)
    assert before <= stamps[0]
    assert stamps[-1] <= time.monotonic_ns()
    times = [frame[3] for frame in segment.frames]
    assert times == sorted(times)
    assert segment.tally == (50, 0, SegmentState.CLOSED)


def test_the_header_says_whose_it_is(place: Place) -> None:
    """A segment's first block names database, recorder, process, host and boot."""
    pen = Pen(place, settings(durability="power"))
    pen.write("0")
    pen.close()
    (segment,) = segments(place)

    assert segment.header.database == place.database_id
    assert segment.header.recorder == pen.recorder.id
    assert segment.header.pid == os.getpid()
    assert segment.header.durable
    assert segment.header.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace(
        "-", ""
    )


def test_a_full_segment_is_sealed_and_another_begun(place: Place) -> None:
    """Segments end at their size, say that they are sealed, and go on with the next number."""
    pen = Pen(place, settings(segment_bytes_max=16 * 1024))
    for number in range(300):
        pen.write(f"{number} {'x' * 200}")
    pen.close()
    found = segments(place)

    assert len(found) > 3
    assert [number for segment in found for number in segment.numbers] == list(range(300))
    assert [segment.tally.state for segment in found[:-1]] == [SegmentState.SEALED] * (len(found) - 1)
    for segment in found:
        assert segment.header.first_number == segment.numbers[0]
        assert segment.tally.next_number == segment.numbers[-1] + 1
    sizes = [(place.spool / name).stat().st_size for name in place.segments()]
    assert max(sizes) <= 16 * 1024
    assert pen.recorder.segments_begun == len(found)


def test_a_frame_larger_than_a_segment_gets_one_of_its_own(place: Place) -> None:
    """A body beyond the segment's size is written whole all the same."""
    pen = Pen(place, settings(segment_bytes_max=16 * 1024))
    for text in ("small", "x" * 100_000, "small again"):
        assert pen.write(text)
    pen.close()

    assert [segment.numbers for segment in segments(place)] == [[0], [1], [2]]


def test_the_largest_step_fits_the_largest_frame() -> None:
    """The largest payload that any setting allows is one frame that the reader can still hold."""
    assert settings(step_bytes_max=64 * 1024 * 1024).step_bytes_max + 100_000 < BODY_BYTES_MAX


def test_seal_and_move_begin_a_new_segment(place: Place) -> None:
    """Sealing begins a new file with the next frame, and moving also names the other database."""
    pen = Pen(place)
    pen.write("0")
    pen.recorder.seal()
    assert len(place.segments()) == 1
    pen.write("1")
    other = bytes(range(16))
    pen.recorder.move(other)
    pen.write("2")
    pen.close()

    assert [segment.header.database for segment in segments(place)] == [place.database_id] * 2 + [other]
    assert [segment.numbers for segment in segments(place)] == [[0], [1], [2]]


# ------------------------------------------------------------------------------------------------ refusals


def until_written(pen: Pen, text: str) -> None:
    """Log until it is taken: refusals are looked at again once a second."""
    deadline = time.monotonic() + 10
    while not pen.write(text):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_spool_refuses_counts_and_says_so(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the bound steps are refused, numbered, counted in the first block, and told once in the log."""
    caplog.set_level(logging.WARNING, "stepstream")
    pen = Pen(place, settings(spool_bytes_max=1024 * 1024))
    pen.write("0")
    filler = place.spool / "filler.segment"
    filler.write_bytes(bytes(1024 * 1024))
    pen.recorder.seal()
    assert [pen.write(str(number)) for number in range(100)] == [False] * 100
    assert pen.recorder.refused == 100
    assert pen.recorder.refusal is not None
    assert "doctor" in pen.recorder.refusal
    assert len(caplog.records) == 1
    filler.unlink()
    (segment,) = segments(place)
    assert (segment.tally.next_number, segment.tally.refused) == (101, 100)
    until_written(pen, "after")
    assert pen.recorder.refusal is None
    pen.close()

    first, second = segments(place)
    assert first.tally.next_number == second.header.first_number == second.numbers[0]
    assert second.tally.refused in {0, pen.recorder.refused}


@pytest.mark.parametrize("option", [{"disk_free_bytes_min": 2**62}, {"disk_free_percent_min": 90.0}])
def test_a_disk_that_is_nearly_full_is_left_alone(place: Place, option: dict[str, Any]) -> None:
    """The agent's last bytes are never taken: below the bound nothing is written at all."""
    pen = Pen(place, settings(**option))
    free = SpoolDirectory(place.database).disk_free()[1]
    if free >= option.get("disk_free_percent_min", 100.0):
        pytest.skip("nearly all of this disk is free")
    assert not pen.write("0")
    assert pen.recorder.refusal is not None
    assert "MiB are free" in pen.recorder.refusal
    assert pen.recorder.next_number == 1
    pen.close()
    assert place.segments() == []


def test_a_closed_recorder_refuses(place: Place) -> None:
    """After close nothing is written any more, and nothing raises."""
    pen = Pen(place)
    pen.write("0")
    pen.recorder.close()
    pen.recorder.close()

    assert not pen.write("1")
    assert len(segments(place)) == 1


def test_a_removed_directory_is_made_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """When the spool itself is removed the recorder finds that out and goes on, without raising."""
    import shutil

    pen = Pen(place)
    pen.write("0")
    shutil.rmtree(place.spool)
    deadline = time.monotonic() + 10
    while not (pen.write("x") and place.spool.exists() and place.segments()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pen.close()

    assert segments(place)[-1].header.database == place.database_id


def in_child(play: Any) -> int:  # noqa: ANN401 - any callable
    """Run something in a forked child; returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = play() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_frame_that_finds_only_part_of_its_room_is_taken_back(place: Place) -> None:
    """A short write leaves no torn frame, is refused and counted, and the next frame goes on cleanly."""

    def play() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        pen = Pen(place)
        pen.write("0")
        size = (place.spool / place.segments()[0]).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60, resource.RLIM_INFINITY))
        if pen.write("cut " + "x" * 500):
            return 1
        if (place.spool / place.segments()[0]).stat().st_size != size:
            return 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until_written(pen, "1")
        pen.close()
        return 0 if pen.recorder.refused >= 1 else 3

    assert in_child(play) == 0
    first, second = segments(place)
    assert first.numbers == [0]
    assert first.stop is None
    assert second.numbers[0] > 1
    assert second.tally.refused == second.numbers[0] - 1


def test_a_write_that_fails_is_refused(place: Place) -> None:
    """A disk that takes no byte at all makes the call return False and the next ones try anew."""

    def play() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        pen = Pen(place)
        pen.write("0")
        size = (place.spool / place.segments()[0]).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        if pen.write("1"):
            return 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until_written(pen, "2")
        pen.close()
        return 0

    assert in_child(play) == 0
    assert segments(place)[0].numbers == [0]


# ------------------------------------------------------------------------------------------ fork, threads


def test_an_abandoned_recorder_leaves_the_parents_file(place: Place) -> None:
    """A child that abandons and dies changes nothing in the parent's segment."""
    pen = Pen(place)
    pen.write("0")
    path = place.spool / place.segments()[0]
    before = path.read_bytes()
    assert in_child(pen.recorder.abandon) == 0
    assert path.read_bytes() == before
    pen.write("1")
    pen.close()

    assert segments(place)[0].numbers == [0, 1]


def test_threads_share_one_file_in_order(place: Place) -> None:
    """Eight threads that log at once leave numbers without a gap and stamps that never fall."""
    pen = Pen(place)
    threads = [
        threading.Thread(target=lambda who=who: [pen.write(f"{who} {n}") for n in range(500)])
        for who in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pen.close()
    (segment,) = segments(place)

    assert segment.numbers == list(range(4_000))
    stamps = [frame[0] for frame in segment.frames]
    assert stamps == sorted(stamps)


def is_free(pen: Pen) -> bool:
    """Whether another thread could log now."""
    taken: list[bool] = []

    def try_it() -> None:
        taken.append(pen.recorder._lock.acquire(timeout=5))
        if taken[0]:
            pen.recorder._lock.release()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return taken[0]


def test_a_handler_that_logs_while_the_first_segment_is_made_is_served(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that logs during the very first rotation has its step recorded, and so has the caller."""
    rename = os.rename
    raised: list[int] = []

    def interrupted(source: str, target: str, **directories: int) -> None:
        if not raised:
            raised.append(1)
            signal.raise_signal(signal.SIGUSR1)
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", interrupted)
    pen = Pen(place)
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: pen.write("handler"))
    try:
        assert pen.write("main")
        assert pen.write("after")
    finally:
        signal.signal(signal.SIGUSR1, before)
    pen.close()

    assert pen.acknowledged == ["handler", "main", "after"]
    assert pen.recorder.refused == 0
    assert sorted(number for segment in segments(place) for number in segment.numbers) == [0, 1, 2]


def test_somebody_looks_around_once_a_second(place: Place) -> None:
    """The check runs with the first frame and about once a second then, never while the lock is held."""
    looked: list[bool] = []

    pen = Pen(place, on_check=lambda: looked.append(is_free(pen)))
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        pen.write("x")
        time.sleep(0.001)
    pen.close()

    assert looked in ([True, True], [True, True, True])


def test_refusing_looks_around_outside_the_lock_too(place: Place) -> None:
    """While steps are refused the check still runs, and holds nobody up who wants to log."""
    looked: list[bool] = []

    pen = Pen(place, settings(disk_free_bytes_min=2**62), on_check=lambda: looked.append(is_free(pen)))
    assert not pen.write("0")
    pen.close()

    assert looked == [True]


# ---------------------------------------------------------------------------------------------- durability


class Flushes:
    """How far each file was flushed, as the kernel was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached: dict[int, int] = {}
        self.fail = False
        flush = os.fdatasync

        def watched(descriptor: int) -> None:
            if self.fail:
                raise OSError(5, "Input/output error")
            info = os.fstat(descriptor)
            flush(descriptor)
            self.reached[info.st_ino] = info.st_size

        monkeypatch.setattr(os, "fdatasync", watched)

    def cover(self, place: Place) -> bool:
        """Whether every byte of every segment that holds a frame was flushed."""
        files = [(place.spool / name).stat() for name in place.segments()]
        files = [info for info in files if info.st_size > BLOCK_BYTES]
        return all(self.reached.get(info.st_ino, 0) >= info.st_size for info in files)


def test_power_means_flushed_before_return(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With durability power every byte is on the disk when the call returns, over rotations too."""
    flushes = Flushes(monkeypatch)
    pen = Pen(place, settings(durability="power", segment_bytes_max=16 * 1024))
    for number in range(60):
        assert pen.write(f"{number} {'x' * 900}")
        assert flushes.cover(place)
    pen.close()
    assert len(place.segments()) > 3


def test_process_means_that_nobody_waits_for_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With durability process no call flushes anything."""
    flushes = Flushes(monkeypatch)
    pen = Pen(place)
    for number in range(60):
        pen.write(str(number))
    pen.close()

    assert flushes.reached == {}


def test_a_rotation_flushes_what_others_have_not(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose segment is sealed by another one before it could flush is flushed all the same."""
    flushes = Flushes(monkeypatch)
    pen = Pen(place, settings(durability="power"))
    pen.write("0")
    recorder = pen.recorder
    with recorder._sync_lock:
        waiting = threading.Thread(target=pen.write, args=("1",))
        waiting.start()
        deadline = time.monotonic() + 5
        while recorder.next_number < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        recorder.seal()
        pen.write("2")
    waiting.join()
    assert flushes.cover(place)
    pen.close()
    assert sorted(segments(place)[0].numbers + segments(place)[1].numbers) == [0, 1, 2]


def test_a_disk_that_cannot_flush_never_raises(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that fails, at rotation or behind a frame, is told and counted and never raised."""
    flushes = Flushes(monkeypatch)
    pen = Pen(place, settings(durability="power"))
    flushes.fail = True
    assert not pen.write("0")
    assert pen.recorder.refusal is not None
    assert not pen.write("1")
    flushes.fail = False
    until_written(pen, "2")
    assert flushes.cover(place)
    pen.close()


def test_a_handler_that_logs_during_a_flush_does_not_lock_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that logs while its own thread waits for the disk is served."""
    flush = os.fdatasync
    calls = []

    def flush_slowly(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGUSR1)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", flush_slowly)
    pen = Pen(place, settings(durability="power"))
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: pen.write("handler"))
    try:
        for number in range(6):
            assert pen.write(str(number))
    finally:
        signal.signal(signal.SIGUSR1, before)
    pen.close()

    assert "handler" in pen.acknowledged
    assert segments(place)[-1].numbers[-1] == 6
