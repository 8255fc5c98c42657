"""Two lists side by side: nothing is left out, nothing is put out of order, and the work stays bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepstream.reading.alignment import Likeness, Pair, align

_members = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=30)


def likenesses(members: list[tuple[int, int]]) -> list[Likeness]:
    """Members that are the same are also alike."""
    return [Likeness(exact=100 * weak + exact, weak=weak) for exact, weak in members]


def longest_common(a: list[int], b: list[int]) -> int:
    """The length of the longest common subsequence, by the textbook."""
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            lengths[i + 1][j + 1] = (
                lengths[i][j] + 1 if left == right else max(lengths[i][j + 1], lengths[i + 1][j])
            )
    return lengths[-1][-1]


@given(_members, _members, st.integers(1, 40))
def test_every_member_stands_once_and_in_order(
    a: list[tuple[int, int]], b: list[tuple[int, int]], differences_max: int
) -> None:
    """Whatever the lists, each member is told once, in its order, and pairs are alike."""
    left, right = likenesses(a), likenesses(b)

    pairs, _ = align(left, right, differences_max)

    assert [pair.a for pair in pairs if pair.a is not None] == list(range(len(a)))
    assert [pair.b for pair in pairs if pair.b is not None] == list(range(len(b)))
    assert all(
        left[pair.a].weak == right[pair.b].weak for pair in pairs if pair.a is not None and pair.b is not None
    )


@given(st.lists(st.integers(0, 3), max_size=15), st.lists(st.integers(0, 3), max_size=15))
def test_an_alignment_that_says_so_is_minimal(a: list[int], b: list[int]) -> None:
    """Where nothing is the same, as many members as possible stand beside one that is alike."""
    left = [Likeness(-1 - place, weak) for place, weak in enumerate(a)]
    right = [Likeness(-100 - place, weak) for place, weak in enumerate(b)]

    pairs, is_minimal = align(left, right)

    assert is_minimal
    assert sum(None not in pair for pair in pairs) == longest_common(a, b)


def test_what_is_the_same_is_found_behind_a_long_insertion() -> None:
    """A block that one list has more does not put what follows beside the wrong members."""
    shared = [Likeness(number, 0) for number in range(50)]
    inserted = [Likeness(1_000 + number, 0) for number in range(500)]

    pairs, _ = align(shared, [*shared[:20], *inserted, *shared[20:]])

    matched = [pair for pair in pairs if pair.a is not None and pair.b is not None]
    assert matched == [Pair(place, place if place < 20 else place + 500) for place in range(50)]


def test_what_is_there_several_times_stands_in_its_order() -> None:
    """Members that are the same as several others are no matches by themselves."""
    a = [Likeness(1, 0), Likeness(2, 0), Likeness(1, 0)]
    b = [Likeness(1, 0), Likeness(3, 0), Likeness(1, 0)]

    assert align(a, b)[0] == [Pair(0, 0), Pair(1, 1), Pair(2, 2)]


def test_lists_that_have_nothing_in_common_are_given_up_early() -> None:
    """Long lists that differ everywhere take a bounded number of looks, and the answer says it may not be minimal."""
    a = [Likeness(-1 - place, place * 7 % 1_000) for place in range(3_000)]
    b = [Likeness(-10_000 - place, place * 11 % 1_000) for place in range(3_000)]

    pairs, is_minimal = align(a, b, 4)

    assert not is_minimal
    assert sum(pair.a is not None for pair in pairs) == sum(pair.b is not None for pair in pairs) == 3_000


def test_looks_grow_with_the_length_and_not_with_its_square() -> None:
    """Twice the length costs about twice the looks at members, in the worst case."""

    class Counted(int):
        looks = 0

        def __eq__(self, other: object) -> bool:
            Counted.looks += 1
            return int(self) == other

        __hash__ = int.__hash__

    def looks(length: int) -> int:
        Counted.looks = 0
        a = [Likeness(-1 - place, Counted(place % 2 * 2)) for place in range(length)]
        b = [Likeness(-1_000_000 - place, Counted(place % 3 * 3 + 1)) for place in range(length)]
        align(a, b)
        return Counted.looks

    assert looks(2_000) < 3 * looks(1_000)
