"""A shipper that is driven pass by pass, so that a test says when a pass is made and sees the state after each."""

from __future__ import annotations

import importlib
import json
import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.rounds import WITHIN_S, Shelf, settings

from stepstream.settings import Settings
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.loop import run_shipper
from stepstream.shipping.shipper import Shipper
from stepstream.spool.directory import SpoolDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fault_proxy import FaultProxy
    from tests.support.rounds import Pen, Place, Row
    from tests.support.served_history import ServedHistory

    from stepstream.schemas.record import JsonObject


class Voyage:
    """From one place to one server.

    Args:
        place: Whose spool is shipped; no database is ever there.
        url: The server.
        options: Bounds, and where the token is.
        kind: The shipper to drive.
        now: Wall time in ns.
    """

    def __init__(
        self,
        place: Place,
        url: str,
        options: Settings | None = None,
        *,
        kind: type[Shipper] = Shipper,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.place = place
        self.spool = SpoolDirectory(place.database)
        self.shipper = kind(self.spool, ServerAddress.parse(url, "the test"), options or settings(), now=now)

    def until(self, done: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Make passes until something is so, or the deadline is over."""
        deadline = time.monotonic() + within_s
        while not done():
            self.shipper.work()
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not so within {within_s} s; the shipper is: {self.shipper.state}; "
                    f"in the spool: {self.place.segments()}"
                )
            time.sleep(0.0005)

    def drain(self) -> None:
        """Make passes until everything is acknowledged."""
        self.until(lambda: look_at_backlog(self.spool).bytes == 0)

    def settle(self) -> None:
        """Make passes until every segment without an owner is shipped and deleted."""
        self.shipper.work()
        self.until(lambda: self.shipper.elected and not self.shipper.has_owners())

    def crash(self) -> None:
        """End as a killed process does: locks go with their descriptors, nothing is remembered."""
        self.close()

    def close(self) -> None:
        """Leave the election and let go of everything."""
        self.shipper.close()
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- what became of it


def stored(served: ServedHistory, pen: Pen) -> list[str]:
    """The texts of a pen's thoughts at the server, in order; nothing of it may be said to be lost."""
    shelf = Shelf(served.database)
    shelf.audit()
    assert shelf.losses(pen.recorder.id) == []
    return shelf.texts(pen.recorder.id)


def rows(served: ServedHistory, recorder: bytes) -> list[Row]:
    """What is stored of a recorder, without what the server says of its episodes."""
    found = [row for row in Shelf(served.database).steps if row.recorder == recorder]
    return [row for row in found if row.kind != "status_change"]


def posts(proxy: FaultProxy) -> list[JsonObject]:
    """The posts that went through a proxy."""
    found = []
    for part in bytes(proxy.sent).split(b"POST /api/v1/steps HTTP/1.1")[1:]:
        head, _, rest = part.partition(b"\r\n\r\n")
        (length,) = (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        found.append(json.loads(rest[: int(length.split()[1])]))
    return found


def write(pen: Pen, count: int) -> None:
    """Log so many thoughts, each with its number."""
    for _ in range(count):
        assert pen.write(str(len(pen.acknowledged)))


# -- what a child of the nursery runs


def ship(database: str, url: str, options: str, linger_s: float, stand_in: str = "") -> None:
    """Ship until nobody has needed it for a while, as the shipper process does.

    Args:
        database: The path that the spool is named after.
        url: The server.
        options: The settings as JSON.
        linger_s: For how long nobody must have needed it.
        stand_in: A function, as ``module:name``, that puts something else into the product's place first.
    """
    if stand_in:
        module, _, name = stand_in.partition(":")
        getattr(importlib.import_module(module), name)()
    logging.basicConfig(level=logging.INFO)
    spool = SpoolDirectory(Path(database))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    run_shipper(
        spool,
        ServerAddress.parse(url, "the test"),
        Settings.model_validate_json(options),
        until=lambda: bool(stopping),
        linger_s=linger_s,
    )
