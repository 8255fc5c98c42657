"""What does not fit is refused where it is made, and the error names kind, field and value."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from stepstream.errors import Problem, ValidationFailed
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.kinds import (
    Feedback,
    LogLevel,
    LogLine,
    Message,
    Observation,
    PlanItem,
    PlanUpdate,
    Thought,
    ToolCall,
)
from stepstream.schemas.payload import StepPayload, validated_json
from stepstream.schemas.record import Record, short_repr

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = [(cls, name) for cls in CORE_KINDS.values() for name in cls.model_fields]


def refused(make: Callable[[], object]) -> Problem:
    """The first problem that is told."""
    with pytest.raises(ValidationFailed) as told:
        make()
    assert told.value.problems[0].field in str(told.value)
    assert told.value.problems[0].value in str(told.value)
    return told.value.problems[0]


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=[f"{cls.kind}.{name}" for cls, name in FIELDS])
def test_a_wrong_type_names_kind_field_and_value(cls: type[StepPayload], name: str) -> None:
    """In every field of every kind an object that is no data is refused by name."""
    with pytest.raises(ValidationFailed) as told:
        cls(**{name: pytest})

    assert told.value.kind == cls.kind
    problem = next(problem for problem in told.value.problems if problem.field.split(".")[0] == name)
    assert "module 'pytest'" in problem.value
    assert cls.kind in str(told.value)


@pytest.mark.parametrize("cls", CORE_KINDS.values(), ids=CORE_KINDS)
def test_an_unknown_field_is_named(cls: type[StepPayload]) -> None:
    """No kind takes a field that it does not have."""
    with pytest.raises(ValidationFailed) as told:
        cls(no_such_field="a value")

    problem = next(problem for problem in told.value.problems if problem.field == "no_such_field")
    assert problem.value == "'a value'"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda x: Observation(result=x), "result"),
        (lambda x: Observation(result=[1, [2, x]]), "result.1.1"),
        (lambda x: Observation(result={"a": [{"b": x}]}), "result.a.0.b"),
        (lambda x: ToolCall(tool="t", arguments={"a": x}), "arguments.a"),
        (lambda x: ToolCall(tool="t", arguments={"a": {"b": [x]}}), "arguments.a.b.0"),
        (lambda x: Feedback(author="a", score=x), "score"),
        (lambda x: LogLine(level=LogLevel.INFO, logger="l", text="t", fields={"a": [x]}), "fields.a"),  # type: ignore[arg-type]
    ],
)
def test_a_number_that_is_none_is_named_at_any_depth(
    make: Callable[[float], object], place: str, number: float
) -> None:
    """NaN and the infinities are refused wherever they stand, with the way to them."""
    problem = refused(lambda: make(number))
    assert problem.field.startswith(place.partition(".")[0])
    if "fields" not in place:
        assert problem.field == place
        assert problem.value == repr(number)


LONE = "a\ud800b"


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: Thought(text=LONE), "text"),
        (lambda: Message(author="a", text="b", recipient=LONE), "recipient"),
        (lambda: Observation(result=LONE), "result"),
        (lambda: Observation(result={"a": [LONE]}), "result.a.0"),
        (lambda: ToolCall(tool="t", arguments={"a": {"b": LONE}}), "arguments.a.b"),
        (lambda: ToolCall(tool="t", unstorable=("a", LONE)), "unstorable"),
        (lambda: PlanUpdate(items=(PlanItem(text="a"), PlanItem(text=LONE))), "items"),
    ],
)
def test_a_lone_surrogate_in_a_value_is_named(make: Callable[[], object], place: str) -> None:
    """Text that UTF-8 cannot hold is refused, and the error itself can be printed."""
    problem = refused(make)
    assert problem.field.startswith(place)
    str(problem).encode("utf-8")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ToolCall(tool="t", arguments={LONE: 1}),
        lambda: ToolCall(tool="t", arguments={"a": {LONE: 1}}),
        lambda: Observation(result={LONE: 1}),
        lambda: Observation(result=[{"a": {LONE: None}}]),
        lambda: Observation(result={"\ufffd": 1, "a": {LONE: None}}),
    ],
    ids=["at the top", "inside", "in any value", "in a list", "beside its replacement"],
)
def test_a_lone_surrogate_in_a_key_is_named(make: Callable[[], object]) -> None:
    """A key that UTF-8 cannot hold is refused at any depth, beside keys that look like its replacement."""
    problem = refused(make)
    assert "\\ud800" in problem.value or "\\ud800" in problem.field
    str(problem).encode("utf-8")


def test_the_replacement_character_itself_is_text() -> None:
    """U+FFFD in keys and values is allowed: it is what decoders write."""
    observation = Observation(result={"\ufffd": "\ufffd"})
    assert (
        validated_json(observation)
        == '{"result":{"\ufffd":"\ufffd"},"cancelled":false,"unstorable":[],"artifacts":[]}'.encode()
    )


@dataclass
class Plain:
    """A dataclass of a project's."""

    at: datetime
    x: float


class Typed(TypedDict):
    """A typed dictionary of a project's."""

    at: datetime
    x: float


class Foreign(BaseModel):
    """A model of a project's that is not strict."""

    at: datetime
    x: float
    inner: list[dict[str, float]] = Field(default_factory=list)


AWARE = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of it


def project_kind() -> type[StepPayload]:
    """A kind with times and numbers at many depths."""

    class Project(StepPayload, kind="test_project"):
        at: datetime | None = None
        many: list[datetime] = Field(default_factory=list)
        plain: Plain | None = None
        typed: Typed | None = None
        foreign: Foreign | None = None
        by_name: dict[str, Foreign] = Field(default_factory=dict)
        price: Decimal | None = None

    return Project


@pytest.mark.parametrize(
    "fields",
    [
        {"at": NAIVE},
        {"many": [AWARE, NAIVE]},
        {"typed": {"at": NAIVE, "x": 1.0}},
        {"foreign": {"at": NAIVE, "x": 1.0}},
        {"by_name": {"a": {"at": NAIVE, "x": 1.0}}},
    ],
)
def test_a_naive_time_is_refused_at_any_depth(fields: dict[str, Any]) -> None:
    """A time without a zone is refused, in models and dictionaries that are not ours too."""
    problem = refused(lambda: project_kind()(**fields))
    assert problem.field.split(".")[0] in fields


@pytest.mark.parametrize(
    "fields",
    [
        {"typed": {"at": AWARE, "x": float("nan")}},
        {"foreign": {"at": AWARE, "x": float("inf")}},
        {"foreign": {"at": AWARE, "x": 1.0, "inner": [{"a": float("nan")}]}},
        {"by_name": {"a": {"at": AWARE, "x": float("-inf")}}},
        {"price": Decimal("NaN")},
        {"price": Decimal("Infinity")},
    ],
)
def test_a_number_that_is_none_is_refused_in_what_is_not_ours(fields: dict[str, Any]) -> None:
    """Numbers that JSON has no word for are refused in foreign models and decimals too."""
    refused(lambda: project_kind()(**fields))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: [x], lambda x: {"a": [x]}, lambda x: Foreign.model_construct(at=AWARE, x=x)],
    ids=["plain", "in a list", "inside", "in a model"],
)
def test_nothing_is_recorded_otherwise_than_it_is(wrap: Callable[[float], object], number: float) -> None:
    """Where a project allows anything, a number that JSON has no word for is refused and not made null."""

    class Anything(StepPayload, kind="test_anything"):
        value: object

    with pytest.raises(ValidationFailed):
        Anything(value=wrap(number))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Thought.model_construct(text=1),
        Thought.model_construct,
        lambda: Thought(text="a").model_copy(update={"text": None}),
        lambda: Thought(text="a").model_copy(update={"text": LONE}),
        lambda: ToolCall.model_construct(tool="t", arguments={1: object()}),
    ],
    ids=["wrong type", "missing", "copy with None", "copy with a surrogate", "a number as key"],
)
def test_a_payload_made_around_its_constructor_is_refused_when_logged(
    make: Callable[[], StepPayload],
) -> None:
    """A payload that was built without validation does not get past the door to the spool."""
    with pytest.raises(ValidationFailed):
        validated_json(make())


def test_nested_records_are_refused_as_the_same_error() -> None:
    """A nested model of ours raises the same error, with its own name."""
    problem = refused(lambda: ArtifactRef(sha256="short", name="a", media_type="b", size_bytes=-1))
    assert problem.field == "sha256"
    problem = refused(lambda: PlanUpdate(items=[{"text": 1}]))  # type: ignore[list-item]
    assert problem.field.startswith("items")


def test_every_problem_is_told_at_once() -> None:
    """All fields that are wrong are named in one error."""
    with pytest.raises(ValidationFailed) as told:
        Message(author=1, text=2, more=3)  # type: ignore[arg-type,call-arg]
    assert {problem.field for problem in told.value.problems} == {"author", "text", "more"}


def test_the_error_is_a_value_error_and_travels() -> None:
    """The error is a ValueError, can be pickled, and says what to correct."""
    with pytest.raises(ValueError, match="correct these fields") as told:
        Thought(text=1)  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(told.value))
    assert str(again) == str(told.value)
    assert told.value.__cause__ is None


class Nasty:
    """An object that does not like to be looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("do not look")


def test_a_repr_that_raises_does_not_hide_the_error() -> None:
    """A value whose repr raises is refused by its type's name."""
    problem = refused(lambda: Thought(text=Nasty()))  # type: ignore[arg-type]
    assert "Nasty" in problem.value
    assert "RuntimeError" in problem.value


def test_a_long_value_is_shown_in_short() -> None:
    """A huge value does not make a huge error."""
    problem = refused(lambda: Thought(text=["x" * 10_000]))  # type: ignore[arg-type]
    assert len(problem.value) <= 120
    assert len(short_repr("y" * 10_000)) <= 120


def test_payloads_are_frozen() -> None:
    """Nothing can be assigned to, added to or deleted from a payload."""
    thought = Thought(text="a")
    with pytest.raises(ValidationError):
        thought.text = "b"  # type: ignore[misc]
    with pytest.raises((ValidationError, ValueError, AttributeError)):
        thought.more = "b"  # type: ignore[attr-defined]
    with pytest.raises((ValidationError, AttributeError)):
        del thought.text
    assert thought.encoded() == b'{"text":"a"}'
    assert hash(thought) == hash(Thought(text="a"))


def test_numbers_are_not_coerced() -> None:
    """Text is not taken for a number, nor a number for text or a switch."""

    class Strict(Record):
        count: int
        ratio: float
        done: bool
        at: time | None = None

    for wrong in (
        {"count": "1"},
        {"count": 1.0},
        {"count": True},
        {"ratio": "1"},
        {"done": 1},
        {"at": "12:00"},
    ):
        with pytest.raises(ValidationFailed):
            Strict(**{"count": 1, "ratio": 1.0, "done": True, **wrong})
