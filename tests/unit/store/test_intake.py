"""Intake: what is in the spool is taken in causal order, and no later than it has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.frames import OPEN, HandSegment, encode_frame, encode_step, thought

from stepstream.spool.directory import SpoolDirectory
from stepstream.store.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rounds import Place


@pytest.fixture
def intake(place: Place) -> Iterator[Intake]:
    """An intake of the place's spool."""
    spool = SpoolDirectory(place.database)
    intake = Intake(spool)
    intake.begin(place.database_id, {})
    yield intake
    intake.clear()
    spool.close()


class Chatterer:
    """A process that logs one step at every moment it is given."""

    def __init__(self, place: Place) -> None:
        self.segment: HandSegment = place.segment()
        self.segment.state = OPEN
        self.path: Path = self.segment.write(place.spool)
        self.number = 0

    def log(self, stamp: int) -> None:
        body = encode_step(thought(str(stamp)), episode=self.segment.episode)
        with self.path.open("ab") as file:
            file.write(encode_frame(self.segment.recorder, self.number, body, stamp=stamp))
        self.number += 1


def stamps(intake: Intake, cut: int) -> list[int]:
    """The stamps of what one pass takes."""
    return [frame[0] for frame, _ in intake.gather(cut)]


def test_a_backlog_does_not_become_a_lag(place: Place, intake: Intake) -> None:
    """After a moment in which too much waited, each pass takes again all that was there when it began."""
    crowd = [Chatterer(place) for _ in range(8)]
    for moment in range(10):
        for place_in_line, process in enumerate(crowd):
            process.log(1000 + 100 * moment + place_in_line)
    intake.discover()
    assert max(stamps(intake, 1350)) < 1350

    for moment in range(10, 13):
        for place_in_line, process in enumerate(crowd):
            process.log(1000 + 100 * moment + place_in_line)
        taken = stamps(intake, 1000 + 100 * moment + 50)
        assert taken == sorted(taken)
        assert taken[-1] == 1000 + 100 * moment + 7, "what is there waits"


def test_what_a_window_does_not_reach_holds_back_what_came_after(place: Place, intake: Intake) -> None:
    """Of two processes the one whose steps are many and long decides how far the other's are taken."""
    busy, quiet = Chatterer(place), Chatterer(place)
    for number in range(400):
        body = encode_step(thought("x" * 20_000), episode=busy.segment.episode)
        with busy.path.open("ab") as file:
            file.write(encode_frame(busy.segment.recorder, number, body, stamp=2 * number))
        quiet.log(2 * number + 1)
    intake.discover()

    taken: list[int] = []
    passes = 0
    while len(taken) < 800:
        taken += stamps(intake, 10_000)
        passes += 1
    assert taken == list(range(800))
    assert passes > 1
