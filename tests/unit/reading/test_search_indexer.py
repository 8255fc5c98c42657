"""The indexer: an index that is right as far as it reaches, whatever happens to it and to the history."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import HistoryBuilder
from tests.support.nursery import until
from tests.support.search_index import SETTINGS, contents, fresh_contents, index_all

from stepstream.reading.database import Reader
from stepstream.reading.history import History
from stepstream.reading.search.index import (
    APPLICATION_ID,
    FORMAT,
    PART_CURSORS,
    IndexMoved,
    IndexWriter,
    index_path,
    life_of,
)
from stepstream.reading.search.indexer import (
    PAGE_STEPS,
    IndexerState,
    Indexing,
    SearchIndexer,
    rest_after,
)
from stepstream.schemas.kinds import Thought
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart
from stepstream.settings import Settings

STEPS = PAGE_STEPS + 200


def fill(builder: HistoryBuilder, steps: int = STEPS, word: str = "bolt") -> None:
    """Log thoughts and calls of a model, so many in all, each with its number."""
    episode = builder.episode("Wall bracket")
    messages: list[ChatMessage] = []
    for number in range(steps - 1):
        if number % 50:
            episode.log(Thought(text=f"{word} {number}"))
        else:
            messages.append(ChatMessage(role=ChatRole.USER, parts=(TextPart(text=f"{word} {number}"),)))
            episode.log(ModelCall(model="m1", messages=tuple(messages)))
    builder.commit()


@pytest.fixture
def filled(builder: HistoryBuilder) -> HistoryBuilder:
    fill(builder)
    return builder


@pytest.fixture
def work(database: Path) -> Iterator[Indexing]:
    with closing(Indexing(database, SETTINGS)) as work:
        yield work


def found(database: Path, text: str) -> list[int]:
    """The cursors of all steps that a search finds."""
    with History.open(database) as history:
        cursors: list[int] = []
        before: int | None = None
        while before is None or before > 0:
            page = history.search(text, before=before, limit=1_000)
            cursors += [hit.cursor for hit in page.items]
            before = page.next or 0
    return cursors


def test_the_index_follows_page_by_page(filled: HistoryBuilder, work: Indexing) -> None:
    """Each advance adds one page, and then there is nothing to do until more is committed."""
    first, second, third = work.advance(), work.advance(), work.advance()

    assert (first.state, first.indexed_to, first.lag) == (IndexerState.INDEXING, PAGE_STEPS, 200)
    assert (second.state, second.indexed_to, second.lag) == (IndexerState.CURRENT, STEPS, 0)
    assert third == second
    fill(filled, 10)
    assert work.advance().indexed_to == STEPS + 10


def test_an_index_in_pieces_equals_one_at_a_stroke(filled: HistoryBuilder, database: Path) -> None:
    """An index that grew with the history holds what one holds that is built afterwards."""
    index_all(database)
    for _ in range(3):
        fill(filled, 70)
        index_all(database)

    grown = contents(database)

    assert grown.reached == STEPS + 210
    assert grown == fresh_contents(database)


def test_the_files_are_the_owners_alone(filled: HistoryBuilder, database: Path, work: Indexing) -> None:
    """Whatever the umask says, nobody else may read the index, its log or its lock."""
    before = os.umask(0)
    try:
        work.advance()
        with History.open(database) as history:
            history.search("bolt")
    finally:
        os.umask(before)

    files = sorted(path for path in database.parent.iterdir() if path.name.startswith("history.db-search"))

    assert {path.name.removeprefix("history.db-search") for path in files} >= {"", "-wal", "-shm", "-lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_closed_index_is_one_file(filled: HistoryBuilder, database: Path) -> None:
    """An indexer that ends in peace leaves no log, so that one file can be copied along."""
    index_all(database)

    assert index_path(database).exists()
    assert not index_path(database).with_name("history.db-search-wal").exists()


# -- other histories at the same place


def test_another_history_gets_another_index(filled: HistoryBuilder, database: Path, work: Indexing) -> None:
    """A history that is put in the place of the indexed one is not searched by the old one's index."""
    while work.advance().state is IndexerState.INDEXING:
        pass
    other = database.with_name("other.db")
    with HistoryBuilder(other) as builder:
        fill(builder, STEPS, "nut")
    for suffix in ("", "-wal", "-shm"):
        path = other.with_name(other.name + suffix)
        if path.exists():
            path.rename(database.with_name(database.name + suffix))

    assert found(database, "bolt") == []
    assert len(found(database, "nut")) == STEPS - 1
    while work.advance().state is IndexerState.INDEXING:
        pass
    assert found(database, "bolt") == []
    work.close()
    assert contents(database) == fresh_contents(database)


def test_a_new_life_of_the_history_gets_a_new_index(
    filled: HistoryBuilder, database: Path, work: Indexing
) -> None:
    """When the epoch changes, cursors may mean other steps, and everything is indexed anew."""
    work.advance()
    # As after commits that were taken back by a power cut.
    filled.store.take_office(published=STEPS + 1)

    assert work.advance().indexed_to == PAGE_STEPS
    assert len(found(database, "bolt")) == STEPS - 1


def test_a_history_that_does_not_exist_is_waited_for(database: Path, work: Indexing) -> None:
    """Before there is a history nothing is made; when it comes it is indexed."""
    assert work.advance().state is IndexerState.WAITING
    assert not index_path(database).exists()

    with HistoryBuilder(database) as builder:
        fill(builder, 20)

    assert work.advance().indexed_to == 20


def test_what_is_pruned_leaves_the_index(builder: HistoryBuilder, database: Path, work: Indexing) -> None:
    """Steps that were pruned are neither found nor in the file, and the others still are."""
    builder._cursor = PART_CURSORS - 500
    fill(builder, 1_000)
    while work.advance().state is IndexerState.INDEXING:
        pass

    prune(builder, PART_CURSORS + 100)
    work.advance()

    held = contents(database)
    assert held.words
    assert min(cursor for _, cursor, _ in held.words) == PART_CURSORS + 101
    assert min(cursor for _, _, cursor in held.said) > PART_CURSORS + 100
    assert min(found(database, "bolt")) == PART_CURSORS + 101
    fill(builder, 10)
    work.advance()
    assert max(found(database, "bolt")) == PART_CURSORS + 510


def test_all_may_be_pruned(filled: HistoryBuilder, database: Path, work: Indexing) -> None:
    """A history of which nothing is left is current, and grows again."""
    while work.advance().state is IndexerState.INDEXING:
        pass
    prune(filled, STEPS)

    assert work.advance().state is IndexerState.CURRENT
    assert contents(database).words == []
    fill(filled, 5)
    work.advance()
    assert len(found(database, "bolt")) == 4


def prune(builder: HistoryBuilder, cursor: int) -> None:
    """Take away the steps up to a cursor, as retention will."""
    connection = builder.store._connection
    with connection:
        connection.execute("DELETE FROM step WHERE cursor <= ?", (cursor,))
        connection.execute("INSERT INTO meta VALUES ('pruned_to', ?)", (str(cursor),))


# -- an index that is not what it was


def truncate(path: Path) -> None:
    os.truncate(path, 6_000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096:] = b"\xa5" * (len(data) - 4_096)
    path.write_bytes(data)


def behead(path: Path) -> None:
    path.write_bytes(b"This is no database.".ljust(4_096) + path.read_bytes()[4_096:])


def empty_state(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM state")


def lose_a_part(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP TABLE words_0")


def of_another_release(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP TABLE words_0")
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE notes (text)")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("is_open", [False, True], ids=["at rest", "in use"])
@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        overwrite,
        behead,
        empty_state,
        lose_a_part,
        of_another_release,
        of_another_program,
        remove,
    ],
)
def test_a_damaged_index_is_built_anew(
    filled: HistoryBuilder, database: Path, work: Indexing, damage: Callable[[Path], None], is_open: bool
) -> None:
    """Whatever became of the index, a search finds all, and the indexer makes it whole again."""
    index_all(database)
    whole = contents(database)
    if is_open:
        work.advance()
    damage(index_path(database))

    assert len(found(database, "bolt")) == STEPS - 1
    fill(filled, 5)
    for _ in range(6):
        work.advance()
    assert len(found(database, "bolt")) == STEPS + 3
    work.close()
    mended = contents(database)
    assert mended.reached == STEPS + 5
    assert set(whole.words) < set(mended.words)
    assert mended == fresh_contents(database)


@pytest.mark.parametrize("damage", [lose_a_part, overwrite], ids=["a part is gone", "zeros"])
def test_the_indexer_notices_damage_by_itself(
    filled: HistoryBuilder, database: Path, work: Indexing, damage: Callable[[Path], None]
) -> None:
    """Damage that no search met is met by the indexer, which begins anew."""
    while work.advance().state is IndexerState.INDEXING:
        pass
    damage(index_path(database))

    fill(filled, 5)
    for _ in range(6):
        work.advance()
    work.close()

    assert contents(database) == fresh_contents(database)


def test_an_index_that_lies_is_thrown_away(filled: HistoryBuilder, database: Path) -> None:
    """An index that names a step without the words is noticed by the search, which answers without it."""
    index_all(database)
    with closing(apsw.Connection(str(index_path(database)))) as connection:
        connection.execute("DELETE FROM words_0 WHERE rowid = 7")
        connection.execute("INSERT INTO words_0 (rowid, text) VALUES (7, 'gusset')")

    assert found(database, "gusset") == []
    assert not index_path(database).exists()
    assert len(found(database, "bolt")) == STEPS - 1


def test_a_log_without_its_index_is_not_taken_over(
    filled: HistoryBuilder, database: Path, work: Indexing
) -> None:
    """The log of an index that was removed does not become that of the next one."""
    work.advance()
    kept = index_path(database).with_name("kept")
    shutil.copy(index_path(database).with_name("history.db-search-wal"), kept)
    work.close()
    index_path(database).unlink()
    kept.rename(index_path(database).with_name("history.db-search-wal"))

    index_all(database)

    assert contents(database) == fresh_contents(database)


# -- one at a time


def test_one_process_a_time_writes(filled: HistoryBuilder, database: Path, work: Indexing) -> None:
    """While somebody indexes another one only looks on, and takes over when that one has ended."""
    first = Indexing(database, SETTINGS)
    first.advance()

    assert work.advance().state is IndexerState.ELSEWHERE
    first.close()
    assert work.advance().indexed_to == STEPS


def test_a_lock_that_was_removed_is_lost(filled: HistoryBuilder, database: Path, work: Indexing) -> None:
    """Who holds a lock that somebody removed is no longer elected when another one has the new one."""
    work.advance()
    index_path(database).with_name("history.db-search-lock").unlink()
    with closing(Indexing(database, SETTINGS)) as other:
        assert other.advance().indexed_to == STEPS
        assert work.advance().state is IndexerState.ELSEWHERE


def test_two_writers_write_nothing_twice(filled: HistoryBuilder, database: Path) -> None:
    """Of two that both believe to be alone one finds that the index has moved, and writes nothing."""
    with closing(Reader(database)) as reader:
        life = life_of(reader)
    assert life is not None
    with (
        closing(IndexWriter.open(index_path(database), life)) as first,
        closing(IndexWriter.open(index_path(database), life)) as second,
    ):
        with first.page(0):
            first.add(1, "a bolt")
            first.add(2, "a nut")
            first.finish(2, {(1, b"node"): 2})
        with pytest.raises(IndexMoved), second.page(0):
            second.add(1, "a bolt")
        with second.page(2):
            second.add(3, "a bolt")
            second.finish(3, {})

    held = contents(database)
    assert held.reached == 3
    assert [(word, cursor) for word, cursor, _ in held.words if word != "a"] == [
        ("bolt", 1),
        ("bolt", 3),
        ("nut", 2),
    ]
    assert held.said == [(1, b"node", 2)]


def test_the_disk_is_left_to_the_recorders(filled: HistoryBuilder, database: Path) -> None:
    """Where little room is left the index does not grow, and says so."""
    cautious = Settings(disk_free_bytes_min=0, disk_free_percent_min=60.0)
    with closing(Indexing(database, cautious)) as work:
        progress = work.advance()

    assert (progress.state, progress.indexed_to, progress.lag) == (IndexerState.NO_ROOM, 0, STEPS)


def test_the_log_of_the_history_can_be_emptied(filled: HistoryBuilder, work: Indexing) -> None:
    """Between two pages nothing is held that keeps the write-ahead log from being emptied."""
    connection = filled.store._connection
    connection.set_busy_timeout(0)
    for _ in range(3):
        work.advance()
        fill(filled, 20)

        assert connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE) == (0, 0)


# -- the thread of a server


@pytest.fixture
def indexer(database: Path) -> Iterator[SearchIndexer]:
    indexer = SearchIndexer(database, SETTINGS)
    yield indexer
    indexer.stop()


def test_the_thread_follows_the_log(database: Path, indexer: SearchIndexer) -> None:
    """The indexer of a server waits for the history, follows it, and lets go when it is told to."""
    indexer.start()
    until(lambda: indexer.progress.state is IndexerState.WAITING, "the indexer waits")
    with HistoryBuilder(database) as builder:
        fill(builder)
        until(lambda: indexer.progress.indexed_to == STEPS, "the indexer follows")
        fill(builder, 10)
        until(lambda: indexer.progress.indexed_to == STEPS + 10, "the indexer follows")
    indexer.stop()

    with closing(Indexing(database, SETTINGS)) as work:
        assert work.advance().state is IndexerState.CURRENT


def test_a_thread_that_never_began_is_stopped(indexer: SearchIndexer) -> None:
    """A server that fails before its indexer begins can stop it all the same."""
    indexer.stop()

    assert indexer.progress.state is IndexerState.WAITING


def test_a_failing_thread_says_why(filled: HistoryBuilder, database: Path, indexer: SearchIndexer) -> None:
    """What keeps the indexer from its work is told, while searches go on without it."""
    index_path(database).mkdir()
    indexer.start()

    until(lambda: indexer.progress.state is IndexerState.FAILED, "the indexer fails")

    assert "history.db-search" in (indexer.progress.problem or "")
    assert len(found(database, "bolt")) == STEPS - 1


@pytest.mark.parametrize(
    ("state", "spent_s", "rest_s"),
    [
        (IndexerState.INDEXING, 0.02, 0.06),
        (IndexerState.CURRENT, 0.02, 0.25),
        (IndexerState.CURRENT, 0.2, 0.6),
        (IndexerState.ELSEWHERE, 0.0, 0.25),
        (IndexerState.FAILED, 0.1, 5.0),
        (IndexerState.NO_ROOM, 0.0, 5.0),
    ],
)
def test_the_thread_rests_longer_than_it_works(state: IndexerState, spent_s: float, rest_s: float) -> None:
    """The indexer of a server rests three times as long as it worked, and longer where there is nothing to do."""
    assert rest_after(state, spent_s) == pytest.approx(rest_s)


def test_the_header_names_the_file() -> None:
    """The index is told from a history by one letter of its header."""
    assert APPLICATION_ID.to_bytes(4, "big") == b"SSTF"
