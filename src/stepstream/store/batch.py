"""What one transaction writes: rows, offsets and projections that stand or fall together.

Knows shapes only. The committer fills a batch; an engine writes it, and proves in the same transaction that
the committer still holds its office.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

StepRow = tuple[
    int,  # cursor
    bytes,  # id
    int,  # episode
    int,  # sequence
    str,  # kind
    int,  # schema_version
    int,  # occurred_at
    int,  # recorded_at
    str | None,  # agent
    str | None,  # role
    bytes | None,  # parent_id
    bytes | None,  # closes
    int,  # recorder
    int,  # after_end
    str,  # payload
    str | None,  # pooled
]


class ContentRow(NamedTuple):
    """A text, a JSON value or one message of a conversation, by the hash of what it is."""

    hash: bytes
    previous: bytes | None
    target: bytes | None
    body: str | None


class ArtifactRow(NamedTuple):
    """A file that was referred to."""

    sha256: str
    size_bytes: int
    media_type: str
    name: str
    kept: int
    recorded_at: int


class OffsetMove(NamedTuple):
    """How far a segment is read; ``before`` None means that it is new to the database."""

    segment: str
    recorder: int
    before: int | None
    after: int
    finished: bool


@dataclass(slots=True)
class RecorderState:
    """A recorder as the database knows it, plus what the current batch adds; key 0 is none yet."""

    id: bytes
    pid: int
    host: str
    boot_id: str
    release: str
    started_at: int
    last_number: int = -1
    refused: int = 0
    episode: int | None = None
    ended_at: int | None = None
    key: int = 0


@dataclass(slots=True)
class EpisodeState:
    """An episode's projection as the database knows it, plus what the current batch adds."""

    key: int
    id: bytes
    recorder: int
    name: str
    started_at: int
    status: str = "running"
    reason: str | None = None
    problem: str | None = None
    attempt: int = 1
    parent_id: bytes | None = None
    tags: str = "[]"
    ended_at: int | None = None
    outcome: str | None = None
    score: float | None = None
    ending: str | None = None
    metadata: str | None = None
    code_version: bytes | None = None
    data_use: str | None = None
    ambient: int = 0
    implied: int = 0
    agent: str | None = None
    role: str | None = None
    next_sequence: int = 0
    errors: int = 0
    last_cursor: int = 0
    last_at: int = 0


@dataclass(slots=True)
class Batch:
    """Everything one transaction writes."""

    steps: list[StepRow] = field(default_factory=list)
    recorders: dict[int, RecorderState] = field(default_factory=dict)
    episodes: dict[int, EpisodeState] = field(default_factory=dict)
    contents: dict[bytes, ContentRow] = field(default_factory=dict)
    artifacts: list[ArtifactRow] = field(default_factory=list)
    schemas: dict[tuple[str, int], str] = field(default_factory=dict)
    offsets: list[OffsetMove] = field(default_factory=list)
    redactions: Counter[str] = field(default_factory=Counter)

    @property
    def last_cursor(self) -> int:
        """The cursor of the last step; 0 when there is none."""
        return self.steps[-1][0] if self.steps else 0

    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.steps or self.offsets or self.recorders or self.schemas)


class Fenced(Exception):
    """Somebody else took the office of committer; the batch was rolled back."""


class RowRefused(Exception):
    """The engine does not take one of the rows; the batch was rolled back."""
