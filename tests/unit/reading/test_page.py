"""Pages: every item once, within bounds of items, bytes and time, and no table walked from end to end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import EPOCH_NS, MILLISECOND, EpisodeScript, HistoryBuilder

from stepstream.errors import Corrupt
from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.condition import episode_condition, step_condition
from stepstream.reading.database import Reader
from stepstream.reading.filter import Filter
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.page import EpisodePage, EpisodeWalk, SequenceWindow, episode_page, window_around
from stepstream.reading.scan import StepScan
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_bytes
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart

OpenHistory = Callable[[], LocalHistory]


@pytest.fixture
def reader(builder: HistoryBuilder) -> Iterator[Reader]:
    """A reader of what was built so far."""
    builder.commit()
    opened = Reader(builder.path)
    yield opened
    opened.close()


def log_thoughts(episode: EpisodeScript, count: int, text: str = "thought") -> None:
    for number in range(count):
        episode.log(Thought(text=f"{text} {number}"))


def all_steps(reader: Reader, scan: StepScan, *, bytes_max: int, seconds_max: float) -> list[list[int]]:
    """The cursors of every page to the end."""
    pages: list[list[int]] = []
    after = scan.after
    while True:
        found = StepScan(scan.episode, scan.kind, scan.condition, after, scan.limit).bounded_page(
            reader, bytes_max=bytes_max, seconds_max=seconds_max
        )
        pages.append([step.cursor for step in found.steps])
        if found.is_last:
            return pages
        assert found.cursor > after, "a page that is not the last one goes on"
        after = found.cursor


@pytest.mark.parametrize("kind", [None, "thought", "error_report"])
@pytest.mark.parametrize("filter", ["", "agent:planner", "text:nowhere"])
@pytest.mark.parametrize("by_episode", [False, True], ids=["in all", "in an episode"])
@pytest.mark.parametrize("bytes_max", [1, 2_000, 1 << 20])
def test_pages_hold_every_step_once(
    builder: HistoryBuilder, kind: str | None, filter: str, by_episode: bool, bytes_max: int
) -> None:
    """Whatever bounds a page, going on by its cursor gives what one question without bounds gives."""
    first, second = builder.episode("first"), builder.episode("second")
    for number in range(1_500):
        episode = first if number % 3 else second
        episode.log(ErrorReport(message="x") if number % 7 == 0 else Thought(text="y" * (number % 50)))
    builder.commit()
    reader = Reader(builder.path)
    condition = step_condition(Filter.parse(filter), 0)
    scan = StepScan(id_bytes(first.id) if by_episode else None, kind, condition, 0, 400)
    history = LocalHistory(builder.path)

    pages = all_steps(reader, scan, bytes_max=bytes_max, seconds_max=0.0)

    expected = history.steps(episode=first.id if by_episode else None, kind=kind, filter=filter, limit=None)
    assert [cursor for page in pages for cursor in page] == [step.cursor for step in expected]
    assert max(map(len, pages)) <= (1 if bytes_max == 1 else 400)
    history.close()
    reader.close()


def test_a_page_counts_what_is_kept_elsewhere(builder: HistoryBuilder) -> None:
    """A conversation that every call resends is stored once, and weighs in each step of a page."""
    episode = builder.episode()
    messages: tuple[ChatMessage, ...] = ()
    for number in range(20):
        messages += (ChatMessage(role=ChatRole.USER, parts=(TextPart(text=f"{number} " + "x" * 2_000),)),)
        episode.log(ModelCall(model="m", messages=messages))
    builder.commit()
    reader = Reader(builder.path)
    scan = StepScan(after=1, limit=100)

    found = scan.bounded_page(reader, bytes_max=50_000, seconds_max=1.0)

    sizes = [len(step.payload.encoded()) for step in found.steps]
    assert 1 < len(sizes) < 10
    assert sum(sizes) <= 50_000
    assert not found.is_last
    reader.close()


def test_the_last_page_says_up_to_where_it_looked(builder: HistoryBuilder) -> None:
    """Behind the cursor of the last page stands only what is recorded later, in all and for an episode."""
    first, second = builder.episode("first"), builder.episode("second")
    log_thoughts(first, 3)
    log_thoughts(second, 5)
    last = builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    assert history.steps().cursor == last
    assert history.steps(episode=first.id).cursor == last
    assert history.steps(filter="text:nowhere").cursor == last
    assert history.steps(after=10_000).cursor == last
    assert history.steps(episode=first.id, after=10_000).next is None
    first.log(Thought(text="later"))
    builder.commit()
    assert [step.sequence for step in history.steps(episode=first.id, after=last).items] == [4]


def test_a_step_that_cannot_be_read_is_named(builder: HistoryBuilder) -> None:
    """A page with a damaged payload raises and does not leave the step out."""
    builder.episode().log_raw("thought", 1, b'{"wrong": 1}')
    builder.commit()

    with pytest.raises(Corrupt, match="thought at cursor 2"):
        BoundedHistory(LocalHistory(builder.path)).steps()


# -- windows


def test_a_window_lies_between_its_ends(builder: HistoryBuilder) -> None:
    """From and to are both in it, and it says how to go on in both directions."""
    episode = builder.episode()
    log_thoughts(episode, 99)
    builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    window = history.window(episode.id, first=10, last=30, limit=8)

    assert [step.sequence for step in window.items] == list(range(10, 18))
    assert (window.previous, window.next, window.steps) == (9, 18, 100)
    assert history.window(episode.id, first=25, last=30).next is None
    assert history.window(episode.id, first=95).next is None
    assert history.window(episode.id).previous is None
    empty = history.window(episode.id, first=500)
    assert (empty.items, empty.next, empty.previous) == ((), None, None)


@pytest.mark.parametrize("around", [0, 1, 50, 98, 99, 500])
@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_window_around_a_step_holds_it(builder: HistoryBuilder, around: int, limit: int) -> None:
    """The step that was asked for is there, or else the last one, with its neighbours and no gap."""
    episode = builder.episode()
    log_thoughts(episode, 99)
    builder.commit()

    window = BoundedHistory(LocalHistory(builder.path)).window(episode.id, around=around, limit=limit)

    sequences = [step.sequence for step in window.items]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    assert len(sequences) <= limit
    assert min(around, 99) in sequences


def test_a_window_holds_the_step_that_was_asked_for_whatever_its_size(reader: Reader) -> None:
    """Large neighbours give way to the step in the middle."""
    builder = HistoryBuilder(reader.path.with_name("large.db"), pool_bytes_min=1 << 30)
    episode = builder.episode()
    for _ in range(9):
        episode.log(Thought(text="x" * 10_000))
    builder.commit()
    large = Reader(builder.path)

    window = window_around(large, 1, SequenceWindow(), 9, 5, bytes_max=1_000)

    assert [step.sequence for step in window.items] == [5]
    wider = window_around(large, 1, SequenceWindow(), 9, 5, bytes_max=35_000)
    assert [step.sequence for step in wider.items] == [3, 4, 5]
    large.close()
    builder.close()


def test_a_window_is_found_by_time(builder: HistoryBuilder) -> None:
    """It begins with the first step that occurred then, and ends before the first that occurred later."""
    episode = builder.episode()
    log_thoughts(episode, 99)
    builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    def at(number: int) -> int:
        return EPOCH_NS + (number + 1) * MILLISECOND

    def between(since: int | None, until: int | None) -> list[int]:
        return [step.sequence for step in history.window(episode.id, since=since, until=until).items]

    assert between(at(10), at(13)) == [10, 11, 12]
    assert between(at(10) - 1, at(11) + 1) == [10, 11]
    assert between(None, at(2)) == [0, 1]
    assert between(at(98), None) == [98, 99]
    assert between(at(500), None) == []
    assert between(at(5), at(5)) == []


# -- around one step


def test_a_step_comes_with_its_other_half(builder: HistoryBuilder) -> None:
    """A call comes with what closed it, that with its call, and a thought alone."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh"))
    answer = episode.log(Observation(result=1), closes=call)
    builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    opened, closed = history.step(call.id), history.step(answer.id)

    assert opened is not None
    assert closed is not None
    assert (opened.opener, opened.closer) == (None, closed.step)
    assert (closed.opener, closed.closer) == (opened.step, None)
    assert history.step("01900000-0000-7000-9000-00000000ffff") is None


# -- episodes


def pages_of(reader: Reader, filter: str, limit: int, bytes_max: int) -> list[EpisodePage]:
    """Every page to the end, each found in as short a time as can be."""
    pages: list[EpisodePage] = []
    condition = episode_condition(Filter.parse(filter), 0)
    place = None
    while True:
        walk = EpisodeWalk(reader, condition, place, seconds_max=0.0)
        pages.append(episode_page(reader, walk, limit, bytes_max))
        if pages[-1].next is None:
            return pages
        rows = reader.select("SELECT started_at, key FROM episode WHERE id = ?", (id_bytes(pages[-1].next),))
        place = type(walk.place)(*rows[0])


@pytest.mark.parametrize("filter", ["", "status:ok", "name:*7*", "tool:mesh", "name:nowhere"])
@pytest.mark.parametrize(("limit", "bytes_max"), [(7, 1 << 20), (500, 3_000), (500, 1)])
def test_pages_hold_every_episode_once(
    builder: HistoryBuilder, filter: str, limit: int, bytes_max: int
) -> None:
    """Whatever bounds a page, going on gives what one question without bounds gives, also at equal times."""
    for number in range(260):
        episode = builder.episode(f"episode {number}", at=EPOCH_NS + number // 3)
        if number % 40 == 0:
            episode.log(ToolCall(tool="mesh"))
        if number % 5:
            episode.finish()
    builder.commit()
    reader = Reader(builder.path)
    history = LocalHistory(builder.path)

    pages = pages_of(reader, filter, limit, bytes_max)

    found = [item.episode for page in pages for item in page.items]
    assert found == history.episodes(filter=filter)
    assert max(len(page.items) for page in pages) <= (1 if bytes_max == 1 else limit)
    history.close()
    reader.close()


def test_children_are_listed_by_their_parent(builder: HistoryBuilder) -> None:
    """Only the episodes that name it come, page by page, the latest first."""
    parent = builder.episode("parent")
    children = [builder.episode(f"child {number}", parent_id=parent.id) for number in range(5)]
    builder.episode("stranger")
    builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    first = history.episodes(parent=parent.id, limit=3)
    second = history.episodes(parent=parent.id, limit=3, before=first.next)

    found = [item.episode.id for page in (first, second) for item in page.items]
    assert found == [child.id for child in reversed(children)]
    assert second.next is None
    assert history.episodes(parent=children[0].id).items == ()


def test_an_episode_of_the_list_says_what_it_does(builder: HistoryBuilder) -> None:
    """The step that was logged last comes in a few words; one that closes a call is told by the call's."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh"), agent="coder", role="engineer")
    builder.commit()
    history = BoundedHistory(LocalHistory(builder.path))

    latest = history.episodes().items[0].latest
    assert latest is not None
    assert (latest.sequence, latest.kind, latest.label, latest.agent, latest.role) == (
        1, "tool_call", "mesh", "coder", "engineer",
    )  # fmt: skip

    episode.log(Observation(result=1), closes=call)
    builder.commit()
    latest = history.episode(episode.id).latest
    assert latest is not None
    assert (latest.sequence, latest.kind, latest.label) == (2, "observation", "mesh")


# -- cost


EPISODE = "01900000-0000-7000-8000-000000000001"
QUESTIONS: dict[str, Callable[[BoundedHistory], object]] = {
    "episodes": lambda history: history.episodes(),
    "episodes by filter": lambda history: history.episodes(filter="status:ok agent:planner"),
    "episodes behind one": lambda history: history.episodes(before=EPISODE),
    "episodes by parent": lambda history: history.episodes(parent=EPISODE),
    "one episode": lambda history: history.episode(EPISODE),
    "facets": lambda history: history.facets(filter="status:ok"),
    "steps": lambda history: history.steps(after=3),
    "steps by kind": lambda history: history.steps(kind="thought"),
    "steps by filter": lambda history: history.steps(filter="tool:mesh dur>1s"),
    "steps of an episode": lambda history: history.steps(episode=EPISODE, after=3),
    "errors of an episode": lambda history: history.steps(episode=EPISODE, kind="error_report"),
    "one step": lambda history: history.step("01900000-0000-7000-9000-000000000002"),
    "window": lambda history: history.window(EPISODE, around=3),
    "window by time": lambda history: history.window(EPISODE, since=EPOCH_NS, until=EPOCH_NS + 5),
    "outline": lambda history: history.outline(EPISODE),
    "timeline": lambda history: history.timeline(EPISODE),
    "kinds": lambda history: history.kinds(),
    "artifact": lambda history: history.artifact("0" * 64),
}


_ONE_ROW = re.compile(r"step_closes|rowid=|sequence=|id=")


class Traced(LocalHistory):
    """A history that remembers which statements it was asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    def trace(self) -> None:
        def note(_: apsw.Cursor, sql: str, arguments: object) -> bool:
            self.statements.append((sql, tuple(arguments) if isinstance(arguments, tuple) else ()))
            return True

        with self.asking() as reader:
            reader.connection.exec_trace = note


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_walks_a_table_from_end_to_end(builder: HistoryBuilder, question: str) -> None:
    """Every statement finds steps and episodes by an index, so that it costs the same in a long history."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh"))
    episode.log(Observation(result=1), closes=call, parent=call)
    log_thoughts(episode, 5)
    builder.commit()
    history = Traced(builder.path)
    history.trace()

    QUESTIONS[question](BoundedHistory(history))

    statements = history.statements
    history.close()
    assert statements
    with Reader(builder.path).connection as connection:
        for sql, arguments in statements:
            plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)]
            assert not [line for line in plan if line.startswith(("SCAN step", "SCAN episode"))], sql
            # What closes a step is looked for among what closes steps, not among all of an episode.
            halves = [line for line in plan if line.startswith(("SEARCH closer", "SEARCH other"))]
            assert not [line for line in halves if not _ONE_ROW.search(line)], sql
