"""Colours of agents."""

from __future__ import annotations

from stepstream.cli.colours import AgentColours


def test_an_agent_keeps_its_colour() -> None:
    """An agent has the same colour on every line and, when it is met first, in every run."""
    once, again = AgentColours(), AgentColours()

    assert once.of("planner") == once.of("planner") == again.of("planner")


def test_usual_roles_never_meet() -> None:
    """Planner, engineer and reviewer have the same colours whoever of them comes first."""
    roles = ["planner", "engineer", "reviewer"]
    forwards, backwards = AgentColours(), AgentColours()

    assert [forwards.of(role) for role in roles] == [backwards.of(role) for role in roles[::-1]][::-1]


def test_agents_differ_as_long_as_there_are_colours() -> None:
    """Agents that meet have different colours until every colour is taken."""
    colours = AgentColours()

    assert len({colours.of(f"agent {number}") for number in range(8)}) == 8
    assert colours.of("one more")


def test_nobody_has_no_colour() -> None:
    """Where no agent is named there is no colour."""
    assert AgentColours().of("") == ""
