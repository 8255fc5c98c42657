"""The shipper's day: what it does without being woken."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.support.nursery import until
from tests.support.rounds import Pen, Place, settings
from tests.support.voyage import write

from stepstream.shipping import shipper
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.loop import run_shipper
from stepstream.spool.directory import SpoolDirectory
from stepstream.store import sleeper
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.served_history import ServedHistory


@pytest.fixture
def sound_sleep(
    place: Place, served: ServedHistory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SpoolDirectory]:
    """A shipper that wakes for nothing but a change of the spool, and by itself keeps house once."""
    monkeypatch.setattr(sleeper, "HEARTBEAT_INTERVAL_S", 3_600.0)
    monkeypatch.setattr(shipper, "_HOUSE_INTERVAL_S", 3_600.0)
    stop = threading.Event()
    spool = SpoolDirectory(place.database)
    address = ServerAddress.parse(served.url, "the test")
    thread = threading.Thread(
        target=run_shipper, args=(spool, address, settings()), kwargs={"until": stop.is_set}
    )
    thread.start()
    yield spool
    stop.set()
    while thread.is_alive():
        (place.spool / "wake").touch()
        thread.join(0.05)
    spool.close()


def test_a_recorder_that_went_has_ended_before_the_shipper_sleeps(
    place: Place, served: ServedHistory, sound_sleep: SpoolDirectory
) -> None:
    """The server hears of the end of a run when it is over, and not with the shipper's next heartbeat."""
    pen = Pen(place)
    write(pen, 1)
    until(lambda: look_at_backlog(sound_sleep).bytes == 0, "the step is shipped")
    pen.close()

    until(lambda: has_ended(served, pen), "its recorder has ended", 20)


def has_ended(served: ServedHistory, pen: Pen) -> bool:
    """Whether the server expects nothing more of a recorder."""
    connection = open_reader(served.database)
    try:
        question = "SELECT count(*) FROM recorder WHERE id = ? AND ended_at IS NOT NULL"
        return bool(connection.execute(question, (pen.recorder.id,)).get)
    finally:
        connection.close()
