"""The committer's day: what it does without being woken."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.support.nursery import until
from tests.support.rounds import Pen, Place, settings

from stepstream.reading.backlog import wait_until_committed
from stepstream.spool.directory import SpoolDirectory
from stepstream.store import sleeper
from stepstream.store.loop import run_committer
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sound_sleep(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[SpoolDirectory]:
    """A committer that wakes for nothing but a change of the spool."""
    monkeypatch.setattr(sleeper, "HEARTBEAT_INTERVAL_S", 3_600.0)
    stop = threading.Event()
    spool = SpoolDirectory(place.database)
    thread = threading.Thread(
        target=run_committer, args=(place.database, spool, settings()), kwargs={"until": stop.is_set}
    )
    thread.start()
    yield spool
    stop.set()
    while thread.is_alive():
        (place.spool / "wake").touch()
        thread.join(0.05)
    spool.close()


def test_a_recorder_that_went_has_ended_before_the_committer_sleeps(
    place: Place, sound_sleep: SpoolDirectory
) -> None:
    """A copy taken after a run says that it is over, and whoever serves the copy misses nothing."""
    pen = Pen(place)
    pen.write("logged")
    assert wait_until_committed(place.database, sound_sleep, 20)
    pen.close()

    until(lambda: not unfinished(place), "its recorder has ended", 20)


def unfinished(place: Place) -> int:
    """How many recorders the history still expects something of."""
    connection = open_reader(place.database)
    try:
        return int(connection.execute("SELECT count(*) FROM recorder WHERE ended_at IS NULL").get)
    finally:
        connection.close()
