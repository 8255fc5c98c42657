"""The outline: the same tree as of whole steps, from pages of any size."""

from __future__ import annotations

import random

import pytest
from tests.support.history_builder import HistoryBuilder, Logged

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.outline import OutlineNode
from stepstream.reading.tree import EpisodeTree, TreeNode
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall


def nodes_of(history: LocalHistory, episode: str, limit: int) -> list[OutlineNode]:
    """The nodes of every page to the end."""
    nodes: list[OutlineNode] = []
    after: int | None = -1
    while after is not None:
        page = BoundedHistory(history).outline(episode, after=after, limit=limit)
        nodes += page.items
        after = page.next
    return nodes


def edges(tree: EpisodeTree) -> dict[int, tuple[int | None, int | None]]:
    """For each node its sequence, what it is under and what closes it."""
    found: dict[int, tuple[int | None, int | None]] = {}
    waiting: list[tuple[TreeNode, int | None]] = [(root, None) for root in tree.roots]
    while waiting:
        node, above = waiting.pop()
        found[node.step.sequence] = (above, None if node.closing is None else node.closing.sequence)
        waiting += [(child, node.step.sequence) for child in node.children]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_an_outline_is_the_tree(builder: HistoryBuilder, seed: int) -> None:
    """Steps that open, close and nest at random, wrongly too, stand where the tree of whole steps has them."""
    chance = random.Random(seed)
    episode = builder.episode()
    logged: list[Logged] = []
    ghost = Logged(bytes(15) + b"\x01", 0, 0, 0)
    first = int.from_bytes(episode.log(Thought(text="first")).raw, "big")
    for _ in range(120):
        # Any step of the episode, also one that is still to come.
        somewhere = Logged((first + chance.randrange(1, 121)).to_bytes(16, "big"), 0, 0, 0)
        parent = chance.choice([*logged, ghost, somewhere, None, None])
        closes = chance.choice([*logged, somewhere]) if chance.random() < 0.5 else None
        kind = chance.choice(
            [ToolCall(tool="mesh"), Observation(result=1), Thought(text="x"), ErrorReport(message="y")]
        )
        logged.append(episode.log(kind, parent=parent, closes=closes))
    builder.commit()
    history = LocalHistory(builder.path)

    nodes = nodes_of(history, episode.id, 7)

    expected = edges(history.tree(episode.id))
    assert {node.sequence: (node.under, node.closing_sequence) for node in nodes} == expected
    assert [node.sequence for node in nodes] == sorted(expected)
    history.close()


def test_a_node_tells_its_step_without_the_payload(builder: HistoryBuilder) -> None:
    """Status, label and times are those of the tree of whole steps."""
    episode = builder.episode()
    call = episode.log(ToolCall(tool="mesh"), agent="coder", role="engineer")
    episode.log(ErrorReport(message="diverged"), closes=call)
    episode.log(ToolCall(tool="export"))
    episode.log(Thought(text="why"))
    builder.commit()
    history = LocalHistory(builder.path)

    nodes = nodes_of(history, episode.id, 100)

    tree = [(node.step, node.status, node.closing) for node in history.tree(episode.id).roots]
    assert [(node.step_id, node.status) for node in nodes] == [(step.id, status) for step, status, _ in tree]
    assert [(node.started_at, node.ended_at) for node in nodes] == [
        (step.occurred_at, None if closing is None else closing.occurred_at) for step, _, closing in tree
    ]
    assert [node.label for node in nodes] == ["running", "mesh", "export", "why"]
    assert (nodes[1].agent, nodes[1].role, nodes[1].kind) == ("coder", "engineer", "tool_call")
    history.close()


def test_a_long_chain_of_closing_steps_is_no_problem(builder: HistoryBuilder) -> None:
    """Steps that each close the one before are told apart without recursion."""
    episode = builder.episode()
    step = episode.log(ToolCall(tool="x"))
    for _ in range(1_500):
        step = episode.log(Observation(result=1), closes=step)
    builder.commit()
    history = LocalHistory(builder.path)

    nodes = nodes_of(history, episode.id, 2_000)

    assert {node.sequence: (node.under, node.closing_sequence) for node in nodes} == edges(
        history.tree(episode.id)
    )
    history.close()
