"""Segments that somebody removed: what was in them is named, or said to be unknown, and nobody is held up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.frames import Owner
from tests.support.rounds import Office, Pen, Place, Shelf, settings, stored_texts

pytestmark = pytest.mark.fault


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_removed_segment_between_two_is_a_loss(place: Place) -> None:
    """A sealed segment that was removed unread is named as soon as its recorder is read on."""
    pen = Pen(place)
    for text in ("0", "1"):
        pen.write(text)
    (first,) = place.segments()
    pen.recorder.seal()
    for text in ("2", "3"):
        pen.write(text)
    (place.spool / first).unlink()
    pen.close()
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts() == ["2", "3"]
    (loss,) = shelf.losses()
    assert (loss.first, loss.last, loss.reason) == (0, 1, "missing")


def test_a_segment_removed_from_under_its_owner_is_noticed(place: Place) -> None:
    """A recorder whose file was removed begins a new one within about a second, and the hole is named."""
    pen = Pen(place)
    pen.write("0")
    (first,) = place.segments()
    (place.spool / first).unlink()
    with Office(place) as office:
        office.until(lambda: pen.write("x") and bool(place.segments()))
        pen.write("last")
        pen.close()
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    texts = shelf.texts()
    assert texts[-1] == "last"
    assert len(texts) + len(shelf.missing(pen.recorder.id)) == len(pen.acknowledged)


def test_a_half_read_segment_that_vanished_is_a_loss(place: Place) -> None:
    """A segment that was read in part and removed while nobody committed ends in a loss, not in silence."""
    segment = place.segment().steps(5)
    path = segment.write(place.spool, segment.as_killed())
    with Owner(path):
        with Office(place) as office:
            office.until(lambda: office.committer.elected and office.committer.waiting_bytes() == 0)
            office.until(lambda: Shelf(place.database).texts() == ["0", "1", "2", "3", "4"])
        path.unlink()
    with Office(place) as office:
        office.until(lambda: bool(Shelf(place.database).losses(segment.recorder)))
        shelf = Shelf(place.database)

    shelf.audit()
    (loss,) = shelf.losses(segment.recorder)
    assert (loss.first, loss.last, loss.reason) == (5, None, "missing")
    assert shelf.status[segment.episode] == "interrupted"
    with Office(place) as office:
        office.settle()
        assert len(Shelf(place.database).losses()) == 1, "it is told once"


def test_a_segment_that_comes_back_is_read_on(place: Place) -> None:
    """A segment that was moved away, given up, and moved back again is stored from where it was left."""
    segment = place.segment().steps(3)
    path = segment.write(place.spool, segment.as_killed())
    with Owner(path) as owner:
        with Office(place) as office:
            office.until(lambda: stored_texts(place.database) == ["0", "1", "2"])
        before = len(segment.frames)
        segment.steps(2)
        owner.write(b"".join(segment.frames[before:]))
    away = path.rename(place.directory / "away")
    with Office(place) as office:
        office.until(lambda: bool(Shelf(place.database).losses()))
        away.rename(path)
        office.until(lambda: stored_texts(place.database) == ["0", "1", "2", "3", "4"])
        office.settle()
    shelf = Shelf(place.database)
    shelf.audit()
    assert [(loss.first, loss.last) for loss in shelf.losses()] == [(3, None)]


def test_a_segment_that_vanished_under_the_committer_is_read_to_its_end(place: Place) -> None:
    """A segment removed while the committer reads it is stored whole, for its file is still open."""
    segment = place.segment().steps(5)
    path = segment.write(place.spool)
    with Owner(path) as owner, Office(place) as office:
        office.until(lambda: office.committer.elected and office.committer.waiting_bytes() == 0)
        path.unlink()
        before = len(segment.frames)
        segment.steps(2)
        owner.write(b"".join(segment.frames[before:]))
        office.until(lambda: len(Shelf(place.database).texts()) == 7)
    assert Shelf(place.database).losses() == []


def test_refused_and_removed_are_told_apart(place: Place) -> None:
    """Numbers that a full spool refused are named so, and those of a removed segment otherwise."""
    options = settings(spool_bytes_max=1024 * 1024)
    pen = Pen(place, options)
    pen.write("0")
    filler = place.spool / "filler.segment"
    filler.write_bytes(bytes(1024 * 1024))
    pen.recorder.seal()
    assert [pen.write(str(number)) for number in range(1, 4)] == [False, False, False]
    filler.unlink()
    deadline = time.monotonic() + 10
    while not pen.write("after"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    after = pen.recorder.next_number - 1
    pen.close()
    with Office(place, options) as office:
        office.settle()
        shelf = Shelf(place.database)

    (loss,) = shelf.losses()
    assert (loss.first, loss.last, loss.reason) == (1, after - 1, "refused")
    assert after > 3
    assert shelf.texts() == ["0", "after"]
