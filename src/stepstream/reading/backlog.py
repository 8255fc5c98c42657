"""The backlog: what processes have logged and the committer has not stored yet.

Knows how long each segment is and how far the table says it is consumed. Must not know frames.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from stepstream.bus.bell import BACKSTOP_S, Listener
from stepstream.reading.database import open_when_made
from stepstream.schemas.identity import id_bytes
from stepstream.spool.segment import BLOCK_BYTES, NotASegment, decode_header

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.spool.directory import SpoolDirectory


class _Consumed(NamedTuple):
    """How far a segment is in the database."""

    bytes: int
    is_finished: bool


def wait_until_committed(database: Path, spool: SpoolDirectory, timeout_s: float) -> bool:
    """Wait until all that any process had logged by this call is committed.

    What is logged later does not prolong it. Segments of another database, and files that are no segments,
    are nothing this database's committer could store, and are left out.

    Args:
        database: The database; it need not exist yet.
        spool: Its spool.
        timeout_s: At most how long.

    Returns:
        Whether the database now holds it all. False also when a segment was removed before it was consumed:
        then its steps are lost, and a Loss step will say so.

    Raises:
        StoreError: The database cannot be read.
    """
    deadline = time.monotonic() + timeout_s
    listener: Listener | None = None
    table = _Table(database)
    try:
        wanted = _lengths(spool, table.database_id() or _expected_id(spool))
        while wanted:
            is_hopeless = _strike_out(wanted, spool, table)
            remaining = deadline - time.monotonic()
            if not wanted or is_hopeless or remaining <= 0:
                break
            if listener is None:
                # Then the table is looked at once more, so that no ring is missed.
                listener = Listener(spool)
            else:
                listener.wait(min(remaining, BACKSTOP_S))
        return not wanted
    finally:
        table.close()
        if listener is not None:
            listener.close()


def waiting_bytes(database: Path, spool: SpoolDirectory) -> int:
    """How much of what was logged is not committed yet.

    Raises:
        StoreError: The database cannot be read.
    """
    table = _Table(database)
    try:
        lengths = _lengths(spool, table.database_id() or _expected_id(spool))
        consumed = table.consumed(lengths)
    finally:
        table.close()
    total = 0
    for name, length in lengths.items():
        known = consumed.get(name, _Consumed(BLOCK_BYTES, is_finished=False))
        if not known.is_finished:
            total += max(0, length - known.bytes)
    return total


def _strike_out(wanted: dict[str, int], spool: SpoolDirectory, table: _Table) -> bool:
    """Take away the segments that are consumed; returns whether another one is gone for good."""
    # Files first, then the table: a file that goes in between is finished in the table.
    there = {name: _length(spool, name) for name in wanted}
    for name, known in table.consumed(wanted).items():
        # A write that a full disk cut short is taken back, which makes a file shorter than it was.
        if known.is_finished or known.bytes >= min(wanted[name], there[name] or wanted[name]):
            del wanted[name]
    return any(there[name] is None for name in wanted)


class _Table:
    """The table of segments, in whatever file the path names."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._reader: Reader | None = None

    def _current(self) -> Reader | None:
        if self._reader is not None and not self._reader.is_current():
            self.close()
        if self._reader is None:
            self._reader = open_when_made(self._database)
        return self._reader

    def database_id(self) -> bytes | None:
        reader = self._current()
        text = None if reader is None else reader.meta("database_id")
        return None if text is None else id_bytes(text)

    def consumed(self, names: dict[str, int]) -> dict[str, _Consumed]:
        reader = self._current()
        if reader is None or not names:
            return {}
        found = {}
        for name, consumed, finished_at in reader.select("SELECT name, consumed, finished_at FROM segment"):
            if name in names:
                found[str(name)] = _Consumed(int(consumed or 0), finished_at is not None)
        return found

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def _expected_id(spool: SpoolDirectory) -> bytes | None:
    identity = spool.identity()
    return None if identity is None else identity.database_id


def _lengths(spool: SpoolDirectory, database_id: bytes | None) -> dict[str, int]:
    """The length of every segment of a database that holds more than its first block."""
    lengths = {}
    for name in spool.segment_names():
        length = _length(spool, name)
        if length is not None and length > BLOCK_BYTES and _belongs(spool, name, database_id):
            lengths[name] = length
    return lengths


def _length(spool: SpoolDirectory, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=spool.descriptor, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def _belongs(spool: SpoolDirectory, name: str, database_id: bytes | None) -> bool:
    try:
        block = spool.read(name, BLOCK_BYTES)
        header = None if block is None else decode_header(block)
    except (OSError, NotASegment):
        return False
    return header is not None and (database_id is None or header.database == database_id)
