"""The indexer: keeps the index behind the log, by a cursor of its own and never in anybody's way.

One process a database does it: a server, or else a command that is about to search. It only reads the
database, a page at a time, so that the log can be emptied in between; it takes a share of one core; and it is
the first to stop when the disk fills up. Who is killed leaves an index that is right as far as it reaches.

Knows who writes the index, and when. Must not know what is in it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING

from stepstream.errors import StoreError
from stepstream.reading.database import open_when_made
from stepstream.reading.rows import STEP_COLUMNS
from stepstream.reading.search.index import IndexDamaged, IndexMoved, IndexWriter, index_path, life_of
from stepstream.reading.search.words import Said, StepWords
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stepstream.reading.database import Reader
    from stepstream.reading.search.index import Life
    from stepstream.settings import Settings

logger = logging.getLogger("stepstream")

SHARE = 0.25
"""How much of a core the indexer of a server takes while there is something to do."""

PAGE_STEPS = 500
PAGE_BYTES = 1024 * 1024
_INTERVAL_S = 0.25
_RETRY_S = 5.0
_ROOM_FACTOR = 2
_PAGE = f"SELECT {STEP_COLUMNS} FROM step WHERE cursor > ? AND cursor <= ? ORDER BY cursor LIMIT {PAGE_STEPS}"


class IndexerState(StrEnum):
    """What an indexer does."""

    WAITING = "waiting"
    INDEXING = "indexing"
    CURRENT = "current"
    ELSEWHERE = "elsewhere"
    NO_ROOM = "no_room"
    FAILED = "failed"


class IndexProgress(Record):
    """How far an index is.

    Attributes:
        state: ``waiting`` for a history, ``indexing``, ``current``, ``elsewhere`` when another process does
            the work, ``no_room`` on the disk, or ``failed``.
        indexed_to: The cursor that it reached.
        last_cursor: The last cursor there was.
        problem: What keeps it from its work.
    """

    state: IndexerState
    indexed_to: int
    last_cursor: int
    problem: str | None = None

    @property
    def lag(self) -> int:
        """How many steps it is behind."""
        return max(0, self.last_cursor - self.indexed_to)


class Indexing:
    """The work itself, a page at a time. Not thread-safe."""

    def __init__(self, database: Path, settings: Settings) -> None:
        """Prepare the work; nothing is opened yet.

        Args:
            database: The history.
            settings: How much room is left on the disk.
        """
        self._database = database
        self._settings = settings
        self._index = index_path(database)
        self._lock = _Lock(self._index.with_name(self._index.name + "-lock"))
        self._reader: Reader | None = None
        self._writer: IndexWriter | None = None
        self._progress = IndexProgress(state=IndexerState.WAITING, indexed_to=0, last_cursor=0)

    def advance(self) -> IndexProgress:
        """Add one page of steps, if this process is the one to do it and there are any.

        Raises:
            StoreError: The history cannot be read, or the index not be written.
            OSError: The index cannot be made.
        """
        try:
            self._progress = self._advance()
        except (IndexMoved, IndexDamaged) as trouble:
            if self._writer is not None and isinstance(trouble, IndexDamaged):
                logger.warning("%s; it is built anew", trouble)
                self._writer.discard()
            self._let_go()
            self._progress = self._progress.model_copy(update={"state": IndexerState.INDEXING})
        except BaseException:
            self._let_go()
            raise
        return self._progress

    def _advance(self) -> IndexProgress:
        if not self._lock.acquire():
            self._let_go()
            return self._progress.model_copy(update={"state": IndexerState.ELSEWHERE})
        reader = self._current_reader()
        life = None if reader is None else life_of(reader)
        if reader is None or life is None:
            return IndexProgress(state=IndexerState.WAITING, indexed_to=0, last_cursor=0)
        writer = self._current_writer(life)
        state = writer.state()
        if state.pruned_to < life.pruned_to:
            writer.prune(life.pruned_to)
            state = writer.state()
        if state.reached >= life.last_cursor:
            return _progress(IndexerState.CURRENT, state.reached, life)
        if not self._has_room():
            return _progress(IndexerState.NO_ROOM, state.reached, life)
        reached = self._add(reader, writer, state.reached, life.last_cursor)
        done = IndexerState.CURRENT if reached == life.last_cursor else IndexerState.INDEXING
        return _progress(done, reached, life)

    def _add(self, reader: Reader, writer: IndexWriter, reached: int, last: int) -> int:
        """Index the next page; returns how far that is."""
        said = Said(writer.said)
        words = StepWords(reader.content, said)
        with writer.page(reached):
            # Ends before the page is written to the disk, so that the log can be emptied meanwhile.
            with reader.snapshot():
                rows = reader.page(_PAGE, (reached, last), PAGE_BYTES)
                for row in rows:
                    # Each statement lets the other threads of a server have their turn.
                    writer.add(row[0], words.text_of(row).whole)
            after = rows[-1][0] if rows else last
            writer.finish(after, said.fresh)
        return after

    def _current_reader(self) -> Reader | None:
        if self._reader is not None and not self._reader.is_current():
            self._let_go()
        if self._reader is None:
            self._reader = open_when_made(self._database)
        return self._reader

    def _current_writer(self, life: Life) -> IndexWriter:
        if self._writer is not None and not (self._writer.is_current() and self._writer.is_of(life)):
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._writer = IndexWriter.open(self._index, life)
        return self._writer

    def _has_room(self) -> bool:
        """Whether the disk has more than twice the room that is left to the recorders."""
        usage = shutil.disk_usage(self._index.parent)
        percent = 100.0 * usage.free / max(1, usage.total)
        return (
            usage.free >= _ROOM_FACTOR * self._settings.disk_free_bytes_min
            and percent >= _ROOM_FACTOR * self._settings.disk_free_percent_min
        )

    def _let_go(self) -> None:
        """Close both files; the next page opens them anew."""
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        if reader is not None:
            reader.close()
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Let go of everything, so that another process may go on."""
        self._let_go()
        self._lock.release()


def bring_up_to_date(work: Indexing, tell: Callable[[IndexProgress], None]) -> IndexProgress:
    """Index all that is there now, as fast as it goes.

    Args:
        work: What to do.
        tell: Hears how far it is.

    Returns:
        Where it ended: ``current``, or what kept it from getting there.

    Raises:
        StoreError: The history cannot be read, or the index not be written.
        OSError: The index cannot be made.
    """
    wanted: int | None = None
    while True:
        progress = work.advance()
        tell(progress)
        wanted = progress.last_cursor if wanted is None else wanted
        if progress.state is not IndexerState.INDEXING:
            return progress
        if progress.indexed_to >= wanted:
            return progress.model_copy(update={"state": IndexerState.CURRENT})


class SearchIndexer:
    """The indexer of a server: a thread that follows the log.

    It is no thread of low priority: one that is put off while it holds the interpreter's lock would hold up
    the whole server. It rests three times as long as it worked instead.
    """

    def __init__(self, database: Path, settings: Settings) -> None:
        self._work = Indexing(database, settings)
        self._stopping = threading.Event()
        self._progress = IndexProgress(state=IndexerState.WAITING, indexed_to=0, last_cursor=0)
        self._thread = threading.Thread(target=self._run, name="stepstream-search-indexer", daemon=True)

    @property
    def progress(self) -> IndexProgress:
        """How far it is, and what keeps it."""
        return self._progress

    def start(self) -> None:
        """Begin; called once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the page it is at."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        with closing(self._work):
            while not self._stopping.wait(pause):
                began = time.thread_time()
                self._progress = self._advanced()
                pause = rest_after(self._progress.state, time.thread_time() - began)

    def _advanced(self) -> IndexProgress:
        try:
            return self._work.advance()
        except Exception as error:  # noqa: BLE001 - a thread that ended unseen would leave searches behind
            problem = str(error) if isinstance(error, StoreError | OSError) else repr(error)
            if problem != self._progress.problem:
                logger.warning("the search index is not kept: %s", problem)
            failed = {"state": IndexerState.FAILED, "problem": problem}
            return self._progress.model_copy(update=failed)


def rest_after(state: IndexerState, spent_s: float) -> float:
    """How long the thread rests after so much of a processor's time, in seconds."""
    rest_s = spent_s * (1 / SHARE - 1)
    match state:
        case IndexerState.INDEXING:
            return rest_s
        case IndexerState.FAILED | IndexerState.NO_ROOM:
            return _RETRY_S
        case _:
            return max(_INTERVAL_S, rest_s)


class _Lock:
    """The file whose lock elects who writes the index; never waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take the lock, or see that it is still ours; a file that was removed is the lock no more.

        Raises:
            OSError: There cannot be such a file.
        """
        if self._descriptor >= 0 and self._is_named():
            return True
        self.release()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        if not self._is_named():
            self.release()
            return False
        return True

    def _is_named(self) -> bool:
        try:
            there = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def release(self) -> None:
        """Let another process have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _progress(state: IndexerState, reached: int, life: Life) -> IndexProgress:
    return IndexProgress(state=state, indexed_to=reached, last_cursor=life.last_cursor)
