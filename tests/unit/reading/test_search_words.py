"""The words of a step: what it is found by, and what is told once where calls say it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.reading.database import Reader
from stepstream.reading.rows import STEP_COLUMNS, StepRow
from stepstream.reading.search.words import CHARACTERS_MAX, Said, StepText, StepWords
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.episode import CodeVersion
from stepstream.schemas.error_report import ErrorReport, Frame
from stepstream.schemas.kinds import (
    Handoff,
    LogLevel,
    LogLine,
    Observation,
    PlanItem,
    PlanUpdate,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    ModelCall,
    ModelReply,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)
from stepstream.schemas.payload import StepPayload

Texts = Callable[[], list[StepText]]
_READ_ALL = f"SELECT {STEP_COLUMNS} FROM step ORDER BY cursor"
LONG = "a word that stands in a long text. " * 60
CODE = CodeVersion(
    git_commit="4f2a",
    python="3.11",
    platform="linux",
    host="workshop",
    program="run.py",
    packages=("numpy==2.1",),
)


@pytest.fixture
def texts(builder: HistoryBuilder) -> Iterator[Texts]:
    """Commit what was built and read the text of every step."""
    readers: list[Reader] = []

    def read() -> list[StepText]:
        builder.commit()
        readers.append(Reader(builder.path))
        words = StepWords(readers[-1].content, Said())
        return [words.text_of(row) for row in cast("list[StepRow]", readers[-1].select(_READ_ALL))]

    yield read
    for reader in readers:
        reader.close()


@pytest.fixture
def episode(builder: HistoryBuilder) -> EpisodeScript:
    return builder.episode("Wall bracket", tags=("steel",), problem="bracket-14", code_version=CODE)


def say(role: ChatRole, text: str) -> ChatMessage:
    return ChatMessage(role=role, parts=(TextPart(text=text),))


def call(*texts: str, **fields: object) -> ModelCall:
    return ModelCall(model="m1", messages=tuple(say(ChatRole.USER, text) for text in texts), **fields)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (Thought(text="It bends."), "It bends."),
        (
            ToolCall(tool="run_sim", arguments={"mesh": {"size_mm": 4.5, "kind": "tet"}, "dry": True}),
            "run_sim\nmesh\nsize_mm\nkind\ntet\ndry",
        ),
        (Observation(result={"governing": "leg", "notes": ["fine", None, 3]}), "governing\nleg\nnotes\nfine"),
        (Observation(result="plain text"), "plain text"),
        (Handoff(recipient="engineer", message="check it"), "engineer\ncheck it"),
        (PlanUpdate(items=(PlanItem(text="draw"), PlanItem(text="mesh"))), "draw\npending\nmesh\npending"),
        (
            LogLine(level=LogLevel.INFO, logger="app", text="started", fields={"job": "a7"}),
            "info\napp\nstarted\njob\na7",
        ),
        (
            ErrorReport(
                message="no mesh",
                exception_type="MeshError",
                traceback="Traceback: in solve",
                frames=(Frame(file="/solver.py", line=3, function="solve", code="raise"),),
            ),
            "no mesh\nMeshError\nTraceback: in solve",
        ),
        (
            ErrorReport(message="no mesh", frames=(Frame(file="/solver.py", line=3, function="solve"),)),
            "no mesh\n/solver.py\nsolve",
        ),
        (
            ModelReply(
                message=ChatMessage(
                    role=ChatRole.ASSISTANT,
                    parts=(
                        ReasoningPart(text="let me see", signature="c2ln", encrypted="ZW5j"),
                        ToolCallPart(id="call-7", name="run_sim", arguments={"type": "tet"}),
                    ),
                ),
                model="m1",
            ),
            "let me see\ncall-7\nrun_sim\ntype\ntet\nm1",
        ),
    ],
    ids=[
        "thought",
        "tool_call",
        "result_with_names",
        "result_text",
        "handoff",
        "plan",
        "log_line",
        "error",
        "error_without_traceback",
        "reply",
    ],
)
def test_a_step_is_found_by_its_texts(
    episode: EpisodeScript, texts: Texts, payload: StepPayload, body: str
) -> None:
    """The body has every text of the payload, names only of what is other people's, and no numbers."""
    episode.log(payload)

    assert texts()[-1] == StepText(body, f"{payload.kind}\nplanner\nplanner")


def test_labels_are_a_part_of_the_text(episode: EpisodeScript, texts: Texts) -> None:
    """Kind, agent and role are searched with the body, and alone where there is no body."""
    episode.log(Thought(text="It bends."), agent="coder", role="engineer")
    episode.log(Observation(result=4))

    *_, thought, observation = texts()

    assert thought.whole == "It bends.\nthought\ncoder\nengineer"
    assert observation.whole == "observation\nplanner\nplanner"


def test_an_episode_is_found_by_what_is_stated_of_it(episode: EpisodeScript, texts: Texts) -> None:
    """The first step of an episode has its name, problem, tags and program, but no list of packages."""
    body = texts()[0].body.split("\n")

    assert {"Wall bracket", "bracket-14", "steel", "4f2a", "run.py"} <= set(body)
    assert "numpy==2.1" not in body


def test_pooled_texts_are_put_back(episode: EpisodeScript, texts: Texts) -> None:
    """A long text that the store keeps apart belongs to each step that has it."""
    episode.log(Observation(result=LONG))
    episode.log(Observation(result=LONG))

    *_, first, second = texts()

    assert first.body == second.body == LONG


def test_data_is_left_out(episode: EpisodeScript, texts: Texts) -> None:
    """A long run of letters and digits without a break, as of base64, is no word."""
    episode.log(Observation(result=f"image: data:image/png;base64,{'iVBORw0K' * 100} was drawn, twice"))

    assert texts()[-1].body == "image: data:image/png;base64,  was drawn, twice"


def test_the_text_of_a_step_is_bounded(episode: EpisodeScript, texts: Texts) -> None:
    """What lies behind the bound is left out, and the labels are not."""
    episode.log(Observation(result=["x " * CHARACTERS_MAX, "behind"], artifacts=(_file("far behind"),)))

    text = texts()[-1]

    assert len(text.body) == CHARACTERS_MAX
    assert "behind" not in text.body
    assert text.whole.endswith("observation\nplanner\nplanner")


def _file(name: str) -> ArtifactRef:
    return ArtifactRef(sha256="0" * 64, size_bytes=1, media_type="text/plain", name=name)


def test_a_nul_is_a_space(episode: EpisodeScript, texts: Texts) -> None:
    """A NUL, behind which no text would be shown, is stored and told as a space."""
    episode.log(Thought(text="before\0behind"), agent="a\0b")

    assert texts()[-1] == StepText("before behind", "thought\na b")


@pytest.mark.parametrize("padding", ["", LONG], ids=["inside the payload", "in the pool"])
def test_a_message_belongs_to_the_first_call_that_sends_it(
    episode: EpisodeScript, texts: Texts, padding: str
) -> None:
    """Each call has its own new messages, whether the store keeps the conversation apart or not."""
    episode.log(call(f"system {padding}", "question"))
    episode.log(call(f"system {padding}", "question", "answer", "more"))
    episode.log(call(f"system {padding}", "question", "answer", "more", "reminder"))
    episode.log(call(f"system {padding}", "question", "answer", "more", "most"))
    episode.log(call(f"system {padding}", "question", "another"))
    episode.log(call(f"system {padding}", "question"))

    bodies = [text.body.split("\n") for text in texts()[1:]]

    assert bodies == [
        ["m1", f"system {padding}", "question"],
        ["m1", "answer", "more"],
        ["m1", "reminder"],
        ["m1", "most"],
        ["m1", "another"],
        ["m1"],
    ]


def test_conversations_side_by_side_are_told_apart(episode: EpisodeScript, texts: Texts) -> None:
    """Two conversations of one episode that take turns are each told once."""
    for end in range(1, 4):
        episode.log(call("design", *"abc"[:end]))
        episode.log(call("review", *"abc"[:end]))

    assert [text.body for text in texts()[1:]] == [
        "m1\ndesign\na",
        "m1\nreview\na",
        "m1\nb",
        "m1\nb",
        "m1\nc",
        "m1\nc",
    ]


def test_another_episode_says_it_again(builder: HistoryBuilder, texts: Texts) -> None:
    """What an episode says is found in it, although an earlier one said the same."""
    for _ in range(2):
        builder.episode().log(call(LONG, "question"))

    assert [text.body for text in texts()[1::2]] == [f"m1\n{LONG}\nquestion"] * 2


@pytest.mark.parametrize("padding", ["", LONG], ids=["inside the payload", "in the pool"])
def test_tools_are_told_once(episode: EpisodeScript, texts: Texts, padding: str) -> None:
    """The tools on offer belong to the first call of an episode that offers them."""
    tools = (ToolDefinition(name="run_sim", description=f"Runs. {padding}", parameters={"type": "object"}),)
    episode.log(call("a", tools=tools))
    episode.log(call("a", "b", tools=tools))
    episode.log(call("a", "b", "c", tools=(*tools, ToolDefinition(name="stop"))))

    first, second, third = (text.body for text in texts()[1:])

    assert first == f"m1\na\nrun_sim\nRuns. {padding}"
    assert second == "m1\nb"
    assert third == f"m1\nc\nrun_sim\nRuns. {padding}\nstop"


def test_a_rendered_prompt_counts_where_there_are_no_messages(episode: EpisodeScript, texts: Texts) -> None:
    """The exact prompt repeats the messages, and is taken where they are not stated."""
    episode.log(call("question", rendered_prompt="<user>question"))
    episode.log(ModelCall(model="m1", rendered_prompt="<user>question"))

    assert [text.body for text in texts()[1:]] == ["m1\nquestion", "m1\n<user>question"]


def test_results_in_messages_have_their_names(episode: EpisodeScript, texts: Texts) -> None:
    """Names in the results and arguments that a message carries count, as they do outside of it."""
    part = ToolResultPart(id="c1", result={"type": "leg"})
    episode.log(ModelCall(model="m1", messages=(ChatMessage(role=ChatRole.TOOL, parts=(part,)),)))

    assert texts()[-1].body == "m1\nc1\ntype\nleg"


@pytest.mark.parametrize("kind", ["thought", "model_call", "error_report", "a_kind_of_theirs"])
@pytest.mark.parametrize(
    "payload", ["[1]", "{]", '{"messages": 4, "tools": 5, "traceback": 6}'], ids=["list", "torn", "figures"]
)
def test_what_cannot_be_read_is_left_out(
    episode: EpisodeScript, texts: Texts, kind: str, payload: str
) -> None:
    """A payload that is not what it should be takes nothing away from the other steps."""
    script = episode._builder
    script._batch.steps.append(_raw(script, episode, kind, payload))
    episode.log(Thought(text="It bends."))

    *_, broken, thought = texts()

    assert broken.labels == kind
    assert thought.body == "It bends."


def _raw(builder: HistoryBuilder, episode: EpisodeScript, kind: str, payload: str) -> StepRow:
    """A row past every check, as damage leaves it."""
    builder._cursor += 1
    sequence, episode.state.next_sequence = episode.state.next_sequence, episode.state.next_sequence + 1
    at = builder.now
    return (
        builder._cursor,
        bytes(16),
        episode.state.key,
        sequence,
        kind,
        1,
        at,
        at,
        None,
        None,
        None,
        None,
        1,
        0,
        payload,
        None,
    )


def test_a_call_whose_messages_are_gone_is_still_there(
    episode: EpisodeScript, texts: Texts, builder: HistoryBuilder
) -> None:
    """A call whose conversation was damaged is found by its labels."""
    episode.log(call(LONG))
    builder.commit()
    builder.store._connection.execute("DELETE FROM content")

    assert texts()[-1] == StepText("", "model_call\nplanner\nplanner")
