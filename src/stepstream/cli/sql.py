"""``stepstream sql``: a question in SQL to a live history, which it cannot change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import (
    DatabaseOption,
    JsonLinesOption,
    JsonOption,
    database_path,
    drain,
    require,
)
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import apsw

    from stepstream.cli.output import Output
    from stepstream.schemas.record import JsonValue

    Value = str | int | float | bytes | None

_STEPS_BETWEEN_LOOKS = 10_000
_UUID_BYTES = 16


def sql(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY", help="One SELECT; views: step_readable, episode_readable, tool_call."
        ),
    ],
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="At most how many rows; 0 for all.")
    ] = 1000,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, help="Give up after so many seconds.")
    ] = 30.0,
    as_json: JsonOption = False,
    as_json_lines: JsonLinesOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values with a header.")] = False,
    db: DatabaseOption = None,
) -> None:
    """Ask the database in SQL, which cannot change it.

    Long texts are stored once and stand as null in payloads; whole(payload, pooled) of a step puts them back.
    """
    from stepstream.cli.output import Output

    if sum((as_json, as_json_lines, as_csv)) > 1:
        raise CommandFailed("--json, --jsonl and --csv exclude each other; take one of them", ExitCode.USAGE)
    output = Output()
    database = database_path(db)
    drain(database, output)
    require(database)
    answer = _Answer(database, query, limit, timeout)
    try:
        if as_json:
            rows = list(answer.rows())
            output.json({"columns": [*answer.columns], "rows": [list(map(_json, row)) for row in rows]})
        elif as_json_lines:
            for row in answer.rows():
                output.json_line(dict(zip(answer.columns, map(_json, row), strict=True)))
        elif as_csv:
            _csv(answer, output)
        else:
            _table(answer, output)
    finally:
        answer.close()
    if answer.is_cut:
        output.say(f"only the first {limit:,} rows; all of them with --limit 0")


class _Answer:
    """The rows of one query."""

    def __init__(self, database: Path, query: str, limit: int, timeout_s: float) -> None:
        import apsw

        from stepstream.reading.database import Reader

        self._limit = limit
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._statements = 0
        self.columns: list[str] = []
        self.is_cut = False
        reader = Reader(database)
        self._connection = reader.connection

        def whole(*values: Value) -> str:
            """A payload with the long texts that are stored once put back."""
            payload, pooled = values
            return str(payload) if pooled is None else reader.content.fill(str(payload), str(pooled))

        self._connection.create_scalar_function("whole", whole, 2)
        self._connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.authorizer = _authorize
        self._connection.set_progress_handler(self._is_late, _STEPS_BETWEEN_LOOKS)
        self._cursor = self._connection.cursor()
        self._cursor.exec_trace = self._notice
        self._query = query

    def rows(self) -> Iterator[tuple[Value, ...]]:
        """Row by row, up to the limit.

        Raises:
            CommandFailed: The query cannot be read, asks to write, or takes too long.
        """
        import apsw

        try:
            for count, row in enumerate(self._cursor.execute(self._query), start=1):
                if self._limit and count > self._limit:
                    self.is_cut = True
                    return
                yield row
        except apsw.InterruptError:
            raise CommandFailed(
                f"the query took more than {self._timeout_s:g} s; ask for less, or allow more with --timeout"
            ) from None
        except (apsw.AuthError, apsw.ReadOnlyError) as error:
            raise CommandFailed(f"a history can only be read with SQL: {error}", ExitCode.REFUSED) from None
        except apsw.BusyError:
            raise CommandFailed(
                "the database is held by another program; try again", ExitCode.UNREACHABLE
            ) from None
        except apsw.Error as error:
            raise CommandFailed(f"SQL: {error}", ExitCode.USAGE) from None

    def _notice(self, cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        """Before a statement runs: learn its columns; only the first one runs."""
        self._statements += 1
        if self._statements > 1:
            raise CommandFailed("one statement at a time", ExitCode.USAGE)
        self.columns = [name for name, *_ in cursor.get_description()]
        return True

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def close(self) -> None:
        """Let go of the database."""
        self._cursor.close(True)
        self._connection.close()


def _authorize(
    operation: int, one: str | None, two: str | None, _database: str | None, _trigger: str | None
) -> int:
    """Reading is allowed, and pragmas that tell something; nothing else is."""
    import apsw

    match operation:
        case apsw.SQLITE_SELECT | apsw.SQLITE_READ | apsw.SQLITE_RECURSIVE:
            return int(apsw.SQLITE_OK)
        case apsw.SQLITE_FUNCTION if (two or "").lower() not in _FUNCTIONS_REFUSED:
            return int(apsw.SQLITE_OK)
        case apsw.SQLITE_PRAGMA if (one or "").lower() in _PRAGMAS_WITH_NAME:
            return int(apsw.SQLITE_OK)
        case apsw.SQLITE_PRAGMA if (one or "").lower() in _PRAGMAS_PLAIN and two is None:
            return int(apsw.SQLITE_OK)
        case _:
            return int(apsw.SQLITE_DENY)


_FUNCTIONS_REFUSED = frozenset({"load_extension", "fts3_tokenizer", "edit"})
_PRAGMAS_WITH_NAME = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
)
_PRAGMAS_PLAIN = frozenset(
    {
        "application_id",
        "compile_options",
        "database_list",
        "encoding",
        "freelist_count",
        "function_list",
        "journal_mode",
        "page_count",
        "page_size",
        "schema_version",
        "user_version",
    }
)


def _json(value: Value) -> JsonValue:
    """Ids as they are written everywhere else, other bytes as hex."""
    from math import isfinite

    from stepstream.schemas.identity import id_text

    match value:
        case bytes() if len(value) == _UUID_BYTES and value[6] >> 4 == 7:  # noqa: PLR2004 - UUID version 7
            return id_text(value)
        case bytes():
            return value.hex()
        case float() if not isfinite(value):
            return str(value)
        case _:
            return value


def _csv(answer: _Answer, output: Output) -> None:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    is_first = True
    for row in answer.rows():
        if is_first:
            writer.writerow(answer.columns)
            is_first = False
        writer.writerow(["" if value is None else _json(value) for value in row])
        output.raw(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    if is_first:
        writer.writerow(answer.columns)
        output.raw(buffer.getvalue())


def _table(answer: _Answer, output: Output) -> None:
    from stepstream.cli.output import dim
    from stepstream.cli.table import Column, Table

    rows = list(answer.rows())
    figures = [
        all(isinstance(row[place], int | float) or row[place] is None for row in rows)
        for place in range(len(answer.columns))
    ]
    table = Table(
        *(
            Column(name, is_right=right, width_min=8)
            for name, right in zip(answer.columns, figures, strict=True)
        )
    )
    for row in rows:
        table.add(*(dim("null") if value is None else str(_json(value)) for value in row))
    output.show(table.lines(output.width))
