"""From a row to a typed object: the one place that knows the columns of ``step`` and ``episode`` by position.

A payload is validated by its class; what surrounds it was validated when it was stored, and the table's types
are strict, so a Step is put together without validating it again (1.3 µs against 5.4 µs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json

import stepstream.schemas.core  # noqa: F401 - registers the core's kinds
from stepstream.errors import Corrupt, StepstreamError, StoreError, ValidationFailed
from stepstream.reading.content import ContentDamaged
from stepstream.schemas.episode import CodeVersion, DataUse, Ending, Episode, MetadataRef, Status
from stepstream.schemas.identity import id_text
from stepstream.schemas.payload import decode_payload, version_of
from stepstream.schemas.step import Origin, Step

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stepstream.reading.content import ContentPool, Select
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.record import Record

    R = TypeVar("R", bound=Record)

STEP_COLUMNS = (
    "step.cursor, step.id, step.episode, step.sequence, step.kind, step.schema_version, step.occurred_at,"
    " step.recorded_at, step.agent, step.role, step.parent_id, step.closes, step.recorder, step.after_end,"
    " step.payload, step.pooled"
)
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

PAYLOAD: Final = 14
"""The place of the payload in a row of a step."""

EPISODE_COLUMNS = (
    "episode.key, episode.id, episode.name, episode.status, episode.reason, episode.problem, episode.attempt,"
    " episode.parent_id, episode.tags, episode.started_at, episode.ended_at, episode.outcome, episode.score,"
    " episode.metadata, episode.code_version, episode.data_use, episode.ending, episode.ambient,"
    " episode.implied, episode.agent, episode.role, episode.next_sequence, episode.errors,"
    " episode.last_cursor, episode.last_at"
)
EpisodeRow = tuple[
    int,  # key
    bytes,  # id
    str,  # name
    str,  # status
    str | None,  # reason
    str | None,  # problem
    int,  # attempt
    bytes | None,  # parent_id
    str,  # tags
    int,  # started_at
    int | None,  # ended_at
    str | None,  # outcome
    float | None,  # score
    str | None,  # metadata
    bytes | None,  # code_version
    str | None,  # data_use
    str | None,  # ending
    int,  # ambient
    int,  # implied
    str | None,  # agent
    str | None,  # role
    int,  # next_sequence
    int,  # errors
    int,  # last_cursor
    int,  # last_at
]

_STEP_FIELDS = set(Step.model_fields)
_REMEMBERED_MAX = 10_000
_set = object.__setattr__


def put_together(cls: type[R], values: dict[str, object], names: set[str]) -> R:
    """A record of values that are known to be valid, as ``model_construct`` makes at four times the price."""
    record = cls.__new__(cls)
    _set(record, "__dict__", values)
    _set(record, "__pydantic_fields_set__", names)
    _set(record, "__pydantic_extra__", None)
    _set(record, "__pydantic_private__", None)
    return record


class Rows:
    """Reads the rows of one connection; remembers the episodes and recorders it met."""

    def __init__(self, path: Path, select: Select, content: ContentPool) -> None:
        self._path = path
        self._select = select
        self._content = content
        self._episodes: dict[int, str] = {}
        self._origins: dict[int, Origin] = {}
        self._code_versions: dict[bytes, CodeVersion] = {}

    def steps(self, rows: Iterable[StepRow]) -> list[Step]:
        """The steps of some rows.

        Raises:
            Corrupt: A row cannot be read; the message names it.
        """
        return [self.step(row) for row in rows]

    def step(self, row: StepRow) -> Step:
        """The step of a row.

        Raises:
            Corrupt: The row cannot be read; the message names it.
        """
        (
            cursor, step_id, episode, sequence, kind, version, occurred_at, recorded_at, agent, role, parent,
            closes, recorder, after_end, text, pooled,
        ) = row  # fmt: skip
        try:
            if pooled is not None:
                text = self._content.fill(text, pooled)
            payload = decode_payload(kind, version, text)
        except StoreError:
            raise
        except Exception as error:
            raise self._unreadable(row, error) from error
        return put_together(
            Step,
            {
                "id": id_text(step_id),
                "episode_id": self._episodes.get(episode) or self.episode_id(episode),
                "sequence": sequence,
                "cursor": cursor,
                "kind": kind,
                "occurred_at": occurred_at,
                "recorded_at": recorded_at,
                "agent": agent,
                "role": role,
                "parent_id": None if parent is None else id_text(parent),
                "closes": None if closes is None else id_text(closes),
                "schema_version": version_of(payload),
                "origin": self._origins.get(recorder) or self._origin(recorder),
                "after_end": after_end == 1,
                "payload": payload,
            },
            _STEP_FIELDS,
        )

    def payload_json(self, row: StepRow) -> str:
        """The whole payload of a row as JSON.

        Raises:
            Corrupt: A pooled value is missing.
        """
        text, pooled = row[14], row[15]
        if pooled is None:
            return text
        try:
            return self._content.fill(text, pooled)
        except ContentDamaged as error:
            raise self._unreadable(row, error) from error

    def payload(self, kind: str, version: int, text: str, pooled: str | None, cursor: int) -> StepPayload:
        """A payload whose row was not read whole.

        Raises:
            Corrupt: It cannot be read; the message names its step.
        """
        try:
            return decode_payload(kind, version, text if pooled is None else self._content.fill(text, pooled))
        except (ContentDamaged, ValidationFailed) as error:
            raise Corrupt(self._path, f"{kind} at cursor {cursor}: {error}") from error

    def episode_id(self, key: int) -> str:
        """The id of the episode with a key.

        Raises:
            Corrupt: There is none.
        """
        known = self._episodes.get(key)
        if known is not None:
            return known
        rows = cast("list[tuple[bytes]]", self._select("SELECT id FROM episode WHERE key = ?", (key,)))
        if not rows:
            raise Corrupt(self._path, f"there is no episode with key {key}")
        if len(self._episodes) >= _REMEMBERED_MAX:
            self._episodes.clear()
        text = self._episodes[key] = id_text(rows[0][0])
        return text

    def _origin(self, key: int) -> Origin:
        found = self._select("SELECT id, pid, host FROM recorder WHERE key = ?", (key,))
        if not found:
            raise Corrupt(self._path, f"there is no recorder with key {key}")
        recorder, pid, host = cast("tuple[bytes, int, str]", found[0])
        if len(self._origins) >= _REMEMBERED_MAX:
            self._origins.clear()
        origin = self._origins[key] = Origin(recorder_id=id_text(recorder), pid=pid, host=host)
        return origin

    def _unreadable(self, row: StepRow, error: Exception) -> StoreError:
        place = f"step {row[3]} of episode {self.episode_id(row[2])}, {row[4]} at cursor {row[0]}"
        # An upcast that raised is the cause of the refusal.
        cause = error.__cause__ if isinstance(error, ValidationFailed) and error.__cause__ else error
        if isinstance(cause, StepstreamError | ContentDamaged):
            return Corrupt(self._path, f"{place}: {error}")
        return StoreError(
            f"{self._path}: {place}, version {row[5]}, cannot be read: {type(cause).__name__}: {cause}; "
            "mend the upcast of this kind"
        )

    def episode(self, row: EpisodeRow) -> Episode:
        """The episode of a row.

        Raises:
            Corrupt: The row cannot be read; the message names it.
        """
        (
            _, episode_id, name, status, reason, problem, attempt, parent, tags, started_at, ended_at,
            outcome, score, metadata, code_version, data_use, ending, ambient, implied, agent, role,
            next_sequence, errors, last_cursor, last_at,
        ) = row  # fmt: skip
        try:
            return Episode(
                id=id_text(episode_id),
                name=name,
                status=Status(status),
                reason=reason,
                problem=problem,
                attempt=attempt,
                parent_id=None if parent is None else id_text(parent),
                tags=tuple(from_json(tags)),
                started_at=started_at,
                ended_at=ended_at,
                outcome=outcome,
                score=score,
                metadata=None if metadata is None else MetadataRef.model_validate_json(metadata),
                code_version=None if code_version is None else self._code_version(code_version),
                data_use=None if data_use is None else DataUse.model_validate_json(data_use),
                ending=None if ending is None else Ending(ending),
                ambient=ambient == 1,
                implied=implied == 1,
                agent=agent,
                role=role,
                steps=next_sequence,
                errors=errors,
                last_cursor=last_cursor,
                last_at=last_at,
            )
        except (ValueError, ValidationError, ValidationFailed, ContentDamaged) as error:
            raise Corrupt(self._path, f"episode {id_text(episode_id)}: {error}") from error

    def _code_version(self, name: bytes) -> CodeVersion:
        known = self._code_versions.get(name)
        if known is None:
            if len(self._code_versions) >= _REMEMBERED_MAX:
                self._code_versions.clear()
            known = self._code_versions[name] = CodeVersion.model_validate_json(self._content.json(name))
        return known
