"""What a client posts: steps that were logged on another machine, or by a program in another language.

Knows the wire's shapes. Must not know HTTP, nor how any of it is stored.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stepstream.schemas.identity import Identifier
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.record import JsonObject, Record
from stepstream.schemas.stream import Delta

STEPS_MAX = 5_000
"""At most so many steps in one post."""

_Name = Annotated[str, Field(min_length=1, max_length=65_535)]
_Count = Annotated[int, Field(ge=0, lt=2**48)]
_Time = Annotated[int, Field(gt=0, lt=2**63)]
_Version = Annotated[int, Field(ge=1, le=0xFFFF)]
KindName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class PostedRecorder(Record):
    """A process that logged what is posted.

    Attributes:
        id: UUIDv7, the same for as long as the process logs.
        pid: The process, on its machine.
        host: Its machine.
        boot_id: The boot of that machine, 32 hex digits.
        release: What wrote it, such as ``stepstream 0.1.0``.
        started_at: ns since 1970 UTC.
    """

    id: Identifier
    pid: Annotated[int, Field(ge=0, lt=2**31)] = 0
    host: Annotated[str, Field(max_length=255)]
    boot_id: Annotated[str, Field(pattern=r"^[0-9a-f]{0,32}$")] = ""
    release: Annotated[str, Field(max_length=100)] = ""
    started_at: _Time


class PostedStep(Record):
    """A step as its logger has it: without sequence and cursor, which the database gives.

    Attributes:
        id: UUIDv7 made by the client; posting it again stores nothing new.
        episode_id: The episode it belongs to; one that nobody has begun is begun by it.
        kind: What the payload is.
        schema_version: Version of the payload.
        payload: What happened.
        occurred_at: When; ns since 1970 UTC.
        agent: Who logged it.
        role: The agent's role.
        parent_id: The step it is nested under.
        closes: The step that ends with this one.
        recorder: Index in ``recorders`` of the process that logged it.
        number: Counts the recorder's frames from 0, so that a missing one is noticed; goes with ``recorder``.
    """

    id: Identifier
    episode_id: Identifier
    kind: KindName
    schema_version: _Version = 1
    payload: JsonObject
    occurred_at: _Time
    agent: _Name | None = None
    role: _Name | None = None
    parent_id: Identifier | None = None
    closes: Identifier | None = None
    recorder: Annotated[int, Field(ge=0)] | None = None
    number: _Count | None = None


class PostedGap(Record):
    """Numbers of a recorder that are known to be lost, or to stand for no step, such as announced schemas.

    Attributes:
        recorder: Index in ``recorders``.
        first: The first number.
        last: The last number.
        reason: How steps came to be missing there; None where nothing is missing.
        detail: What is known about it.
        kept_as: File on the recorder's machine, below its spool, that keeps the bytes.
    """

    recorder: Annotated[int, Field(ge=0)]
    first: _Count
    last: _Count
    reason: LossReason | None = None
    detail: Annotated[str, Field(max_length=500)] = ""
    kept_as: Annotated[str, Field(max_length=500)] | None = None


class PostedEnd(Record):
    """A recorder will log no more: what it left open was interrupted.

    Attributes:
        recorder: Index in ``recorders``.
        next_number: The number its next frame would have had; None where nobody knows.
    """

    recorder: Annotated[int, Field(ge=0)]
    next_number: _Count | None = None


class StepPost(Record):
    """The body of ``POST /api/v1/steps``: stored whole or not at all, in the order in which it stands.

    Attributes:
        recorders: The processes that logged it; may be empty, and then the token's name stands for one.
        steps: What was logged, in causal order.
        gaps: Numbers that no step of this post or an earlier one has.
        ends: Recorders that ended after these steps.
        deltas: Pieces of answers that are still being made; dropped first, never stored.
    """

    recorders: Annotated[tuple[PostedRecorder, ...], Field(max_length=256)] = ()
    steps: Annotated[tuple[PostedStep, ...], Field(max_length=STEPS_MAX)] = ()
    gaps: Annotated[tuple[PostedGap, ...], Field(max_length=STEPS_MAX)] = ()
    ends: Annotated[tuple[PostedEnd, ...], Field(max_length=256)] = ()
    deltas: Annotated[tuple[Delta, ...], Field(max_length=STEPS_MAX)] = ()


class StepsAccepted(Record):
    """The answer to a post: all of it is committed.

    Attributes:
        stored: How many steps are new.
        known: How many were stored already.
        cursor: Every step of the post stands at or before this cursor.
        epoch: Which life of the database the cursor belongs to.
    """

    stored: int
    known: int
    cursor: int
    epoch: str


class KindRegistration(Record):
    """The body of ``POST /api/v1/kinds``: the JSON schema of a project's own kind, before its first step.

    Attributes:
        kind: The kind's name.
        version: Version of the schema.
        json_schema: JSON Schema, draft 2020-12, of the payload; references to elsewhere are refused.
    """

    kind: KindName
    version: _Version
    json_schema: JsonObject


class KindRegistered(Record):
    """The answer: whether the database had not heard of this kind and version before."""

    kind: str
    version: int
    is_new: bool
