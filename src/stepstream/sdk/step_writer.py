"""The way of a step out of the SDK: its envelope, the schema of its kind, and the recorder behind both.

Knows payloads and the recorder. Must not know scopes. What is the caller's fault raises; what is not, such as
a full disk or a directory that cannot be written, is counted, told once in the log, and never raises.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic.errors import PydanticUserError
from pydantic_core import from_json, to_json

from stepstream import schemas
from stepstream.errors import Problem, StepstreamError, ValidationFailed
from stepstream.schemas.identity import NO_ID, id_bytes, id_text, is_id, new_id
from stepstream.schemas.kinds import Loss, LossReason
from stepstream.schemas.payload import StepPayload, payload_class, sealed_json, validated_json
from stepstream.schemas.record import short_repr
from stepstream.schemas.step import StepRef
from stepstream.spool.frame import FrameKind, encode_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.schemas.record import JsonObject
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.spool.recorder import Recorder

logger = logging.getLogger("stepstream")

_STEP = int(FrameKind.STEP)
_SCHEMA = int(FrameKind.SCHEMA)
_DELTA = int(FrameKind.DELTA)
_RETRY_S = 1.0
_VERSION_MAX = 0xFFFF
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_MAX = 2**63 - 1

# What pydantic's JSON parser reads back: about 200 levels, and integers of 4,300 digits.
_DEPTH_SAFE = 180
_DIGITS_SAFE = 4000


class _Kind(NamedTuple):
    """What a payload's class says in every envelope, and whether a field of it takes any JSON."""

    name: bytes
    version: int
    takes_any_json: bool


class StepWriter:
    """Writes the steps of one process into the spool of one database.

    Thread-safe. The spool is opened with the first step, and again after ``close`` and in a forked child.
    """

    def __init__(
        self,
        database: Path,
        settings: Settings,
        identify: Callable[[SpoolDirectory], bytes],
        on_check: Callable[[SpoolDirectory], None],
    ) -> None:
        """Prepare to write.

        Args:
            database: Whose spool it is.
            settings: Bounds and durability.
            identify: Finds out which database the spool feeds.
            on_check: Called about once a second while steps are written.
        """
        self._database = database
        self._settings = settings
        self._identify = identify
        self._on_check = on_check
        self._step_bytes_max = settings.step_bytes_max
        self._lock = threading.RLock()
        self._spool: SpoolDirectory | None = None
        self._recorder: Recorder | None = None
        self._database_id = b""
        self._announced: dict[type[StepPayload], _Kind] = {}
        self._segments_begun = 0
        self._unopened = 0
        self._refused_before = 0
        self._refusal: str | None = None
        self._retry_at = 0.0

    @property
    def refused(self) -> int:
        """How many steps were refused."""
        recorder = self._recorder
        return self._refused_before + (0 if recorder is None else recorder.refused)

    @property
    def refusal(self) -> str | None:
        """Why steps are refused at the moment; None when they are not."""
        recorder = self._recorder
        return self._refusal if recorder is None else recorder.refusal

    @property
    def spool(self) -> SpoolDirectory | None:
        """The spool, once it is open."""
        return self._spool

    @property
    def has_written(self) -> bool:
        """Whether anything was recorded since the spool was opened."""
        recorder = self._recorder
        return recorder is not None and recorder.next_number > 0

    def write(  # noqa: PLR0917 - keywords would cost a tenth of the call
        self,
        payload: StepPayload,
        episode: bytes,
        parent: bytes,
        closes: bytes,
        agent: bytes,
        role: bytes,
        occurred_at: int,
    ) -> StepRef:
        """Write one step; NO_ID, empty bytes and 0 stand for what is not said.

        Raises:
            ValidationFailed: The payload is of no registered kind, too long, or was built around validation.
        """
        recorder = self._recorder
        if recorder is None:
            recorder = self._begin(episode)
        if recorder is not None and recorder.segments_begun != self._segments_begun:
            self._announced, self._segments_begun = {}, recorder.segments_begun
        known = self._announced.get(type(payload))
        kind = known or _kind_of(payload)
        try:
            encoded = sealed_json(payload)
        except AttributeError:
            encoded = validated_json(payload)
        if len(encoded) > self._step_bytes_max:
            raise _too_long(payload, len(encoded), self._step_bytes_max)
        if kind.takes_any_json:
            _check_reads_back(payload, encoded)
        step = new_id()
        if recorder is not None and (known or self._announce(payload, kind, recorder)):
            body = encode_step(
                step, episode, parent, closes, occurred_at, kind.version, 0, kind.name, agent, role, encoded
            )
            if not recorder.append(_STEP, body) and recorder is not self._recorder:
                # Somebody closed the writer in the meantime, and nothing was written: once more.
                return self.write(payload, episode, parent, closes, agent, role, occurred_at)
        return StepRef(step, episode)

    def write_delta(self, body: bytes) -> bool:
        """Write a piece of an answer that is still being made, for who watches now.

        Opens nothing and tries nothing again: without the step it belongs to, nobody could place it.

        Returns:
            Whether it was written.
        """
        recorder = self._recorder
        # A frame that is refused uses up a number, of which a Loss then says that it was refused. That is so
        # for the one piece that finds the disk full; while it is known to be, none is offered.
        return recorder is not None and recorder.refusal is None and recorder.append(_DELTA, body)

    def open(self) -> SpoolDirectory:
        """Open the spool now, to learn whether it can be used.

        Raises:
            StepstreamError: The place, or the file there, cannot hold a history.
            OSError: The directory cannot be created or written.
        """
        with self._lock:
            return self._spool or self._open()

    def close(self) -> None:
        """Give up the segment; a later step begins a new one."""
        with self._lock:
            recorder, self._recorder = self._recorder, None
            spool, self._spool = self._spool, None
            if recorder is not None:
                self._refused_before += recorder.refused
                recorder.close()
            if spool is not None:
                spool.close()
            self._retry_at = 0.0

    def forget_after_fork(self) -> None:
        """In a forked child: leave the parent's segment alone; the next step begins one of our own.

        The parent's directory descriptor stays open: somebody in the child may still hold it.
        """
        self._lock = threading.RLock()
        recorder, self._recorder, self._spool = self._recorder, None, None
        if recorder is not None:
            recorder.abandon()
        self._unopened, self._refused_before, self._refusal, self._retry_at = 0, 0, None, 0.0

    def follow(self, database_id: bytes) -> None:
        """Record for another database from the next step on, if the file at the path was replaced."""
        recorder = self._recorder
        if recorder is not None and database_id != self._database_id:
            self._database_id = database_id
            recorder.move(database_id)
            # The other database has not heard of our kinds.
            self._announced = {}

    def _announce(self, payload: StepPayload, kind: _Kind, recorder: Recorder) -> bool:
        """State the schema of a kind before its first step in a segment.

        A project's own kind cannot be checked, and so not be stored, without it. Where it is refused, the
        number it took stands for the step, which is not written either.
        """
        if not recorder.append(_SCHEMA, _announcement(type(payload))):
            return False
        if recorder.segments_begun != self._segments_begun:
            self._announced, self._segments_begun = {}, recorder.segments_begun
        self._announced[type(payload)] = kind
        return True

    def _begin(self, episode: bytes) -> Recorder | None:
        """Open the spool for a first step; when that cannot be done now, count the step and return None."""
        with self._lock:
            if self._recorder is None and not self._try_to_open():
                self._unopened += 1
                self._refused_before += 1
                return None
            recorder, lost, self._unopened = self._recorder, self._unopened, 0
        if recorder is not None and lost:
            # Steps refused while there was no spool have no numbers: say here that they are missing.
            loss = Loss(
                recorder_id=id_text(recorder.id),
                first=0,
                last=None,
                reason=LossReason.REFUSED,
                detail=f"{lost} steps were logged before this one while the spool could not be opened",
            )
            self.write(loss, episode, NO_ID, NO_ID, b"", b"", 0)
        return recorder

    def _try_to_open(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._open()
        except (OSError, StepstreamError) as error:
            self._retry_at = time.monotonic() + _RETRY_S
            reason = str(error)
            if reason != self._refusal:
                logger.warning("steps for %s are refused and counted: %s", self._database, reason)
            self._refusal = reason
            return False
        return True

    def _open(self) -> SpoolDirectory:
        from stepstream.schemas.release import RELEASE  # noqa: PLC0415 - only who records pays for these
        from stepstream.spool.clock import SystemClock  # noqa: PLC0415
        from stepstream.spool.directory import SpoolDirectory  # noqa: PLC0415
        from stepstream.spool.recorder import Recorder  # noqa: PLC0415

        spool = SpoolDirectory(self._database, shared_group=self._settings.spool_shared_group)
        try:
            database_id = self._identify(spool)
        except BaseException:
            spool.close()
            raise
        if self._spool is not None:
            # A signal handler that logged while we were opening has done it already.
            spool.close()
            return self._spool
        self._spool = spool
        self._database_id = database_id
        self._announced, self._segments_begun, self._refusal = {}, 0, None
        self._recorder = Recorder(spool, database_id, self._settings, SystemClock(), RELEASE, self._check)
        return spool

    def _check(self) -> None:
        spool = self._spool
        if spool is not None:
            self._on_check(spool)


class RefusingWriter(StepWriter):
    """Refuses every step for one reason."""

    def __init__(self, database: Path, settings: Settings, reason: StepstreamError) -> None:
        super().__init__(database, settings, lambda _: b"", lambda _: None)
        self._reason = reason

    def _open(self) -> SpoolDirectory:
        raise self._reason


def reference_bytes(field: str, reference: StepRef | str) -> bytes:
    """The sixteen bytes of a step that somebody refers to.

    Raises:
        ValidationFailed: It is neither a StepRef nor the text of an id.
    """
    if isinstance(reference, StepRef):
        return reference.raw
    if isinstance(reference, str) and is_id(reference):
        return id_bytes(reference)
    reason = "Input should be a StepRef or the id of a step"
    raise ValidationFailed(field, [Problem(field, short_repr(reference), reason)])


def occurred_ns(moment: datetime | int) -> int:
    """A moment as ns since 1970 UTC.

    Raises:
        ValidationFailed: It is a naive datetime, not after 1970, or no moment at all.
    """
    reason = "Input should be an aware datetime or a whole number of ns since 1970 UTC"
    stated: object = moment
    if isinstance(moment, datetime):
        if moment.utcoffset() is None:
            reason = "Input should have timezone info"
        else:
            elapsed = moment - _EPOCH
            moment = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
    if isinstance(moment, int) and not isinstance(moment, bool) and 0 < moment <= _NS_MAX:
        return moment
    raise ValidationFailed("occurred_at", [Problem("occurred_at", short_repr(stated), reason)])


def _kind_of(payload: object) -> _Kind:
    """What stands in the envelope for a payload's class.

    Raises:
        ValidationFailed: It is no payload, or its class is not the one registered under its kind.
    """
    if not isinstance(payload, StepPayload):
        problem = Problem(
            "payload", short_repr(payload), "Input should be an instance of a StepPayload class"
        )
        raise ValidationFailed("log_event", [problem])
    cls = type(payload)
    kind: str = getattr(cls, "kind", cls.__name__)
    registered = payload_class(kind)
    if registered is None or not _is_same_definition(registered, cls):
        reason = f"its class has no kind of its own; write: class {cls.__name__}(StepPayload, kind=...)"
        raise ValidationFailed(kind, [Problem("kind", cls.__qualname__, reason)])
    if cls.schema_version > _VERSION_MAX:
        problem = Problem("version", str(cls.schema_version), f"a version is at most {_VERSION_MAX}")
        raise ValidationFailed(kind, [problem])
    return _Kind(kind.encode(), cls.schema_version, b'"JsonValue"' in _announcement(cls))


def _is_same_definition(registered: type[StepPayload], cls: type[StepPayload]) -> bool:
    """Whether they are one class, or two runs of its definition in a notebook."""
    return registered is cls or (registered.__module__, registered.__qualname__) == (
        cls.__module__,
        cls.__qualname__,
    )


@cache
def _announcement(cls: type[StepPayload]) -> bytes:
    """The body of the schema frame of a class.

    Raises:
        ValidationFailed: One of its fields has no JSON schema.
    """
    schema = None
    if cls.__module__.startswith(schemas.__name__):
        schema = _pinned_schemas().get(cls.kind, {}).get(str(cls.schema_version))
    if schema is None:
        try:
            schema = cls.model_json_schema(mode="serialization")
        except PydanticUserError as error:
            raise ValidationFailed(cls.kind, [Problem("schema", cls.__qualname__, error.message)]) from None
    return to_json({"kind": cls.kind, "version": cls.schema_version, "schema": schema})


@cache
def _pinned_schemas() -> dict[str, dict[str, JsonObject]]:
    """The JSON schemas of the core's kinds by version; making them takes 20 ms, reading them one."""
    pinned: dict[str, dict[str, JsonObject]] = from_json(
        Path(schemas.__file__).with_name("core_schemas.json").read_bytes()
    )
    return pinned


def _too_long(payload: StepPayload, size: int, size_max: int) -> ValidationFailed:
    sizes = {name: len(to_json(getattr(payload, name))) for name in type(payload).model_fields}
    field = max(sizes, key=sizes.__getitem__)
    reason = f"a step has at most {size_max} bytes of JSON, this one {size}; attach what is long as a file"
    return ValidationFailed(payload.kind, [Problem(field, short_repr(getattr(payload, field)), reason)])


def _check_reads_back(payload: StepPayload, encoded: bytes) -> None:
    """Refuse JSON that can be written but not read: nested too deep, or with an endless number."""
    if len(encoded) < _DIGITS_SAFE and encoded.count(b"[") + encoded.count(b"{") < _DEPTH_SAFE:
        return
    try:
        from_json(encoded)
    except ValueError as error:
        raise ValidationFailed(
            payload.kind, [Problem(payload.kind, short_repr(payload), str(error))]
        ) from None
