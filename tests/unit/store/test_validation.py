"""Validation: core kinds by their classes, a project's kinds by their schema, and nothing by trust."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.kinds import StatusChange, Thought
from stepstream.store.validation import Invalid, SchemaAnnouncement, Validation

if TYPE_CHECKING:
    from stepstream.schemas.record import JsonObject

STRESS: JsonObject = {
    "type": "object",
    "properties": {"stress": {"type": "number"}},
    "required": ["stress"],
    "additionalProperties": False,
}


def announcement(kind: str, version: int, schema: object) -> SchemaAnnouncement:
    """What a recorder says of a kind."""
    return SchemaAnnouncement.model_validate_json(
        json.dumps({"kind": kind, "version": version, "schema": schema})
    )


def test_a_core_payload_is_read_by_its_class() -> None:
    """A payload of the core comes back as an instance of its class."""
    value = Validation({}).check("thought", 1, b'{"text":"a"}')

    assert value == Thought(text="a")


@pytest.mark.parametrize("kind", sorted(CORE_KINDS))
@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b'"x"', b'{"no_such_field":1}', b"\xff", b"{}x"]
)
def test_no_core_kind_takes_anything(kind: str, payload: bytes) -> None:
    """No kind of the core takes what is no JSON object with its own fields."""
    with pytest.raises(Invalid, match=kind):
        Validation({}).check(kind, 1, payload)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    ("kind", "template"),
    [
        ("observation", '{"result":%s}'),
        ("observation", '{"result":[1,{"a":%s}]}'),
        ("tool_call", '{"tool":"t","arguments":{"x":%s}}'),
        ("log_line", '{"level":"info","logger":"l","text":"t","fields":{"x":[%s]}}'),
        ("intervention", '{"action":"approve","author":"a","edited_arguments":{"x":%s}}'),
        ("feedback", '{"author":"a","score":%s}'),
        ("model_call", '{"model":"m","sampling":{"temperature":%s}}'),
        ("model_call", '{"model":"m","sampling":{"other":{"x":%s}}}'),
        ("model_reply", '{"message":{"role":"assistant","parts":[{"type":"other","name":"n","value":%s}]}}'),
        (
            "status_change",
            '{"status":"running","start":{"name":"n","metadata":{"model":"m","value":{"x":%s}}}}',
        ),
    ],
)
def test_numbers_that_json_has_no_word_for_do_not_get_in(kind: str, template: str, number: str) -> None:
    """NaN and the infinities are refused at any depth of any kind, and their names in a text are not."""
    validation = Validation({})
    with pytest.raises(Invalid):
        validation.check(kind, 1, (template % number).encode())
    if kind != "feedback" and "temperature" not in template:
        validation.check(kind, 1, (template % json.dumps(number)).encode())


def test_a_kind_nobody_announced_is_refused() -> None:
    """A project's kind is not stored before its schema is known."""
    with pytest.raises(Invalid, match="never announced"):
        Validation({}).check("result", 1, b"{}")


def test_an_announced_kind_is_held_to_its_schema() -> None:
    """What fits the schema passes, what does not is refused with the place."""
    validation = Validation({})
    validation.announce(announcement("result", 2, STRESS))

    assert validation.check("result", 2, b'{"stress":1.5}') is None
    with pytest.raises(Invalid, match="stress"):
        validation.check("result", 2, b'{"stress":"high"}')
    with pytest.raises(Invalid):
        validation.check("result", 2, b'{"stress":NaN}')
    with pytest.raises(Invalid, match="never announced"):
        validation.check("result", 1, b'{"stress":1.5}')


def test_the_schemas_of_the_database_count() -> None:
    """A kind that was announced in an earlier life of the committer is known."""
    validation = Validation({("result", 1): json.dumps(STRESS)})

    assert validation.knows(announcement("result", 1, {}))
    assert validation.check("result", 1, b'{"stress":1}') is None
    with pytest.raises(Invalid):
        validation.check("result", 1, b'{"stress":"high"}')


def test_a_refused_kind_may_be_announced_later() -> None:
    """A step that came before its schema does not spoil those that come after it."""
    validation = Validation({})
    with pytest.raises(Invalid):
        validation.check("result", 1, b'{"stress":1}')
    validation.announce(announcement("result", 1, STRESS))

    assert validation.check("result", 1, b'{"stress":1}') is None


def test_a_newer_version_of_a_core_kind_is_held_to_its_schema() -> None:
    """An older committer takes a newer version of a core kind that a newer recorder has described."""
    validation = Validation({})
    with pytest.raises(Invalid, match="never announced"):
        validation.check("thought", 2, b'{"words":["a"]}')
    schema = {"type": "object", "properties": {"words": {"type": "array"}}, "required": ["words"]}
    validation.announce(announcement("thought", 2, schema))

    assert validation.check("thought", 2, b'{"words":["a"]}') is None
    with pytest.raises(Invalid):
        validation.check("thought", 2, b'{"text":"a"}')


def test_no_announcement_changes_the_core() -> None:
    """A schema that somebody announces for a version of ours does not loosen it."""
    validation = Validation({("thought", 1): "{}"})
    validation.announce(announcement("thought", 1, {}))

    with pytest.raises(Invalid):
        validation.check("thought", 1, b'{"anything":"goes"}')


def test_an_older_version_without_a_way_up_is_refused() -> None:
    """A version of a core kind that never was does not slip in as an unknown payload."""
    with pytest.raises(Invalid, match="no such version"):
        Validation({}).check("thought", 0, b'{"anything":"goes"}')


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://127.0.0.1:1/x"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/missing"},
        {"$schema": "http://127.0.0.1:1/dialect"},
        {"properties": {"a": {"pattern": "("}}},
        {"minimum": "one"},
        {"required": "stress"},
    ],
)
def test_what_is_no_schema_is_refused(schema: JsonObject) -> None:
    """A schema that is none, or that points elsewhere, is refused when it is announced."""
    with pytest.raises(Invalid):
        Validation({}).announce(announcement("result", 1, schema))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"kind":"a","version":1}',
        '{"kind":"a","version":0,"schema":{}}',
        '{"kind":"a","version":65536,"schema":{}}',
        '{"kind":"A","version":1,"schema":{}}',
        '{"kind":"a b","version":1,"schema":{}}',
        '{"kind":"a\\n","version":1,"schema":{}}',
        '{"kind":"","version":1,"schema":{}}',
        '{"kind":"a","version":1,"schema":[]}',
        '{"kind":"a","version":"1","schema":{}}',
        '{"kind":"a","version":1,"schema":{},"more":1}',
    ],
)
def test_an_announcement_is_strict(text: str) -> None:
    """An announcement names a kind as a class would, a version that fits a frame, and a schema."""
    with pytest.raises(ValidationError):
        SchemaAnnouncement.model_validate_json(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_valid_or_invalid(payload: bytes) -> None:
    """Checking any bytes ends in a payload or in Invalid."""
    validation = Validation({("result", 1): json.dumps(STRESS)})
    for kind in ("thought", "observation", "result"):
        try:
            value = validation.check(kind, 1, payload)
        except Invalid:
            continue
        assert value is None or value.kind == kind


def test_a_payload_deeper_than_the_reader_goes_is_refused() -> None:
    """Nesting that no reader could follow again is refused and does not end the committer."""
    validation = Validation({("result", 1): "{}"})
    deep = b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for kind in ("observation", "result"):
        with pytest.raises(Invalid):
            validation.check(kind, 1, deep)


def test_status_changes_are_read_for_the_projection() -> None:
    """The start of an episode comes back typed, for the committer to project."""
    value = Validation({}).check("status_change", 1, b'{"status":"running","start":{"name":"a"}}')

    assert isinstance(value, StatusChange)
    assert value.start is not None
