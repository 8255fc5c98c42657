"""Nothing gets into the store around the schemas: what does not fit is kept aside and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.frames import DELTA, SCHEMA, encode_step, new_id, thought
from tests.support.rounds import Office, Place, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.frames import HandSegment

pytestmark = pytest.mark.fault


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def check(shelf: Shelf, segment: HandSegment, lost: Iterable[int], *, count: int = 5) -> None:
    """Everything but ``lost`` is stored, once and in order, and exactly ``lost`` is named."""
    lost = set(lost)
    assert shelf.texts(segment.recorder) == [str(number) for number in range(count) if number not in lost]
    assert shelf.missing(segment.recorder) == lost


REFUSED = {
    "no UTF-8": b'{"text":"\xff\xfe"}',
    "no JSON": b'{"text":',
    "nothing": b"",
    "a list": b"[1]",
    "wrong type": b'{"text":1}',
    "unknown field": b'{"text":"a","colour":"red"}',
    "missing field": b"{}",
    "lone surrogate": rb'{"text":"\ud800"}',
    "not a number": b'{"text":NaN}',
    "trailing bytes": b'{"text":"a"} x',
    "deeper than any reader goes": b'{"text":' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_payload_that_does_not_fit_is_isolated(place: Place, name: str) -> None:
    """A step whose payload does not fit its kind is kept aside and named; all others are stored."""
    segment = place.segment().steps(2).step(REFUSED[name]).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {2})
    (loss,) = shelf.losses(segment.recorder)
    assert (loss.reason, loss.first, loss.last) == ("invalid", 2, 2)
    (kept,) = place.damaged()
    assert loss.kept_as == f"damaged/{kept.name}"
    assert REFUSED[name] in kept.read_bytes()


@pytest.mark.parametrize(
    ("kind", "version", "payload"),
    [
        (b"observation", 1, b'{"result":NaN}'),
        (b"observation", 1, b'{"result":{"a":[1,{"b":-Infinity}]}}'),
        (b"tool_call", 1, b'{"text":"a thought"}'),
        (b"no_such_kind", 1, b"{}"),
        (b"thought", 0, b'{"anything":"goes"}'),
        (b"thought", 2, b'{"text":"never announced"}'),
        (b"", 1, b"{}"),
        (b"\xff\xfe", 1, b"{}"),
        (b"Thought", 1, b'{"text":"capital"}'),
    ],
)
def test_a_kind_and_payload_that_do_not_belong_together_are_isolated(
    place: Place, kind: bytes, version: int, payload: bytes
) -> None:
    """A payload of another kind, of no kind, or of a version that nobody announced does not get in."""
    segment = place.segment().steps(2).step(payload, kind=kind, version=version).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {2})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"short",
        bytes(79),
        encode_step(b"{}", episode=new_id())[:-3],
        encode_step(thought("x"), episode=new_id(), kind=b"k" * 255)[:100],
        encode_step(thought("x"), episode=new_id(), agent=b"\xff\xfe"),
    ],
    ids=["empty", "short", "no envelope", "no payload", "names run past the end", "agent is no UTF-8"],
)
def test_an_envelope_that_cannot_be_read_is_isolated(place: Place, body: bytes) -> None:
    """A frame whose envelope cannot be read is kept aside and named."""
    segment = place.segment().steps(2).body(body).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {2})


def test_a_step_id_that_is_taken_is_isolated(place: Place) -> None:
    """A step with the id of another one is set aside, in the same batch and in a later one."""
    taken = new_id()
    first = place.segment().steps(1).step(thought("1"), step=taken).step(step=taken).steps(1)
    first.write(place.spool)
    second = place.segment().steps(1).step(step=taken).steps(1)
    with Office(place) as office:
        office.settle()
        second.write(place.spool)
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, first, {2}, count=4)
    check(shelf, second, {1}, count=3)


def test_many_refused_steps_do_not_stop_the_others(place: Place) -> None:
    """Fifty poisoned steps among five hundred of three recorders cost themselves and nothing else."""
    taken = new_id()
    segments = [place.segment() for _ in range(3)]
    for number in range(500):
        for segment in segments:
            if number % 10 == 3:
                segment.step(step=taken, stamp=1_000 + number)
            else:
                segment.step(stamp=1_000 + number)
    for segment in segments:
        segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    stored = [set(map(int, shelf.texts(segment.recorder))) for segment in segments]
    missing = [shelf.missing(segment.recorder) for segment in segments]
    assert sum(map(len, missing)) == 3 * 50 - 1
    for has, lacks in zip(stored, missing, strict=True):
        assert has | lacks == set(range(500))
        assert not has & lacks


def test_an_unknown_kind_of_frame_is_told(place: Place) -> None:
    """A frame of a kind that this release does not know is set aside and named, not dropped in silence."""
    segment = place.segment().steps(2).body(b"what is this", kind=77).steps(2)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    check(shelf, segment, {2})


def test_a_delta_is_no_step(place: Place) -> None:
    """A frame of streamed tokens is never stored, and its number is not called lost."""
    segment = place.segment().steps(2).body(b"tok", kind=DELTA).step(thought("3"))
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.texts(segment.recorder) == ["0", "1", "3"]
    assert shelf.losses() == []


# --------------------------------------------------------------------------------------------------- schemas


SCHEMAS = {
    "no JSON": b"{",
    "a list": b"[]",
    "no schema": b'{"kind":"result","version":1}',
    "a schema that is none": b'{"kind":"result","version":1,"schema":{"type":"no such type"}}',
    "a remote address": b'{"kind":"result","version":1,"schema":{"$ref":"http://127.0.0.1:1/schema.json"}}',
    "a remote dialect": b'{"kind":"result","version":1,"schema":{"$schema":"http://127.0.0.1:1/dialect"}}',
    "a file": b'{"kind":"result","version":1,"schema":{"$ref":"file:///etc/passwd"}}',
    "a version of text": b'{"kind":"result","version":"1","schema":{}}',
    "a version beyond SQLite": b'{"kind":"result","version":99999999999999999999,"schema":{}}',
    "a kind of nothing": b'{"kind":"","version":1,"schema":{}}',
    "an unknown field": b'{"kind":"result","version":1,"schema":{},"more":1}',
    "a broken expression": b'{"kind":"result","version":1,"schema":{"properties":{"a":{"pattern":"("}}}}',
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_is_none_is_isolated(place: Place, name: str) -> None:
    """A schema frame that is no JSON schema, or refers elsewhere, is set aside together with its steps."""
    segment = place.segment().steps(1).body(SCHEMAS[name], kind=SCHEMA)
    segment.step(b'{"a":"b"}', kind=b"result").steps(1)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    check(shelf, segment, {1, 2}, count=4)


def test_a_project_kind_is_held_to_its_schema(place: Place) -> None:
    """Steps of a project's own kind are stored if they fit the announced schema, and else isolated."""
    schema = {
        "type": "object",
        "properties": {"stress": {"type": "number"}},
        "required": ["stress"],
        "additionalProperties": False,
    }
    segment = place.segment().schema("result", 3, schema)
    for payload in (b'{"stress":1.5}', b'{"stress":"high"}', b'{"stress":NaN}', b'{"stress":1,"x":2}', b"3"):
        segment.step(payload, kind=b"result", version=3)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert [step.payload for step in shelf.steps if step.kind == "result"] == [{"stress": 1.5}]
    assert shelf.missing(segment.recorder) == {2, 3, 4, 5}


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"$dynamicRef": "#a", "$dynamicAnchor": "a"}],
    ids=["itself", "all of itself", "dynamically itself"],
)
def test_a_schema_that_turns_in_circles_stops_nobody(place: Place, schema: object) -> None:
    """A schema that refers to itself without end costs its own steps at most, never the committer."""
    segment = place.segment().schema("result", 1, schema).step(b'{"a":1}', kind=b"result").step()
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts(segment.recorder) == ["2"]
