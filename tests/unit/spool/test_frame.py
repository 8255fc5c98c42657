"""Frames: what is written reads back, what is damaged never does, and nothing makes the scan stumble."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import frames as by_hand

from stepstream.spool.frame import (
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Damage,
    Frame,
    FrameKind,
    NewerFrame,
    StepEnvelope,
    Torn,
    decode_step,
    encode_header,
    encode_step,
    frame_seed,
    is_torn,
    scan,
    seal_body,
)

RECORDER = bytes(range(16))
SEED = frame_seed(RECORDER)
NO_ID = bytes(16)

bodies = st.lists(st.binary(max_size=300), max_size=8)
ids = st.binary(min_size=16, max_size=16)
names = st.text(max_size=20)


def encode(body: bytes, number: int = 0, kind: int = 1) -> bytes:
    """A frame as the recorder writes it."""
    head = encode_header(kind, len(body), seal_body(body, SEED), number, 1_000 + number, by_hand.WALL, SEED)
    return head + body


def written(contents: list[bytes]) -> bytes:
    """Frames one behind another."""
    return b"".join(encode(body, number) for number, body in enumerate(contents))


def read(found: list[Frame]) -> list[bytes]:
    """The bodies of frames."""
    return [frame[4] for frame in found]


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1), st.sampled_from(FrameKind))
def test_the_format_is_what_its_description_says(body: bytes, number: int, kind: FrameKind) -> None:
    """A frame written from the description of the format is the same, byte for byte."""
    stamp = number // 2
    head = encode_header(kind, len(body), seal_body(body, SEED), number, stamp, by_hand.WALL, SEED)

    assert head + body == by_hand.encode_frame(RECORDER, number, body, kind=kind, stamp=stamp)


def test_the_magic_never_stands_in_text() -> None:
    """Every byte of the magic's edges is one that UTF-8 never has, so that payloads are skipped fast."""
    with pytest.raises(UnicodeDecodeError):
        MAGIC[:1].decode()
    with pytest.raises(UnicodeDecodeError):
        MAGIC[-1:].decode()


@given(bodies)
def test_frames_read_back(contents: list[bytes]) -> None:
    """What is written reads back in order, with numbers, stamps and offsets."""
    data = written(contents)
    found, stop = scan(data, SEED, 4096)

    assert stop is None
    assert read(found) == contents
    assert [(frame[0], frame[1], frame[2], frame[3]) for frame in found] == [
        (1_000 + number, number, 1, by_hand.WALL) for number in range(len(contents))
    ]
    assert ([frame[5] for frame in found] or [4096])[-1] == 4096 + len(data)


@given(bodies, st.data())
def test_a_cut_file_reads_up_to_the_cut(contents: list[bytes], data: st.DataObject) -> None:
    """A file that ends anywhere reads up to its last whole frame, and the rest counts as torn."""
    whole = written(contents)
    cut = data.draw(st.integers(0, len(whole)))
    found, stop = scan(whole[:cut], SEED, 0)

    count = len(found)
    assert read(found) == contents[:count]
    end = found[-1][5] if found else 0
    assert stop == (None if end == cut else Torn(end))
    if end < cut:
        assert is_torn(whole[end:cut], SEED)


@given(bodies, st.data())
def test_no_flip_goes_unnoticed(contents: list[bytes], data: st.DataObject) -> None:
    """With one bit the other way, every frame that is read is one that was written."""
    whole = bytearray(written([*contents, b"last"]))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    found, stop = scan(bytes(whole), SEED, 0)

    assert read(found) == [*contents, b"last"][: len(found)]
    assert isinstance(stop, Torn | Damage)
    assert stop[0] == (found[-1][5] if found else 0)
    if isinstance(stop, Damage):
        rest, _ = scan(bytes(whole)[stop.end :], SEED, stop.end)
        assert read(rest) == [*contents, b"last"][len(found) + 1 :]


@given(st.binary(max_size=600), bodies)
def test_garbage_never_stops_the_scan(garbage: bytes, contents: list[bytes]) -> None:
    """Behind any garbage the next sound frames are found."""
    data = garbage + written([*contents, b"last"])
    position, found = 0, []
    for _ in range(len(data) + 1):
        frames, stop = scan(data[position:], SEED, position)
        found += read(frames)
        if stop is None:
            break
        assert isinstance(stop, Damage), "there is a sound frame at the end"
        position = stop.end

    assert found == [*contents, b"last"]


@given(st.binary(max_size=400))
def test_any_bytes_can_be_scanned(data: bytes) -> None:
    """Whatever the bytes are, the scan ends and finds no frame in them."""
    found, stop = scan(data, SEED, 0)

    assert found == []
    assert stop == (Torn(0) if data else None)


def test_a_frame_inside_a_body_is_no_frame() -> None:
    """A body that holds a whole sound frame of the same recorder is one frame, not two."""
    inner = encode(b"inner", 7)
    found, stop = scan(written([inner, b"next"]), SEED, 0)

    assert read(found) == [inner, b"next"]
    assert stop is None


def test_a_frame_of_another_recorder_is_damage() -> None:
    """The recorder's id is part of both checksums."""
    foreign = by_hand.encode_frame(bytes(16), 0, b"foreign")
    found, stop = scan(foreign + encode(b"ours"), SEED, 0)

    assert found == []
    assert stop == Damage(0, len(foreign))


def test_a_newer_frame_is_told_apart_from_damage() -> None:
    """A sound header of a later version stops the scan without judging the body."""
    newer = by_hand.encode_frame(RECORDER, 1, b"x", version=VERSION + 1, length=10_000)
    first = encode(b"first")
    found, stop = scan(first + newer, SEED, 100)

    assert read(found) == [b"first"]
    assert stop == NewerFrame(100 + len(first), VERSION + 1)


@pytest.mark.parametrize(
    ("data", "torn"),
    [
        (b"", True),
        (encode(b"body")[:1], True),
        (encode(b"body")[:3], True),
        (encode(b"body")[:HEADER_BYTES], True),
        (encode(b"body")[:-1], True),
        (encode(b"body"), False),
        (bytes(3), False),
        (bytes(500), False),
        (b"\xff" + encode(b"body")[1:], False),
        (encode(b"body")[:8] + bytes(60), False),
    ],
)
def test_a_torn_frame_is_the_beginning_of_a_sound_one(data: bytes, torn: bool) -> None:
    """Only the beginning of one frame counts as torn; whole, damaged and empty bytes do not."""
    assert is_torn(data, SEED) is torn


@given(
    st.builds(
        StepEnvelope,
        id=ids,
        episode_id=ids,
        parent_id=st.none() | ids.filter(any),
        closes=st.none() | ids.filter(any),
        occurred_at=st.none() | st.integers(1, 2**63 - 1),
        schema_version=st.integers(0, 65_535),
        kind=st.text(max_size=60).filter(lambda name: len(name.encode()) < 256),
        agent=st.none() | names.filter(bool),
        role=st.none() | names.filter(bool),
        payload=st.binary(max_size=200),
    )
)
def test_a_step_reads_back(step: StepEnvelope) -> None:
    """Everything that an envelope says reads back, and what it does not say reads back as None."""
    body = encode_step(
        step.id,
        step.episode_id,
        step.parent_id or NO_ID,
        step.closes or NO_ID,
        step.occurred_at or 0,
        step.schema_version,
        0,
        step.kind.encode(),
        (step.agent or "").encode(),
        (step.role or "").encode(),
        step.payload,
    )

    assert decode_step(body) == step


@pytest.mark.parametrize(
    "body", [b"", bytes(79), by_hand.encode_step(b"", kind=b"k" * 200, episode=NO_ID)[:200]]
)
def test_a_body_shorter_than_it_says_is_refused(body: bytes) -> None:
    """A body that ends before its names do is an error, not a shorter name."""
    with pytest.raises(ValueError, match=r"shorter than its envelope|run past its end"):
        decode_step(body)


def test_names_that_are_no_text_are_refused() -> None:
    """A kind, agent or role that is not UTF-8 is an error."""
    with pytest.raises(UnicodeDecodeError):
        decode_step(by_hand.encode_step(b"{}", episode=NO_ID, agent=b"\xff"))
