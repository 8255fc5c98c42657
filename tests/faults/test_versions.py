"""Versions meet on a live system: what a later release writes is stored if it can be, and else left to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.frames import OPEN, Owner, encode_frame, encode_step, thought
from tests.support.rounds import Office, Pen, Place, Shelf, settings, stored_texts

from stepstream.schemas.kinds import Thought
from stepstream.schemas.payload import UnknownPayload, decode_payload
from stepstream.store.sqlite.migration import newest_version

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault

WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}}},
    "required": ["words"],
    "additionalProperties": False,
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_header_with_more_fields_is_read(place: Place) -> None:
    """A segment whose header says more than this release knows is stored like any other."""
    segment = place.segment(release="9.0.0", container="abc", retries=3, fancy=True).steps(3)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts() == ["0", "1", "2"]
    assert shelf.losses() == []


def test_a_newer_payload_that_is_described_is_stored(place: Place) -> None:
    """An older committer holds a newer version of a kind to its announced schema, and keeps it verbatim."""
    payload = b'{"words": ["a",  "\\u00fc"]}'
    segment = place.segment().schema("thought", 2, WORDS)
    segment.step(payload, version=2).step(b'{"words":[1]}', version=2).step(thought("3"))
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    newer = next(step for step in shelf.steps if step.kind == "thought" and step.version == 2)
    assert newer.payload == {"words": ["a", "ü"]}
    found = decode_payload("thought", 2, json.dumps(newer.payload))
    assert isinstance(found, UnknownPayload)
    assert found.raw == {"words": ["a", "ü"]}
    assert shelf.missing(segment.recorder) == {2}
    connection = apsw.Connection(str(place.database), flags=apsw.SQLITE_OPEN_READONLY)
    schema = connection.execute("SELECT json_schema FROM payload_schema WHERE schema_version = 2").get
    stored = connection.execute("SELECT payload FROM step WHERE schema_version = 2").get
    connection.close()
    assert json.loads(schema) == WORDS
    assert stored == payload.decode()


def test_a_newer_payload_that_nobody_described_is_isolated(place: Place) -> None:
    """Without its schema a newer version cannot be checked, and does not get in on trust."""
    segment = place.segment().steps(1).step(b'{"words":["a"]}', version=2).steps(1)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.texts() == ["0", "2"]
    assert shelf.missing(segment.recorder) == {1}


def test_old_and_new_recorders_log_at_once(place: Place) -> None:
    """Recorders of two releases that answer each other are stored in one causal order."""
    old = Pen(place)
    new = place.segment(release="9.0.0", more="fields")
    new.episode = old.episode
    new.state = OPEN
    new.schema("thought", 2, WORDS)
    path = new.write(place.spool)
    from stepstream.spool.clock import SystemClock

    clock = SystemClock()
    with Owner(path) as owner, Office(place) as office:
        for number in range(60):
            old.write(f"{number}")
            before = len(new.frames)
            body = encode_step(json.dumps({"words": [str(number)]}).encode(), version=2, episode=new.episode)
            new.body(body, stamp=clock.stamp())
            owner.write(b"".join(new.frames[before:]))
            if number % 7 == 0:
                office.committer.work()
        old.close()
        owner.die()
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    said = [
        step.text if step.version == 1 else step.payload["words"][0]  # type: ignore[index,call-overload]
        for step in shelf.steps
        if step.kind == "thought"
    ]
    assert said == [str(number) for number in range(60) for _ in range(2)]
    assert shelf.losses() == []


def test_flags_of_a_later_release_are_read_over(place: Place) -> None:
    """Bits that this release does not know, in a frame of its own version, change nothing."""
    segment = place.segment()
    body = bytearray(encode_step(thought("flagged"), episode=segment.episode))
    body[74] = 0xFF
    segment.body(bytes(body)).write(place.spool)
    with Office(place) as office:
        office.settle()

    assert Shelf(place.database).texts() == ["flagged"]


def test_a_newer_frame_waits_for_its_own_release(place: Place) -> None:
    """While nobody can read a newer frame it stays, however often older committers come and go."""
    segment = place.segment().steps(1)
    segment.add(encode_frame(segment.recorder, 1, b"?", version=2), numbers=1).steps(1)
    path = segment.write(place.spool)
    for _ in range(3):
        with Office(place) as office:
            office.until(lambda: "newer" in office.committer.state)
    assert path.read_bytes() == segment.encoded()
    shelf = Shelf(place.database)
    assert shelf.texts() == ["0"]
    assert shelf.losses() == []
    # The release that can read it comes: here, the same frame in a version that we know.
    segment.frames[1] = encode_frame(
        segment.recorder, 1, encode_step(thought("1"), episode=segment.episode), stamp=1_001
    )
    path.write_bytes(segment.encoded())
    with Office(place) as office:
        office.settle()
    assert Shelf(place.database).texts() == ["0", "1", "2"]
    assert Shelf(place.database).losses() == []


def test_others_are_served_beside_a_newer_recorder(place: Place) -> None:
    """Older recorders are stored within seconds, although a newer one's frames make us give way."""
    place.segment().body(b"?", version=2).write(place.spool)
    pen = Pen(place)
    with Office(place) as office:
        office.until(lambda: "newer" in office.committer.state)
        for number in range(3):
            pen.write(str(number))
        office.until(lambda: stored_texts(place.database) == ["0", "1", "2"], within_s=6)
        pen.close()


@pytest.mark.parametrize("server", [False, True])
def test_a_newer_database_is_left_to_its_own_committer(place: Place, server: bool) -> None:
    """An older committer at a newer database keeps every segment, says so, and is in nobody's way."""
    with Office(place) as office:
        office.committer.work()
    connection = apsw.Connection(str(place.database))
    connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    connection.close()
    path = place.segment().steps(2).write(place.spool)
    with Office(place, server=server) as office:
        office.until(lambda: "SchemaTooNew" in office.committer.state)
        assert path.exists()
        with Office(place) as newer:
            assert newer.committer._election.stand(), "the office must be free"


def test_a_future_kind_of_settings_reaches_no_older_committer() -> None:
    """Settings that an older committer process does not know are an error of its start, not of the spool."""
    text = settings().model_dump_json().replace("{", '{"no_such_option":1,', 1)
    with pytest.raises(ValueError, match="no_such_option"):
        type(settings()).model_validate_json(text)


def test_this_release_reads_its_own() -> None:
    """A thought of today is a thought."""
    assert decode_payload("thought", 1, b'{"text":"a"}') == Thought(text="a")
