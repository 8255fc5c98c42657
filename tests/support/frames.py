"""Segments and frames by hand: a second writer of the spool's format, made from its description.

It shares no code with ``stepstream.spool``, so that a change of the format shows, and it writes what a sound
recorder never would: frames that lie, foreign frames, damaged blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from pathlib import Path
from struct import Struct
from typing import Self
from zlib import crc32

MAGIC = b"\xf5Ss\xfe"
FRAME_HEAD = Struct("<4sBBHIIQQq")
FRAME_HEADER_BYTES = 44
ENVELOPE = Struct("<16s16s16s16sqHBBHH")
BLOCK_BYTES = 4096
TALLY_AT = BLOCK_BYTES - 64
STEP, SCHEMA, DELTA = 1, 2, 3
OPEN, SEALED, CLOSED = 0, 1, 2
NO_ID = bytes(16)
WALL = 1_760_000_000_000_000_000


def new_id() -> bytes:
    """Sixteen random bytes; nothing in the format asks for more."""
    return uuid.uuid4().bytes


def boot_id() -> str:
    """This boot, as a segment's header names it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")


def encode_frame(
    recorder: bytes,
    number: int,
    body: bytes,
    *,
    kind: int = STEP,
    stamp: int | None = None,
    wall: int = WALL,
    version: int = 1,
    length: int | None = None,
) -> bytes:
    """One frame; ``length`` lies about the body."""
    seed = crc32(recorder)
    stamp = 1_000 + number if stamp is None else stamp
    length = len(body) if length is None else length
    head = FRAME_HEAD.pack(MAGIC, version, kind, 0, length, crc32(body, seed), number, stamp, wall)
    return head + crc32(head, seed).to_bytes(4, "little") + body


def encode_step(
    payload: bytes,
    *,
    kind: bytes = b"thought",
    version: int = 1,
    episode: bytes,
    step: bytes | None = None,
    parent: bytes = NO_ID,
    closes: bytes = NO_ID,
    occurred_at: int = 0,
    agent: bytes = b"",
    role: bytes = b"",
) -> bytes:
    """The body of a step's frame."""
    envelope = ENVELOPE.pack(
        step or new_id(),
        episode,
        parent,
        closes,
        occurred_at,
        version,
        0,
        len(kind),
        len(agent),
        len(role),
    )
    return envelope + kind + agent + role + payload


def thought(text: str) -> bytes:
    """The payload of a thought."""
    return json.dumps({"text": text}, separators=(",", ":"), ensure_ascii=False).encode()


def encode_tally(next_number: int, refused: int, state: int) -> bytes:
    """The part of the first block that an owner rewrites."""
    body = Struct("<QQB").pack(next_number, refused, state)
    return body + crc32(body).to_bytes(4, "little")


class HandSegment:
    """A segment in the making.

    Args:
        database: The id of the database it belongs to.
        recorder: Whose frames it carries.
        episode: Where its steps belong.
        first: The number of its first frame.
        header: Fields of the header that shall be otherwise than a recorder writes them.
    """

    def __init__(
        self,
        database: bytes,
        *,
        recorder: bytes | None = None,
        episode: bytes | None = None,
        first: int = 0,
        **header: str | int | bool,
    ) -> None:
        self.recorder = recorder or new_id()
        self.episode = episode or new_id()
        self.next = first
        self.refused = 0
        self.state = CLOSED
        self.frames: list[bytes] = []
        self.header: dict[str, str | int | bool] = {
            "format": 1,
            "database_id": str(uuid.UUID(bytes=database)),
            "recorder_id": str(uuid.UUID(bytes=self.recorder)),
            "boot_id": boot_id(),
            "first_number": first,
            "created_at": WALL,
            "pid": os.getpid(),
            "host": "bench",
            "release": "0.1.0",
            "durable": False,
            **header,
        }

    def add(self, raw: bytes, *, numbers: int = 0) -> Self:
        """Put any bytes behind what is there; ``numbers`` of them count as given out."""
        self.frames.append(raw)
        self.next += numbers
        return self

    def body(
        self,
        body: bytes,
        *,
        kind: int = STEP,
        stamp: int | None = None,
        version: int = 1,
        length: int | None = None,
    ) -> Self:
        """Put a sound frame with any body behind what is there."""
        frame = encode_frame(
            self.recorder, self.next, body, kind=kind, stamp=stamp, version=version, length=length
        )
        return self.add(frame, numbers=1)

    def step(
        self,
        payload: bytes | None = None,
        *,
        kind: bytes = b"thought",
        version: int = 1,
        step: bytes | None = None,
        stamp: int | None = None,
        agent: bytes = b"",
    ) -> Self:
        """Put a step behind what is there; its own number is its text when no payload is given."""
        payload = thought(str(self.next)) if payload is None else payload
        body = encode_step(payload, kind=kind, version=version, episode=self.episode, step=step, agent=agent)
        return self.body(body, stamp=stamp)

    def steps(self, count: int) -> Self:
        """Put so many steps behind what is there."""
        for _ in range(count):
            self.step()
        return self

    def schema(self, kind: str, version: int, schema: object) -> Self:
        """Announce a kind."""
        body = json.dumps({"kind": kind, "version": version, "schema": schema}).encode()
        return self.body(body, kind=SCHEMA)

    def block(self) -> bytes:
        """The first block."""
        text = json.dumps(self.header, separators=(",", ":")).encode()
        block = bytearray(BLOCK_BYTES)
        entry = Struct("<8sII").pack(b"\xf5stepspl", len(text), crc32(text)) + text
        for start in (0, BLOCK_BYTES // 2):
            block[start : start + len(entry)] = entry
        tally = encode_tally(self.next, self.refused, self.state)
        block[TALLY_AT : TALLY_AT + len(tally)] = tally
        return bytes(block)

    def encoded(self) -> bytes:
        """The whole file."""
        return self.block() + b"".join(self.frames)

    def as_killed(self) -> bytes:
        """The file of an owner that was killed: its tally still says what it said at the beginning."""
        after, self.next, self.state = self.next, int(self.header["first_number"]), OPEN
        data = self.encoded()
        self.next = after
        return data

    def write(self, spool: Path, data: bytes | None = None, *, name: str | None = None) -> Path:
        """Put the file, or other bytes, into a spool: its owner is dead, nobody holds its lock."""
        path = spool / (name or f"{uuid.uuid4().hex}.segment")
        hidden = spool / f".{path.name}.new"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            rest = memoryview(self.encoded() if data is None else data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        hidden.rename(path)
        return path


class Owner:
    """Somebody who holds a segment's lock, as a living recorder does, and may write behind its end."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Write behind the end."""
        os.write(self._descriptor, data)

    def die(self) -> None:
        """Let go, as the kernel does for a process that ends."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
