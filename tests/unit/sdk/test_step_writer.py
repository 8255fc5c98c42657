"""What may be logged, what stands in its envelope, and which schemas stand before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import BaseModel

from stepstream import (
    Feedback,
    Message,
    ObservabilityProvider,
    Observation,
    StepPayload,
    StepRef,
    Thought,
    ToolCall,
    UnknownPayload,
    ValidationFailed,
)
from stepstream.testing.spool_steps import LoggedStep, announcements

Logged = Callable[[], list[LoggedStep]]


class Torque(StepPayload, kind="writer_torque", version=3):
    """A project's own kind."""

    nm: float


class Louder(Thought):
    """A subclass that forgot to say its kind."""

    volume: int = 11


class NotAPayload(BaseModel):
    """Some other model."""

    text: str = "x"


def test_a_projects_own_kind_is_written_with_its_version(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """Kind, version and payload of a project's class come back as they went in."""
    with provider.episode("test") as episode:
        ref = episode.log_event(Torque(nm=12.5))

    step = logged()[1]
    assert (step.kind, step.schema_version, step.payload) == ("writer_torque", 3, Torque(nm=12.5))
    assert (step.id, step.episode_id) == (ref.id, ref.episode_id)


def test_a_kind_is_announced_once_a_segment_before_its_first_step(database: Path) -> None:
    """Every segment describes the kinds of its steps, each of them once."""
    with (
        ObservabilityProvider(database, committer="none", segment_bytes_max=16 * 1024) as provider,
        provider.episode("test") as episode,
    ):
        for _ in range(40):
            episode.log_event(Thought(text="x" * 900))
            episode.log_event(Torque(nm=1.0))

    kinds = announcements(database)
    assert len(kinds) > 2
    for segment in kinds[:-1]:
        assert sorted(set(segment) - {"status_change"}) == ["thought", "writer_torque"]
    assert all(len(segment) == len(set(segment)) for segment in kinds)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ("just text", "instance of a StepPayload"),
        (NotAPayload(), "instance of a StepPayload"),
        (Louder(text="x"), "no kind of its own"),
        (UnknownPayload(unknown_kind="x", unknown_version=1, raw={}), "no kind of its own"),
        (Thought.model_construct(text=17), "valid string"),
        (Feedback(author="me").model_copy(update={"score": math.nan}), "finite"),
    ],
)
def test_what_is_no_valid_payload_is_refused(
    provider: ObservabilityProvider, logged: Logged, payload: StepPayload, told: str
) -> None:
    """A direct call with bad data raises, names what is wrong, and writes nothing."""
    with provider.episode("test") as episode:
        with pytest.raises(ValidationFailed, match=told):
            episode.log_event(payload)
        assert [step.kind for step in logged()] == ["status_change"]


def test_a_step_that_is_too_long_is_refused(database: Path, logged: Logged) -> None:
    """The limit holds for the JSON of a payload; the error names kind, field and sizes."""
    with (
        ObservabilityProvider(database, committer="none", step_bytes_max=2000) as provider,
        provider.episode("test") as episode,
    ):
        episode.log_event(Thought(text="x" * 1900))
        with pytest.raises(ValidationFailed, match=r"(?s)thought.*text: a step has at most 2000 bytes"):
            episode.log_event(Thought(text="x" * 2000))

    assert [step.kind for step in logged()] == ["status_change", "thought", "status_change"]


@pytest.mark.parametrize("value", [10**5000, "nested"], ids=["endless number", "deep"])
def test_what_could_not_be_read_back_is_refused(provider: ObservabilityProvider, value: object) -> None:
    """JSON that can be written but not read never reaches the spool."""
    if value == "nested":
        value = []
        for _ in range(250):
            value = [value]
    with provider.episode("test") as episode:
        payload = ToolCall(tool="t", arguments={"x": value})  # type: ignore[dict-item]
        with pytest.raises(ValidationFailed):
            episode.log_event(payload)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), 1_767_323_045_678_901_000),
        (
            datetime(2026, 1, 2, 5, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=2))),
            1_767_323_045_678_901_000,
        ),
    ],
)
def test_a_moment_is_kept_to_the_nanosecond(
    provider: ObservabilityProvider, logged: Logged, moment: datetime | int, expected: int
) -> None:
    """occurred_at takes an aware datetime or ns, and loses nothing of either."""
    with provider.episode("test") as episode:
        episode.log_event(Thought(text="x"), occurred_at=moment)

    assert logged()[1].occurred_at == expected


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 2), 0, -1, 1.5, True, "now", 2**63],  # noqa: DTZ001 - naive is what is refused
)
def test_what_is_no_moment_is_refused(provider: ObservabilityProvider, moment: int) -> None:
    """A naive datetime, a float and the like are the caller's mistake."""
    with provider.episode("test") as episode, pytest.raises(ValidationFailed, match="occurred_at"):
        episode.log_event(Thought(text="x"), occurred_at=moment)


def test_parent_and_closes_take_a_step_or_its_id(provider: ObservabilityProvider, logged: Logged) -> None:
    """A StepRef and the text of its id mean the same."""
    with provider.episode("test") as episode:
        call = episode.log_event(ToolCall(tool="t"))
        episode.log_event(Observation(), parent=call, closes=call.id)

    step = logged()[2]
    assert (step.parent_id, step.closes) == (call.id, call.id)


@pytest.mark.parametrize(
    "reference", ["", "yesterday", 17, b"x" * 16, "0190B6F2-7C1A-7F3E-8D52-3A0F6F6F2B11"]
)
def test_what_names_no_step_is_refused(provider: ObservabilityProvider, reference: str) -> None:
    """A reference that is no id is the caller's mistake, told by the argument's name."""
    with provider.episode("test") as episode:
        with pytest.raises(ValidationFailed, match="parent"):
            episode.log_event(Thought(text="x"), parent=reference)
        with pytest.raises(ValidationFailed, match="closes"):
            episode.log_event(Thought(text="x"), closes=reference)


@pytest.mark.parametrize("name", ["a\ud800", "x" * 70_000, 17])
def test_a_name_that_cannot_be_written_is_refused(provider: ObservabilityProvider, name: str) -> None:
    """Names of agents and roles are UTF-8 of at most 65,535 bytes."""
    with provider.episode("test") as episode:
        for argument in ("agent", "role"):
            with pytest.raises(ValidationFailed, match=argument):
                episode.log_event(Thought(text="x"), **{argument: name})  # type: ignore[arg-type]


def test_a_step_can_name_its_own_agent(provider: ObservabilityProvider, logged: Logged) -> None:
    """An agent that is named in the call does not take the role of the one around it."""
    with provider.episode("test", agent="planner", role="boss") as episode:
        episode.log_event(Thought(text="1"))
        episode.log_event(Thought(text="2"), agent="coder")
        episode.log_event(Thought(text="3"), agent="coder", role="engineer")
        episode.log_event(Thought(text="4"), role="engineer")

    assert [(step.agent, step.role) for step in logged()[1:5]] == [
        ("planner", "boss"),
        ("coder", None),
        ("coder", "engineer"),
        ("planner", "engineer"),
    ]


def test_a_reference_is_small_and_compares_by_step(provider: ObservabilityProvider) -> None:
    """What log_event returns can be kept by the thousand, compared and hashed."""
    with provider.episode("test") as episode:
        first = episode.log_event(Message(author="me", text="hello"))
        second = episode.log_event(Message(author="me", text="hello"))

    assert isinstance(first, StepRef)
    assert first != second
    assert len({first, second, first}) == 2
    assert first.episode_id == episode.id
