"""The reading API over a history that the SDK recorded: every route, asked rightly and wrongly."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from pydantic import TypeAdapter
from tests.support.reading_server import ReadingServer, serving

from stepstream import (
    ErrorReport,
    Handoff,
    ObservabilityProvider,
    StepPayload,
    Thought,
)
from stepstream.reading.buckets import ExactTimeline, TimelineView
from stepstream.reading.comparison import EpisodeComparison
from stepstream.reading.facets import EpisodeFacets
from stepstream.reading.history import History
from stepstream.reading.information import HistoryInfo
from stepstream.reading.inventory import KindPage
from stepstream.reading.outline import OutlinePage
from stepstream.reading.page import EpisodePage, EpisodeSummary, StepContext, StepPage, StepWindow
from stepstream.reading.roles import RoleGraph
from stepstream.reading.state import EpisodeState
from stepstream.reading.statistics import HistoryStatistics
from stepstream.reading.verification import Verification
from stepstream.schemas.record import Record
from stepstream.server.auth.access import Scope
from stepstream.server.problems import ProblemDetails
from stepstream.server.vitals import SystemReport

UNKNOWN_ID = "01900000-0000-7000-8000-00000000dead"


class WeldSeam(StepPayload, kind="weld_seam"):
    """A project's own kind."""

    length_mm: float


class Recorded(NamedTuple):
    """What was recorded, and the server of it."""

    server: ReadingServer
    database: Path
    parent: str
    child: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    database = tmp_path_factory.mktemp("api") / "history.db"
    with ObservabilityProvider(database, committer="thread") as provider:
        with provider.episode(
            "Design", agent="planner", role="lead", tags=("demo",), problem="p1"
        ) as episode:
            episode.log_event(Thought(text="begin"))
            with episode.tool_call("mesh", {"size": 2}) as call:
                call.observe({"nodes": 7})
            episode.log_event(Handoff(recipient="coder", recipient_role="engineer"))
            with provider.episode("Detail", agent="coder", role="engineer", parent=episode) as child:
                child.log_event(WeldSeam(length_mm=4.5))
                child.log_event(ErrorReport(message="diverged"))
        parent_id, child_id = episode.id, child.id
    with serving(database) as server:
        yield Recorded(server, database, parent_id, child_id)


@pytest.fixture
def history(recorded: Recorded) -> Iterator[History]:
    with History.open(recorded.database) as opened:
        yield opened


# -- good answers


GOOD: dict[str, tuple[str, dict[str, object], type[Record]]] = {
    "episodes": ("/episodes", {}, EpisodePage),
    "facets": ("/episodes/facets", {}, EpisodeFacets),
    "episode": ("/episodes/{parent}", {}, EpisodeSummary),
    "episode steps": ("/episodes/{parent}/steps", {"from": 1, "to": 3}, StepWindow),
    "episode steps around": ("/episodes/{parent}/steps", {"around": 2}, StepWindow),
    "episode steps by time": ("/episodes/{parent}/steps", {"since": 0, "until": 2**62}, StepWindow),
    "tree": ("/episodes/{parent}/tree", {}, OutlinePage),
    "roles": ("/episodes/{parent}/roles", {}, RoleGraph),
    "state": ("/episodes/{parent}/state", {"at": 3}, EpisodeState),
    "verify": ("/episodes/{parent}/verify", {}, Verification),
    "steps": ("/steps", {}, StepPage),
    "steps by filter": ("/steps", {"filter": "kind:weld_seam", "episode": "{child}"}, StepPage),
    "statistics": ("/statistics", {}, HistoryStatistics),
    "compare": ("/compare", {"a": "{parent}", "b": "{child}"}, EpisodeComparison),
    "kinds": ("/kinds", {}, KindPage),
    "info": ("/info", {}, HistoryInfo),
    "system": ("/system", {}, SystemReport),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_what_its_model_says(recorded: Recorded, name: str) -> None:
    """Every answer reads back into the strict model that the description names."""
    path, query, model = GOOD[name]
    names = {"parent": recorded.parent, "child": recorded.child}
    stated = {key: value.format(**names) if isinstance(value, str) else value for key, value in query.items()}

    answer = recorded.server.ask(path.format(**names), **stated)

    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert model.model_validate_json(answer.body).model_dump_json().encode() == answer.body


def test_steps_and_episodes_are_those_of_the_history(recorded: Recorded, history: History) -> None:
    """The API tells what a History tells, a project's own kind too."""
    page = StepPage.model_validate_json(recorded.server.ask("/steps", limit=1000).body)
    episodes = EpisodePage.model_validate_json(recorded.server.ask("/episodes").body)

    assert list(page.items) == history.steps()
    assert (page.next, page.cursor, page.epoch) == (None, history.last_cursor(), history.info().epoch)
    assert [item.episode for item in episodes.items] == history.episodes()
    assert {type(step.payload) for step in page.items} >= {WeldSeam, Thought}


def test_views_are_those_of_the_history(recorded: Recorded, history: History) -> None:
    """Timeline, roles, state and verification are the ones that a History gives."""
    base, server = f"/episodes/{recorded.parent}", recorded.server

    timeline = TypeAdapter[TimelineView](TimelineView).validate_json(server.ask(f"{base}/timeline").body)
    roles = RoleGraph.model_validate_json(server.ask(f"{base}/roles").body)
    state = EpisodeState.model_validate_json(server.ask(f"{base}/state", at=2).body)
    verification = Verification.model_validate_json(server.ask(f"{base}/verify").body)

    assert isinstance(timeline, ExactTimeline)
    assert timeline.timeline == history.timeline(recorded.parent)
    assert roles == history.roles(recorded.parent)
    assert state == history.state(recorded.parent, at=2)
    assert verification == history.verify(recorded.parent)
    assert verification.findings_count == 0


def test_a_step_is_told_with_its_other_half(recorded: Recorded, history: History) -> None:
    """By its id a step comes with the call it answers, or with its answer."""
    call = next(step for step in history.steps() if step.kind == "tool_call")

    found = StepContext.model_validate_json(recorded.server.ask(f"/steps/{call.id}").body)

    assert (found.step, found.opener, found.closer) == (call, None, history.closer(call))


def test_an_episode_answers_to_what_fits_no_other(recorded: Recorded) -> None:
    """A full id, a beginning of one and ``@last`` name an episode, in paths and in parameters."""
    server = recorded.server

    def named(wanted: str) -> str:
        found = EpisodeSummary.model_validate_json(server.ask(f"/episodes/{wanted}").body)
        return found.episode.id

    assert named(recorded.parent) == named(recorded.parent.upper()) == recorded.parent
    assert named("@last") == recorded.child
    assert named(recorded.child.replace("-", "")[:-1]) == recorded.child
    by_parent = EpisodePage.model_validate_json(server.ask("/episodes", parent=recorded.parent).body)
    assert [item.episode.id for item in by_parent.items] == [recorded.child]


def test_the_schema_of_a_projects_own_kind_is_there(recorded: Recorded) -> None:
    """Kinds are listed with the JSON schemas they were stored with, page by page."""
    pages: list[KindPage] = []
    after: str | None = None
    while not pages or after is not None:
        pages.append(KindPage.model_validate_json(recorded.server.ask("/kinds", limit=1, after=after).body))
        after = pages[-1].next

    kinds = [kind for page in pages for kind in page.items]
    seam = next(kind for kind in kinds if kind.kind == "weld_seam")
    assert cast("dict[str, object]", seam.json_schema["properties"]).keys() == {"length_mm"}
    assert [kind.kind for kind in kinds] == sorted({step.kind for step in kinds})


def test_nobody_is_told_where_the_database_lies(recorded: Recorded) -> None:
    """Of its path the API tells the name."""
    info = HistoryInfo.model_validate_json(recorded.server.ask("/info").body)

    assert info.path == "history.db"


# -- wrong questions


WRONG_PARAMETERS: list[tuple[str, dict[str, object], str]] = [
    ("/steps", {"limit": 0}, "limit"),
    ("/steps", {"limit": 1001}, "limit"),
    ("/steps", {"limit": "many"}, "limit"),
    ("/steps", {"after": -1}, "after"),
    ("/steps", {"after": 2**63}, "after"),
    ("/steps", {"after": "1; DROP TABLE step"}, "after"),
    ("/steps", {"kind": "No Kind"}, "kind"),
    ("/steps", {"filter": "x" * 2001}, "filter"),
    ("/steps", {"episode": "x" * 37}, "episode"),
    ("/steps", {"episode": ""}, "episode"),
    ("/steps", {"cursor": 1}, "cursor"),
    ("/steps/not-an-id", {}, "step_id"),
    (f"/steps/{UNKNOWN_ID.upper()}", {}, "step_id"),
    ("/episodes", {"limit": 501}, "limit"),
    ("/episodes", {"before": "x" * 37}, "before"),
    ("/episodes/@last/steps", {"from": 3, "to": 2}, "to"),
    ("/episodes/@last/steps", {"first": 3}, "first"),
    ("/episodes/@last/steps", {"around": -1}, "around"),
    ("/episodes/@last/tree", {"after": -2}, "after"),
    ("/episodes/@last/tree", {"limit": 2001}, "limit"),
    ("/episodes/@last/timeline", {"buckets": 0}, "buckets"),
    ("/episodes/@last/timeline", {"since": 2**63}, "since"),
    ("/episodes/@last/state", {"at": -1}, "at"),
    ("/episodes/" + "f" * 37, {}, "episode"),
    ("/statistics", {"since": "yesterday"}, "since"),
    ("/compare", {"a": "@last"}, "b"),
    ("/kinds", {"after": "thought"}, "after"),
    ("/artifacts/" + "0" * 63, {}, "sha256"),
    ("/artifacts/" + "A" * 64, {}, "sha256"),
    ("/artifacts/" + "0" * 64, {"inline": "perhaps"}, "inline"),
    ("/info", {"verbose": 1}, "verbose"),
    ("/health", {"verbose": 1}, "verbose"),
]


@pytest.mark.parametrize(("path", "query", "field"), WRONG_PARAMETERS)
def test_a_wrong_parameter_is_named(
    recorded: Recorded, path: str, query: dict[str, object], field: str
) -> None:
    """It is refused with 422 and the problem says which one, what was sent and what is wrong with it."""
    answer = recorded.server.ask(path, **query)

    assert answer.status == 422, answer
    problem = ProblemDetails.model_validate_json(answer.body)
    assert [each.field.rpartition(".")[2] for each in problem.problems] == [field]
    assert problem.problems[0].reason
    assert len(problem.problems[0].value) <= 130


def test_a_parameter_may_be_stated_once(recorded: Recorded) -> None:
    """Of two values nobody knows which one counts, so that both are refused."""
    answer = recorded.server.ask("/steps?limit=1&limit=2")

    assert (answer.status, "once" in json.dumps(answer.json())) == (422, True)


@pytest.mark.parametrize("path", ["/steps", "/episodes", "/episodes/facets", "/statistics"])
def test_a_wrong_filter_is_told_with_its_position(recorded: Recorded, path: str) -> None:
    """It is refused with 400, and the problem says where it went wrong and what was expected."""
    answer = recorded.server.ask(path, filter="agent:planner nonsense:1")

    assert answer.status == 400
    assert answer.json()["position"] == 14
    assert "expected a key" in answer.detail


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (f"/episodes/{UNKNOWN_ID}", {}),
        (f"/episodes/{UNKNOWN_ID}/steps", {}),
        (f"/episodes/{UNKNOWN_ID}/tree", {}),
        (f"/episodes/{UNKNOWN_ID}/timeline", {}),
        (f"/episodes/{UNKNOWN_ID}/roles", {}),
        (f"/episodes/{UNKNOWN_ID}/state", {}),
        (f"/episodes/{UNKNOWN_ID}/verify", {}),
        ("/episodes/beef", {}),
        ("/episodes/%00", {}),
        ("/episodes/' OR 1=1 --", {}),
        ("/episodes/<script>", {}),
        ("/episodes/..%2F..%2Fetc%2Fpasswd", {}),
        (f"/steps/{UNKNOWN_ID}", {}),
        ("/steps", {"episode": UNKNOWN_ID}),
        ("/episodes", {"before": UNKNOWN_ID}),
        ("/episodes", {"parent": "@nobody"}),
        ("/compare", {"a": "@last", "b": UNKNOWN_ID}),
        ("/artifacts/" + "0" * 64, {}),
        ("/artifacts/" + "0" * 64 + "/info", {}),
        ("/nothing", {}),
    ],
)
def test_what_is_not_there_is_not_found(recorded: Recorded, path: str, query: dict[str, object]) -> None:
    """Whatever it is called, it is answered with 404 and a problem."""
    answer = recorded.server.ask(path, **query)

    assert (answer.status, bool(answer.detail)) == (404, True)


def test_a_beginning_that_fits_several_names_them(recorded: Recorded) -> None:
    """A beginning of an id that fits two episodes is answered with both."""
    answer = recorded.server.ask("/episodes/0")

    assert answer.status == 404
    assert recorded.parent in answer.detail
    assert recorded.child in answer.detail


@pytest.mark.parametrize(
    "filter",
    [
        "seq:9223372036854775807",
        "since:-106751d",
        "until:9999-12-31",
        "dur>9223372036s",
        "text~/(((((a*)*)*)*)*)*b/",
        '"\x00"',
        "tool:*" + "*a" * 400,
        "-(-(-(-(agent:x))))",
        " OR ".join(["status:running"] * 50),
    ],
)
@pytest.mark.parametrize("path", ["/steps", "/episodes", "/episodes/facets", "/statistics"])
def test_a_hostile_filter_harms_nobody(recorded: Recorded, path: str, filter: str) -> None:
    """Large numbers, far times, nested stars and long lists are answered or refused, and the server lives."""
    assert recorded.server.ask(path, filter=filter).status in {200, 400}


def test_another_method_is_refused(recorded: Recorded) -> None:
    """A route that only reads says what may be asked of it."""
    answer = recorded.server.ask("/info", method="DELETE")

    assert (answer.status, answer.headers["allow"], bool(answer.detail)) == (405, "GET", True)


# -- access


@pytest.mark.parametrize("name", GOOD)
def test_reading_needs_the_scope_to_read(recorded: Recorded, name: str) -> None:
    """Whoever is unknown is asked who it is, and whoever may only record is refused."""
    path = GOOD[name][0].format(parent=recorded.parent, child=recorded.child)
    for scopes, status in ((None, 401), (frozenset({Scope.RECORD, Scope.CONTROL}), 403)):
        server = _others(recorded.database, scopes)
        answer = server.ask(path, a="@last", b="@last") if name == "compare" else server.ask(path)
        assert answer.status == status, answer
        assert answer.detail


_servers: dict[frozenset[Scope] | None, ReadingServer] = {}


def _others(database: Path, scopes: frozenset[Scope] | None) -> ReadingServer:
    """A server for somebody else, started once."""
    if scopes not in _servers:
        _servers[scopes] = ReadingServer(database, scopes).__enter__()
    return _servers[scopes]


@pytest.fixture(scope="module", autouse=True)
def _stop_others() -> Iterator[None]:
    yield
    while _servers:
        _servers.popitem()[1].__exit__(None, None, None)


# -- trouble


def test_a_database_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    """Until something is recorded questions are answered with 503 and a word, and health is well."""
    with serving(tmp_path / "history.db") as server:
        assert server.ask("/health").status == 200
        for path in ("/steps", "/episodes", "/info", "/system", "/metrics", "/statistics", "/kinds"):
            answer = server.ask(path)
            assert (answer.status, "no database" in answer.detail) == (503, True), path
            assert answer.headers["retry-after"]
        assert (server.ask("/ready").status, server.ask("/ready").detail) == (503, "no database yet")


def test_a_damaged_database_is_told_without_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client hears that it failed; where and why stands in the log."""
    database = tmp_path / "history.db"
    with ObservabilityProvider(database, committer="thread") as provider, provider.episode("x"):
        pass
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(b"no database at all")

    with serving(database) as server, caplog.at_level(logging.WARNING, "stepstream.server"):
        answer = server.ask("/steps")

    assert answer.status == 500
    assert str(tmp_path) not in answer.body.decode()
    assert str(database) in caplog.text


def test_a_failure_of_our_own_is_told_without_what_is_inside(recorded: Recorded) -> None:
    """Whatever a route raises, the client gets a problem and never a traceback."""
    inside = "what-nobody-outside-may-see"
    server = ReadingServer(recorded.database)

    @server.app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError(inside)

    with server:
        answer = server.ask("/broken")

    assert (answer.status, bool(answer.detail)) == (500, True)
    assert inside not in answer.body.decode()
    assert "Traceback" not in answer.body.decode()


# -- paging


PAGED: dict[str, Callable[[ReadingServer, str], list[int]]] = {
    "steps": lambda server, _: cursors_of(server, "/steps", "after", limit=7),
    "steps by filter": lambda server, _: cursors_of(
        server, "/steps", "after", limit=7, filter="kind:thought"
    ),
    "steps of an episode": lambda server, episode: cursors_of(
        server, "/steps", "after", limit=7, episode=episode
    ),
    "window": lambda server, episode: cursors_of(server, f"/episodes/{episode}/steps", "from", limit=7),
}


def cursors_of(server: ReadingServer, path: str, name: str, **query: object) -> list[int]:
    """The cursors of every page to the end."""
    found: list[int] = []
    place: object = None
    while True:
        page = server.get(path, **{name: place}, **query)
        found += [cast("dict[str, int]", step)["cursor"] for step in cast("list[object]", page["items"])]
        place = page["next"]
        if place is None:
            return found


@pytest.mark.parametrize("name", PAGED)
def test_paging_has_neither_gap_nor_double_while_an_agent_logs(tmp_path: Path, name: str) -> None:
    """What was there when the paging began is told once and in order, whatever is recorded meanwhile."""
    database = tmp_path / "history.db"
    stop = threading.Event()
    with ObservabilityProvider(database, committer="thread") as provider:
        with provider.episode("busy", agent="planner") as episode:
            for number in range(60):
                episode.log_event(Thought(text=f"{number}"))
            provider.flush()

            def log_on() -> None:
                while not stop.wait(0.001):
                    episode.log_event(Thought(text="more"))

            agent = threading.Thread(target=log_on)
            agent.start()
            try:
                with serving(database) as server:
                    found = PAGED[name](server, episode.id)
            finally:
                stop.set()
                agent.join()
        provider.flush()
    with History.open(database) as history:
        kind = "thought" if name == "steps by filter" else None
        expected = [step.cursor for step in history.steps(episode=episode.id, kind=kind, limit=None)]
    assert len(found) >= 60
    assert found == expected[: len(found)]


def test_episodes_page_to_the_end_while_more_begin(tmp_path: Path) -> None:
    """The episodes that were there are told once each, the latest first, and new ones do not shift them."""
    database = tmp_path / "history.db"
    with ObservabilityProvider(database, committer="thread") as provider:
        ids: list[str] = []
        for number in range(20):
            with provider.episode(f"episode {number}") as episode:
                ids.append(episode.id)
        provider.flush()
        with serving(database) as server:
            found: list[str] = []
            before: object = None
            while True:
                page = EpisodePage.model_validate_json(server.ask("/episodes", limit=3, before=before).body)
                found += [item.episode.id for item in page.items]
                before = page.next
                if before is None:
                    break
                with provider.episode("one more"):
                    pass
                provider.flush()
    assert found == ids[::-1]
