"""How many rows one INSERT should carry: ``python -m benchmarks.decisions.rows_an_insert [ROWS]``.

Writes the same 600-byte steps into the table ``step`` of a new history, 512 a transaction, with statements of
1 to 128 rows, and prints rows a second. Settings are those of the committer's own connection.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

from stepstream.store.sqlite.connection import immediate, open_writer
from stepstream.store.sqlite.migration import migrate

COLUMNS = 16
A_TRANSACTION = 512
ROUNDS = 5


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = [step(number) for number in range(1, count + 1)]
    best: dict[int, float] = {}
    for _ in range(ROUNDS):
        for size in (1, 16, 32, 64, 128):
            best[size] = max(best.get(size, 0.0), rows_a_second(rows, size))
    print("rows a statement   rows/s   against one")
    for size, speed in best.items():
        print(f"{size:16}  {speed:7,.0f}   {speed / best[1]:.2f}x")


def step(number: int) -> tuple[object, ...]:
    """A row of the table ``step``."""
    payload = '{"text":"' + "x" * 590 + '"}'
    now = 1_795_000_000_000_000_000 + number
    return (
        *(number, os.urandom(16), 1, number, "thought", 1, now, now, "planner", "planner"),
        *(None, None, 1, 0, payload, None),
    )


def rows_a_second(rows: list[tuple[object, ...]], size: int) -> float:
    """Write all rows, so many a statement."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "history.db"
        connection = open_writer(path)
        migrate(connection, path)
        connection.execute("PRAGMA foreign_keys = OFF")
        one = f"({','.join('?' * COLUMNS)})"
        many = f"INSERT INTO step VALUES {','.join([one] * size)}"
        single = f"INSERT INTO step VALUES {one}"
        began = time.process_time()
        for start in range(0, len(rows), A_TRANSACTION):
            batch = rows[start : start + A_TRANSACTION]
            whole = len(batch) - len(batch) % size
            with immediate(connection):
                connection.executemany(
                    many, (tuple(chain.from_iterable(batch[at : at + size])) for at in range(0, whole, size))
                )
                connection.executemany(single, batch[whole:])
        elapsed = time.process_time() - began
        connection.close()
    return len(rows) / elapsed


if __name__ == "__main__":
    main()
