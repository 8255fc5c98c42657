"""Two episodes side by side: what is the same, what changed and where they part."""

from __future__ import annotations

import pytest
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.errors import EpisodeNotFound
from stepstream.reading import comparison
from stepstream.reading.comparison import AlignedBlock, BlockRelation, EpisodeComparison, differences
from stepstream.reading.local_history import LocalHistory
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.model_call import ChatMessage, ChatRole, Cost, ModelCall, ModelReply, TextPart, Usage


def compared(builder: HistoryBuilder, a: EpisodeScript, b: EpisodeScript) -> EpisodeComparison:
    builder.commit()
    with LocalHistory(builder.path) as history:
        return history.compare(a.id, b.id)


def told(found: EpisodeComparison) -> list[str]:
    """The blocks in short."""

    def side(first: int | None, last: int | None) -> str:
        return "-" if first is None else str(first) if first == last else f"{first}..{last}"

    return [
        f"{block.relation} {side(block.a_first, block.a_last)} {side(block.b_first, block.b_last)}"
        for block in found.blocks
    ]


def call(episode: EpisodeScript, tool: str, result: object, **arguments: object) -> None:
    opened = episode.log(ToolCall(tool=tool, arguments=arguments, call_id=f"call-{episode.id}"))
    episode.log(Observation(result=result), closes=opened)


def changes(blocks: tuple[AlignedBlock, ...]) -> list[AlignedBlock]:
    return [block for block in blocks if block.relation is BlockRelation.CHANGED]


def test_episodes_that_did_the_same_are_the_same(builder: HistoryBuilder) -> None:
    """Ids, times and what ran do not count, and there is nowhere where they part."""
    sides = []
    for name in ("first", "second"):
        episode = builder.episode(name, tags=(name,))
        call(episode, "mesh", {"nodes": 10}, thickness_mm=4.0)
        episode.log(Thought(text="good"))
        episode.log(ErrorReport(message="late", traceback=f"in {name}"))
        episode.finish()
        sides.append(episode)

    found = compared(builder, *sides)

    assert told(found) == ["same 0..5 0..5"]
    assert (found.same, found.changed, found.first_divergence, found.is_minimal) == (5, 0, None, True)
    assert (found.a.entries, found.a.steps, found.a.is_complete) == (5, 6, True)


def test_a_call_with_other_arguments_has_changed(builder: HistoryBuilder) -> None:
    """It stands beside its counterpart, and the places that differ are told with both values."""
    first, second = builder.episode(), builder.episode()
    for episode, thickness, nodes in ((first, 4.0, 10), (second, 5.0, 12)):
        call(episode, "load", "ok", file="part.stl")
        call(episode, "mesh", {"nodes": nodes, "kind": "tet"}, thickness_mm=thickness, size=1)

    found = compared(builder, first, second)

    assert told(found) == ["same 0..1 0..1", "changed 3 3"]
    assert found.first_divergence is not None
    assert (found.first_divergence.a_sequence, found.first_divergence.b_sequence) == (3, 3)
    difference = found.blocks[1].difference
    assert difference is not None
    assert [(each.path, each.a, each.b) for each in difference.arguments] == [
        ("/arguments/thickness_mm", "4.0", "5.0")
    ]
    assert [(each.path, each.a, each.b) for each in difference.result] == [("/result/nodes", "10", "12")]
    assert (difference.a.sequence, difference.a.closing_sequence) == (3, 4)


def test_steps_that_only_one_has_stand_alone(builder: HistoryBuilder) -> None:
    """What one episode did in between does not put the rest out of step."""
    first, second = builder.episode(), builder.episode()
    for episode in (first, second):
        call(episode, "load", "ok", file="part.stl")
    call(first, "repair", "ok", file="part.stl")
    for episode in (first, second):
        call(episode, "mesh", "ok", size=1)
    call(second, "export", "ok", size=1)

    found = compared(builder, first, second)

    assert told(found) == ["same 0..1 0..1", "only_a 3 -", "same 5 3", "only_b - 5"]
    assert (found.same, found.only_a, found.only_b) == (3, 1, 1)


def test_a_call_that_failed_is_not_the_same(builder: HistoryBuilder) -> None:
    """The same call with an error for a result has changed, as has one that nothing closed."""
    first, second, third = builder.episode(), builder.episode(), builder.episode()
    call(first, "mesh", "ok", size=1)
    opened = second.log(ToolCall(tool="mesh", arguments={"size": 1}))
    second.log(ErrorReport(message="diverged"), closes=opened)
    third.log(ToolCall(tool="mesh", arguments={"size": 1}))

    failed, running = compared(builder, first, second), compared(builder, first, third)

    assert told(failed) == told(running) == ["same 0 0", "changed 1 1"]
    difference = failed.blocks[1].difference
    assert difference is not None
    assert difference.arguments == ()
    assert {each.path: (each.a, each.b) for each in difference.result} == {
        "/result": ('"ok"', None),
        "/cancelled": ("false", None),
        "/message": (None, '"diverged"'),
        "/exception_type": (None, "null"),
    }


def test_tokens_cost_and_time_are_told_for_both(builder: HistoryBuilder) -> None:
    """Each side says what its model calls took, in all and in an entry that changed."""
    sides = []
    for tokens, amount in ((100, 0.25), (300, 0.5)):
        episode = builder.episode()
        asked = episode.log(ModelCall(model="m"))
        reply = ChatMessage(role=ChatRole.ASSISTANT, parts=(TextPart(text=f"after {tokens}"),))
        episode.log(
            ModelReply(
                message=reply,
                response_id=f"r{tokens}",
                usage=Usage(input_tokens=tokens, output_tokens=1),
                cost=Cost(amount=amount, source="x"),
            ),
            closes=asked,
        )
        sides.append(episode)

    found = compared(builder, *sides)

    assert [(side.tokens, side.costs[0].amount) for side in (found.a, found.b)] == [(101, 0.25), (301, 0.5)]
    difference = found.blocks[1].difference
    assert difference is not None
    assert (difference.a.tokens, difference.b.tokens, difference.b.cost) == (101, 301, 0.5)
    assert difference.a.duration_ns is not None
    assert [each.path for each in difference.result] == ["/message/parts/0/text"]


def test_long_texts_are_compared_where_they_are_kept(builder: HistoryBuilder) -> None:
    """Texts that are stored apart are the same when they are equal, and their difference is told when not."""
    first, second = builder.episode(), builder.episode()
    for episode, ending in ((first, "a"), (second, "b")):
        call(episode, "write", "ok", code="x" * 5_000)
        call(episode, "write", "ok", code="y" * 5_000 + ending, name="n")

    found = compared(builder, first, second)

    assert told(found) == ["same 0..1 0..1", "changed 3 3"]
    difference = found.blocks[1].difference
    assert difference is not None
    assert [each.path for each in difference.arguments] == ["/arguments/code"]
    assert all(len(each.a or "") <= 200 for each in difference.arguments)


def test_no_more_steps_are_compared_than_it_says(
    builder: HistoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a longer episode the first steps are compared, and the answer says that it is not all."""
    monkeypatch.setattr(comparison, "STEPS_MAX", 10)
    first, second = builder.episode(), builder.episode()
    for number in range(30):
        first.log(Thought(text=f"{number}"))
        second.log(Thought(text=f"{number}"))

    found = compared(builder, first, second)

    assert (found.a.steps, found.a.is_complete, found.same) == (10, False, 10)


def test_only_the_first_of_many_changes_are_told(
    builder: HistoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a change is named without what changed in it."""
    monkeypatch.setattr(comparison, "CHANGES_TOLD_MAX", 3)
    first, second = builder.episode(), builder.episode()
    for number in range(6):
        call(first, f"tool {number}", "ok", value=1)
        call(second, f"tool {number}", "ok", value=2)

    blocks = changes(compared(builder, first, second).blocks)

    assert [block.difference is not None for block in blocks] == [True] * 3 + [False] * 3


def test_an_episode_that_is_not_there_is_named(builder: HistoryBuilder) -> None:
    """Either side may be wrong, and the error names it."""
    episode = builder.episode()
    builder.commit()

    with LocalHistory(builder.path) as history, pytest.raises(EpisodeNotFound, match="beef"):
        history.compare(episode.id, "beef")


def test_differences_are_told_by_place() -> None:
    """Places are JSON pointers; what is missing on a side is told apart from null, and no more than twenty are told."""
    found = differences(
        {"a": [1, {"x/y": None}], "b": "same", "c": 1},
        {"a": [1, {}, 3], "b": "same", "c": "1"},
    )

    assert [(each.path, each.a, each.b) for each in found] == [
        ("/a/1/x~1y", "null", None),
        ("/a/2", None, "3"),
        ("/c", "1", '"1"'),
    ]
    many = differences({str(n): n for n in range(50)}, {str(n): n + 1 for n in range(50)})
    assert [each.path for each in many] == [f"/{n}" for n in range(20)]
