"""One episode as a tree, as a timeline, as a graph of roles and as a state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from inline_snapshot import snapshot
from tests.support.history_builder import EPOCH_NS, MILLISECOND, EpisodeScript, HistoryBuilder, Logged

from stepstream.errors import EpisodeNotFound
from stepstream.reading.history import History
from stepstream.reading.roles import RoleEdgeKind
from stepstream.reading.span import SpanStatus
from stepstream.reading.tree import EpisodeTree, TreeNode
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.episode import Status
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Handoff,
    Message,
    Observation,
    PlanItem,
    PlanStatus,
    PlanUpdate,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    ModelCall,
    ModelReply,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

OpenHistory = Callable[[], History]

MESH = ArtifactRef(sha256="ab" * 32, name="part.stl", media_type="model/stl", size_bytes=84)


def outline(nodes: tuple[TreeNode, ...], depth: int = 0) -> list[str]:
    lines = []
    for node in nodes:
        closing = "" if node.closing is None else f" -> {node.closing.sequence}"
        status = "" if node.status is None else f" {node.status}"
        lines.append(f"{'  ' * depth}{node.step.sequence} {node.step.kind}{closing}{status}")
        lines += outline(node.children, depth + 1)
    return lines


def test_a_tree_nests_steps_under_their_parents(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Calls hold what happened inside them and the step that closed them, also across each other."""
    episode = builder.episode()
    outer = episode.log(ToolCall(tool="design"))
    inner = episode.log(ToolCall(tool="simulate"), parent=outer)
    episode.log(Thought(text="meanwhile"), parent=inner)
    beside = episode.log(ToolCall(tool="mesh"), parent=outer)
    failed = episode.log(ErrorReport(message="diverged"), parent=inner, closes=inner)
    episode.log(Thought(text="why"), parent=failed)
    episode.log(Observation(cancelled=True), closes=beside, parent=beside)
    episode.log(Observation(result=1), closes=outer)
    episode.log(ToolCall(tool="export"))
    episode.finish()

    tree = open_history().tree(episode.id)

    assert outline(tree.roots) == snapshot(
        [
            "0 status_change running",
            "1 tool_call -> 8 ok",
            "  2 tool_call -> 5 error",
            "    3 thought",
            "    6 thought",
            "  4 tool_call -> 7 cancelled",
            "9 tool_call cut_off",
            "10 status_change ok",
        ]
    )
    assert tree.roots[1].duration_ns == 7 * MILLISECOND
    assert tree.roots[2].duration_ns is None
    assert EpisodeTree.model_validate_json(tree.model_dump_json()) == tree


def test_a_tree_keeps_every_step_of_a_damaged_log(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A parent or an opener that is missing, later or closed twice never makes a step disappear."""
    episode = builder.episode()
    ghost = Logged(bytes(15) + b"\x01", 0, 0, 0)
    later = Logged((0x01900000_0000_7000_9000_000000000000 + 4).to_bytes(16, "big"), 3, 4, 0)
    episode.log(Thought(text="orphan"), parent=ghost)
    episode.log(Observation(result=1), closes=later, parent=later)
    call = episode.log(ToolCall(tool="x"), parent=ghost)
    first = episode.log(Observation(result=1), closes=call)
    episode.log(Observation(result=2), closes=call)
    episode.log(Observation(result=3), closes=first)
    builder.commit()

    tree = open_history().tree(episode.id)

    assert outline(tree.roots) == snapshot(
        [
            "0 status_change running",
            "1 thought",
            "2 observation ok",
            "3 tool_call -> 4 ok",
            "5 observation ok",
            "6 observation ok",
        ]
    )


def test_a_deep_tree_is_no_problem(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A thousand steps, each under the one before, are nested without recursion."""
    episode = builder.episode()
    parent = None
    for _ in range(1000):
        parent = episode.log(Thought(text="deeper"), parent=parent)

    node = open_history().tree(episode.id).roots[1]
    depth = 1
    while node.children:
        (node,) = node.children
        depth += 1

    assert depth == 1000


def test_a_tree_names_its_child_episodes(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Episodes that name this one as their parent are listed, oldest first."""
    parent = builder.episode("parent")
    for name in ("first retry", "second retry"):
        builder.episode(name, parent_id=parent.id)

    tree = open_history().tree(parent.id)

    assert [child.name for child in tree.child_episodes] == ["first retry", "second retry"]


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        (Observation(result=1), SpanStatus.OK),
        (Observation(cancelled=True), SpanStatus.CANCELLED),
        (ErrorReport(message="x"), SpanStatus.ERROR),
        (None, SpanStatus.RUNNING),
        (Status.INTERRUPTED, SpanStatus.CUT_OFF),
    ],
)
def test_a_call_stands_the_same_in_every_view(
    builder: HistoryBuilder, open_history: OpenHistory, closing: object, expected: SpanStatus
) -> None:
    """Tree, timeline and filter agree on whether a call is running, done, failed, cancelled or cut off."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="simulate"))
    if isinstance(closing, Status):
        episode.finish(closing)
    elif closing is not None:
        episode.log(closing, closes=call)
    history = open_history()

    assert history.tree(episode.id).roots[1].status is expected
    assert history.timeline(episode.id).spans[0].status is expected
    assert [step.sequence for step in history.steps(filter=f"kind:tool_call status:{expected}")] == [1]


def test_a_timeline_has_a_bar_for_what_took_time(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Spans have beginning, end, lane and label, and instants are what took no time."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="simulate"), agent="coder", role="engineer")
    episode.log(Thought(text="t" * 500), agent="coder")
    model = episode.log(ModelCall(model="big-model"))
    episode.log(Observation(result=1), closes=call, at=call.at + 5_000 * MILLISECOND)
    history = open_history()

    timeline = history.timeline(episode.id)

    assert [(span.label, span.lane, span.started_at, span.ended_at) for span in timeline.spans] == [
        ("simulate", "coder / engineer", call.at, call.at + 5_000 * MILLISECOND),
        ("big-model", "planner / planner", model.at, None),
    ]
    assert [(instant.kind, instant.label, instant.lane) for instant in timeline.instants] == [
        ("status_change", "running", "planner / planner"),
        ("thought", "t" * 120, "coder"),
    ]
    assert timeline.lanes == ("planner / planner", "coder / engineer", "coder")


def test_what_was_cut_off_ends_with_its_episode(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """The bar of a call that nothing closed reaches to the end of the episode."""
    episode = builder.episode()
    episode.log(ToolCall(tool="simulate"))
    end = episode.finish(Status.INTERRUPTED)

    (span,) = open_history().timeline(episode.id).spans

    assert (span.ended_at, span.closing_id) == (end.at, None)


def test_roles_form_a_graph(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Nodes count what each role did, edges the handoffs and the changes of who acts."""
    episode = builder.episode(agent="ann", role="planner")
    for _ in range(2):
        episode.log(Handoff(recipient="bob", recipient_role="engineer"))
        episode.log(ToolCall(tool="simulate"), agent="bob", role="engineer")
        episode.log(ErrorReport(message="x"), agent="bob", role="engineer")
        episode.log(Thought(text="again"))
    episode.log(Handoff(recipient="bob"))
    episode.log(Handoff(recipient="eve"))
    episode.log_raw("log_line", 1, b'{"level":"info","logger":"x","text":"nobody"}')
    episode.log(Thought(text="x"), agent="eve")

    graph = open_history().roles(episode.id)

    assert [(node.name, node.agents, node.steps, node.errors, node.tool_calls) for node in graph.nodes] == [
        ("planner", ("ann",), 7, 0, 0),
        ("engineer", ("bob",), 4, 2, 2),
        ("eve", ("eve",), 1, 0, 0),
    ]
    assert {(edge.source, edge.target, edge.kind): edge.count for edge in graph.edges} == {
        ("planner", "engineer", RoleEdgeKind.CHANGE): 2,
        ("engineer", "planner", RoleEdgeKind.CHANGE): 2,
        ("planner", "eve", RoleEdgeKind.CHANGE): 1,
        ("planner", "engineer", RoleEdgeKind.HANDOFF): 3,
        ("planner", "eve", RoleEdgeKind.HANDOFF): 1,
    }
    assert graph.current == "eve"


def says(role: ChatRole, text: str, name: str | None = None) -> ChatMessage:
    return ChatMessage(role=role, parts=(TextPart(text=text),), name=name)


SYSTEM = says(ChatRole.SYSTEM, "You design brackets.")
TASK = says(ChatRole.USER, "4 mm?")
ASKS = ChatMessage(role=ChatRole.ASSISTANT, parts=(ToolCallPart(id="call_1", name="simulate"),))
DONE = says(ChatRole.ASSISTANT, "It holds.")
RESULT = ChatMessage(role=ChatRole.TOOL, parts=(ToolResultPart(id="call_1", result=180.0),), name="simulate")


@pytest.fixture
def talk(builder: HistoryBuilder) -> EpisodeScript:
    """A model asks for a tool, another agent works beside it, and a person speaks."""
    episode = builder.episode()
    call = episode.log(ModelCall(model="m", messages=(SYSTEM, TASK)))  # 1
    episode.log(ModelReply(message=ASKS), closes=call)  # 2
    tool = episode.log(ToolCall(tool="simulate", call_id="call_1"))  # 3
    episode.log(ModelCall(model="m", messages=(TASK,)), agent="reviewer")  # 4, never answered
    episode.log(PlanUpdate(items=(PlanItem(text="simulate", status=PlanStatus.ACTIVE),)))  # 5
    episode.log(ArtifactAttached(artifact=MESH))  # 6
    episode.log(Observation(result=180.0, artifacts=(MESH,)), closes=tool)  # 7
    call = episode.log(ModelCall(model="m", messages=(SYSTEM, TASK, ASKS, RESULT)))  # 8
    episode.log(ModelReply(message=DONE), closes=call)  # 9
    episode.log(Message(author="anna", text="Make it lighter."))  # 10
    episode.log(Message(author="planner", text="Check it.", recipient="reviewer"))  # 11
    episode.finish(Status.CANCELLED, reason="lunch")  # 12
    return episode


@pytest.mark.parametrize(
    ("at", "conversation", "open_sequences"),
    [
        (0, [], []),
        (1, [SYSTEM, TASK], [1]),
        (2, [SYSTEM, TASK, ASKS], []),
        (3, [SYSTEM, TASK, ASKS], [3]),
        (7, [SYSTEM, TASK, ASKS, RESULT], [4]),
        (8, [SYSTEM, TASK, ASKS, RESULT], [4, 8]),
        (9, [SYSTEM, TASK, ASKS, RESULT, DONE], [4]),
        (10, [SYSTEM, TASK, ASKS, RESULT, DONE, says(ChatRole.USER, "Make it lighter.", "anna")], [4]),
    ],
)
def test_a_state_has_the_conversation_so_far(
    talk: EpisodeScript,
    open_history: OpenHistory,
    at: int,
    conversation: list[ChatMessage],
    open_sequences: list[int],
) -> None:
    """At any step the state shows what the agent had been told and which calls were open."""
    state = open_history().state(talk.id, at=at)

    assert list(state.conversation) == conversation
    assert [step.sequence for step in state.open_steps] == open_sequences
    assert state.status is Status.RUNNING


def test_a_state_keeps_the_agents_apart(talk: EpisodeScript, open_history: OpenHistory) -> None:
    """Every agent has its own conversation, and a message between two stands in both."""
    state = open_history().state(talk.id, at=11)
    planner, reviewer = sorted(state.conversations, key=lambda each: str(each.agent))

    assert (planner.agent, planner.role, reviewer.agent, reviewer.role) == (
        "planner",
        "planner",
        "reviewer",
        None,
    )
    assert planner.messages[-1] == says(ChatRole.ASSISTANT, "Check it.", "planner")
    assert list(reviewer.messages) == [TASK, says(ChatRole.USER, "Check it.", "planner")]


def test_a_state_has_files_plan_and_status(talk: EpisodeScript, open_history: OpenHistory) -> None:
    """The last state has every file once, the plan as it stood and why the episode ended."""
    history = open_history()
    state = history.state(talk.id)

    assert state == history.state(talk.id, at=99)
    assert state.artifacts == (MESH,)
    assert state.plan == (PlanItem(text="simulate", status=PlanStatus.ACTIVE),)
    assert (state.status, state.reason, state.sequence) == (Status.CANCELLED, "lunch", 12)
    assert history.state(talk.id, at=5).artifacts == ()


def test_there_is_no_state_before_the_first_step(talk: EpisodeScript, open_history: OpenHistory) -> None:
    """Asking for a state before any step is an error that names the place."""
    with pytest.raises(EpisodeNotFound, match="at sequence -1"):
        open_history().state(talk.id, at=-1)


def test_a_state_is_the_same_without_the_short_cut(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """Leaving out calls that a later one repeats changes no state, also when calls overlap."""
    episode = builder.episode()
    opened = [episode.log(ModelCall(model="m", messages=(says(ChatRole.USER, str(n)),))) for n in range(3)]
    episode.log(ModelReply(message=says(ChatRole.ASSISTANT, "to 1")), closes=opened[1])
    episode.log(ModelCall(model="m"))
    episode.log(ModelReply(message=says(ChatRole.ASSISTANT, "to 0")), closes=opened[0])

    state = open_history().state(episode.id)

    assert [message.parts[0].text for message in state.conversation] == ["2", "to 1", "to 0"]
    assert [step.sequence for step in state.open_steps] == [3, 5]


def test_times_are_those_of_the_log(talk: EpisodeScript, open_history: OpenHistory) -> None:
    """A state carries the time of its step."""
    assert open_history().state(talk.id, at=0).occurred_at == EPOCH_NS + MILLISECOND
