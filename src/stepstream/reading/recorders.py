"""Recorders: the processes that have logged, as the database knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stepstream.schemas.identity import Identifier, id_bytes
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from stepstream.reading.database import Reader


class RecorderPosition(Record):
    """How far a recorder's steps are stored.

    Attributes:
        id: The recorder.
        last_number: The highest number of its frames that is accounted for.
        ended_at: When it was known to log no more; ns since 1970 UTC.
    """

    id: Identifier
    last_number: int
    ended_at: int | None


def find_recorder(reader: Reader, recorder_id: str) -> RecorderPosition | None:
    """A recorder by its id; None where there is none."""
    sql = "SELECT last_number, ended_at FROM recorder WHERE id = ?"
    rows = cast("list[tuple[int, int | None]]", reader.select(sql, (id_bytes(recorder_id),)))
    return RecorderPosition(id=recorder_id, last_number=rows[0][0], ended_at=rows[0][1]) if rows else None
