"""What was logged, read from the spool: for tests of code that logs, without a committer.

Knows segments and frames. What a committer has taken already is not there any more: give the provider
``committer="none"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json

from stepstream.schemas.identity import id_text
from stepstream.schemas.payload import decode_payload, version_of
from stepstream.spool.directory import SEGMENT_SUFFIX, spool_path
from stepstream.spool.frame import Frame, FrameKind, decode_step, frame_seed, scan
from stepstream.spool.segment import BLOCK_BYTES, SegmentHeader, decode_header

if TYPE_CHECKING:
    import os

    from stepstream.schemas.payload import StepPayload


class LoggedStep(NamedTuple):
    """One step as it was logged; it has no cursor and no sequence yet."""

    id: str
    episode_id: str
    kind: str
    schema_version: int
    agent: str | None
    role: str | None
    parent_id: str | None
    closes: str | None
    occurred_at: int
    pid: int
    payload: StepPayload


def logged_steps(database: str | os.PathLike[str]) -> list[LoggedStep]:
    """Every step in the spool of a database, of all processes, in causal order."""
    found: list[tuple[int, str, int, LoggedStep]] = []
    for header, frames in _segments(Path(database)):
        for stamp, number, kind, wall, body, _ in frames:
            if kind == FrameKind.STEP:
                found.append((stamp, header.recorder_id, number, _step(header.pid, wall, body)))
    return [step for *_, step in sorted(found, key=lambda entry: entry[:3])]


def announcements(database: str | os.PathLike[str]) -> list[list[str]]:
    """For each segment in the spool, the kinds it announces, each as often as it does."""
    return [
        [from_json(body)["kind"] for _, _, kind, _, body, _ in frames if kind == FrameKind.SCHEMA]
        for _, frames in _segments(Path(database))
    ]


def _segments(database: Path) -> list[tuple[SegmentHeader, list[Frame]]]:
    segments = []
    for path in sorted(spool_path(database).glob(f"*{SEGMENT_SUFFIX}")):
        data = path.read_bytes()
        header = decode_header(data[:BLOCK_BYTES])
        frames, _ = scan(data[BLOCK_BYTES:], frame_seed(header.recorder), BLOCK_BYTES)
        segments.append((header, frames))
    return segments


def _step(pid: int, wall: int, body: bytes) -> LoggedStep:
    envelope = decode_step(body)
    payload = decode_payload(envelope.kind, envelope.schema_version, envelope.payload)
    return LoggedStep(
        id=id_text(envelope.id),
        episode_id=id_text(envelope.episode_id),
        kind=envelope.kind,
        schema_version=version_of(payload),
        agent=envelope.agent,
        role=envelope.role,
        parent_id=None if envelope.parent_id is None else id_text(envelope.parent_id),
        closes=None if envelope.closes is None else id_text(envelope.closes),
        occurred_at=envelope.occurred_at or wall,
        pid=pid,
        payload=payload,
    )
