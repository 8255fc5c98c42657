"""Putting two lists side by side.

What occurs once on each side is matched first, as patience diff does; what lies between these matches is
aligned by a weaker likeness, with Myers' O(ND) algorithm in rounds of a bounded number of differences. So the
work grows with the length of the lists and never with its square. Where a round had to end early the
alignment may not be the shortest, and it says so.

Pure: knows numbers that are equal or not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUND_DIFFERENCES_MAX = 32


class Pair(NamedTuple):
    """Places in the two lists; None where a member has no counterpart."""

    a: int | None
    b: int | None


class Likeness(NamedTuple):
    """What two members of the lists have in common: equal numbers, equal members.

    Attributes:
        exact: The same in every respect that counts.
        weak: Worth standing side by side.
    """

    exact: int
    weak: int


def align(
    a: Sequence[Likeness], b: Sequence[Likeness], differences_max: int = ROUND_DIFFERENCES_MAX
) -> tuple[list[Pair], bool]:
    """Put two lists side by side.

    Args:
        a: The first.
        b: The second.
        differences_max: How many differences a round sees before it is content.

    Returns:
        Every member of both from beginning to end, and whether what lies between the matches could not be
        aligned any shorter.
    """
    anchors = _anchors([each.exact for each in a], [each.exact for each in b])
    pairs: list[Pair] = []
    is_minimal = True
    for before, behind in pairwise([(-1, -1), *anchors, (len(a), len(b))]):
        begin_a, begin_b = before[0] + 1, before[1] + 1
        gap = _Gap(
            [each.weak for each in a[begin_a : behind[0]]],
            [each.weak for each in b[begin_b : behind[1]]],
            differences_max,
        )
        for at_a, at_b in gap.pairs():
            pairs.append(
                Pair(None if at_a is None else at_a + begin_a, None if at_b is None else at_b + begin_b)
            )
        is_minimal = is_minimal and gap.is_minimal
        if behind[0] < len(a):
            pairs.append(Pair(*behind))
    return pairs, is_minimal


def _anchors(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Places of what occurs once on each side, as many as keep their order."""
    once_b = {value: place for place, value in enumerate(b)}
    count_a, count_b = Counter(a), Counter(b)
    shared = [
        (place, once_b[value])
        for place, value in enumerate(a)
        if count_a[value] == 1 and count_b.get(value) == 1
    ]
    # The longest rising run, by patience: each pile ends with the lowest place in b that it can end with.
    tops: list[int] = []
    piles: list[int] = []
    before: list[int | None] = []
    for number, (_, place) in enumerate(shared):
        pile = bisect_left(tops, place)
        tops[pile : pile + 1] = [place]
        piles[pile : pile + 1] = [number]
        before.append(piles[pile - 1] if pile else None)
    chosen: list[tuple[int, int]] = []
    at = piles[-1] if piles else None
    while at is not None:
        chosen.append(shared[at])
        at = before[at]
    return chosen[::-1]


class _Gap:
    """Aligns two lists by Myers' greedy algorithm, in rounds of a bounded number of differences."""

    def __init__(self, a: Sequence[int], b: Sequence[int], differences_max: int) -> None:
        self._a = a
        self._b = b
        self._differences_max = differences_max
        self.is_minimal = True

    def pairs(self) -> list[Pair]:
        """Every member of both lists, side by side where they are equal."""
        found: list[Pair] = []
        at_a = at_b = 0
        for a, b in [*self._matches(), (len(self._a), len(self._b))]:
            found += (Pair(place, None) for place in range(at_a, a))
            found += (Pair(None, place) for place in range(at_b, b))
            if a < len(self._a):
                found.append(Pair(a, b))
            at_a, at_b = a + 1, b + 1
        return found

    def _matches(self) -> list[tuple[int, int]]:
        matches: list[tuple[int, int]] = []
        at_a = at_b = 0
        while at_a < len(self._a) and at_b < len(self._b):
            found, at_a, at_b = self._round(at_a, at_b)
            matches += found
        return matches

    def _round(self, at_a: int, at_b: int) -> tuple[list[tuple[int, int]], int, int]:
        """Go on from two places until both ends, or until a round has seen enough differences."""
        width, height = len(self._a) - at_a, len(self._b) - at_b
        reached = {1: 0}
        trail: list[dict[int, int]] = []
        for seen in range(self._differences_max + 1):
            trail.append(reached.copy())
            for diagonal in range(-seen, seen + 1, 2):
                above = _comes_from_above(reached, diagonal, seen)
                x = reached[diagonal + 1] if above else reached[diagonal - 1] + 1
                y = x - diagonal
                while x < width and y < height and self._a[at_a + x] == self._b[at_b + y]:
                    x, y = x + 1, y + 1
                reached[diagonal] = x
                if x >= width and y >= height:
                    return _way_back(trail, x, y, at_a, at_b), at_a + x, at_b + y
        # Too different to go on exactly: keep what got furthest, and begin anew behind it.
        self.is_minimal = False
        last = range(-self._differences_max, self._differences_max + 1, 2)
        ends = [(reached[diagonal], reached[diagonal] - diagonal) for diagonal in last]
        x, y = max(((x, y) for x, y in ends if x <= width and y <= height), key=sum)
        return _way_back(trail, x, y, at_a, at_b), at_a + x, at_b + y


def _comes_from_above(reached: dict[int, int], diagonal: int, seen: int) -> bool:
    """Whether the furthest way to a diagonal is by leaving out a member of the second list."""
    if diagonal == -seen:
        return True
    return diagonal != seen and reached[diagonal - 1] < reached[diagonal + 1]


def _way_back(trail: list[dict[int, int]], x: int, y: int, at_a: int, at_b: int) -> list[tuple[int, int]]:
    """The matches on the way to a place, in order."""
    matches: list[tuple[int, int]] = []
    for seen in range(len(trail) - 1, 0, -1):
        reached = trail[seen]
        diagonal = x - y
        above = _comes_from_above(reached, diagonal, seen)
        before = diagonal + 1 if above else diagonal - 1
        before_x = reached[before]
        before_y = before_x - before
        while x > before_x and y > before_y:
            x, y = x - 1, y - 1
            matches.append((at_a + x, at_b + y))
        x, y = before_x, before_y
    while x > 0 and y > 0:
        x, y = x - 1, y - 1
        matches.append((at_a + x, at_b + y))
    return matches[::-1]
