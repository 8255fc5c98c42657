"""The registry: one class a kind, one function a step between versions, and nothing lost that is unknown."""

from __future__ import annotations

import json

import pytest

from stepstream.errors import KindConflict, ValidationFailed
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.kinds import Thought
from stepstream.schemas.payload import (
    StepPayload,
    UnknownPayload,
    decode_payload,
    payload_class,
    registered_kinds,
    upcast,
)
from stepstream.schemas.record import JsonObject


def test_a_kind_is_registered_by_its_class_statement() -> None:
    """Subclassing with a kind is all that a project does."""

    class Result(StepPayload, kind="test_result", version=4):
        value: int

    assert payload_class("test_result") is Result
    assert (Result.kind, Result.schema_version) == ("test_result", 4)
    assert "test_result" in registered_kinds()
    assert decode_payload("test_result", 4, b'{"value":1}') == Result(value=1)


def test_a_class_without_a_kind_is_a_base() -> None:
    """A subclass without a kind of its own is not registered under its parent's."""

    class Base(StepPayload):
        value: int

    class Leaf(Base, kind="test_leaf"):
        pass

    assert payload_class("test_leaf") is Leaf
    assert Leaf(value=1).encoded() == b'{"value":1}'
    with pytest.raises(AttributeError):
        _ = Base.kind


def test_a_kind_belongs_to_one_class() -> None:
    """Two classes that claim one kind are a conflict that names the first."""

    def define() -> None:
        class Other(StepPayload, kind="test_taken"):
            value: int

    class First(StepPayload, kind="test_taken"):
        value: int

    with pytest.raises(KindConflict, match="First"):
        define()
    assert payload_class("test_taken") is First


@pytest.mark.parametrize("kind", sorted(CORE_KINDS))
def test_no_project_takes_a_kind_of_the_core(kind: str) -> None:
    """The core's kinds are the core's, whatever a class is called."""
    with pytest.raises(KindConflict):
        type(StepPayload)(CORE_KINDS[kind].__name__, (StepPayload,), {"__module__": __name__}, kind=kind)
    assert payload_class(kind) is CORE_KINDS[kind]


def test_a_cell_that_is_run_twice_is_no_conflict() -> None:
    """The same definition, run again in a notebook, takes the place of the first."""

    def cell() -> type[StepPayload]:
        class Again(StepPayload, kind="test_again"):
            value: int

        return Again

    first, second = cell(), cell()
    assert first is not second
    assert payload_class("test_again") is second


@pytest.mark.parametrize("kind", ["", "A", "a b", "a-b", "1a", "_a", "a" * 64, "ä", "a\n", "a.b"])
def test_a_kind_is_a_plain_word(kind: str) -> None:
    """Kinds are lower-case letters, digits and underscores."""
    with pytest.raises(KindConflict):
        type(StepPayload)("Odd", (StepPayload,), {"__module__": __name__}, kind=kind)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_begin_at_one(version: int) -> None:
    """There is no version zero."""
    with pytest.raises(KindConflict, match="below 1"):
        type(StepPayload)("Odd", (StepPayload,), {"__module__": __name__}, kind="test_odd", version=version)


# ------------------------------------------------------------------------------------------------ versions


def versioned() -> type[StepPayload]:
    """A kind at its third version, with the way from the first."""

    class Result(StepPayload, kind="test_versioned", version=3):
        stress_mpa: float
        unit: str

    @upcast("test_versioned", 1)
    def _first(old: JsonObject) -> JsonObject:
        return {"stress": old["value"]}

    @upcast("test_versioned", 2)
    def _second(old: JsonObject) -> JsonObject:
        return {"stress_mpa": old["stress"], "unit": "MPa"}

    return Result


def test_old_versions_are_read_through_the_chain() -> None:
    """A payload of the first version comes back as the newest, step by step."""
    cls = versioned()
    expected = cls(stress_mpa=1.5, unit="MPa")

    assert decode_payload("test_versioned", 1, '{"value":1.5}') == expected
    assert decode_payload("test_versioned", 2, '{"stress":1.5}') == expected
    assert decode_payload("test_versioned", 3, expected.encoded()) == expected


def test_a_missing_step_gives_the_raw_payload() -> None:
    """Where the way from an old version is missing the payload comes back untouched."""

    class Result(StepPayload, kind="test_gap", version=3):
        value: int

    @upcast("test_gap", 2)
    def _second(old: JsonObject) -> JsonObject:
        return old

    found = decode_payload("test_gap", 1, '{"old":1}')
    assert isinstance(found, UnknownPayload)
    assert (found.unknown_kind, found.unknown_version, found.raw) == ("test_gap", 1, {"old": 1})
    assert decode_payload("test_gap", 2, '{"value":1}') == Result(value=1)


def test_a_newer_version_gives_the_raw_payload() -> None:
    """A version that this process does not know comes back untouched."""
    found = decode_payload("thought", 2, '{"words":["a"],"nested":{"n":1.0}}')
    assert isinstance(found, UnknownPayload)
    assert found.encoded() == b'{"words":["a"],"nested":{"n":1.0}}'


def test_an_unknown_kind_is_shown_and_exported_untouched() -> None:
    """A kind without a class reads, dumps and pickles as the JSON that was stored."""
    text = '{"b":1,"a":[true,null,"ü"],"big":123456789012345678901234567890}'
    found = decode_payload("somebody_elses", 7, text)

    assert isinstance(found, UnknownPayload)
    assert found.encoded().decode() == text
    assert json.loads(found.model_dump_json()) == json.loads(text)
    assert found.model_dump() == json.loads(text)


def test_what_does_not_fit_its_own_schema_is_refused() -> None:
    """A stored payload that is not what it says raises, whether it came through an upcast or not."""
    versioned()
    for version, text in (
        (3, '{"stress_mpa":"high","unit":"MPa"}'),
        (1, '{"value":"high"}'),
        (3, "[]"),
        (3, "{"),
    ):
        with pytest.raises(ValidationFailed):
            decode_payload("test_versioned", version, text)
    for text in ("[]", "{", "NaN", '{"a":NaN}'):
        with pytest.raises(ValidationFailed):
            decode_payload("somebody_elses", 1, text)


def test_an_upcast_that_fails_is_a_refusal() -> None:
    """An upcast that stumbles or returns nonsense is told as a payload that does not fit."""

    class Result(StepPayload, kind="test_stumble", version=2):
        value: float

    answers = iter([KeyError("value"), float("nan"), None])

    @upcast("test_stumble", 1)
    def _first(old: JsonObject) -> JsonObject:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return {"value": answer} if answer is not None else None  # type: ignore[return-value]

    for _ in range(3):
        with pytest.raises(ValidationFailed):
            decode_payload("test_stumble", 1, "{}")


def test_a_step_between_versions_has_one_function() -> None:
    """Two upcasts for one step are a conflict, and the same one run again is not."""

    def cell() -> None:
        @upcast("test_twice", 1)
        def _first(old: JsonObject) -> JsonObject:
            return old

    cell()
    cell()
    with pytest.raises(KindConflict, match="registered twice"):

        @upcast("test_twice", 1)
        def _other(old: JsonObject) -> JsonObject:
            return old


def test_an_upcast_does_not_change_what_was_stored() -> None:
    """Upcasts get a value of their own; reading the same text twice gives the same."""

    class Result(StepPayload, kind="test_change", version=2):
        values: list[int]

    @upcast("test_change", 1)
    def _first(old: JsonObject) -> JsonObject:
        values = old["values"]
        assert isinstance(values, list)
        values.append(3)
        return old

    text = '{"values":[1,2]}'
    assert (
        decode_payload("test_change", 1, text)
        == decode_payload("test_change", 1, text)
        == Result(values=[1, 2, 3])
    )


def test_a_thought_is_a_thought() -> None:
    """The class of a kind is found by its word."""
    assert payload_class("thought") is Thought
    assert payload_class("no_such_kind") is None
