"""The past: pages of the table that leave nothing out, however they end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import HistoryBuilder
from tests.support.stream_steps import make_step

from stepstream.errors import NotADatabase, StoreError
from stepstream.reading.condition import ALWAYS, Condition, step_condition
from stepstream.reading.filter import Filter
from stepstream.reading.history import History
from stepstream.schemas.kinds import Thought
from stepstream.schemas.stream import StepsMessage
from stepstream.server.stream.past import Encoded, Past
from stepstream.server.stream.ring import Life


@pytest.fixture
def past(builder: HistoryBuilder) -> Iterator[Past]:
    reading = Past(builder.path)
    yield reading
    reading.close()


def walked(past: Past, after: int, condition: Condition = ALWAYS) -> tuple[list[int], list[int]]:
    """The cursors of all steps behind a cursor, and where the pages ended."""
    seen: list[int] = []
    ends: list[int] = []
    while True:
        page = past.page(after, condition)
        assert page is not None
        for cursor, message in page.messages:
            told = StepsMessage.model_validate_json(message.json)
            seen += [step.cursor for step in told.steps]
            assert (told.cursor, told.epoch) == (cursor, page.life.epoch)
            assert after < seen[-1] <= cursor <= page.upto
        if page.upto == page.life.last:
            return seen, [*ends, page.upto]
        assert page.upto > after
        after = page.upto
        ends.append(after)


def test_pages_are_the_whole_table(builder: HistoryBuilder, past: Past) -> None:
    """From any cursor, with and without a filter, the pages are what History reads."""
    episode = builder.episode()
    for number in range(1_700):
        episode.log(Thought(text="bolt" if number % 100 == 0 else "nut"))
    last = builder.commit()
    bolts, nuts = (step_condition(Filter.parse(text), 0) for text in ("bolt", "nut"))

    with History.open(builder.path) as history:
        for after in (0, 1, 499, 500, 1_300):
            assert walked(past, after)[0] == list(range(after + 1, last + 1))
            expected = [step.cursor for step in history.steps(after=after, filter="bolt")]
            assert walked(past, after, bolts) == (expected, [last])
            expected = [step.cursor for step in history.steps(after=after, filter="nut", limit=None)]
            assert walked(past, after, nuts)[0] == expected


def test_those_who_come_from_different_places_meet(builder: HistoryBuilder, past: Past) -> None:
    """Pages end where they end for everybody, so that the next one can be shared."""
    episode = builder.episode()
    for _ in range(1_700):
        episode.log(Thought(text="x"))
    builder.commit()

    assert walked(past, 3)[1] == walked(past, 77)[1] == [500, 1_000, 1_500, 1_701]


def test_a_page_has_only_so_many_bytes(builder: HistoryBuilder, past: Past) -> None:
    """Large steps end a page early, also where their texts are stored elsewhere, and none is left out."""
    episode = builder.episode()
    for number in range(12):
        episode.log(Thought(text=f"{number} " + "x" * 300_000))
    builder.commit()
    first = past.page(0, ALWAYS)
    last_steps = past.last_steps(100, 1_000_000)

    assert first is not None
    assert first.upto < 8
    assert walked(past, 0)[0] == list(range(1, 14))
    assert last_steps is not None
    assert [encoded.step.cursor for encoded in last_steps.steps] == [10, 11, 12, 13]
    assert last_steps.after == 9


def test_the_last_steps_are_what_a_ring_begins_with(builder: HistoryBuilder, past: Past) -> None:
    """So many of them, the oldest first, with the cursor behind which nothing is missing."""
    episode = builder.episode()
    for _ in range(99):
        episode.log(Thought(text="x"))
    builder.commit()
    few, all_of_them = past.last_steps(10, 1 << 20), past.last_steps(1_000, 1 << 20)

    assert few is not None
    assert all_of_them is not None
    assert few.life == past.life() == Life(builder.store.epoch, 0, 100)
    assert (few.after, [encoded.step.cursor for encoded in few.steps]) == (90, list(range(91, 101)))
    assert (all_of_them.after, len(all_of_them.steps)) == (0, 100)


def test_a_damaged_step_is_left_out_and_named(builder: HistoryBuilder, past: Past) -> None:
    """A page goes on behind a row that cannot be read, and so do the last steps."""
    episode = builder.episode()
    for number in range(6):
        if number == 3:
            episode.log_raw("thought", 1, b'{"text":5}')
        episode.log(Thought(text="x"))
    builder.commit()
    page, last_steps = past.page(2, ALWAYS), past.last_steps(100, 1 << 20)

    assert page is not None
    assert last_steps is not None
    assert walked(past, 0)[0] == [1, 2, 3, 4, 6, 7, 8]
    assert [encoded.step.cursor for encoded in last_steps.steps] == [1, 2, 3, 4, 6, 7, 8]
    assert "cursor 5" in page.unreadable[0]
    assert len(page.unreadable) == len(last_steps.unreadable) == 1


def test_what_was_pruned_is_told(builder: HistoryBuilder, past: Past) -> None:
    """The life of the database says from where on steps are kept, and a ring begins there."""
    builder.episode().log(Thought(text="x"))
    builder.commit()
    writer = apsw.Connection(str(builder.path))
    writer.execute("DELETE FROM step WHERE cursor <= 1; INSERT INTO meta VALUES ('pruned_to', '1')")
    writer.close()
    last_steps = past.last_steps(100, 1 << 20)

    assert past.life() == Life(builder.store.epoch, 1, 2)
    assert last_steps is not None
    assert (last_steps.after, len(last_steps.steps)) == (1, 1)


def test_where_there_is_no_database_there_is_no_past(tmp_path: Path) -> None:
    """A file that is not there yet is nothing wrong, and one that is something else is."""
    path = tmp_path / "history.db"
    past = Past(path)
    nothing = (past.life(), past.last_steps(1, 1), past.page(0, ALWAYS))
    apsw.Connection(str(path)).execute("CREATE TABLE recipe (name TEXT)")

    assert nothing == (None, None, None)
    for ask in (past.life, lambda: past.last_steps(1, 1), lambda: past.page(0, ALWAYS)):
        with pytest.raises(NotADatabase):
            ask()
    past.close()


def test_a_step_that_cannot_be_written_is_an_error_of_the_store() -> None:
    """A payload that does not become JSON is left out as one is that cannot be read, and named."""
    step = make_step(7)
    broken = step.model_copy(update={"payload": Thought.model_construct(text="\ud800")})

    with pytest.raises(StoreError, match="thought at cursor 7 cannot be written"):
        Encoded.of(broken)
