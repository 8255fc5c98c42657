"""An episode: one run of an agent on one problem.

Knows what is stated when an episode starts and ends, and the projection readers get. Must not know how the
projection is kept.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from stepstream.schemas.identity import Identifier
from stepstream.schemas.record import JsonObject, Record


class Status(StrEnum):
    """The state of an episode."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Ending(StrEnum):
    """How a trajectory ended, kept apart as learners need it (Minari, Gymnasium)."""

    TERMINATED = "terminated"
    TRUNCATED = "truncated"


class CodeVersion(Record):
    """What ran, and on what.

    Attributes:
        git_commit: Commit of the working directory, when it is a git checkout.
        python: Version of the interpreter.
        platform: Operating system and machine.
        host: Name of the machine.
        program: What was started, as in ``sys.argv[0]``.
        packages: Installed distributions, each as ``name==version``, sorted.
    """

    git_commit: str | None
    python: str
    platform: str
    host: str
    program: str
    packages: tuple[str, ...]


class MetadataRef(Record):
    """A project's own typed metadata as it was stated: the model's name and its JSON."""

    model: str
    value: JsonObject


class DataUse(Record):
    """What may be done with an episode when it becomes training data."""

    split: str | None = None
    licence: str | None = None
    consent: str | None = None


class EpisodeStart(Record):
    """What is stated of an episode when it begins.

    Attributes:
        name: What the episode is about, for people.
        problem: The benchmark item or task it works on.
        attempt: 1 for the first try at the problem.
        parent_id: The episode this one is a part or a retry of.
        tags: Free labels.
        metadata: The project's own model.
        code_version: What ran.
        data_use: What may be done with it in training.
        ambient: It took the steps logged outside any episode.
        implied: Its own beginning is missing; it was made up from a step that named it.
    """

    name: str
    problem: str | None = None
    attempt: int = Field(default=1, ge=1)
    parent_id: Identifier | None = None
    tags: tuple[str, ...] = ()
    metadata: MetadataRef | None = None
    code_version: CodeVersion | None = None
    data_use: DataUse | None = None
    ambient: bool = False
    implied: bool = False


class EpisodeEnd(Record):
    """How an episode went.

    Attributes:
        outcome: A word of the project's, such as ``accepted``.
        score: A figure of the project's.
        ending: Whether the task ended or was cut off.
        open_steps: Steps that were still running.
    """

    outcome: str | None = None
    score: float | None = None
    ending: Ending | None = None
    open_steps: tuple[Identifier, ...] = ()


class Episode(Record):
    """One run of an agent on one problem, as far as the log tells.

    Times are nanoseconds since 1970-01-01 UTC.
    """

    id: Identifier
    name: str
    status: Status
    reason: str | None
    problem: str | None
    attempt: int
    parent_id: Identifier | None
    tags: tuple[str, ...]
    started_at: int
    ended_at: int | None
    outcome: str | None
    score: float | None
    metadata: MetadataRef | None
    code_version: CodeVersion | None
    data_use: DataUse | None
    ending: Ending | None
    ambient: bool
    implied: bool
    agent: str | None
    role: str | None
    steps: int
    errors: int
    last_cursor: int
    last_at: int
