"""The content pool: what goes in comes out exactly, and a conversation that is resent is stored once."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from tests.support.rounds import Office, Place, Shelf, settings

from stepstream import History
from stepstream.reading.content import ContentDamaged, ContentPool
from stepstream.schemas.kinds import Observation
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart
from stepstream.store.content import content_hash, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.store.batch import ContentRow
    from stepstream.store.content import Pooled

LARGE = 64

texts = st.text(max_size=12) | st.text(min_size=LARGE, max_size=200)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=5)
messages = st.lists(
    st.dictionaries(st.sampled_from(["role", "parts", "name"]), values, max_size=3), max_size=6
)
kinds = st.sampled_from(["thought", "model_call", "status_change", "observation"])


class Table:
    """The table of contents as SQLite keeps it: the first row of a hash stays."""

    def __init__(self) -> None:
        self.rows: dict[bytes, ContentRow] = {}

    def add(self, pooled: Pooled) -> None:
        """Insert what a batch inserts: its rows by hash, then nothing over what is there."""
        batch = {row.hash: row for row in pooled.rows}
        for key, row in batch.items():
            self.rows.setdefault(key, row)

    def select(self, _sql: str, arguments: Sequence[object]) -> list[tuple[object, ...]]:
        """The reader's question: a row, with the body of its target where it has none."""
        row = self.rows.get(arguments[0])  # type: ignore[call-overload]
        if row is None:
            return []
        body = row.body
        if body is None and row.target in self.rows:
            body = self.rows[row.target].body
        return [(row.hash, row.previous, body)]

    def read(self, pooled: Pooled) -> object:
        """The payload with everything back in its place."""
        if pooled.places is None:
            return from_json(pooled.payload)
        whole = ContentPool(self.select).fill(pooled.payload.decode(), pooled.places)  # type: ignore[arg-type]
        return from_json(whole)

    @property
    def size(self) -> int:
        """Bytes that the table takes, roughly."""
        return sum(len(row.body or "") + 48 for row in self.rows.values())


def encode(value: object) -> bytes:
    """JSON as the SDK writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(kinds, objects)
def test_any_payload_comes_back_exactly(kind: str, value: dict[str, object]) -> None:
    """Whatever JSON a payload is, taking values out and putting them back changes nothing."""
    table = Table()
    pooled = pool(kind, encode(value), LARGE)
    table.add(pooled)

    found = table.read(pooled)
    assert found == value
    assert json.dumps(found) == json.dumps(value), "1 and 1.0 are told apart, and so are 0 and -0.0"


@given(messages, objects, st.lists(st.integers(0, 5), max_size=4))
def test_any_conversation_comes_back_exactly(
    conversation: list[dict[str, object]], rest: dict[str, object], cuts: list[int]
) -> None:
    """Beginnings of a conversation that share rows of one table all come back exactly."""
    table = Table()
    calls = [{**rest, "messages": conversation[:cut]} for cut in cuts] + [{**rest, "messages": conversation}]
    pooled = [pool("model_call", encode(call), LARGE) for call in calls]
    for each in pooled:
        table.add(each)

    assert [table.read(each) for each in pooled] == calls


@pytest.mark.parametrize("length", [1, 63, 64, 65, 1023, 1024, 5_000])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_long_first_message_is_kept(length: int, count: int) -> None:
    """A conversation that begins with a long message, such as a system prompt, keeps its text."""
    conversation = [{"role": "system", "parts": [{"type": "text", "text": "S" * length}]}]
    conversation += [
        {"role": "user", "parts": [{"type": "text", "text": f"{n}" * length}]} for n in range(count - 1)
    ]
    table = Table()
    pooled = pool("model_call", encode({"model": "m", "messages": conversation}), LARGE)
    table.add(pooled)

    assert table.read(pooled) == {"model": "m", "messages": conversation}


def test_the_same_message_first_and_later_keeps_both_places() -> None:
    """A message that opens one conversation and stands inside another is the same text in two places."""
    message = {"role": "user", "parts": "x" * 200}
    calls = [
        {"messages": [message]},
        {"messages": [{"role": "system"}, message, message]},
        {"note": encode(message).decode()},
    ]
    for order in (calls, calls[::-1]):
        table = Table()
        pooled = [pool("model_call", encode(call), LARGE) for call in order]
        for each in pooled:
            table.add(each)
        assert [table.read(each) for each in pooled] == order


def turn(number: int) -> dict[str, object]:
    """One message of a long conversation."""
    return {"role": "user", "parts": [{"type": "text", "text": f"turn {number} " + "x" * 400}]}


def test_a_conversation_that_is_resent_grows_linearly() -> None:
    """Two hundred calls that each resend all that was said before take the room of one conversation."""
    table = Table()
    conversation: list[dict[str, object]] = [{"role": "system", "parts": "You are " + "x" * 2_000}]
    sizes, payloads, calls = [], 0, []
    for number in range(200):
        conversation.append(turn(number))
        call = {"model": "m", "messages": list(conversation)}
        pooled = pool("model_call", encode(call), 1024)
        table.add(pooled)
        payloads += len(pooled.payload) + len(pooled.places or "")
        sizes.append(table.size + payloads)
        calls.append((call, pooled))

    plain = sum(len(encode(call)) for call, _ in calls)
    assert sizes[-1] < 1.3 * (len(encode(conversation)) + 200 * 250)
    assert sizes[-1] < plain / 25
    first_half, second_half = sizes[99] - sizes[0], sizes[199] - sizes[100]
    assert second_half < 1.1 * first_half, "it grows by what is new"
    for call, pooled in calls[::37]:
        assert table.read(pooled) == call


def test_short_texts_stay_where_they_are() -> None:
    """A payload without anything large is stored byte for byte."""
    payload = b'{"text" : "short",  "n":1.50}'
    pooled = pool("thought", payload, LARGE)

    assert pooled == (payload, None, [])


def test_length_is_counted_in_bytes() -> None:
    """A text of few characters that are long in UTF-8 is large."""
    assert pool("thought", encode({"text": "😀" * 16}), LARGE).rows
    assert not pool("thought", encode({"text": "x" * 63}), LARGE).rows


def test_the_same_text_is_kept_once_wherever_it_stands() -> None:
    """A text that stands in many places has one row."""
    text = "the same " * 20
    pooled = pool("observation", encode({"result": [text, {"a": text}], "note": text}), LARGE)

    assert len({row.hash for row in pooled.rows}) == 1
    assert to_json({"result": [None, {"a": None}], "note": None}) == pooled.payload


def test_a_hash_covers_what_stood_before() -> None:
    """The same message behind two different ones has two hashes; a bare text has its own."""
    body = b"a message"

    assert len({content_hash(body), content_hash(body, b"x" * 16), content_hash(body, b"y" * 16)}) == 3


def test_deep_nesting_is_left_alone() -> None:
    """Texts below sixty-four levels stay where they are and come back all the same."""
    value: object = "x" * 500
    for _ in range(100):
        value = [value]
    table = Table()
    pooled = pool("observation", encode({"result": value}), LARGE)
    table.add(pooled)

    assert table.read(pooled) == {"result": value}


def test_a_missing_row_is_told() -> None:
    """A payload whose text is not there any more is damaged, not shorter."""
    pooled = pool("thought", encode({"text": "x" * 100}), LARGE)

    with pytest.raises(ContentDamaged, match="is missing"):
        Table().read(pooled)


def random_json(randomness: random.Random, depth: int = 0) -> object:  # noqa: PLR0911 - one a kind of value
    """Any JSON value, with long and strange texts among it."""
    match randomness.randrange(9 if depth < 4 else 6):
        case 0:
            return randomness.choice([None, True, False, 0, -0.0, 1.0, 1, 1e300, -(10**30), 5e-324])
        case 1:
            return randomness.choice(
                ["", "\0", "a\0b" * 60, "\ufffd", "\U0010ffff" * 30, '"\\\n\x7f\u2028', "ü" * 40]
            )
        case 2 | 3:
            return "".join(chr(randomness.randrange(32, 0xD7FF)) for _ in range(randomness.randrange(120)))
        case 4:
            return randomness.uniform(-1e9, 1e9)
        case 5:
            return randomness.randrange(-(2**63), 2**63)
        case 6 | 7:
            names = (str(random_json(randomness, 9))[:40] for _ in range(randomness.randrange(5)))
            return {name: random_json(randomness, depth + 1) for name in names}
        case _:
            return [random_json(randomness, depth + 1) for _ in range(randomness.randrange(5))]


def test_any_json_survives_the_whole_way(place: Place) -> None:
    """Four hundred random values, logged, committed, pooled and read back, are what they were."""
    randomness = random.Random(7)
    values = [random_json(randomness) for _ in range(400)]
    segment = place.segment()
    for value in values:
        segment.step(Observation(result=value).encoded(), kind=b"observation")  # type: ignore[arg-type]
    segment.write(place.spool)
    with Office(place, settings(pool_bytes_min=64)) as office:
        office.settle()

    assert Shelf(place.database).losses() == []
    with History.open(place.database) as history:
        found = [step.payload for step in history.steps(kind="observation", limit=1_000)]
    assert [observation.result for observation in found] == values  # type: ignore[attr-defined]
    assert json.dumps([observation.result for observation in found]) == json.dumps(values)  # type: ignore[attr-defined]


def test_a_resent_conversation_takes_the_room_of_one_on_disk(place: Place) -> None:
    """Two hundred model calls that resend their history are stored, read back whole, and stay small."""
    segment = place.segment()
    conversation: list[ChatMessage] = []
    calls = []
    for number in range(200):
        text = f"turn {number}: " + "lorem ipsum dolor sit amet " * (100 if number == 0 else 20)
        conversation.append(ChatMessage(role=ChatRole.USER, parts=(TextPart(text=text),)))
        calls.append(ModelCall(model="m", messages=tuple(conversation)))
        segment.step(calls[-1].encoded(), kind=b"model_call")
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()

    assert place.database.stat().st_size < sum(len(call.encoded()) for call in calls) / 15
    with History.open(place.database) as history:
        found = [step.payload for step in history.steps(kind="model_call", limit=1_000)]
    assert found == calls
