"""What filters find: in the database as SQL, in a live stream as a predicate, and that both agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.history_builder import EPOCH_NS, MILLISECOND, HistoryBuilder, Logged

from stepstream.errors import FilterInvalid
from stepstream.reading.filter import Filter
from stepstream.reading.history import History
from stepstream.reading.matcher import StepMatcher
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.episode import Episode, Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    ArtifactAttached,
    LogLevel,
    LogLine,
    Observation,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    Cost,
    FilePart,
    ModelCall,
    ModelReply,
    TextPart,
    Usage,
)
from stepstream.schemas.payload import StepPayload
from stepstream.schemas.step import Step

MESH = ArtifactRef(sha256="ab" * 32, name="part.stl", media_type="model/stl", size_bytes=84)
# Texts with what JSON escapes, what case folding changes, and what is long enough for the content pool.
TEXTS = ["bolt", "Bolt M4", "Straße", 'say "nut" \\ now', "line\nbreak", "ﬁn", "18.5", "x" * 70, "Bolt " * 20]
NAMES = ["planner", "engineer", "Reviewer", None]
TOOLS = ["run_sim", "run_simulation", "mesh"]


class Everything:
    """Surroundings that know a whole episode."""

    def __init__(self, episode: Episode, steps: list[Step]) -> None:
        self._ended = episode.ended_at is not None
        self._by_id = {step.id: step for step in steps}
        self._closers: dict[str, Step] = {}
        for step in steps:
            if step.closes is not None:
                self._closers.setdefault(step.closes, step)

    def opener(self, step: Step) -> Step | None:
        return None if step.closes is None else self._by_id.get(step.closes)

    def closer(self, step: Step) -> Step | None:
        return self._closers.get(step.id)

    def has_ended(self, episode_id: str) -> bool:
        return self._ended


texts = st.sampled_from(TEXTS)
usages = st.none() | st.builds(
    Usage, input_tokens=st.none() | st.integers(0, 3), output_tokens=st.none() | st.integers(0, 3)
)
costs = st.none() | st.builds(
    Cost, amount=st.sampled_from([0.0, 0.01, 0.05, 2.5]), source=st.just("price list")
)
results = st.recursive(
    st.none() | st.booleans() | st.integers(0, 20) | st.sampled_from([0.05, 18.5, 1e22]) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
chats = st.builds(
    ChatMessage,
    role=st.sampled_from(ChatRole),
    parts=st.lists(
        st.builds(TextPart, text=texts) | st.just(FilePart(media_type="model/stl", artifact=MESH)), max_size=2
    ).map(tuple),
)
opening = st.builds(
    ToolCall, tool=st.sampled_from(TOOLS), arguments=st.dictionaries(texts, texts, max_size=2)
) | (st.builds(ModelCall, model=st.just("m"), messages=st.lists(chats, max_size=3).map(tuple)))
closing = (
    st.builds(Observation, result=results, cancelled=st.booleans())
    | st.builds(ErrorReport, message=texts)
    | st.builds(ModelReply, message=st.none() | chats, usage=usages, cost=costs, cancelled=st.booleans())
)
lone = (
    st.builds(Thought, text=texts)
    | st.builds(LogLine, level=st.sampled_from(LogLevel), logger=texts, text=texts)
    | st.builds(ArtifactAttached, artifact=st.just(MESH))
    | st.builds(ErrorReport, message=texts)
)
happenings = st.tuples(
    opening | closing | lone,
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.integers(0, 4),
    st.integers(0, 6),
)

conditions = st.one_of(
    st.sampled_from(
        [
            "kind:tool_call",
            "kind:*_call",
            "kind:log",
            "kind~/^(thought|observation)$/",
            "tool:run_sim",
            "tool:run_sim*",
            "tool:*m*",
            'tool:"run_sim*"',
            "agent:planner",
            "agent:*e*r",
            "role~/^[A-Z]/",
            "status:running",
            "status:ok",
            "status:error",
            "status:cancelled",
            "status:cut_off",
            "has:artifact",
            "has:tokens",
            "has:cost",
            "text~/[bB]olt( M4)?$/",
            "text~/^line.break$/",
            r"text~/\d+\.5/",
            "text~/(?i)STRASSE|nut/",
            "BOLT",
            "strasse",
            '"say \\"nut\\" \\\\"',
            "fin",
            "18",
            "1e22",
            "since:2026-01-01T00:00:00.010",
            "until:2026-01-01T00:00:00.008",
        ]
    ),
    st.tuples(
        st.sampled_from(["dur", "tok", "cost", "seq"]),
        st.sampled_from([">", ">=", "<", "<=", "=", ":"]),
        st.sampled_from(["0", "1", "3", "0.05"]),
    ).map(lambda part: part[0] + part[1] + part[2] + ("ms" if part[0] == "dur" else "")),
    st.sampled_from(["seq:2..5", "tok:1..3", "dur:1ms..3ms", "cost:..0.05"]),
)
filters = st.recursive(
    conditions,
    lambda inner: (
        st.tuples(inner, inner).map(" ".join)
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})")
        | inner.map(lambda part: f"-({part})")
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[tuple[HistoryBuilder, History]]:
    """One database to which every example adds an episode."""
    with tempfile.TemporaryDirectory() as directory:
        builder = HistoryBuilder(Path(directory) / "history.db", pool_bytes_min=64)
        with History.open(builder.path) as history:
            yield builder, history
        builder.close()


def record(
    builder: HistoryBuilder,
    happening: list[tuple[StepPayload, str | None, str | None, int, int]],
    *,
    ends: bool,
) -> str:
    builder.now = EPOCH_NS
    episode = builder.episode(agent=None, role=None)
    open_steps: list[Logged] = []
    for payload, agent, role, choice, pause in happening:
        builder.now += pause * MILLISECOND // 2
        closes = None
        if open_steps and isinstance(payload, Observation | ModelReply | ErrorReport) and choice:
            # Sometimes the same one again, which must not count.
            closes = open_steps[choice % len(open_steps)]
        logged = episode.log(payload, agent=agent, role=role, closes=closes)
        if isinstance(payload, ToolCall | ModelCall):
            open_steps.append(logged)
    if ends:
        episode.finish(Status.FAILED)
    builder.commit()
    return episode.id


@given(
    happening=st.lists(happenings, max_size=12),
    ends=st.booleans(),
    asked=st.lists(filters, min_size=12, max_size=12),
)
@settings(deadline=None, max_examples=100)
def test_the_database_and_a_predicate_agree(
    shelf: tuple[HistoryBuilder, History],
    happening: list[tuple[StepPayload, str | None, str | None, int, int]],
    ends: bool,
    asked: list[str],
) -> None:
    """Whatever was recorded, SQL finds the steps that the predicate lets pass, and no others."""
    builder, history = shelf
    episode_id = record(builder, happening, ends=ends)
    steps = history.steps(episode=episode_id)
    around = Everything(history.episode(episode_id), steps)

    for text in asked:
        matcher = StepMatcher(Filter.parse(text), builder.now, around)
        found = history.steps(episode=episode_id, filter=text)

        assert [step.sequence for step in found] == [step.sequence for step in steps if matcher(step)], text


def test_a_live_predicate_learns_from_what_passes(
    builder: HistoryBuilder, open_history: Callable[[], History]
) -> None:
    """In a stream an observation is known by the tool and the time of the call that passed before it."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="run_sim"))
    episode.log(Observation(result=1), closes=call, at=call.at + 6_000_000_000)
    matcher = StepMatcher(Filter.parse("tool:run_sim dur>5s status:ok"), builder.now)

    passed = [step.sequence for step in open_history().steps() if matcher(step)]

    assert passed == [2]


def test_values_never_become_sql(builder: HistoryBuilder, open_history: Callable[[], History]) -> None:
    """What looks like SQL in a filter is looked for and nothing else."""
    hostile = "'; DROP TABLE step; --"
    builder.episode().log(Thought(text=f"he wrote {hostile}"))
    history = open_history()

    assert len(history.steps(filter=f'"{hostile}"')) == 1
    assert history.steps(filter=f'tool:"{hostile}" OR agent:"{hostile}*"') == []
    assert len(history.steps()) == 2


def test_since_counts_back_from_now(builder: HistoryBuilder, open_history: Callable[[], History]) -> None:
    """A time ago is counted from the moment the filter is used."""
    episode = builder.episode()
    early = episode.log(Thought(text="early"))
    episode.log(Thought(text="late"), at=early.at + 600_000_000_000)
    now = early.at + 700_000_000_000
    matcher = StepMatcher(Filter.parse("kind:thought since:-5m"), now)

    assert [step.sequence for step in open_history().steps() if matcher(step)] == [2]


@pytest.mark.parametrize("text", ["tag:demo", "kind:thought score>0.5", "-name:x", "errors>0 OR tok>1"])
def test_a_step_filter_refuses_what_only_episodes_have(
    builder: HistoryBuilder, open_history: Callable[[], History], text: str
) -> None:
    """A key of episodes in a filter for steps is an error that names it, in SQL and as a predicate."""
    history = open_history()
    with pytest.raises(FilterInvalid, match="something of episodes"):
        history.steps(filter=text)
    with pytest.raises(FilterInvalid, match="something of episodes"):
        StepMatcher(Filter.parse(text), 0)


@pytest.fixture
def three_runs(builder: HistoryBuilder) -> HistoryBuilder:
    """Three episodes: a good run with a simulation, a failed one, and one that is still running."""
    good = builder.episode("Wall bracket", problem="bracket-17", tags=("demo", "cad"), attempt=2)
    call = good.log(ToolCall(tool="run_sim"), agent="engineer", role="engineer")
    good.log(Observation(result=180.0), agent="engineer", closes=call)
    asked = good.log(ModelCall(model="m"))
    reply = ModelReply(
        usage=Usage(input_tokens=900, output_tokens=200), cost=Cost(amount=0.25, source="list")
    )
    good.log(reply, closes=asked)
    good.log(ArtifactAttached(artifact=MESH))
    good.finish(outcome="accepted", score=0.93)
    failed = builder.episode("Wall hook", problem="hook-3", tags=("cad",))
    failed.log(ToolCall(tool="mesh"))
    failed.log(ErrorReport(message="no volume"))
    failed.finish(Status.FAILED, reason="gave up: no volume")
    builder.now += 10_000_000_000
    builder.episode("Shelf", agent="designer").log(Thought(text="begin"))
    return builder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["Shelf", "Wall hook", "Wall bracket"]),
        ("wall", ["Wall hook", "Wall bracket"]),
        ("GAVE", ["Wall hook"]),
        ("name:Wall*", ["Wall hook", "Wall bracket"]),
        ("name~/^S/", ["Shelf"]),
        ("problem:bracket-17", ["Wall bracket"]),
        ("tag:demo", ["Wall bracket"]),
        ("-tag:demo", ["Shelf", "Wall hook"]),
        ("tag:c*", ["Wall hook", "Wall bracket"]),
        ("outcome:accepted", ["Wall bracket"]),
        ("status:running", ["Shelf"]),
        ("status:completed", ["Wall bracket"]),
        ("status:error", ["Wall hook"]),
        ("agent:engineer", ["Wall bracket"]),
        ("agent:designer", ["Shelf"]),
        ("role:planner", ["Shelf", "Wall hook", "Wall bracket"]),
        ("kind:error", ["Wall hook"]),
        ("-kind:error", ["Shelf", "Wall bracket"]),
        ("tool:run_sim", ["Wall bracket"]),
        ("kind:tool_call tool:mesh", ["Wall hook"]),
        ("kind:model_call tool:mesh", []),
        ("kind:tool_call -kind:error", ["Wall bracket"]),
        ("seq>5", ["Wall bracket"]),
        ("score>0.9", ["Wall bracket"]),
        ("-score>0.9", ["Shelf", "Wall hook"]),
        ("attempt:2", ["Wall bracket"]),
        ("errors>0", ["Wall hook"]),
        ("steps<=2", ["Shelf"]),
        ("tok>1000", ["Wall bracket"]),
        ("cost>=0.25", ["Wall bracket"]),
        ("has:cost", ["Wall bracket"]),
        ("has:tokens", ["Wall bracket"]),
        ("has:artifact", ["Wall bracket"]),
        ("dur>5ms", ["Wall bracket"]),
        ("until:2026-01-01T00:00:05", ["Wall hook", "Wall bracket"]),
        ("since:2026-01-01T00:00:05", ["Shelf"]),
        ("text~/brack.t/", ["Wall bracket"]),
        ("status:running OR (tag:cad -status:ok)", ["Shelf", "Wall hook"]),
    ],
)
def test_episodes_are_filtered(
    three_runs: HistoryBuilder, open_history: Callable[[], History], text: str, expected: list[str]
) -> None:
    """Every key finds the episodes it describes, the latest first."""
    assert [episode.name for episode in open_history().episodes(filter=text)] == expected


def test_a_status_change_has_the_status_it_states(
    three_runs: HistoryBuilder, open_history: Callable[[], History]
) -> None:
    """A filter for failures finds the step with which an episode failed."""
    found = open_history().steps(filter="kind:status_change status:error")

    assert [step.payload.status for step in found if isinstance(step.payload, StatusChange)] == [
        Status.FAILED
    ]
