"""What a history is, in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stepstream.schemas.identity import Identifier
from stepstream.schemas.kinds import Loss
from stepstream.schemas.record import Record
from stepstream.store.sqlite.migration import schema_version

if TYPE_CHECKING:
    from stepstream.reading.database import Reader


class RedactionCount(Record):
    """How many secrets of a kind were taken out before they were stored."""

    kind: str
    count: int


class HistoryInfo(Record):
    """What a history is.

    Attributes:
        path: The file.
        database_id: Which database it is, whatever it is called.
        epoch: Which life of the database its cursors belong to.
        schema_version: Version of its tables.
        last_cursor: The highest cursor given out.
        pruned_to: The highest cursor that was pruned; 0 when nothing was.
        episodes: How many there are.
        running: How many of them have not ended.
        steps: How many there are.
        errors: How many steps are errors.
        losses: How many Loss steps there are; each tells of steps known to be missing.
        redactions: Secrets taken out, by kind.
    """

    path: str
    database_id: Identifier
    epoch: str
    schema_version: int
    last_cursor: int
    pruned_to: int
    episodes: int
    running: int
    steps: int
    errors: int
    losses: int
    redactions: tuple[RedactionCount, ...]


def describe(reader: Reader) -> HistoryInfo:
    """Count a history."""
    counts = reader.select(
        "SELECT count(*), coalesce(sum(ended_at IS NULL), 0), coalesce(sum(errors), 0),"
        " coalesce(sum(next_sequence), 0) FROM episode"
    )
    episodes, running, errors, logged = cast("tuple[int, int, int, int]", counts[0])
    pruned_to = int(reader.meta("pruned_to") or 0)
    # Sequences have no gap, so that nobody has to count the log itself unless a part of it is gone.
    steps = cast("int", reader.first("SELECT count(*) FROM step")) if pruned_to else logged
    redactions = cast(
        "list[tuple[str, int]]", reader.select("SELECT kind, count FROM redaction ORDER BY kind")
    )
    return HistoryInfo(
        path=str(reader.path),
        database_id=reader.meta("database_id") or "",
        epoch=reader.meta("epoch") or "",
        schema_version=schema_version(reader.connection),
        last_cursor=reader.last_cursor(),
        pruned_to=pruned_to,
        episodes=episodes,
        running=running,
        steps=steps,
        errors=errors,
        losses=cast("int", reader.first(f"SELECT count(*) FROM step WHERE kind = '{Loss.kind}'")),
        redactions=tuple(RedactionCount(kind=kind, count=count) for kind, count in redactions),
    )
