"""Facets: which values the newest episodes have."""

from __future__ import annotations

import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.reading import facets
from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.local_history import LocalHistory


def test_values_are_counted_the_most_frequent_first(builder: HistoryBuilder) -> None:
    """Each facet has its values with the number of episodes that have them, a tag once an episode."""
    for number in range(6):
        episode = builder.episode(
            agent="coder" if number else "planner",
            role="engineer",
            problem=f"bracket-{number % 2}",
            tags=("demo", "demo", f"t{number % 3}"),
        )
        if number < 2:
            episode.finish()
    builder.commit()

    found = BoundedHistory(LocalHistory(builder.path)).facets()

    def told(values: tuple[facets.FacetValue, ...]) -> dict[str, int]:
        return {each.value: each.episodes for each in values}

    assert (found.episodes, found.is_complete) == (6, True)
    assert list(told(found.status).items()) == [("running", 4), ("completed", 2)]
    assert told(found.role) == {"engineer": 6}
    assert told(found.agent) == {"coder": 5, "planner": 1}
    assert told(found.problem) == {"bracket-0": 3, "bracket-1": 3}
    assert told(found.tag) == {"demo": 6, "t0": 2, "t1": 2, "t2": 2}


def test_a_filter_narrows_what_is_counted(builder: HistoryBuilder) -> None:
    """Only episodes that pass are counted."""
    for number in range(4):
        builder.episode(problem="a" if number else "b")
    builder.commit()

    found = BoundedHistory(LocalHistory(builder.path)).facets(filter="problem:a")

    assert (found.episodes, [value.value for value in found.problem]) == (3, ["a"])


def test_no_more_than_the_newest_episodes_are_counted(
    builder: HistoryBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the older ones are left out, and the answer says so."""
    monkeypatch.setattr(facets, "EPISODES_MAX", 3)
    for number in range(4):
        builder.episode(problem=f"p{number}")
    builder.commit()

    found = BoundedHistory(LocalHistory(builder.path)).facets()

    assert (found.episodes, found.is_complete) == (3, False)
    assert {value.value for value in found.problem} == {"p1", "p2", "p3"}
