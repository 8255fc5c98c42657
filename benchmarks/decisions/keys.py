"""What a reference to an episode should be: ``python -m benchmarks.decisions.keys [ROWS]``.

Writes the same steps with episode and recorder as integer keys, as 16-byte ids and as canonical text, and
prints the size of the file and rows a second.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from stepstream.schemas.identity import new_id
from stepstream.store.sqlite.connection import immediate, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    Reference = int | bytes | str

EPISODES = 100
A_TRANSACTION = 512
TABLE = """
CREATE TABLE step (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT, id {id} NOT NULL UNIQUE, episode {key} NOT NULL,
    sequence INTEGER NOT NULL, recorder {key} NOT NULL, payload TEXT NOT NULL, UNIQUE (episode, sequence)
) STRICT
"""


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    ids = [new_id() for _ in range(EPISODES)]
    ways: dict[str, tuple[str, str, Callable[[int], Reference]]] = {
        "integer keys, ids as bytes": ("BLOB", "INTEGER", lambda number: number + 1),
        "all as bytes": ("BLOB", "BLOB", lambda number: ids[number]),
        "all as text": ("TEXT", "TEXT", lambda number: str(UUID(bytes=ids[number]))),
    }
    print(f"{count:,} steps in {EPISODES} episodes      MB     rows/s")
    for name, (id_type, key_type, refer) in ways.items():
        size, speed = measure(count, id_type, key_type, refer)
        print(f"{name:30}  {size / 1e6:6.1f}  {speed:9,.0f}")


def measure(count: int, id_type: str, key_type: str, refer: Callable[[int], Reference]) -> tuple[int, float]:
    """Write all rows one way; the size of the file and the speed."""
    rows = []
    for number in range(count):
        own = new_id()
        rows.append(
            (
                None,
                str(UUID(bytes=own)) if id_type == "TEXT" else own,
                refer(number % EPISODES),
                number // EPISODES,
                refer(0),
                '{"text":"' + "x" * 190 + '"}',
            )
        )
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "history.db"
        connection = open_writer(path)
        connection.execute(TABLE.format(id=id_type, key=key_type))
        began = time.process_time()
        for start in range(0, count, A_TRANSACTION):
            with immediate(connection):
                connection.executemany(
                    "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", rows[start : start + A_TRANSACTION]
                )
        elapsed = time.process_time() - began
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        connection.close()
    return size, count / elapsed


if __name__ == "__main__":
    main()
