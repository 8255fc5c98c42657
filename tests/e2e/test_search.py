"""``stepstream search``, and ``GET /api/v1/search`` on a real socket: the same steps by the same words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from tests.support.command_line import CommandLine, Done
from tests.support.history_builder import HistoryBuilder
from tests.support.reading_server import ReadingServer
from tests.support.search_index import SETTINGS, index_all

from stepstream.reading.search.index import index_path
from stepstream.reading.search.indexer import Indexing
from stepstream.schemas.kinds import Observation, Thought
from stepstream.server.auth.access import Scope
from stepstream.server.routes import search

Run = Callable[..., Done]
AGENT = """
from stepstream import ObservabilityProvider, Thought
with ObservabilityProvider("history.db", committer="none") as provider, provider.episode("Late") as episode:
    episode.log_event(Thought(text="a gusset at the last moment"))
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two episodes: one with three bolts, and one whose texts mean mischief."""
    database = tmp_path / "history.db"
    with HistoryBuilder(database) as builder:
        bracket = builder.episode("Wall bracket", agent="planner")
        for number in range(3):
            bracket.log(Thought(text=f"Bolt {number} is too weak; take a larger one."))
        mischief = builder.episode("Evil \x1b]0;owned\x07", agent="mallory")
        mischief.log(Observation(result="a bolt \x1b[31mred\x1b[0m\nand <b>bold</b>"))
        mischief.log(Thought(text="filler " * 60 + "the bolt did not hold " + "filler " * 60))
    return database


# -- the command


def test_hits_stand_under_their_episodes(inside: Run, database: Path) -> None:
    """The episode with the newest hit comes first, each hit in a line, and a step of it can be opened."""
    done = inside("search", "BOLT")

    lines = done.out.splitlines()
    assert done.code == 0, done.err
    assert [line.split("  ")[0] for line in lines if not line.startswith(" ")] == [
        "Evil ␛]0;owned␇",
        "Wall bracket",
    ]
    assert len(lines) == 7
    assert re.search(r"#3 .* planner +thought +Bolt 2 is too weak", lines[4])
    assert "stepstream show 01900000-0000-7000-8000-000000000002 --step 2" in done.err
    assert inside("show", "01900000-0000-7000-8000-000000000002", "--step", "2").code == 0


def test_words_phrases_and_exclusions_narrow_it(inside: Run, database: Path) -> None:
    """What is typed is the query, quotes within it and a hyphen behind ``--`` too."""
    assert len(inside("search", "bolt", "weak", "--jsonl").json_lines()) == 3
    assert len(inside("search", '"did not"', "bolt", "--jsonl").json_lines()) == 1
    assert len(inside("search", "bolt -weak", "--jsonl").json_lines()) == 2
    assert len(inside("search", "--jsonl", "--", "bolt", "-weak").json_lines()) == 2
    assert len(inside("search", "larg*", "--jsonl").json_lines()) == 3


def test_filter_episode_and_limit_narrow_it(inside: Run, database: Path) -> None:
    """The filter, the episode and the limit hold besides the words."""
    assert len(inside("search", "bolt", "--filter", "kind:thought", "--jsonl").json_lines()) == 4
    named = "01900000-0000-7000-8000-000000000001"
    assert len(inside("search", "bolt", "--episode", named, "--jsonl").json_lines()) == 3
    limited = inside("search", "bolt", "-n", "2")
    assert "the newest 2 steps; more with: --limit 20" in limited.err
    assert len(inside("search", "bolt", "-n", "0", "--jsonl").json_lines()) == 5


def test_as_many_are_found_as_are_wanted(inside: Run, tmp_path: Path) -> None:
    """Beyond one page of the API the command goes on, to the limit or to the end."""
    with HistoryBuilder(tmp_path / "history.db") as builder:
        episode = builder.episode()
        for _ in range(230):
            episode.log(Thought(text="bolt"))

    assert len(inside("search", "bolt", "-n", "150", "--jsonl").json_lines()) == 150
    cursors = [hit["cursor"] for hit in inside("search", "bolt", "-n", "0", "--jsonl").json_lines()]
    assert cursors == list(range(231, 1, -1))


def test_json_is_one_page(inside: Run, database: Path) -> None:
    """``--json`` answers what the API answers, with all items that were asked for."""
    page = inside("search", "bolt", "weak", "--json").json()

    items = cast("list[dict[str, object]]", page["items"])
    assert page["next"] is None
    assert page["is_complete"] is True
    assert [item["cursor"] for item in items] == [4, 3, 2]
    assert items[0]["snippet"] == {
        "text": "Bolt 2 is too weak; take a larger one.",
        "highlights": [{"start": 0, "end": 4}, {"start": 14, "end": 18}],
    }


def test_a_terminal_shows_what_was_found_in_colour(stepstream: CommandLine, database: Path) -> None:
    """At a terminal lines are cut so that the word is seen, and nothing that was recorded is obeyed."""
    shown = stepstream.at_terminal("search", "bolt", width=80).read_all()

    assert "\x1b[33mbolt\x1b[0m" in shown
    assert "filler the \x1b[33mbolt\x1b[0m did not hold" in shown
    assert "\x1b[31m" not in shown
    assert "\x1b]0;" not in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines()[:7])) <= 80


def test_nothing_found_is_said(inside: Run, database: Path) -> None:
    """Where no step has the words, that is said beside an empty output."""
    done = inside("search", "rivet")

    assert (done.code, done.out) == (0, "")
    assert "no step has these words" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("bolt", '"nut'), 2, "a closing quote"),
        (("=>",), 2, "a word to look for"),
        (("bolt", "--filter", "colour:red"), 2, "expected a key"),
        (("bolt", "--episode", "ffff"), 3, "there is no episode 'ffff'"),
        ((), 2, "Missing argument"),
    ],
)
def test_a_wrong_search_is_refused(
    inside: Run, database: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """What cannot be searched is refused with the reason, and nothing is indexed for it."""
    done = inside("search", *arguments)

    assert done.code == code
    assert told in done.err
    assert code == 3 or not index_path(database).exists()


def test_what_was_just_logged_is_found(stepstream: CommandLine) -> None:
    """A step that an agent logged a moment ago, and nobody committed yet, is found."""
    agent = stepstream.python("-c", AGENT)
    assert agent.code == 0, agent.err

    assert len(stepstream("search", "gusset", "--jsonl").json_lines()) == 1


def test_an_index_that_cannot_be_kept_is_told(inside: Run, database: Path) -> None:
    """Where no index can be written the steps themselves are read, and the reason is told."""
    index_path(database).mkdir()

    done = inside("search", "bolt", "--jsonl")

    assert "the search index cannot be kept" in done.err
    assert len(done.json_lines()) == 5


def test_the_index_of_a_server_is_used(inside: Run, database: Path) -> None:
    """While another process keeps the index a command neither writes to it nor waits for it."""
    with closing(Indexing(database, SETTINGS)) as work:
        work.advance()
        with HistoryBuilder(database) as builder:
            builder._cursor, builder._ids, builder._episodes = 7, 7, 2
            builder.episode("Later").log(Thought(text="one more bolt"))
        page = inside("search", "bolt", "--json").json()

    assert page["indexed_to"] == 7
    assert len(cast("list[object]", page["items"])) == 6


def test_a_demo_is_searched(recorded: Path, inside: Run, tmp_path: Path) -> None:
    """What the demo's team did is found by what they wrote, and in more than one episode."""
    copy = Path(shutil.copytree(recorded.parent, tmp_path / "copy")) / recorded.name

    hits = inside("search", "bracket", "--db", copy, "-n", "0", "--jsonl").json_lines()

    assert len({hit["episode_id"] for hit in hits}) == 2
    assert all("bracket" in json.dumps(hit["snippet"]).lower() for hit in hits)


# -- the route


@pytest.fixture
def server(database: Path) -> Iterator[ReadingServer]:
    """A server that answers searches."""
    reading = ReadingServer(database)
    reading.app.include_router(search.router, prefix="/api/v1")
    with reading as running:
        yield running


def test_the_api_pages_through_the_hits(server: ReadingServer, database: Path) -> None:
    """Each page says how to get the next one, and the last one that there is none, with and without index."""
    for _ in range(2):
        cursors: list[int] = []
        before: object = None
        while True:
            page = server.get("/search", q="bolt", limit=2, before=before)
            cursors += [
                cast("int", item["cursor"]) for item in cast("list[dict[str, object]]", page["items"])
            ]
            before = page["next"]
            if before is None:
                break
        assert cursors == [7, 6, 4, 3, 2]
        index_all(database)


def test_the_api_narrows_by_filter_and_episode(server: ReadingServer) -> None:
    """Filter and episode are those of the other lists."""
    page = server.get("/search", q="bolt", filter="kind:observation", episode="@last")

    assert [item["cursor"] for item in cast("list[dict[str, object]]", page["items"])] == [6]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({"q": 'bolt "'}, 400, "a closing quote"),
        ({"q": "-bolt"}, 400, "beside those that are left out"),
        ({"q": ""}, 422, "q"),
        ({}, 422, "q"),
        ({"q": "x" * 1_001}, 422, "q"),
        ({"q": "bolt", "limit": 0}, 422, "limit"),
        ({"q": "bolt", "limit": 201}, 422, "limit"),
        ({"q": "bolt", "before": 0}, 422, "before"),
        ({"q": "bolt", "colour": "red"}, 422, "colour"),
        ({"q": "bolt", "filter": "colour:red"}, 400, "expected a key"),
        ({"q": "bolt", "episode": "ffff"}, 404, "ffff"),
    ],
)
def test_the_api_refuses_a_wrong_search(
    server: ReadingServer, query: dict[str, object], status: int, told: str
) -> None:
    """What cannot be searched is a problem that says what is wrong."""
    answer = server.ask("/search", **query)

    assert answer.status == status
    assert told in answer.body.decode()


def test_the_api_tells_the_place_of_what_is_wrong(server: ReadingServer) -> None:
    """A wrong query is answered with the position that a page can underline."""
    assert server.ask("/search", q='bolt "nut').json()["position"] == 5


@pytest.mark.parametrize(("scopes", "status"), [(None, 401), ({Scope.RECORD}, 403), ({Scope.READ}, 200)])
def test_searching_wants_the_scope_read(database: Path, scopes: set[Scope] | None, status: int) -> None:
    """Who may not read may not search."""
    reading = ReadingServer(database, None if scopes is None else frozenset(scopes))
    reading.app.include_router(search.router, prefix="/api/v1")
    with reading as running:
        assert running.ask("/search", q="bolt").status == status
