"""The backlog: what waits and since when, and a wait that never says yes too early."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.frames import WALL
from tests.support.rounds import Pen, open_files

from stepstream.bus.bell import Bell
from stepstream.schemas.identity import new_id
from stepstream.shipping.backlog import Backlog, look_at_backlog, wait_until_shipped
from stepstream.shipping.mark import Mark, set_mark
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.segment import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.rounds import Place


@pytest.fixture
def spool(place: Place) -> Iterator[SpoolDirectory]:
    spool = SpoolDirectory(place.database)
    yield spool
    spool.close()


def later(act: Callable[[], None]) -> threading.Thread:
    """Do something in a moment, in another thread."""

    def run() -> None:
        time.sleep(0.1)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_nothing_waits(place: Place, spool: SpoolDirectory) -> None:
    """Without segments, and with one that holds nothing yet, nothing waits."""
    assert wait_until_shipped(spool, 0)
    place.segment().write(place.spool)
    assert wait_until_shipped(spool, 0)
    assert look_at_backlog(spool) == Backlog(0, None)


def test_what_waits_is_told_with_its_age(place: Place, spool: SpoolDirectory) -> None:
    """How much is not acknowledged, and when the first of it was logged, follows from the marks."""
    segment = place.segment().steps(3)
    path = segment.write(place.spool)
    place.segment().steps(1).write(place.spool)
    size = path.stat().st_size
    assert look_at_backlog(spool).bytes > size - BLOCK_BYTES
    assert look_at_backlog(spool).since == WALL
    for name in place.segments():
        set_mark(spool, name, Mark((place.spool / name).stat().st_size, 2))
    assert look_at_backlog(spool) == Backlog(0, None)


def test_the_mark_ends_the_wait(place: Place, spool: SpoolDirectory) -> None:
    """A wait ends when the mark has reached what was there at the call, and later steps do not prolong it."""
    pen = Pen(place)
    pen.write("before")
    (name,) = place.segments()
    size = (place.spool / name).stat().st_size
    assert not wait_until_shipped(spool, 0.05)

    def mark() -> None:
        pen.write("after")
        set_mark(spool, name, Mark(size, 0))
        bell = Bell(spool)
        bell.publish(1)
        bell.close()

    thread = later(mark)
    assert wait_until_shipped(spool, 20)
    thread.join()
    assert not wait_until_shipped(spool, 0)
    pen.close()


def test_a_segment_that_was_shipped_and_deleted_is_shipped(place: Place, spool: SpoolDirectory) -> None:
    """The mark of a file that was deleted can still be read by whoever waits for it."""
    path = place.segment().steps(2).write(place.spool)

    def ship() -> None:
        set_mark(spool, path.name, Mark(path.stat().st_size, 1))
        path.unlink()

    thread = later(ship)
    assert wait_until_shipped(spool, 20)
    thread.join()


def test_a_segment_that_somebody_removed_is_not_shipped(place: Place, spool: SpoolDirectory) -> None:
    """A file that goes without its mark is lost, not shipped, and nobody waits for it any longer."""
    path = place.segment().steps(2).write(place.spool)
    thread = later(path.unlink)
    began = time.monotonic()
    assert not wait_until_shipped(spool, 30)
    assert time.monotonic() - began < 20
    thread.join()


def test_segments_of_others_are_not_waited_for(place: Place, spool: SpoolDirectory) -> None:
    """What this spool's shipper leaves alone nobody waits for."""
    foreign = place.segment().steps(2)
    foreign.header["database_id"] = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    foreign.write(place.spool)
    (place.spool / f"{new_id().hex()}.segment").write_bytes(b"rubbish")

    assert wait_until_shipped(spool, 0)
    assert look_at_backlog(spool).bytes == 0


def test_many_segments_need_few_descriptors(place: Place, spool: SpoolDirectory) -> None:
    """However many segments there are, a wait leaves descriptors to the agent, and gives back all it took."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for _ in range(90):
        place.segment().steps(1).write(place.spool)
    before = open_files()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 120, hard))
    try:
        assert not wait_until_shipped(spool, 0.05)
        assert open_files() == before
        for name in place.segments():
            set_mark(spool, name, Mark((place.spool / name).stat().st_size, 0))
        assert wait_until_shipped(spool, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_files() == before


def test_a_link_in_the_spool_hangs_nobody(place: Place, spool: SpoolDirectory) -> None:
    """A pipe or a link among the segments is none of ours and is passed over."""
    os.mkfifo(place.spool / f"{new_id().hex()}.segment")
    (place.spool / f"{new_id().hex()}.segment").symlink_to("/etc/passwd")

    assert wait_until_shipped(spool, 0)
    assert look_at_backlog(spool) == Backlog(0, None)
