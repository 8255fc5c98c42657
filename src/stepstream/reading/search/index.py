"""The index: which words stand in which step, in a file of its own beside the database.

It is derived from the log and may be deleted at any time. One transaction holds the rows, how far they reach
and which life of which database they are of, so that a process that is killed leaves an index that is right
as far as it reaches. Steps lie in parts of 65,536 cursors each, and the newest part is asked first: so the
beginning of a word, for which FTS5 gathers all rows of a table before it names the first, costs no more than
one part holds, and what is pruned goes part by part.

Knows the file. Must not know the words of a step nor how an answer is made of cursors.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self, cast
from urllib.parse import quote

import apsw

from stepstream.errors import StoreError
from stepstream.reading.search.query import TOKENIZER
from stepstream.store.sqlite.connection import check_library, immediate
from stepstream.store.sqlite.index_lock import GuardedConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.reading.search.query import Query

logger = logging.getLogger("stepstream")

FORMAT = 1
"""Changes with the tables and with what ``words.py`` says of a step; another one's index is built anew."""

PART_CURSORS = 65_536
APPLICATION_ID = 0x53535446
"""Stands in the file's header, one letter from the database's own."""

_BUSY_MS = 2_000
_LOG_BYTES_MAX = 4 * 1024 * 1024
_REFUSALS = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.CantOpenError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.NoMemError,
)

_TABLES = """
CREATE TABLE state (
    database_id TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    reached     INTEGER NOT NULL,
    pruned_to   INTEGER NOT NULL
) STRICT;
CREATE TABLE part (number INTEGER PRIMARY KEY) STRICT;
-- The first call of an episode that sent a message; node is the beginning of the message's hash.
CREATE TABLE said (
    episode INTEGER NOT NULL,
    node    BLOB NOT NULL,
    cursor  INTEGER NOT NULL,
    PRIMARY KEY (episode, node)
) STRICT, WITHOUT ROWID;
"""
_WORDS = f'tokenize = "{" ".join(TOKENIZER)}"'
_PART = (
    f"CREATE VIRTUAL TABLE words_{{number}} USING fts5 (text, content = '', contentless_delete = 1, {_WORDS})"
)

_SAID = "SELECT cursor FROM said WHERE episode = ? AND node = ?"
_STATE = "SELECT database_id, epoch, reached, pruned_to FROM state"
_LIFE = (
    "SELECT (SELECT value FROM meta WHERE name = 'database_id'),"
    " (SELECT value FROM meta WHERE name = 'epoch'), (SELECT value FROM meta WHERE name = 'pruned_to'),"
    " (SELECT seq FROM sqlite_sequence WHERE name = 'step')"
)


class IndexUnavailable(StoreError):
    """The index cannot be read or written now."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the search index {path} cannot be used: {reason}")


class IndexDamaged(IndexUnavailable):
    """The index is not what was written; it is thrown away and built anew."""


class IndexMoved(Exception):
    """The index is not where this process left it: another one writes to it."""


class Life(NamedTuple):
    """Which life of which database it is, and the cursors it has."""

    database_id: str
    epoch: str
    pruned_to: int
    last_cursor: int


class IndexState(NamedTuple):
    """What an index is of, and how far it reaches."""

    database_id: str
    epoch: str
    reached: int
    pruned_to: int


def index_path(database: Path) -> Path:
    """Where the index of a database lies."""
    return database.with_name(database.name + "-search")


def life_of(reader: Reader) -> Life | None:
    """Which life of a history it is; None while its committer has not written the first rows.

    Raises:
        StoreError: It cannot be read.
    """
    database_id, epoch, pruned_to, last = cast(
        "tuple[str | None, str | None, str | None, int | None]", reader.select(_LIFE)[0]
    )
    if database_id is None or epoch is None:
        return None
    return Life(database_id, epoch, int(pruned_to or 0), last or 0)


class _Index:
    """One connection to an index, and which file it is of."""

    def __init__(self, path: Path, flags: int, *, immutable: bool = False) -> None:
        """Open a file that is there.

        Raises:
            IndexUnavailable: It is held by somebody, or the system refuses.
            IndexDamaged: It is no database.
        """
        check_library()
        self.path = path
        # First, so that a file that is put in its place meanwhile is not taken for it.
        self._file = _file(path)
        name = f"file:{quote(os.fspath(path))}" + ("?immutable=1" if immutable else "")
        with self._translated():
            self._connection = GuardedConnection(path, name, flags | apsw.SQLITE_OPEN_URI)
        try:
            with self._translated():
                self._connection.set_busy_timeout(_BUSY_MS)
                self._connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
                self._connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
                self._connection.execute("PRAGMA mmap_size = 0")
        except BaseException:
            self.close()
            raise

    def is_current(self) -> bool:
        """Whether the path still names the file that is open."""
        return self._file is not None and _file(self.path) == self._file

    def is_ours(self) -> bool:
        """Whether it is an index of this release's format.

        Raises:
            IndexUnavailable: It cannot be read.
        """
        with self._translated():
            format_found = self._connection.execute("PRAGMA user_version").get
            return (self._connection.execute("PRAGMA application_id").get, format_found) == (
                APPLICATION_ID,
                FORMAT,
            )

    def is_of(self, life: Life) -> bool:
        """Whether it is an index of this life of the history.

        Raises:
            IndexUnavailable: It cannot be read.
        """
        state = self.state()
        same = (state.database_id, state.epoch) == (life.database_id, life.epoch)
        return same and state.reached <= life.last_cursor

    def state(self) -> IndexState:
        """What it is of, and how far it reaches.

        Raises:
            IndexUnavailable: It cannot be read.
        """
        with self._translated():
            rows = cast("list[tuple[str, str, int, int]]", self._connection.execute(_STATE).fetchall())
        if len(rows) != 1:
            raise IndexDamaged(self.path, "it does not say what it is of")
        return IndexState(*rows[0])

    def parts(self) -> list[int]:
        """The numbers of its parts, the newest first."""
        with self._translated():
            rows = self._connection.execute("SELECT number FROM part ORDER BY number DESC").fetchall()
        return [cast("int", row[0]) for row in rows]

    def said(self, episode: int, node: bytes) -> int | None:
        """The cursor of the first call of an episode that sent a message."""
        with self._translated():
            return cast("int | None", self._connection.execute(_SAID, (episode, node)).get)

    def discard(self) -> None:
        """Throw the file away, unless another one has taken its place."""
        if self.is_current():
            with suppress(OSError):
                self.path.unlink()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _REFUSALS as error:
            raise IndexUnavailable(self.path, str(error)) from error
        except apsw.Error as error:
            raise IndexDamaged(self.path, f"{type(error).__name__}: {error}") from error


class SearchIndex(_Index):
    """An index to ask, as it is at one moment. Not thread-safe."""

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open an index; None where there is none, or none to be had."""
        if not path.exists():
            return None
        immutable = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
        index: Self | None = None
        try:
            index = cls(path, apsw.SQLITE_OPEN_READONLY, immutable=immutable)
            with index._translated():
                index._connection.execute("BEGIN")
            # What the path names now may be another file, with another log.
            if index.is_ours() and index.is_current():
                if not immutable:
                    index._connection.hold_index()
                return index
        except IndexDamaged as damage:
            logger.warning("%s; it is thrown away", damage)
            if index is not None:
                index.discard()
        except IndexUnavailable as refusal:
            logger.debug("a search goes without its index: %s", refusal)
        if index is not None:
            index.close()
        return None

    def cursors(self, part: int, query: Query, after: int, before: int) -> Iterator[int]:
        """The steps of one part between two cursors that a query finds, the newest first.

        Raises:
            IndexUnavailable: The index cannot be read.
        """
        low, high = max(after, part * PART_CURSORS - 1), min(before, (part + 1) * PART_CURSORS)
        sql = (
            f"SELECT rowid FROM words_{part} WHERE words_{part} MATCH ? AND rowid > ? AND rowid < ?"
            " ORDER BY rowid DESC"
        )
        with self._translated():
            if query.whole_words is not None:
                newest = self._connection.execute(f"{sql} LIMIT 1", (query.whole_words, low, high)).get
                if newest is None:
                    return
                high = min(high, cast("int", newest) + 1)
            for row in self._connection.execute(sql, (query.expression, low, high)):
                yield cast("int", row[0])


class IndexWriter(_Index):
    """The one writer of an index. Not thread-safe."""

    _parts: set[int]

    @classmethod
    def open(cls, path: Path, life: Life) -> Self:
        """Open the index of a history, or begin a new one where there is none that fits.

        Raises:
            OSError: The file cannot be made.
            IndexUnavailable: It cannot be written.
        """
        found: Self | None = None
        try:
            if path.exists():
                found = cls(path, apsw.SQLITE_OPEN_READWRITE)
                if found.is_ours() and found.is_of(life):
                    found._prepare()
                    return found
        except IndexDamaged as damage:
            logger.warning("%s; it is built anew", damage)
        except BaseException:
            if found is not None:
                found.close()
            raise
        if found is not None:
            found.close()
        return cls._begun(path, life)

    @classmethod
    def _begun(cls, path: Path, life: Life) -> Self:
        for suffix in ("", "-wal", "-shm"):
            # A log that outlived its file would be taken for the new file's.
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        writer = cls(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            writer._prepare()
            with writer._written():
                writer._connection.execute(_TABLES)
                writer._connection.execute(
                    "INSERT INTO state VALUES (?, ?, ?, ?)",
                    (life.database_id, life.epoch, life.pruned_to, life.pruned_to),
                )
                writer._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                writer._connection.execute(f"PRAGMA user_version = {FORMAT}")
        except BaseException:
            writer.close()
            raise
        return writer

    def _prepare(self) -> None:
        with self._translated():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_MAX}")
            self._connection.hold_index()

    @contextmanager
    def page(self, behind: int) -> Iterator[None]:
        """What is added inside of it lasts whole or not at all.

        Args:
            behind: The cursor that the index reaches.

        Raises:
            IndexMoved: It reaches another cursor.
            IndexUnavailable: It cannot be written.
        """
        with self._written():
            if self.state().reached != behind:
                raise IndexMoved(f"it does not reach {behind}")
            self._parts = set(self.parts())
            yield

    def add(self, cursor: int, text: str) -> None:
        """Add the text of a step to a page."""
        part = cursor // PART_CURSORS
        with self._translated():
            if part not in self._parts:
                self._connection.execute("INSERT INTO part VALUES (?)", (part,))
                self._connection.execute(_PART.format(number=part))
                self._parts.add(part)
            self._connection.execute(f"INSERT INTO words_{part} (rowid, text) VALUES (?, ?)", (cursor, text))

    def finish(self, reached: int, said: dict[tuple[int, bytes], int]) -> None:
        """State how far the index reaches with a page, and what its calls were the first to send."""
        with self._translated():
            self._connection.executemany(
                "INSERT INTO said VALUES (?, ?, ?)",
                ((episode, node, cursor) for (episode, node), cursor in said.items()),
            )
            self._connection.execute("UPDATE state SET reached = ?", (reached,))

    def prune(self, pruned_to: int) -> None:
        """Let go of the steps up to a cursor.

        Raises:
            IndexUnavailable: It cannot be written.
        """
        with self._written():
            for part in self.parts():
                if (part + 1) * PART_CURSORS - 1 <= pruned_to:
                    self._connection.execute(f"DROP TABLE words_{part}")
                    self._connection.execute("DELETE FROM part WHERE number = ?", (part,))
                elif part * PART_CURSORS <= pruned_to:
                    self._connection.execute(f"DELETE FROM words_{part} WHERE rowid <= ?", (pruned_to,))
                    # Until it is merged, what was deleted is only marked.
                    self._connection.execute(f"INSERT INTO words_{part} (words_{part}) VALUES ('optimize')")
            self._connection.execute("DELETE FROM said WHERE cursor <= ?", (pruned_to,))
            self._connection.execute(
                "UPDATE state SET pruned_to = ?, reached = max(reached, ?)", (pruned_to, pruned_to)
            )

    @contextmanager
    def _written(self) -> Iterator[None]:
        with self._translated(), immediate(self._connection):
            yield


def _file(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
