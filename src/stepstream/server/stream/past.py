"""The past: what is older than the ring, read from the table a window at a time.

Knows the table of steps, and that a step may be unreadable. Must not know clients. May be used by any number
of threads.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from stepstream.errors import StoreError
from stepstream.reading.condition import ALWAYS
from stepstream.reading.database import ReaderPool, open_when_made
from stepstream.reading.rows import PAYLOAD, STEP_COLUMNS
from stepstream.server.stream.message import portions, steps_message
from stepstream.server.stream.ring import Life

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader
    from stepstream.reading.rows import StepRow
    from stepstream.schemas.step import Step
    from stepstream.server.stream.message import Message

_WINDOW_STEPS = 10_000
_PAGE_STEPS = 500
_PAGE_BYTES = 1024 * 1024

_STEPS = f"SELECT {STEP_COLUMNS} FROM step WHERE step.cursor > ?"  # noqa: S608 - the names are ours
_LAST_STEPS = f"{_STEPS} ORDER BY step.cursor DESC"


class Encoded(NamedTuple):
    """A step and its JSON, as the API gives it."""

    step: Step
    json: bytes

    @classmethod
    def of(cls, step: Step) -> Encoded:
        """Encode a step.

        Raises:
            StoreError: A project's own payload does not let itself be written.
        """
        try:
            return cls(step, step.model_dump_json().encode())
        except ValueError as error:
            raise StoreError(
                f"{step.kind} at cursor {step.cursor} cannot be written as JSON: {error}"
            ) from error


class LastSteps(NamedTuple):
    """What a ring begins with.

    Attributes:
        life: The life of the database.
        after: Everything behind this cursor is here.
        steps: The steps, in the order of their cursors.
        unreadable: What was to be said of each step that is missing among them.
    """

    life: Life
    after: int
    steps: list[Encoded]
    unreadable: list[str]


class PastPage(NamedTuple):
    """The next steps behind a cursor that pass.

    Attributes:
        life: The life of the database they are of.
        upto: The cursor up to which it was looked.
        messages: The messages that tell them, each with the cursor that it reaches.
        unreadable: What was to be said of each step that is missing among them.
    """

    life: Life
    upto: int
    messages: list[tuple[int, Message]]
    unreadable: list[str]


class Past:
    """Reads one database, whatever file its path names."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._pool = ReaderPool(database)

    def close(self) -> None:
        """Let go of the database."""
        self._pool.close()

    def life(self) -> Life | None:
        """The life of the database as it stands; None while there is none.

        Raises:
            StoreError: The database cannot be read.
        """
        try:
            with self._pool.reader() as reader:
                return _life(reader)
        except FileNotFoundError:
            return None

    def last_steps(self, steps_max: int, bytes_max: int) -> LastSteps | None:
        """The last steps there are, within bounds; None while there is no database.

        Raises:
            StoreError: The database cannot be read.
        """
        reader = open_when_made(self._database)
        if reader is None:
            return None
        with closing(reader):
            with reader.snapshot():
                life = _life(reader)
                if life is None:
                    return None
                after = max(life.last - steps_max, life.pruned_to)
                rows = reader.page(_LAST_STEPS, (after,), bytes_max)
            steps, unreadable, end = _read(reader, rows, bytes_max)
        return LastSteps(life, after if end is None else end - 1, steps[::-1], unreadable)

    def page(self, after: int, condition: Condition) -> PastPage | None:
        """The next steps behind a cursor for which a condition holds; None while there is no database.

        It looks at a bounded number of rows, so that it may be empty while others behind it are not. Where it
        ends does not depend on where it begins, so that clients from different places soon share pages.

        Raises:
            StoreError: The database cannot be read.
        """
        sql = f"{_STEPS} AND step.cursor <= ? AND {condition.sql} ORDER BY step.cursor LIMIT {_PAGE_STEPS}"
        window = _PAGE_STEPS if condition == ALWAYS else _WINDOW_STEPS
        try:
            with self._pool.reader() as reader:
                with reader.snapshot():
                    life = _life(reader)
                    if life is None:
                        return None
                    upto = max(after, min(after - after % window + window, life.last))
                    rows = reader.page(sql, (after, upto, *condition.arguments), _PAGE_BYTES)
                steps, unreadable, end = _read(reader, rows, _PAGE_BYTES)
        except FileNotFoundError:
            return None
        if end is None and len(rows) == _PAGE_STEPS:
            end = rows[-1][0]
        upto = upto if end is None else end
        return PastPage(life, upto, _messages(life.epoch, steps, upto), unreadable)


def _life(reader: Reader) -> Life | None:
    epoch = reader.meta("epoch")
    return None if epoch is None else Life(epoch, int(reader.meta("pruned_to") or 0), reader.last_cursor())


def _read(reader: Reader, rows: list[StepRow], bytes_max: int) -> tuple[list[Encoded], list[str], int | None]:
    """The steps of rows, what cannot be read of them, and the cursor where a bound ended them."""
    steps: list[Encoded] = []
    unreadable: list[str] = []
    stored = size = 0
    for row in rows:
        try:
            step = Encoded.of(reader.rows.step(row))
        except StoreError as error:
            unreadable.append(str(error))
        else:
            steps.append(step)
            size += len(step.json)
        stored += len(row[PAYLOAD])
        # Large texts are not in the row: it may become much longer than it looked.
        if size >= bytes_max or stored >= bytes_max:
            return steps, unreadable, row[0]
    return steps, unreadable, None


def _messages(epoch: str, steps: list[Encoded], upto: int) -> list[tuple[int, Message]]:
    encoded = [step.json for step in steps]
    messages: list[tuple[int, Message]] = []
    for part in portions(encoded):
        cursor = upto if part.stop == len(steps) else steps[part.stop - 1].step.cursor
        messages.append((cursor, steps_message(epoch, cursor, encoded[part])))
    return messages
