"""An episode as a tree: what happened inside what, each call with the step that closed it.

Knows steps and how they name each other. Must not know the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.reading.span import SpanStatus, of_step
from stepstream.schemas.episode import Episode, Status
from stepstream.schemas.record import Record
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from collections.abc import Sequence


class TreeNode(Record):
    """A step, what closed it, and what happened under it.

    Attributes:
        step: The step.
        closing: The step that closes it, which has no node of its own.
        status: How it stands; None for what takes no time.
        duration_ns: From the step to the one that closes it; None while nothing does.
        children: The nodes under it, in the order of their sequence.
    """

    step: Step
    closing: Step | None
    status: SpanStatus | None
    duration_ns: int | None
    children: tuple[TreeNode, ...]


class EpisodeTree(Record):
    """An episode and its steps, nested.

    Attributes:
        episode: The episode.
        roots: The steps that are under no other step of the episode.
        child_episodes: The episodes that name this one as their parent, oldest first.
    """

    episode: Episode
    roots: tuple[TreeNode, ...]
    child_episodes: tuple[Episode, ...]


def grow(episode: Episode, steps: Sequence[Step], child_episodes: Sequence[Episode]) -> EpisodeTree:
    """Nest the steps of an episode, which come in the order of their sequence."""
    known = {step.id: step for step in steps}
    closers: dict[str, Step] = {}
    folded: dict[str, str] = {}
    for step in steps:
        opener = None if step.closes is None else known.get(step.closes)
        if opener is None or opener.sequence >= step.sequence or opener.id in folded or opener.id in closers:
            continue
        closers[opener.id] = step
        folded[step.id] = opener.id
    below: dict[str | None, list[TreeNode]] = {}
    ended = episode.status is not Status.RUNNING
    # Backwards, so that whatever is under a step is there before it.
    for step in reversed(steps):
        if step.id in folded:
            continue
        closer = closers.get(step.id)
        children = below.pop(step.id, [])
        node = TreeNode(
            step=step,
            closing=closer,
            status=of_step(step, closer, ended=ended),
            duration_ns=None if closer is None else closer.occurred_at - step.occurred_at,
            children=tuple(reversed(children)),
        )
        below.setdefault(_holder(step, known, folded), []).append(node)
    return EpisodeTree(
        episode=episode, roots=tuple(reversed(below.get(None, []))), child_episodes=tuple(child_episodes)
    )


def _holder(step: Step, known: dict[str, Step], folded: dict[str, str]) -> str | None:
    """The id of the node that a step's node is under; None for a root."""
    parent = None if step.parent_id is None else known.get(step.parent_id)
    while parent is not None and parent.sequence < step.sequence:
        opener = folded.get(parent.id)
        if opener is None:
            return parent.id
        parent = known[opener]
    return None
