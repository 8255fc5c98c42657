"""How many steps a second become rows: one process, sixteen, and raw inserts of the same rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import apsw

from benchmarks.figure import Figure
from benchmarks.fleet import Fleet, created
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from pathlib import Path

ONE = 200_000
MANY = 40_000
AGENTS = 16
_RAW_BATCH = 512


def run(place: Path) -> list[Figure]:
    """Measure one process, the same rows inserted raw, and sixteen processes."""
    alone = _committed_a_second(place / "one" / "history.db", agents=1, count=ONE)[0]
    raw = _raw_a_second(place / "one" / "history.db", place / "raw.db")
    many, fairness = _committed_a_second(place / "many" / "history.db", agents=AGENTS, count=MANY)
    return [
        Figure("one process flat out, call to committed", (alone,), "steps/s", 60_000, at_most=False),
        Figure("the same / raw apsw executemany", (alone / raw,), "x", 0.35, at_most=False),
        Figure("raw apsw executemany", (raw,), "rows/s"),
        Figure("16 processes flat out, call to committed", (many,), "steps/s", 70_000, at_most=False),
        Figure("16 processes, slowest / fastest", (fairness,), "x", 0.7, at_most=False),
    ]


def _committed_a_second(database: Path, agents: int, count: int) -> tuple[float, float]:
    database.parent.mkdir()
    fleet = Fleet(database, agents, count, 0)
    connection = created(database)
    expected = agents * count
    fleet.go()
    began = time.monotonic()
    while connection.execute("SELECT coalesce(max(cursor), 0) FROM step").get < expected:
        time.sleep(0.005)
    elapsed = time.monotonic() - began
    connection.close()
    answers = fleet.finish()
    spans = [answer["ended"] - answer["began"] for answer in answers]
    return expected / elapsed, min(spans) / max(spans)


def _raw_a_second(source: Path, target: Path) -> float:
    reader = open_reader(source)
    columns = [row[1] for row in reader.execute("PRAGMA table_info(step)")]
    schema = [
        row[0]
        for row in reader.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'step' AND sql IS NOT NULL")
    ]
    rows = reader.execute(f"SELECT {','.join(columns)} FROM step").fetchall()
    reader.close()
    writer = apsw.Connection(str(target))
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
        writer.execute(f"PRAGMA {pragma}")
    for statement in schema:
        writer.execute(statement)
    insert = f"INSERT INTO step VALUES ({','.join('?' * len(columns))})"
    began = time.monotonic()
    for start in range(0, len(rows), _RAW_BATCH):
        with writer:
            writer.executemany(insert, rows[start : start + _RAW_BATCH])
    elapsed = time.monotonic() - began
    writer.close()
    return len(rows) / elapsed
