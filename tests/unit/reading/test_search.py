"""Searching: what is found equals what reading every step finds, however far the index is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.errors import EpisodeNotFound, FilterInvalid
from stepstream.reading.database import Reader
from stepstream.reading.history import History
from stepstream.reading.rows import STEP_COLUMNS, StepRow
from stepstream.reading.search import finder
from stepstream.reading.search.finder import Wanted, find
from stepstream.reading.search.hit import SearchPage
from stepstream.reading.search.index import PART_CURSORS, index_path
from stepstream.reading.search.indexer import Indexing, bring_up_to_date
from stepstream.reading.search.query import TOKENIZER, Query
from stepstream.reading.search.words import Said, StepWords
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart
from stepstream.settings import Settings

SETTINGS = Settings(disk_free_bytes_min=0, disk_free_percent_min=0.0)
WORDS = [
    "bolt",
    "bolts",
    "nut",
    "mesh",
    "max_stress",
    "stress",
    "Große",
    "grosse",
    "a",
    "b",
    "did",
    "not",
    "converge",
]
_READ_ALL = f"SELECT {STEP_COLUMNS} FROM step ORDER BY cursor"
OpenHistory = Callable[[], History]


def index_all(database: Path) -> None:
    """Bring the index up to date."""
    with closing(Indexing(database, SETTINGS)) as work:
        bring_up_to_date(work, lambda _: None)


def search_all(history: History, text: str, **options: object) -> list[int]:
    """The cursors of every page."""
    return [hit.cursor for page in pages(history, text, **options) for hit in page.items]


def pages(history: History, text: str, **options: object) -> Iterator[SearchPage]:
    """Page after page to the end."""
    before: int | None = None
    while True:
        page = history.search(text, before=before, **options)
        yield page
        if page.next is None:
            return
        assert before is None or page.next < before, "a page makes progress"
        before = page.next


# -- an independent opinion


class Told(NamedTuple):
    """A step as a reader of everything sees it."""

    cursor: int
    words: list[str]


def read_all(database: Path) -> list[Told]:
    """Every step with its words, the newest first."""
    reader = Reader(database)
    words = StepWords(reader.content, Said())
    told = [
        Told(row[0], split(words.text_of(row).whole))
        for row in cast("list[StepRow]", reader.select(_READ_ALL))
    ]
    reader.close()
    return told[::-1]


def split(text: str) -> list[str]:
    """The words of a text, folded."""
    name, *arguments = TOKENIZER
    with closing(apsw.Connection(":memory:")) as connection:
        tokenizer = connection.fts5_tokenizer(name, arguments)
        found = tokenizer(text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False)
        return [cast("tuple[str]", word)[0] for word in found]


def has(told: Told, query: Query) -> bool:
    """Whether a step has what a query wants, found by comparing word for word."""

    def stands(phrase: list[str], is_prefix: bool) -> bool:
        *firsts, last = phrase
        for place in range(len(told.words) - len(firsts)):
            end = told.words[place + len(firsts)]
            if told.words[place : place + len(firsts)] == firsts and (
                end.startswith(last) if is_prefix else end == last
            ):
                return True
        return False

    return all(stands(split(term.text), term.is_prefix) != term.is_excluded for term in query.terms)


# -- a corpus with which nothing is easy


def fill(builder: HistoryBuilder, seed: int, steps: int) -> None:
    """Log steps of random words into several episodes that take turns."""
    chance = random.Random(seed)

    def sentence() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))

    def say(text: str) -> ChatMessage:
        return ChatMessage(role=ChatRole.USER, parts=(TextPart(text=text * chance.choice([1, 1, 60])),))

    episodes = [
        builder.episode(sentence(), agent=chance.choice([None, "nut", "mesh planner"])) for _ in range(3)
    ]
    conversations: dict[EpisodeScript, list[ChatMessage]] = {episode: [] for episode in episodes}
    while steps > 0:
        steps -= 1
        episode = chance.choice(episodes)
        match chance.randrange(5):
            case 0:
                conversations[episode].append(say(sentence()))
                episode.log(ModelCall(model="m1", messages=tuple(conversations[episode])))
            case 1:
                episode.log(ToolCall(tool=chance.choice(WORDS), arguments={sentence(): sentence()}))
            case 2:
                episode.log(Observation(result=[sentence(), 4.5, {"bolt": sentence() * 30}]))
            case 3:
                episode.log(ErrorReport(message=sentence(), exception_type="MeshError"))
            case _:
                episode.log(Thought(text=sentence()))


class Corpus(NamedTuple):
    """A history, every step of it, and its index, which reaches some of them."""

    history: History
    told: list[Told]
    index: Path
    is_indexed: bool


@pytest.fixture(scope="module", params=["nothing", "the older half", "everything"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """A corpus that lies on both sides of the border of two parts, indexed up to some place."""
    database = tmp_path_factory.mktemp("corpus") / "history.db"
    with HistoryBuilder(database) as builder:
        builder._cursor = PART_CURSORS - 150
        fill(builder, 1, 150)
        builder.commit()
        if request.param != "nothing":
            index_all(database)
        fill(builder, 2, 150)
    if request.param == "everything":
        index_all(database)
    with History.open(database) as history:
        yield Corpus(history, read_all(database), index_path(database), request.param != "nothing")


@st.composite
def query_texts(draw: st.DrawFn) -> str:
    """Queries whose words are in the corpus, more or less."""
    words = st.sampled_from([*WORDS, "gusset", "thought", "meshe", "str", "conv", "max", "planner"])
    phrases = st.lists(words, min_size=2, max_size=3).map(lambda some: f'"{" ".join(some)}"')
    terms = st.tuples(st.sampled_from(["", "", "-"]), words | phrases, st.sampled_from(["", "", "*"]))
    drawn = draw(st.lists(terms.map("".join), max_size=3))
    return " ".join([draw(words | phrases), *drawn])


@settings(max_examples=40, deadline=None)
@given(text=query_texts(), limit=st.sampled_from([17, 80]))
def test_hits_equal_those_of_reading_everything(corpus: Corpus, text: str, limit: int) -> None:
    """Page by page the same steps are found as by comparing every word of every step, the newest first."""
    query = Query.parse(text)

    assert search_all(corpus.history, text, limit=limit) == [
        told.cursor for told in corpus.told if has(told, query)
    ]
    assert corpus.index.exists() == corpus.is_indexed, "it was taken for damaged"


def test_the_independent_opinion_has_something_to_say(corpus: Corpus) -> None:
    """The comparison with every step finds some steps and not others, on both sides of the border."""
    found = [told.cursor for told in corpus.told if has(told, Query.parse("mesh -bolt"))]

    assert 5 < len(found) < len(corpus.told) / 2
    assert found[-1] < PART_CURSORS < found[0]


@settings(max_examples=20, deadline=None)
@given(text=query_texts(), chosen=st.sampled_from(["kind:thought", "kind:error OR agent:nut", "seq:10..40"]))
def test_a_filter_and_an_episode_narrow_the_hits(corpus: Corpus, text: str, chosen: str) -> None:
    """With a filter and an episode only those hits are left that History.steps has, too."""
    episode = corpus.history.episodes()[1].id
    passing = {step.cursor for step in corpus.history.steps(episode=episode, filter=chosen, limit=None)}

    narrowed = search_all(corpus.history, text, filter=chosen, episode=episode, limit=5)

    assert narrowed == [cursor for cursor in search_all(corpus.history, text) if cursor in passing]


# -- pages


def test_a_hit_says_where_it_is_from(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A hit names its step, episode, kind, who and when, and shows the place."""
    episode = builder.episode("Wall bracket")
    logged = episode.log(Thought(text="The bolt is too weak."), agent="coder", role="engineer")

    page = open_history().search("BOLT weak")

    assert page.model_dump(mode="json") == {
        "items": [
            {
                "id": logged.id,
                "cursor": logged.cursor,
                "episode_id": episode.id,
                "episode_name": "Wall bracket",
                "sequence": 1,
                "kind": "thought",
                "agent": "coder",
                "role": "engineer",
                "occurred_at": logged.at,
                "snippet": {
                    "text": "The bolt is too weak.",
                    "highlights": [{"start": 4, "end": 8}, {"start": 16, "end": 20}],
                },
            }
        ],
        "next": None,
        "searched_to": 1,
        "is_complete": True,
        "indexed_to": 0,
        "last_cursor": 2,
        "epoch": builder.store.epoch,
    }


def test_pages_have_no_gap_while_steps_arrive(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """Paging to the end finds each step once, while more are committed and the index moves on beneath."""
    episode = builder.episode()
    wanted = [episode.log(Thought(text=f"bolt {number}")).cursor for number in range(100)]
    history = open_history()

    found: list[int] = []
    for number, page in enumerate(pages(history, "bolt", limit=7)):
        found += [hit.cursor for hit in page.items]
        episode.log(Thought(text="bolt, and later"))
        builder.commit()
        if number % 3 == 1:
            index_all(database)

    assert found == wanted[::-1]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_what_was_just_committed_is_found(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory, is_indexed: bool
) -> None:
    """A step is found as soon as it is committed, whether there is an index that does not reach it or none."""
    episode = builder.episode()
    history = open_history()
    if is_indexed:
        index_all(database)

    logged = episode.log(Thought(text="a gusset"))
    builder.commit()
    page = history.search("gusset")

    assert [hit.cursor for hit in page.items] == [logged.cursor]
    assert page.indexed_to == (1 if is_indexed else 0)
    assert page.is_complete


def test_without_an_index_all_is_read(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """Where there is no index more and more steps are read, page by page, until all are."""
    episode = builder.episode()
    rare = episode.log(Thought(text="gusset"))
    for _ in range(2 * finder.UNINDEXED_STEPS):
        episode.log(Thought(text="bolt"))
    history = open_history()

    assert search_all(history, "gusset") == [rare.cursor]
    assert len(search_all(history, "bolt", limit=900)) == 2 * finder.UNINDEXED_STEPS
    with closing(Reader(database)) as reader:
        whole = find(reader, Wanted(Query.parse("bolt"), limit=10_000), budget_s=60.0)
        assert whole.is_complete


def test_long_steps_that_are_not_indexed_are_read_a_few_at_a_time(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """A page does not read more of long steps than soon can be, and the next one goes on behind them."""
    episode = builder.episode()
    wanted = [episode.log(Observation(result=["bolt " * 150] * 1_000)).cursor for _ in range(5)]
    open_history()
    with closing(Reader(database)) as reader:
        page = find(reader, Wanted(Query.parse("gusset")), budget_s=0.0)

        assert page.items == ()
        assert wanted[0] < page.searched_to < wanted[-1]
        assert page.next == page.searched_to


def test_a_page_that_takes_long_ends_early(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """Without any time a page still makes progress, and the pages together find everything."""
    fill(builder, 3, 120)
    history = open_history()
    index_all(database)
    query = Query.parse("bolt")

    found: list[int] = []
    before: int | None = None
    with closing(Reader(database)) as reader:
        while before is None or before > 1:
            page = find(reader, Wanted(query, before=before), budget_s=0.0)
            assert len(page.items) <= 1
            found += [hit.cursor for hit in page.items]
            before = page.next or page.searched_to

    assert len(found) > 10
    assert found == search_all(history, "bolt")


def test_a_page_looks_at_so_many_steps(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """Where many steps have the words and few pass the filter, a page ends without hits and has a next one."""
    episode = builder.episode()
    passing = episode.log(Thought(text="bolt"), agent="rare")
    for _ in range(finder.CANDIDATES_MAX + 200):
        episode.log(Thought(text="bolt"))
    history = open_history()
    index_all(database)

    filtered = history.search("bolt", filter="agent:rare")

    assert filtered.items == ()
    assert filtered.next is not None
    assert not filtered.is_complete
    assert search_all(history, "bolt", filter="agent:rare") == [passing.cursor]


def test_an_index_that_is_as_new_as_the_history_is_used(
    builder: HistoryBuilder, database: Path, open_history: OpenHistory
) -> None:
    """However fast the log and its index grow beside a search, it does not take the index for another's."""
    episode = builder.episode()
    history = open_history()
    index_all(database)
    over = threading.Event()

    def grow() -> None:
        with closing(Indexing(database, SETTINGS)) as work:
            while not over.is_set():
                episode.log(Thought(text="bolt"))
                builder.commit()
                work.advance()

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        reached = [history.search("gusset").indexed_to for _ in range(300)]
    finally:
        over.set()
        growing.join()

    assert reached[0] > 0
    assert reached == sorted(reached)
    assert reached[-1] > reached[0]


@pytest.mark.parametrize("before", [-5, 0, 1, 2, 3, 4, 1 << 70])
def test_a_page_begins_before_any_cursor(
    builder: HistoryBuilder, open_history: OpenHistory, before: int
) -> None:
    """Whatever is passed as the place to go on from, only what stands before it is found."""
    episode = builder.episode()
    wanted = [episode.log(Thought(text="bolt")).cursor for _ in range(3)]

    page = open_history().search("bolt", before=before)

    assert [hit.cursor for hit in page.items] == [cursor for cursor in wanted[::-1] if cursor < before]
    assert page.is_complete


def test_an_empty_history_is_searched(open_history: OpenHistory) -> None:
    """Where nothing was recorded nothing is found."""
    page = open_history().search("bolt")

    assert page.items == ()
    assert page.is_complete


def test_a_wrong_search_is_refused(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Words, filter and episode are refused by the error that names what is wrong."""
    builder.episode()
    history = open_history()

    with pytest.raises(FilterInvalid, match="closing quote"):
        history.search('bolt "')
    with pytest.raises(FilterInvalid, match="expected a key"):
        history.search("bolt", filter="colour:red")
    with pytest.raises(EpisodeNotFound):
        history.search("bolt", episode="ffff")
