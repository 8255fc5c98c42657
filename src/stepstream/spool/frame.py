"""The frame: how one record stands in a segment, so that damage is local and visible.

Layout, little-endian::

    magic 4 | version 1 | kind 1 | flags 2 | body length 4 | body checksum 4 |
    number 8 | stamp 8 | wall 8 | header checksum 4 | body

``number`` counts a recorder's frames from 0; ``stamp`` is CLOCK_MONOTONIC and ``wall`` the time of day, both
in ns and taken inside the write lock, so that neither runs backwards in a file. Both checksums are CRC-32
seeded with the recorder's id, so that a stale block of another file never validates.
The magic starts with a byte that never occurs in UTF-8, so that searching for it skips payloads.

Knows bytes. Must not know files, payloads or databases. Every later release reads what this one writes.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from stepstream.schemas.identity import NO_ID

MAGIC = b"\xf5Ss\xfe"
VERSION = 1

HEADER = Struct("<4sBBHIIQQq")
CHECKSUM = Struct("<I")
HEADER_BYTES = HEADER.size + CHECKSUM.size

BODY_BYTES_MAX = 65 * 1024 * 1024

ENVELOPE = Struct("<16s16s16s16sqHBBHH")


class FrameKind(IntEnum):
    """What a frame carries."""

    STEP = 1
    SCHEMA = 2
    DELTA = 3


Frame = tuple[int, int, int, int, bytes, int]
"""Stamp, number, kind, wall time, body and the offset behind it; plain, as there are 100,000 a second."""


class Torn(NamedTuple):
    """The bytes end inside a frame: it is being written, or its writer died."""

    offset: int


class Damage(NamedTuple):
    """Bytes that are no frame, up to the next one that is."""

    start: int
    end: int


class NewerFrame(NamedTuple):
    """A frame of a version this release does not read; it must be left in place."""

    offset: int
    version: int


def seal_body(body: bytes, seed: int) -> int:
    """The checksum of a body."""
    return crc32(body, seed)


def encode_header(  # noqa: PLR0917 - called for every step
    kind: int, body_bytes: int, body_checksum: int, number: int, stamp: int, wall: int, seed: int
) -> bytes:
    """The header of a frame."""
    head = HEADER.pack(MAGIC, VERSION, kind, 0, body_bytes, body_checksum, number, stamp, wall)
    return head + CHECKSUM.pack(crc32(head, seed))


def frame_seed(recorder_id: bytes) -> int:
    """The seed of a recorder's checksums."""
    return crc32(recorder_id)


def scan(data: bytes, seed: int, base: int) -> tuple[list[Frame], Torn | Damage | NewerFrame | None]:
    """Read frames until the data ends or something else stands there.

    Args:
        data: Bytes of a segment.
        seed: The recorder's.
        base: Where in the segment the bytes begin; offsets in the result count from the segment's beginning.

    Returns:
        The frames in order, and what stopped the scan: None at a clean end.
    """
    frames: list[Frame] = []
    append = frames.append
    unpack, check = HEADER.unpack_from, CHECKSUM.unpack_from
    head_bytes = HEADER.size
    offset, size = 0, len(data)
    while offset + HEADER_BYTES <= size:
        magic, version, kind, _flags, length, checksum, number, stamp, wall = unpack(data, offset)
        start = offset + HEADER_BYTES
        if magic != MAGIC or crc32(data[offset : offset + head_bytes], seed) != check(data, start - 4)[0]:
            return frames, _resynchronise(data, seed, offset, base)
        if version > VERSION:
            return frames, NewerFrame(base + offset, version)
        end = start + length
        body = data[start:end]
        if end > size or crc32(body, seed) != checksum:
            return frames, _resynchronise(data, seed, offset, base)
        append((stamp, number, kind, wall, body, base + end))
        offset = end
    if offset == size:
        return frames, None
    return frames, _resynchronise(data, seed, offset, base)


def is_torn(data: bytes, seed: int) -> bool:
    """Whether the bytes are the beginning of one frame whose writer died, and nothing else."""
    if len(data) < HEADER_BYTES:
        return data[:4] == MAGIC[: len(data)]
    head = data[: HEADER.size]
    magic, _, _, _, length, _, _, _, _ = HEADER.unpack(head)
    sound = magic == MAGIC and crc32(head, seed) == CHECKSUM.unpack_from(data, HEADER.size)[0]
    return bool(sound and HEADER_BYTES + length > len(data))


def _resynchronise(data: bytes, seed: int, offset: int, base: int) -> Torn | Damage:
    """Tell a frame that is still being written from damage with something valid behind it."""
    position = offset
    while True:
        position = data.find(MAGIC, position + 1)
        if position < 0 or position + HEADER_BYTES > len(data):
            return Torn(base + offset)
        if _valid_at(data, seed, position):
            return Damage(base + offset, base + position)


def _valid_at(data: bytes, seed: int, offset: int) -> bool:
    _, _, _, _, length, checksum, _, _, _ = HEADER.unpack_from(data, offset)
    body = offset + HEADER_BYTES
    if crc32(data[offset : body - 4], seed) != CHECKSUM.unpack_from(data, body - 4)[0]:
        return False
    end = body + length
    return bool(end <= len(data) and crc32(data[body:end], seed) == checksum)


class StepEnvelope(NamedTuple):
    """What a step's frame says beside its payload; without ``occurred_at`` the frame's own time holds."""

    id: bytes
    episode_id: bytes
    parent_id: bytes | None
    closes: bytes | None
    occurred_at: int | None
    schema_version: int
    kind: str
    agent: str | None
    role: str | None
    payload: bytes


def encode_step(  # noqa: PLR0917 - called for every step
    step_id: bytes,
    episode_id: bytes,
    parent_id: bytes,
    closes: bytes,
    occurred_at: int,
    schema_version: int,
    flags: int,
    kind: bytes,
    agent: bytes,
    role: bytes,
    payload: bytes,
) -> bytes:
    """The body of a step's frame; ``NO_ID``, 0 and empty bytes stand for None."""
    envelope = ENVELOPE.pack(
        step_id,
        episode_id,
        parent_id,
        closes,
        occurred_at,
        schema_version,
        flags,
        len(kind),
        len(agent),
        len(role),
    )
    return envelope + kind + agent + role + payload


def decode_step(body: bytes) -> StepEnvelope:
    """Read the body of a step's frame.

    Raises:
        ValueError: The body is too short, or its names are not UTF-8.
    """
    if len(body) < ENVELOPE.size:
        raise ValueError(f"a step of {len(body)} bytes is shorter than its envelope")
    step, episode, parent, closes, occurred_at, version, _flags, kind, agent, role = ENVELOPE.unpack_from(
        body
    )
    kind_end = ENVELOPE.size + kind
    agent_end = kind_end + agent
    role_end = agent_end + role
    if role_end > len(body):
        raise ValueError("the names of a step run past its end")
    return StepEnvelope(
        step,
        episode,
        None if parent == NO_ID else parent,
        None if closes == NO_ID else closes,
        occurred_at or None,
        version,
        body[ENVELOPE.size : kind_end].decode(),
        body[kind_end:agent_end].decode() or None,
        body[agent_end:role_end].decode() or None,
        body[role_end:],
    )
