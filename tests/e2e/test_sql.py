"""``sql``: any question, no harm."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import CommandLine, Done

    Run = Callable[..., Done]


def test_a_table_for_people(inside: Run, recorded: Path) -> None:
    """Rows stand under their column names, figures at the right edge."""
    done = inside(
        "sql", "SELECT name, steps, NULL AS empty FROM episode_readable ORDER BY name", "--db", recorded
    )

    assert done.out.splitlines()[0].split() == ["name", "steps", "empty"]
    assert done.out.splitlines()[1].split() == ["Design", "bracket-14", "107", "null"]


def test_json_json_lines_and_csv_agree(inside: Run, recorded: Path) -> None:
    """The three forms hold the same values, ids as they are written elsewhere."""
    query = "SELECT id, name, score FROM episode ORDER BY name"
    whole = inside("sql", query, "--json", "--db", recorded).json()
    lines = inside("sql", query, "--jsonl", "--db", recorded).json_lines()
    table = list(csv.reader(io.StringIO(inside("sql", query, "--csv", "--db", recorded).out)))
    listed = inside("ls", "--jsonl", "--db", recorded).json_lines()

    assert whole["columns"] == ["id", "name", "score"]
    assert whole["rows"] == [list(line.values()) for line in lines]
    assert table == [["id", "name", "score"], *([str(value) for value in line.values()] for line in lines)]
    assert {line["id"] for line in lines} == {each["id"] for each in listed}


def test_no_rows_still_have_columns(inside: Run, recorded: Path) -> None:
    """A question that nothing answers is answered with the names of its columns."""
    query = "SELECT id, name FROM episode WHERE 0"

    assert inside("sql", query, "--csv", "--db", recorded).out == "id,name\n"
    assert inside("sql", query, "--json", "--db", recorded).json() == {
        "columns": ["id", "name"],
        "rows": [],
    }
    assert inside("sql", query, "--db", recorded).out.split() == ["id", "name"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM step",
        "INSERT INTO meta VALUES ('a', 'b')",
        "UPDATE episode SET name = 'x'",
        "DROP TABLE step",
        "CREATE TEMP TABLE t (x)",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'other.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version = 7",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "BEGIN IMMEDIATE",
        "SELECT 1; DELETE FROM step",
    ],
)
def test_nothing_can_be_written(inside: Run, recorded: Path, tmp_path: Path, query: str) -> None:
    """Whatever would write, attach or change a setting is refused, and no file appears."""
    done = inside("sql", query, "--db", recorded)

    assert done.code == 4, done.err
    assert "can only be read" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("query", ["SELECT 1; SELECT 2", "SELEC 1", "SELECT nothing"])
def test_what_cannot_be_run_is_a_usage_error(inside: Run, recorded: Path, query: str) -> None:
    """A second statement, a wrong word and an unknown column are told with the code for usage."""
    done = inside("sql", query, "--db", recorded)

    assert done.code == 2, done.out
    assert "Traceback" not in done.err


def test_rows_are_limited(inside: Run, recorded: Path) -> None:
    """No more rows come than are wanted, and it is said that there are more."""
    query = "SELECT cursor FROM step ORDER BY cursor"
    few = inside("sql", query, "--limit", "3", "--jsonl", "--db", recorded)

    assert few.json_lines() == [{"cursor": 1}, {"cursor": 2}, {"cursor": 3}]
    assert "--limit 0" in few.err
    assert len(inside("sql", query, "--limit", "0", "--jsonl", "--db", recorded).json_lines()) > 100


def test_time_is_limited(inside: Run, recorded: Path) -> None:
    """An endless question ends after the time it was given."""
    query = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    began = time.monotonic()
    done = inside("sql", query, "--timeout", "0.3", "--db", recorded)

    assert done.code == 1
    assert "more than 0.3 s" in done.err
    assert time.monotonic() - began < 20


def test_long_texts_are_put_back(stepstream: CommandLine) -> None:
    """A text that is stored once, apart from its step, can be asked for whole."""
    script = "from stepstream import *\nwith episode('e'): log_event(Thought(text='long ' * 1000))"
    stepstream.python("-c", script)
    whole = "whole(payload, pooled) ->> '$.text' AS text"
    query = f"SELECT length(payload) AS short, {whole} FROM step WHERE kind = 'thought'"
    (row,) = stepstream("sql", query, "--jsonl").json_lines()

    assert row["text"] == "long " * 1000
    assert int(str(row["short"])) < 100
