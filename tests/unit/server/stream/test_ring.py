"""The ring: pages of steps, each found by the cursor before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.support.stream_steps import make_step

from stepstream.server.stream.message import MESSAGE_BYTES_MAX, MESSAGE_STEPS_MAX
from stepstream.server.stream.ring import Life, Ring

LIFE = Life("epoch", 0, 0)


def walked(ring: Ring, after: int) -> list[int]:
    """The cursors that a client sees who begins behind a cursor."""
    seen: list[int] = []
    while (page := ring.page(after)) is not None:
        seen += [cursor for cursor in page.cursors if cursor > after]
        after = page.last
    return seen


@hypothesis_settings(deadline=None)
@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=60),
    sizes=st.lists(st.sampled_from([10, 1_000, 30_000, 100_000]), min_size=60, max_size=60),
    trims=st.sets(st.integers(0, 59)),
    begin=st.integers(0, 200),
)
def test_whoever_begins_in_the_ring_sees_the_rest_once(
    gaps: list[int], sizes: list[int], trims: set[int], begin: int
) -> None:
    """Wherever cursors have gaps and pages end, walking from a cursor gives each step behind it, in order."""
    ring = Ring(LIFE, 5, steps_max=20, bytes_max=400_000)
    cursors: list[int] = []
    cursor = 5
    for index, gap in enumerate(gaps):
        cursor += gap
        ring.append(make_step(cursor), b"x" * sizes[index])
        cursors.append(cursor)
        if index in trims:
            ring.trim()
    after = max(begin, ring.after)

    assert walked(ring, after) == [cursor for cursor in cursors if cursor > after]
    assert ring.last == cursors[-1]
    assert ring.count == sum(len(page.cursors) for page in ring.pages)
    assert ring.size == sum(sum(map(len, page.encoded)) for page in ring.pages)
    assert all(len(page.cursors) == 1 or page.size <= MESSAGE_BYTES_MAX for page in ring.pages)


@pytest.mark.parametrize(("size", "left"), [(10, 1_000), (70_000, 5)])
def test_trimming_keeps_what_fits(size: int, left: int) -> None:
    """The oldest pages go when there are too many steps or bytes, and the ring says what it still covers."""
    ring = Ring(LIFE, 0, steps_max=1_000, bytes_max=400_000)
    for cursor in range(1, 1_501):
        ring.append(make_step(cursor), b"x" * size)
    before = ring.count
    ring.trim()

    assert (before, ring.count) == (1_500, left)
    assert ring.after == 1_500 - left
    assert walked(ring, ring.after) == list(range(ring.after + 1, 1_501))


def test_the_newest_page_stays_however_large() -> None:
    """A step that is larger than the ring is still told, and nothing before it is kept."""
    ring = Ring(LIFE, 0, bytes_max=1_000)
    ring.append(make_step(1), b"x")
    ring.append(make_step(2), b"x" * MESSAGE_BYTES_MAX * 3)
    ring.trim()

    assert walked(ring, 1) == [2]
    assert ring.after == 1


def test_a_page_has_at_most_so_many_steps() -> None:
    """A message never has more steps than it may."""
    ring = Ring(LIFE, 0)
    for cursor in range(1, 2 * MESSAGE_STEPS_MAX + 2):
        ring.append(make_step(cursor), b"x")

    assert [len(page.cursors) for page in ring.pages] == [MESSAGE_STEPS_MAX, MESSAGE_STEPS_MAX, 1]
    assert ring.page(ring.last) is None
