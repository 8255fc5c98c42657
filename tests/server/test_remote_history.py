"""Reading over HTTP: a history at a server answers every question as the file that it serves does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from tests.support.canned_server import CannedServer, answer
from tests.support.history_builder import EPOCH_NS, HistoryBuilder
from tests.support.payloads import payloads
from tests.support.served_history import ServedHistory
from tests.support.stream_clients import wait_for

from stepstream.errors import (
    AccessDenied,
    Busy,
    ConfigurationInvalid,
    EpisodeNotFound,
    FilterInvalid,
    NotOpen,
    Unreachable,
)
from stepstream.reading.filter import Filter
from stepstream.reading.history import History
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.remote.history import RemoteHistory
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.episode import CodeVersion, DataUse, MetadataRef, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    Handoff,
    Message,
    Observation,
    PlanItem,
    PlanUpdate,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, ModelReply, TextPart, Usage
from stepstream.schemas.payload import StepPayload, UnknownPayload, upcast
from stepstream.schemas.record import JsonObject

TINY_EPISODES = 600
LONG_STEPS = 2_300
STORY, KINDS, LONG = (f"01b{number}0000-0000-7000-8000-00000000000c" for number in range(3))
ONE, TWO = "01a00000-0000-7000-8000-00000000000a", "01a00000-0000-7000-8000-00000000000b"


class Load(StepPayload, kind="load_read_over_http", version=2):
    newtons: float


@upcast("load_read_over_http", 1)
def _newtons(old: JsonObject) -> JsonObject:
    return {"newtons": float(str(old["kilonewtons"])) * 1000}


def tell_story(builder: HistoryBuilder) -> None:
    """An episode with a bit of everything that views are made of, and one below it."""
    code = CodeVersion(
        git_commit=None, python="3.11", platform="Linux", host="x", program="p", packages=("a==1",)
    )
    stated: dict[str, object] = {
        "problem": "bracket-17",
        "tags": ("demo", "ä"),
        "metadata": MetadataRef(model="bench.Item", value={"level": 2, "at": 1_767_225_600_123_456_789}),
        "code_version": code,
        "data_use": DataUse(split="train"),
    }
    story = builder.episode("Design a wall bracket", id=STORY, **stated)
    story.log(PlanUpdate(items=(PlanItem(text="mesh it"),)))
    asked = ChatMessage(role=ChatRole.USER, parts=(TextPart(text="please"),))
    model = story.log(ModelCall(model="m-1", messages=(asked,)))
    said = ChatMessage(role=ChatRole.ASSISTANT, parts=(TextPart(text="I call a tool"),))
    story.log(ModelReply(message=said, usage=Usage(input_tokens=5, output_tokens=7)), closes=model)
    story.log(Handoff(recipient="coder", recipient_role="engineer"))
    call = story.log(
        ToolCall(tool="mesh", arguments={"mm": 4.0, "id": 2**80}), agent="coder", role="engineer"
    )
    inner = story.log(ToolCall(tool="mesh_part"), agent="coder", role="engineer", parent=call)
    story.log(ErrorReport(message="did not converge"), agent="coder", role="engineer", closes=inner)
    story.log(Observation(result={"log": "line\n" * 2_000}), agent="coder", role="engineer", closes=call)
    story.log(Message(author="coder", recipient="planner", text="done"), agent="coder", role="engineer")
    story.log(ToolCall(tool="weigh"))
    story.finish(Status.FAILED, reason="no time", outcome="rejected", score=0.25)
    builder.episode("a part of it", parent_id=STORY).log(Thought(text="small"))


def log_every_kind(builder: HistoryBuilder) -> None:
    """An episode with several payloads of every kind there is, and of kinds that nobody here or there has."""
    script = builder.episode("Every kind", id=KINDS)
    drawn: list[StepPayload] = []
    for cls in CORE_KINDS.values():
        if cls is not StatusChange:

            @settings(max_examples=6, derandomize=True, database=None, phases=[Phase.generate])
            @given(payloads(cls))
            def draw(payload: StepPayload) -> None:
                drawn.append(payload)

            draw()
    for payload in drawn:
        script.log(payload)
    script.log(Load(newtons=1.5))
    script.log_raw("load_read_over_http", 1, b'{"kilonewtons": 2.0}')
    script.log_raw("load_read_over_http", 3, b'{"kilonewtons": "of the future"}')
    script.log_raw(
        "weather", 7, b'{"wind": [1.0, 1, -0.0, 1e-7, 123456789012345678901234567890], "text": "\\u00e4"}'
    )
    deep: list[object] = []
    for _ in range(196):
        deep = [deep]
    script.log(ToolCall(tool="dig", arguments={"hole": deep}))  # type: ignore[dict-item]
    script.log(Thought(text="after the hole"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHistory]:
    """A database with all of it, and its server."""
    directory = tmp_path_factory.mktemp("served")
    with HistoryBuilder(directory / "history.db") as builder:
        for number in range(TINY_EPISODES):
            builder.episode(f"tiny {number}", at=EPOCH_NS + number // 2)
        builder.episode("one", id=ONE)
        builder.episode("two", id=TWO)
        tell_story(builder)
        log_every_kind(builder)
        long = builder.episode("A long one", id=LONG)
        for number in range(LONG_STEPS // 2):
            call = long.log(ToolCall(tool=f"tool {number % 5}"))
            long.log(Observation(result=number), closes=call)
    with ServedHistory(directory) as served:
        yield served


@pytest.fixture
def local(server: ServedHistory) -> Iterator[History]:
    with History.open(server.database) as history:
        yield history


@pytest.fixture
def remote(server: ServedHistory) -> Iterator[History]:
    with History.open(server.url) as history:
        yield history


@pytest.fixture(params=["file", "server"])
def history(request: pytest.FixtureRequest) -> History:
    """The same, from either."""
    name = {"file": "local", "server": "remote"}[request.param]
    found = request.getfixturevalue(name)
    assert isinstance(found, History)
    return found


# -- the same questions, one by one


def test_steps_are_narrowed_and_come_in_cursor_order(history: History) -> None:
    """Episode, kind, cursor, filter and limit hold together, however many pages it takes."""
    every = history.steps(limit=None)
    own = [step for step in every if step.episode_id == LONG]

    assert [step.cursor for step in every] == list(range(1, history.last_cursor() + 1))
    assert len(history.steps()) == 1000
    assert history.steps(episode=LONG, limit=None) == own
    assert len(own) == LONG_STEPS + 1
    assert history.steps(episode=LONG.upper(), limit=1_500) == own[:1_500]
    assert history.steps(episode="@last", after=own[-3].cursor) == own[-2:]
    assert history.steps(kind="error_report", episode=STORY) == history.steps(
        episode=STORY, filter="kind:error_report"
    )
    assert [step.sequence for step in history.steps(episode=LONG, filter="seq>5", limit=2)] == [6, 7]
    assert len(history.steps(kind="tool_call", filter=Filter.parse('tool:"tool 3"'), limit=None)) == 230
    assert history.steps(kind="nothing") == history.steps(kind="No kind at all!") == []
    assert history.steps(limit=0) == history.steps(limit=-5) == []
    assert history.steps(after=-7, limit=1)[0].cursor == 1
    assert history.steps(after=10**12) == []


def test_episodes_come_latest_first_page_by_page(history: History) -> None:
    """All of them, so many, behind one of them, below one of them, and those that pass a filter."""
    every = history.episodes()

    assert [episode.name for episode in every][-3:] == ["tiny 2", "tiny 1", "tiny 0"]
    assert len(every) == TINY_EPISODES + 6
    assert history.episodes(limit=550) == every[:550]
    assert history.episodes(before=every[549].id) == every[550:]
    assert history.episodes(before=every[10].id, limit=3) == every[11:14]
    assert [child.name for child in history.episodes(parent=STORY)] == ["a part of it"]
    assert [found.id for found in history.episodes(filter="status:failed")] == [STORY]
    assert len(history.episodes(filter="name:tiny*")) == TINY_EPISODES
    assert history.episodes(limit=0) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(ONE, ONE), (f" {TWO.upper()} ", TWO), (TWO.replace("-", ""), TWO), ("@LAST", None)],
)
def test_an_episode_answers_to_its_id(history: History, wanted: str, found: str | None) -> None:
    """Whole ids in any spelling, and the last one by its name."""
    assert history.episode(wanted).id == (found or LONG)


@pytest.mark.parametrize(
    ("wanted", "candidates"),
    [
        (ONE[:-1], (ONE, TWO)),
        ("01a0", (ONE, TWO)),
        ("ffff", ()),
        ("", ()),
        ("-", ()),
        ("..", ()),
        ("a/b", ()),
        ("nobody?x=1", ()),
        ("1" * 40, ()),
        ("@first", ()),
    ],
)
def test_what_no_episode_answers_to_is_told(
    history: History, wanted: str, candidates: tuple[str, ...]
) -> None:
    """The error holds what was wanted and what it could mean, whatever asks for an episode."""
    questions = [
        lambda: history.episode(wanted),
        lambda: history.steps(episode=wanted),
        lambda: history.episodes(parent=wanted),
        lambda: history.episodes(before=wanted),
        lambda: history.tree(wanted),
        lambda: history.timeline(wanted),
        lambda: history.roles(wanted),
        lambda: history.state(wanted),
        lambda: history.verify(wanted),
        lambda: history.compare(ONE, wanted),
        lambda: history.search("mesh", episode=wanted),
    ]
    for question in questions:
        with pytest.raises(EpisodeNotFound) as caught:
            question()
        assert (caught.value.wanted, caught.value.candidates) == (wanted, candidates)


@pytest.mark.parametrize(
    "text", ["kind:", "kind:thought (", "dur>fast", "seq:1 OR", "name:x", "a" * 3_000, "ä dur>fast"]
)
def test_a_wrong_filter_says_where(history: History, local: History, text: str) -> None:
    """Text, place and what was expected are those that the file's own reader tells."""
    for ask in ("steps", "arrow", "statistics"):
        with pytest.raises(FilterInvalid) as expected:
            local.steps(filter=text)
        with pytest.raises(FilterInvalid) as caught:
            getattr(history, ask)(filter=text)
        assert str(caught.value) == str(expected.value)
        assert (caught.value.text, caught.value.position) == (text, expected.value.position)
    with pytest.raises(FilterInvalid):
        history.steps(filter=text, limit=0)


def test_the_other_half_of_a_step(history: History) -> None:
    """A step is found by the one it closes and by the one that closes it; others have no other half."""
    steps = history.steps(episode=STORY)
    call = next(step for step in steps if isinstance(step.payload, ToolCall))
    closer = next(step for step in steps if step.closes == call.id)
    nobody = steps[0].model_copy(update={"id": ONE, "closes": TWO})

    assert history.opener(closer) == call
    assert history.closer(call) == closer
    assert (history.opener(call), history.closer(closer)) == (None, None)
    assert (history.opener(nobody), history.closer(nobody)) == (None, None)


def test_whether_an_episode_has_ended(history: History) -> None:
    """One that has, one that has not, and one that nobody knows."""
    assert [history.has_ended(each) for each in (STORY, ONE, ONE[:-1] + "f")] == [True, False, False]


def test_an_episode_has_no_state_before_it_began(history: History) -> None:
    """What lies beyond the last step is the last one; what lies before the first is an error."""
    assert history.state(STORY, at=10**6) == history.state(STORY)
    with pytest.raises(EpisodeNotFound) as caught:
        history.state(STORY[:30], at=-1)

    assert caught.value.wanted == f"{STORY} at sequence -1"


# -- the same answers, all of them


def test_every_step_is_the_step_of_the_file(local: History, remote: History) -> None:
    """Steps of every kind, of kinds nobody has, and as deep as can be stored, are equal field by field."""
    ours, theirs = local.steps(limit=None), remote.steps(limit=None)

    assert {type(step.payload) for step in ours} >= {*CORE_KINDS.values(), Load, UnknownPayload}
    for one, other in zip(ours, theirs, strict=True):
        assert other == one
        assert other.model_dump_json() == one.model_dump_json()
        assert type(other.payload) is type(one.payload)
    assert [step.payload for step in theirs if step.kind == "load_read_over_http"][:2] == [
        Load(newtons=1.5),
        Load(newtons=2000.0),
    ]


def test_every_view_is_that_of_the_file(local: History, remote: History) -> None:
    """Trees, timelines, roles, states and checks of a short, a varied and a long episode are equal."""
    for episode in (STORY, STORY[:-4], LONG, ONE, "@last"):
        assert remote.episode(episode) == local.episode(episode)
        assert remote.tree(episode) == local.tree(episode)
        assert remote.timeline(episode) == local.timeline(episode)
        assert remote.roles(episode) == local.roles(episode)
        assert remote.verify(episode) == local.verify(episode)
        assert remote.state(episode) == local.state(episode)
        assert remote.state(episode, at=0) == local.state(episode, at=0)
    for at in range(local.episode(STORY).steps):
        assert remote.state(STORY, at=at) == local.state(STORY, at=at)
    assert remote.timeline(KINDS) == local.timeline(KINDS)
    assert remote.roles(KINDS) == local.roles(KINDS)


def test_the_whole_is_that_of_the_file(local: History, remote: History) -> None:
    """Figures and comparisons are equal; of the path only the name is told."""
    info = local.info()

    assert remote.info() == info.model_copy(update={"path": "history.db"})
    assert remote.last_cursor() == local.last_cursor() == info.last_cursor
    assert remote.compare(STORY, ONE) == local.compare(STORY, ONE)
    ours, theirs = local.statistics(filter="kind:tool_call"), remote.statistics(filter="kind:tool_call")
    assert theirs.tools == ours.tools
    assert theirs.kinds == ours.kinds


def test_a_search_finds_what_the_file_has(local: History, remote: History) -> None:
    """Hits, snippets and pages are those of a search beside the file."""
    last = local.last_cursor()
    wait_for(lambda: remote.search("mesh").indexed_to == last, "all is indexed")

    assert remote.search("mesh part*") == local.search("mesh part*")
    assert remote.search("mesh", episode=STORY[:-2]).items == local.search("mesh", episode=STORY).items
    first = remote.search("tool", limit=3, filter="seq<9")
    assert remote.search("tool", limit=3, filter="seq<9", before=first.next) == local.search(
        "tool", limit=3, filter="seq<9", before=first.next
    )
    assert len(remote.search("tool", limit=10_000).items) <= 200
    for words, narrowed in (('bolt "nut', None), ('bolt "nut', "kind:error"), ("bolt", "kind:")):
        with pytest.raises(FilterInvalid) as expected:
            local.search(words, filter=narrowed)
        with pytest.raises(FilterInvalid) as caught:
            remote.search(words, filter=narrowed)
        assert str(caught.value) == str(expected.value)


def test_arrow_has_the_same_columns(local: History, remote: History) -> None:
    """Schema, order and every value are those of the file; nothing needs more than a page at a time."""
    pytest.importorskip("pyarrow")
    for wanted in (
        {"episode": STORY},
        {"kind": "tool_call", "limit": 1_100},
        {"filter": "kind:handoff"},
    ):
        ours, theirs = local.arrow(**wanted).read_all(), remote.arrow(**wanted).read_all()  # type: ignore[arg-type]
        assert theirs.equals(ours)
        assert theirs.schema == ours.schema
    batches = list(remote.arrow(episode=LONG, batch_steps=500))
    assert [batch.num_rows for batch in batches] == [500] * 4 + [301]
    assert remote.arrow(kind="nothing").read_all().num_rows == 0
    with pytest.raises(EpisodeNotFound):
        remote.arrow(episode="ffff")


# -- what only a server can do


def test_a_check_of_everything_is_for_where_the_file_is(remote: History) -> None:
    """It takes the file itself, and the error names the command."""
    for episode, deep, command in (
        (None, False, "stepstream verify"),
        (None, True, "stepstream verify --deep"),
        (STORY, True, f"stepstream verify {STORY} --deep"),
    ):
        with pytest.raises(NotOpen, match=f"use: {command}$"):
            remote.verify(episode, deep=deep)


def test_a_history_is_opened_by_path_or_by_address(server: ServedHistory) -> None:
    """Which class answers follows from what was named, and each says where it is."""
    with History.open(server.database) as local, History.open(f"{server.url}/") as remote:
        assert isinstance(local, LocalHistory)
        assert isinstance(remote, RemoteHistory)
        assert (local.address, remote.address) == (str(server.database), server.url)
    for wrong in ("postgresql://x/y", "http://", "http://x/?y", "http://u:p@x"):
        with pytest.raises(ConfigurationInvalid):
            History.open(wrong)


def test_threads_share_one(remote: History) -> None:
    """Eight threads that ask at once each get their own answers."""
    expected = {episode: remote.steps(episode=episode) for episode in (STORY, KINDS, ONE)}
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(5):
            wrong.extend(each for each in expected if remote.steps(episode=each) != expected[each])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert wrong == []


def test_who_logs_faster_than_it_is_read_is_not_followed_for_ever() -> None:
    """All steps means those that there are when it is asked; a server that always has more is left behind."""
    page = {"items": [], "epoch": "e"}
    pages = [json.dumps({**page, "next": at + 1, "cursor": at + 1}) for at in range(50)]
    last = json.dumps({**page, "next": None, "cursor": 5})
    answers = [answer(200, text, "application/json") for text in (last, pages[0], last, *pages[1:])]
    with CannedServer(*answers) as canned, History.open(canned.url) as history:
        assert history.steps(limit=None) == []

    assert [line.split("?")[1].split()[0] for line in canned.requests[1:]] == [
        "after=0&limit=1000",
        "after=9223372036854775807&limit=1",
        *(f"after={at}&limit=1000" for at in range(1, 5)),
    ]


def test_a_server_that_goes_away_is_an_error_and_nothing_more(server: ServedHistory, remote: History) -> None:
    """Each question says so while it is away, and is answered when it is back."""
    before = remote.info()
    server.kill()
    try:
        for _ in range(2):
            with pytest.raises(Unreachable, match="Connection refused"):
                remote.info()
        with pytest.raises(Unreachable):
            History.open(server.url)
    finally:
        server.start()

    assert remote.info() == before


def test_a_token_is_wanted_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, with a wrong one and with one that may not read, opening is refused; the right one opens."""
    from typer.testing import CliRunner

    from stepstream.cli.commands import app

    with HistoryBuilder(tmp_path / "history.db") as builder:
        builder.episode("here")

    def token(scope: str) -> str:
        command = ["token", "create", "--scope", scope, "--db", str(tmp_path / "history.db")]
        return CliRunner().invoke(app, command).stdout.strip()

    reading, recording = token("read"), token("record")
    monkeypatch.delenv("STEPSTREAM_TOKEN", raising=False)
    with ServedHistory(tmp_path, ["--require-token"]) as served:
        for wrong in (None, "wrong", recording):
            with pytest.raises(AccessDenied) as caught:
                History.open(served.url, token=wrong)
            assert wrong is None or wrong not in str(caught.value)
        assert History.open(served.url, token=reading).info().episodes == 1
        monkeypatch.setenv("STEPSTREAM_TOKEN", reading)
        assert History.open(served.url).info().episodes == 1


def test_a_question_that_is_too_much_is_busy_not_lost() -> None:
    """A server that gives a question up says so, and asking something else is fine."""
    too_much = answer(503, '{"detail": "this took too long and was given up"}')
    empty = answer(200, '{"items":[],"next":null,"cursor":0,"epoch":"e"}', "application/json")
    with CannedServer(empty, too_much, empty) as canned, History.open(canned.url) as history:
        with pytest.raises(Busy, match="this took too long"):
            history.statistics()
        assert history.last_cursor() == 0
