"""The box of deltas: so many and no more, and nobody waits."""

from __future__ import annotations

from tests.support.stream_steps import make_step

from stepstream.schemas.stream import Delta
from stepstream.server.stream.deltas import WAITING_CHARACTERS_MAX, WAITING_MAX, DeltaBox


def make(text: str) -> Delta:
    step = make_step(1)
    return Delta(step_id=step.id, episode_id=step.episode_id, text=text)


def test_only_who_fills_an_empty_box_has_to_call() -> None:
    """One call empties it, however many were put in since."""
    box = DeltaBox()
    first, second = make("a"), make("b")

    assert (box.put([first]), box.put([second]), box.put([])) == (True, False, False)
    assert box.take() == [first, second]
    assert (box.take(), box.put([]), box.put([first])) == ([], False, True)


def test_what_is_too_much_is_dropped_and_counted() -> None:
    """Neither more deltas nor more characters wait than may."""
    small, large = make("a"), make("x" * 100_000)
    box = DeltaBox()
    box.put([small] * (WAITING_MAX + 3))
    assert (len(box.take()), box.dropped) == (WAITING_MAX, 3)

    fitting = WAITING_CHARACTERS_MAX // 100_000
    box.put([large] * (fitting + 2))
    assert (len(box.take()), box.dropped) == (fitting, 5)
