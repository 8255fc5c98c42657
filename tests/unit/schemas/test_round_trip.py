"""Every kind of payload reads back as it was written: from JSON, from a pickle, and from the store."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.support.payloads import payloads

from stepstream.schemas.core import CORE_KINDS, OPENING_KINDS
from stepstream.schemas.kinds import Observation, Thought
from stepstream.schemas.payload import StepPayload, decode_payload, registered_kinds
from stepstream.store.content import pool
from stepstream.store.validation import Validation

if TYPE_CHECKING:
    from stepstream.schemas.record import Record

kinds = pytest.mark.parametrize("cls", CORE_KINDS.values(), ids=CORE_KINDS)
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@kinds
@few
@given(data=st.data())
def test_every_kind_reads_back(cls: type[StepPayload], data: st.DataObject) -> None:
    """Any payload of any kind equals what its JSON reads as, and the JSON is strict and compact."""
    payload: Record = data.draw(payloads(cls))
    assert isinstance(payload, StepPayload)
    encoded = payload.encoded()

    assert decode_payload(cls.kind, cls.schema_version, encoded) == payload
    assert decode_payload(cls.kind, cls.schema_version, encoded).encoded() == encoded
    json.loads(encoded, parse_constant=pytest.fail)
    assert payload.model_dump_json().encode() == encoded


@kinds
@few
@given(data=st.data())
def test_the_committer_takes_every_kind(cls: type[StepPayload], data: st.DataObject) -> None:
    """Whatever the constructor accepted passes the last check before the store, unchanged."""
    payload = data.draw(payloads(cls))
    assert isinstance(payload, StepPayload)

    assert Validation({}).check(cls.kind, cls.schema_version, payload.encoded()) == payload
    pooled = pool(cls.kind, payload.encoded(), 10**9)
    assert json.loads(pooled.payload) == json.loads(payload.encoded()) or pooled.places is not None


@kinds
@few
@given(data=st.data())
def test_every_kind_can_be_pickled_and_copied(cls: type[StepPayload], data: st.DataObject) -> None:
    """Payloads travel to worker processes and are copied like any value."""
    payload = data.draw(payloads(cls))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(payload, protocol)) == payload
    assert copy.copy(payload) == payload
    assert copy.deepcopy(payload) == payload


@kinds
def test_every_kind_is_described(cls: type[StepPayload]) -> None:
    """Every kind has a JSON schema that takes no field it does not name, and a version."""
    schema = cls.model_json_schema()
    assert schema["additionalProperties"] is False
    assert cls.schema_version >= 1
    assert cls.kind in registered_kinds()


def test_what_opens_is_known() -> None:
    """The kinds that take time are kinds."""
    assert set(CORE_KINDS) >= OPENING_KINDS


def test_encoding_is_remembered() -> None:
    """A payload is written as JSON once, when it is made."""
    thought = Thought(text="a")
    assert thought.encoded() is thought.encoded()


def test_a_copy_with_changes_is_written_anew() -> None:
    """A copy made with an update does not carry the JSON of the original."""
    changed = Thought(text="a").model_copy(update={"text": "b"})
    assert changed.encoded() == b'{"text":"b"}'


def test_what_was_recorded_is_what_was_said_then() -> None:
    """A list that its owner changes afterwards is recorded as it was."""
    result = [1, 2]
    observation = Observation(result=result)
    result.append(3)
    assert observation.encoded() == Observation(result=[1, 2]).encoded()


class Colour(Enum):
    """An enumeration of a project's."""

    RED = "red"


class Point(BaseModel):
    """A model of a project's that is not one of ours."""

    x: float
    at: datetime


class Rich(BaseModel):
    """A foreign model with all that projects put into theirs."""

    points: list[Point]
    by_name: dict[str, Point]
    either: int | str
    pair: tuple[int, str]


def test_a_projects_types_read_back() -> None:
    """Dates, decimals, ids, bytes, sets, enumerations and foreign models come back as they were."""

    class Simulation(StepPayload, kind="test_simulation", version=3):
        when: datetime
        day: date
        took: timedelta
        price: Decimal
        id: UUID
        raw: bytes
        path: Path
        address: IPv4Address
        colour: Colour
        names: frozenset[str]
        rich: Rich
        nothing: None = None

    now = datetime(2026, 11, 22, 9, 30, 1, 123456, tzinfo=UTC)
    point = Point(x=0.1, at=now)
    simulation = Simulation(
        when=now,
        day=now.date(),
        took=timedelta(days=1, microseconds=1),
        price=Decimal("1.10"),
        id=UUID(int=7),
        raw=bytes(range(256)),
        path=Path("/a/ü"),
        address=IPv4Address("127.0.0.1"),
        colour=Colour.RED,
        names=frozenset({"a", "b"}),
        rich=Rich(points=[point], by_name={"a": point}, either="1", pair=(1, "b")),
    )
    found = decode_payload("test_simulation", 3, simulation.encoded())

    assert found == simulation
    assert isinstance(found, Simulation)
    assert isinstance(found.rich.either, str)


@given(
    st.text(),
    st.binary(max_size=50),
    st.datetimes(timezones=st.just(UTC)),
    st.decimals(allow_nan=False, allow_infinity=False),
)
def test_any_value_of_a_projects_types_reads_back(
    text: str, raw: bytes, when: datetime, price: Decimal
) -> None:
    """Any text, bytes, time and decimal of a project's kind comes back exactly."""

    class Sample(StepPayload, kind="test_sample"):
        text: str
        raw: bytes
        when: datetime
        price: Decimal

    sample = Sample(text=text, raw=raw, when=when, price=price)
    assert decode_payload("test_sample", 1, sample.encoded()) == sample
