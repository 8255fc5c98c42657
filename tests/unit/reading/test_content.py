"""Pooled values: whatever the store takes out of a payload, reading puts back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from tests.support.history_builder import HistoryBuilder

from stepstream.errors import Corrupt
from stepstream.reading.content import ContentDamaged, ContentPool
from stepstream.reading.history import History
from stepstream.schemas.kinds import Thought
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart, ToolDefinition
from stepstream.schemas.record import JsonValue
from stepstream.store.content import pool

OpenHistory = Callable[[], History]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def pool_of(
    rows: list[tuple[bytes, bytes | None, bytes | None, str | None]], bytes_max: int = 1 << 20
) -> ContentPool:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE content (hash BLOB PRIMARY KEY, previous BLOB, target BLOB, body TEXT)")
    connection.executemany("INSERT INTO content VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
    return ContentPool(lambda sql, arguments: connection.execute(sql, arguments).fetchall(), bytes_max)


@given(
    kind=st.sampled_from(["model_call", "status_change", "thought"]),
    payload=st.fixed_dictionaries(
        {},
        optional={
            "messages": st.lists(values, max_size=6),
            "tools": values,
            "start": st.dictionaries(st.sampled_from(["code_version", "name"]), values, max_size=2),
            "text": st.text(max_size=40),
        },
    ),
    bytes_max=st.sampled_from([0, 500, 1 << 20]),
)
def test_what_was_taken_out_is_put_back(kind: str, payload: dict[str, JsonValue], bytes_max: int) -> None:
    """Every payload comes back equal, however little is remembered between look-ups."""
    text = to_json(payload)
    pooled = pool(kind, text, 16)
    content = pool_of(list(pooled.rows), bytes_max)

    for _ in range(2):
        whole = (
            pooled.payload.decode()
            if pooled.places is None
            else content.fill(pooled.payload.decode(), pooled.places)
        )
        assert from_json(whole) == from_json(text)


def test_a_loop_that_resends_its_history_is_read_with_few_look_ups() -> None:
    """Each call of a growing conversation costs the look-ups of its new messages only."""
    rows: dict[bytes, tuple[bytes, bytes | None, bytes | None, str | None]] = {}
    calls = []
    for length in range(1, 40):
        messages: list[JsonValue] = [
            {"n": number, "text": "x" * (30 * (number % 2))} for number in range(length)
        ]
        pooled = pool("model_call", to_json({"messages": messages}), 24)
        rows |= {row.hash: tuple(row) for row in pooled.rows}
        calls.append((pooled, messages))
    content = pool_of(list(rows.values()))
    select, asked = content._select, []
    content._select = lambda sql, arguments: asked.append(sql) or select(sql, arguments)

    for pooled, messages in calls:
        assert from_json(content.fill(pooled.payload.decode(), pooled.places or "")) == {"messages": messages}

    assert len(asked) == len(calls)


def test_a_long_conversation_is_read_at_one_go() -> None:
    """A conversation met for the first time takes a handful of queries, not one a message."""
    messages: list[JsonValue] = [{"n": number} for number in range(500)]
    pooled = pool("model_call", to_json({"messages": messages}), 24)
    content = pool_of(list(pooled.rows))
    select, asked = content._select, []
    content._select = lambda sql, arguments: asked.append(sql) or select(sql, arguments)

    assert from_json(content.fill(pooled.payload.decode(), pooled.places or "")) == {"messages": messages}
    assert len(asked) <= 5


@pytest.mark.parametrize(
    ("pooled", "reason"),
    [
        ('[[["text"],"00","text"]]', "content 00 is missing"),
        ('[[["text"],"00","chain"]]', "content 00 is missing"),
        ('[[["text"],"aa","json"]]', "content aa is not JSON"),
        ('[[["text"],"bb","text"]]', "content bb is missing"),
        ('[[["text"],"aa","video"]]', "kind 'video' are unknown"),
        ('[[["no","where"],"aa","text"]]', "does not fit the payload"),
        ('[[["other"],"aa","text"]]', "has a value of its own"),
        ('[[["text",3],"aa","text"]]', "does not fit the payload"),
        ("[[", "does not fit the payload"),
        ("7", "does not fit the payload"),
    ],
)
def test_damaged_content_is_told(pooled: str, reason: str) -> None:
    """A value that is missing or is not what the row says is a finding with its name."""
    content = pool_of([(b"\xaa", None, None, "not json"), (b"\xbb", None, b"\xcc", None)])

    with pytest.raises(ContentDamaged, match=reason):
        content.fill('{"text":null,"other":1}', pooled)


def test_a_ring_of_messages_ends() -> None:
    """A conversation that damage has bent into a ring is a finding, not an endless loop."""
    content = pool_of([(b"\xaa", b"\xbb", None, "1"), (b"\xbb", b"\xaa", None, "2")])

    with pytest.raises(ContentDamaged, match="does not begin"):
        content.fill('{"messages":null}', '[[["messages"],"aa","chain"]]')


def test_missing_content_names_its_step(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Reading a step whose text is gone names the step, and a filter over it says that it is damage."""
    episode = builder.episode()
    episode.log(Thought(text="x" * 5000))
    history = open_history()
    _forget_content(builder.path)

    with pytest.raises(Corrupt, match=rf"step 1 of episode {episode.id}.*content [0-9a-f]{{32}} is missing"):
        history.steps()
    with pytest.raises(Corrupt, match=r"content [0-9a-f]{32} is missing"):
        history.steps(filter="anything")


def _forget_content(path: Path) -> None:
    with apsw.Connection(str(path)) as connection:
        connection.execute("DELETE FROM content")


def test_a_model_call_is_whole_again(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Messages and tools that are stored once come back in every call that used them."""
    part = TextPart(text="Design a bracket. " * 100)
    call = ModelCall(
        model="m",
        messages=(
            ChatMessage(role=ChatRole.USER, parts=(part,)),
            ChatMessage(role=ChatRole.ASSISTANT, parts=()),
        ),
        tools=tuple(
            ToolDefinition(name=f"tool_{number}", parameters={"x": "y" * 50}) for number in range(40)
        ),
    )
    episode = builder.episode()
    episode.log(call)
    episode.log(call)

    assert [step.payload for step in open_history().steps(kind="model_call")] == [call, call]
