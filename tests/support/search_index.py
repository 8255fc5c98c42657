"""What a search index holds, read past the product, to compare one index with another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import apsw

from stepstream.reading.search.index import index_path
from stepstream.reading.search.indexer import Indexing, IndexProgress, bring_up_to_date
from stepstream.settings import Settings

SETTINGS = Settings(disk_free_bytes_min=0, disk_free_percent_min=0.0)
"""Settings that do not depend on this machine's disk."""

Posting = tuple[str, int, int]


class IndexContents(NamedTuple):
    """Every word with its step and place, who said what first, and how far it reaches."""

    words: list[Posting]
    said: list[tuple[int, bytes, int]]
    reached: int


def index_all(database: Path) -> IndexProgress:
    """Bring the index of a history up to date."""
    with closing(Indexing(database, SETTINGS)) as work:
        return bring_up_to_date(work, lambda _: None)


def contents(database: Path) -> IndexContents:
    """All that the index of a history holds."""
    with closing(apsw.Connection(str(index_path(database)), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        words: list[Posting] = []
        for (part,) in connection.execute("SELECT number FROM part").fetchall():
            connection.execute(
                f"CREATE VIRTUAL TABLE temp.postings_{part} USING fts5vocab (main, words_{part}, instance)"
            )
            rows = connection.execute(f"SELECT term, doc, offset FROM temp.postings_{part}").fetchall()
            words += cast("list[Posting]", rows)
        said = connection.execute("SELECT episode, node, cursor FROM said ORDER BY 1, 2").fetchall()
        reached = connection.execute("SELECT reached FROM state").get
    return IndexContents(sorted(words), cast("list[tuple[int, bytes, int]]", said), cast("int", reached))


def fresh_contents(database: Path) -> IndexContents:
    """All that an index holds that is built from nothing."""
    index_path(database).unlink()
    index_all(database)
    return contents(database)
