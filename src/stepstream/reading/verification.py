"""Is everything there, and is it what it says: the proof that a history is whole, or the list of what is not.

Knows every promise the tables make. Reads in short transactions, and checks what cannot change any more, so
that it can run beside a committer.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from stepstream.errors import Corrupt, StoreError, ValidationFailed
from stepstream.reading import leaves
from stepstream.reading.content import ContentDamaged
from stepstream.reading.rows import STEP_COLUMNS, StepRow
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.identity import Identifier, id_text
from stepstream.schemas.kinds import Loss, LossReason, StatusChange
from stepstream.schemas.payload import decode_payload, payload_class
from stepstream.schemas.record import Record, short_repr
from stepstream.spool.directory import artifacts_path
from stepstream.store.batch import EpisodeState
from stepstream.store.projection import project_status
from stepstream.store.validation import Invalid, Validation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.reading.content import Value
    from stepstream.reading.database import Reader

FINDINGS_MAX = 1_000
_WINDOW_STEPS = 10_000
_PAGE_STEPS = 500
_CHUNK_BYTES = 1 << 20
_DETAIL_CHARACTERS_MAX = 500

_OWN_KINDS = f"('{Loss.kind}', '{StatusChange.kind}')"
"""What the committer adds in a recorder's name, beside the frames that recorder numbered."""

_PROJECTED = (
    "name", "started_at", "status", "reason", "problem", "attempt", "parent_id", "tags", "ended_at",
    "outcome", "score", "ending", "metadata", "data_use", "ambient", "implied", "agent", "role",
    "next_sequence", "errors", "last_cursor", "last_at",
)  # fmt: skip


class FindingKind(StrEnum):
    """What is not as it should be."""

    SEQUENCE_GAP = "sequence_gap"
    CURSOR_ORDER = "cursor_order"
    CLOSES_NOTHING = "closes_nothing"
    CLOSES_LATER = "closes_later"
    CLOSED_TWICE = "closed_twice"
    PARENT_MISSING = "parent_missing"
    PARENT_LATER = "parent_later"
    PROJECTION = "projection"
    RECORDER_NUMBERS = "recorder_numbers"
    PAYLOAD_INVALID = "payload_invalid"
    CONTENT_DAMAGED = "content_damaged"
    ARTIFACT_MISSING = "artifact_missing"
    ARTIFACT_CHANGED = "artifact_changed"
    FILE_DAMAGED = "file_damaged"


class Finding(Record):
    """One thing that is not as it should be.

    Attributes:
        kind: What is wrong.
        detail: The same in words, with the figures.
        episode_id: The episode, where it belongs to one.
        cursor: The step, where it belongs to one.
    """

    kind: FindingKind
    detail: str
    episode_id: Identifier | None = None
    cursor: int | None = None


class LossReport(Record):
    """Steps that are known to be missing, as the log tells; not a fault of the history, but never silent.

    Attributes:
        cursor: The step that tells.
        episode_id: Its episode.
        loss: What it says.
    """

    cursor: int
    episode_id: Identifier
    loss: Loss


class RecorderReport(Record):
    """One process that logged.

    Attributes:
        recorder_id: Its recorder.
        pid: Its process.
        host: Its machine.
        steps: How many of its steps are stored, those the committer added in its name left out.
        last_number: The highest number of its frames; None in the report of one episode.
        lost: How many numbers are known to be missing; None in the report of one episode.
        refused: How many of its steps were refused; None in the report of one episode.
    """

    recorder_id: Identifier
    pid: int
    host: str
    steps: int
    last_number: int | None
    lost: int | None
    refused: int | None


class Verification(Record):
    """What was checked, and what was found.

    Attributes:
        deep: Payloads, files and the database's own structure were checked too.
        episodes: Episodes checked.
        steps: Steps checked.
        payloads: Payloads validated; 0 unless deep.
        artifacts: Files hashed; 0 unless deep.
        findings: What is wrong, at most a thousand.
        findings_count: How much is wrong in all.
        losses: What the log says is missing.
        recorders: Who logged.
    """

    deep: bool
    episodes: int
    steps: int
    payloads: int
    artifacts: int
    findings: tuple[Finding, ...]
    findings_count: int
    losses: tuple[LossReport, ...]
    recorders: tuple[RecorderReport, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong and nothing is known to be missing."""
        return not self.findings_count and not self.losses


class Verifier:
    """Checks a whole history, or one episode of it."""

    def __init__(self, reader: Reader, episode: int | None = None) -> None:
        """Prepare to check.

        Args:
            reader: The history.
            episode: The key of the only episode to check; None for all.
        """
        self._reader = reader
        self._episode = episode
        self._last = reader.last_cursor()
        self._is_pruned = (reader.meta("pruned_to") or "0") != "0"
        self._findings: list[Finding] = []
        self._count = 0
        self._steps = 0
        self._payloads = 0
        self._artifacts: dict[str, tuple[int, int]] = {}
        self._recorded: Counter[int] = Counter()
        self._losses: list[LossReport] = []

    def verify(self, *, deep: bool) -> Verification:
        """Check everything.

        Raises:
            StoreError: The database cannot be read at all.
        """
        self._check_sequences()
        for condition, arguments in self._windows():
            self._check_references(condition, arguments)
            self._count_steps(condition, arguments)
        self._check_closed_twice()
        episodes = self._check_projections()
        recorders = self._check_recorders()
        if deep:
            self._check_payloads()
            self._check_artifacts()
            self._check_file()
        return Verification(
            deep=deep,
            episodes=episodes,
            steps=self._steps,
            payloads=self._payloads,
            artifacts=len(self._artifacts),
            findings=tuple(self._findings),
            findings_count=self._count,
            losses=tuple(self._losses),
            recorders=recorders,
        )

    def _found(
        self, kind: FindingKind, detail: str, episode: int | None = None, cursor: int | None = None
    ) -> None:
        self._count += 1
        if len(self._findings) < FINDINGS_MAX:
            try:
                name = None if episode is None else self._reader.rows.episode_id(episode)
            except Corrupt:
                # A step of no episode: the check of foreign keys says so.
                name = None
            self._findings.append(Finding(kind=kind, detail=detail, episode_id=name, cursor=cursor))

    def _windows(self, steps: int = _WINDOW_STEPS) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Conditions that together hold for every step in question, each for a bounded number."""
        if self._episode is None:
            for start in range(0, self._last, steps):
                yield "step.cursor > ? AND step.cursor <= ?", (start, min(start + steps, self._last))
            return
        last = self._reader.first("SELECT max(sequence) FROM step WHERE episode = ?", (self._episode,))
        for start in range(0, cast("int", last) + 1, steps):
            yield (
                "step.episode = ? AND step.sequence >= ? AND step.sequence < ? AND +step.cursor <= ?",
                (self._episode, start, start + steps, self._last),
            )

    # -- order

    def _check_sequences(self) -> None:
        only = "" if self._episode is None else f" AND episode = {self._episode:d}"
        place = (-1, -1)
        expected, cursor_before = 0, 0
        while True:
            rows = cast(
                "list[tuple[int, int, int]]",
                self._reader.select(
                    f"SELECT episode, sequence, cursor FROM step WHERE (episode, sequence) > (?, ?){only}"
                    " ORDER BY episode, sequence LIMIT ?",
                    (*place, _WINDOW_STEPS),
                ),
            )
            if not rows:
                return
            for episode, sequence, cursor in rows:
                if episode != place[0]:
                    expected, cursor_before = sequence if self._is_pruned else 0, 0
                if sequence != expected:
                    missing = f"sequence {expected}" + (
                        f" to {sequence - 1}" if sequence - 1 > expected else ""
                    )
                    self._found(FindingKind.SEQUENCE_GAP, f"{missing} is missing", episode, cursor)
                if cursor <= cursor_before:
                    self._found(
                        FindingKind.CURSOR_ORDER,
                        f"sequence {sequence} has cursor {cursor}, the one before has {cursor_before}",
                        episode,
                        cursor,
                    )
                expected, cursor_before = sequence + 1, cursor
                place = (episode, sequence)
                self._steps += 1

    def _check_references(self, condition: str, arguments: tuple[int, ...]) -> None:
        rows = self._reader.select(
            "SELECT step.cursor, step.episode, step.sequence, step.closes, opener.cursor,"
            " step.parent_id, parent.cursor FROM step LEFT JOIN step AS opener ON opener.id = step.closes"
            " LEFT JOIN step AS parent ON parent.id = step.parent_id"
            f" WHERE {condition}"
            " AND (step.closes IS NOT NULL AND (opener.cursor IS NULL OR opener.cursor >= step.cursor)"
            " OR step.parent_id IS NOT NULL AND (parent.cursor IS NULL OR parent.cursor >= step.cursor))",
            arguments,
        )
        found = cast("list[tuple[int, int, int, bytes | None, int | None, bytes | None, int | None]]", rows)
        for cursor, episode, sequence, closes, opener_cursor, parent, parent_cursor in found:
            pairs = (
                ("closes", closes, opener_cursor, FindingKind.CLOSES_NOTHING, FindingKind.CLOSES_LATER),
                ("is under", parent, parent_cursor, FindingKind.PARENT_MISSING, FindingKind.PARENT_LATER),
            )
            for verb, other, other_cursor, missing, later in pairs:
                if other is None or (other_cursor is not None and other_cursor < cursor):
                    continue
                if other_cursor is not None:
                    detail = f"step {sequence} {verb} {id_text(other)}, which comes later ({other_cursor})"
                    self._found(later, detail, episode, cursor)
                elif not self._is_pruned:
                    self._found(
                        missing,
                        f"step {sequence} {verb} {id_text(other)}, which is not there",
                        episode,
                        cursor,
                    )

    def _check_closed_twice(self) -> None:
        only = "" if self._episode is None else f" AND episode = {self._episode:d}"
        rows = self._reader.select(
            f"SELECT closes, count(*), max(cursor), max(episode) FROM step WHERE closes IS NOT NULL{only}"
            " GROUP BY closes HAVING count(*) > 1"
        )
        for closes, count, cursor, episode in cast("list[tuple[bytes, int, int, int]]", rows):
            self._found(
                FindingKind.CLOSED_TWICE, f"{id_text(closes)} is closed by {count} steps", episode, cursor
            )

    # -- projections

    def _check_projections(self) -> int:
        only = "" if self._episode is None else f" AND key = {self._episode:d}"
        key, checked = -1, 0
        while True:
            rows = self._reader.select(
                f"SELECT key, id, {', '.join(_PROJECTED)},"
                " (SELECT max(sequence) FROM step WHERE step.episode = episode.key)"
                f" FROM episode WHERE key > ?{only} ORDER BY key LIMIT 100",
                (key,),
            )
            if not rows:
                return checked
            for row in rows:
                key = cast("int", row[0])
                self._check_projection(row)
                checked += 1

    def _check_projection(self, row: tuple[Value, ...]) -> None:
        """Compare an episode's row with what its steps say; those below ``next_sequence`` cannot change."""
        key, episode_id, *columns, last = row
        if last is None or self._is_pruned:
            return
        stored = dict(zip(_PROJECTED, columns, strict=True))
        key, end = cast("int", key), cast("int", stored["next_sequence"])
        state = EpisodeState(key=key, id=cast("bytes", episode_id), recorder=0, name="", started_at=0)
        state.next_sequence = cast("int", last) + 1
        for text, pooled, version, at, agent, role, cursor in self._status_changes(key, end):
            try:
                payload = self._reader.rows.payload(StatusChange.kind, version, text, pooled, cursor)
            except Corrupt as error:
                self._found(FindingKind.PAYLOAD_INVALID, str(error), key, cursor)
                return
            if not isinstance(payload, StatusChange):
                # A newer release wrote it; what it projects cannot be told here.
                return
            project_status(state, payload, at, agent, role)
        # The kind is written out so that the partial index on errors serves.
        errors = self._reader.first(
            "SELECT count(*) FROM step WHERE episode = ? AND sequence < ? AND kind = 'error_report'",
            (key, end),
        )
        state.errors = cast("int", errors)
        latest = self._reader.select(
            "SELECT cursor, occurred_at FROM step WHERE episode = ? AND sequence < ?"
            " ORDER BY sequence DESC LIMIT 1",
            (key, end),
        )
        if latest:
            state.last_cursor, state.last_at = cast("tuple[int, int]", latest[0])
        for name in _PROJECTED:
            if getattr(state, name) != stored[name]:
                told, kept = short_repr(getattr(state, name)), short_repr(stored[name])
                self._found(FindingKind.PROJECTION, f"{name} is {kept}, but its steps say {told}", key)

    def _status_changes(
        self, episode: int, end: int
    ) -> Iterator[tuple[str, str | None, int, int, str | None, str | None, int]]:
        for start in range(0, end, _WINDOW_STEPS):
            rows = self._reader.select(
                "SELECT payload, pooled, schema_version, occurred_at, agent, role, cursor FROM step"
                " WHERE episode = ? AND sequence >= ? AND sequence < ? AND kind = ? ORDER BY sequence",
                (episode, start, min(start + _WINDOW_STEPS, end), StatusChange.kind),
            )
            yield from cast("list[tuple[str, str | None, int, int, str | None, str | None, int]]", rows)

    # -- recorders and losses

    def _count_steps(self, condition: str, arguments: tuple[int, ...]) -> None:
        counts = self._reader.select(
            f"SELECT recorder, sum(kind NOT IN {_OWN_KINDS}) FROM step WHERE {condition} GROUP BY recorder",
            arguments,
        )
        self._recorded.update(dict(cast("list[tuple[int, int]]", counts)))
        rows = self._reader.select(
            f"SELECT {STEP_COLUMNS} FROM step WHERE {condition} AND kind = '{Loss.kind}' ORDER BY cursor",
            arguments,
        )
        for row in cast("list[StepRow]", rows):
            try:
                step = self._reader.rows.step(row)
            except Corrupt as error:
                self._found(FindingKind.PAYLOAD_INVALID, str(error), row[2], row[0])
                continue
            if isinstance(step.payload, Loss):
                self._losses.append(
                    LossReport(cursor=step.cursor, episode_id=step.episode_id, loss=step.payload)
                )

    def _check_recorders(self) -> tuple[RecorderReport, ...]:
        rows = self._reader.select(
            "SELECT key, id, pid, host, last_number, refused FROM recorder ORDER BY key"
        )
        reports = []
        for key, raw, pid, host, last_number, refused in cast(
            "list[tuple[int, bytes, int, str, int, int]]", rows
        ):
            name, steps = id_text(raw), self._recorded[key]
            whole = self._episode is None
            lost = sum(
                report.loss.last - report.loss.first + 1
                for report in self._losses
                if report.loss.recorder_id == name and report.loss.last is not None
            )
            if whole:
                self._check_numbers(name, steps, lost, last_number, refused)
            elif key not in self._recorded:
                continue
            reports.append(
                RecorderReport(
                    recorder_id=name,
                    pid=pid,
                    host=host,
                    steps=steps,
                    last_number=last_number if whole else None,
                    lost=lost if whole else None,
                    refused=refused if whole else None,
                )
            )
        return tuple(reports)

    def _check_numbers(self, name: str, steps: int, lost: int, last_number: int, refused: int) -> None:
        if last_number < 0:
            # What another program posts without numbers is counted by nobody.
            return
        if steps + lost > last_number + 1:
            self._found(
                FindingKind.RECORDER_NUMBERS,
                f"recorder {name} numbered {last_number + 1} frames; stored are {steps} steps, lost {lost}",
            )
        told = any(
            report.loss.recorder_id == name and report.loss.reason is LossReason.REFUSED
            for report in self._losses
        )
        if refused and not told and not self._is_pruned:
            self._found(
                FindingKind.RECORDER_NUMBERS, f"recorder {name} refused {refused} steps, and no Loss tells"
            )

    # -- deep

    def _check_payloads(self) -> None:
        rows = self._reader.select("SELECT kind, schema_version, json_schema FROM payload_schema")
        schemas = cast("list[tuple[str, int, str]]", rows)
        validation = Validation({(kind, version): text for kind, version, text in schemas})
        for condition, arguments in self._windows(_PAGE_STEPS):
            # A page is read whole and then checked, so that no read transaction waits for a validator.
            page = self._reader.select(f"SELECT {STEP_COLUMNS} FROM step WHERE {condition}", arguments)
            for row in cast("list[StepRow]", page):
                self._check_payload(row, validation)

    def _check_payload(self, row: StepRow, validation: Validation) -> None:
        cursor, episode, sequence, kind, version = row[0], row[2], row[3], row[4], row[5]
        place = f"step {sequence}, {kind} version {version}"
        self._payloads += 1
        try:
            text = row[14] if row[15] is None else self._reader.content.fill(row[14], row[15])
        except (ContentDamaged, StoreError) as error:
            self._found(FindingKind.CONTENT_DAMAGED, f"{place}: {error}", episode, cursor)
            return
        try:
            validation.check(kind, version, text.encode())
            if kind not in CORE_KINDS and payload_class(kind) is not None:
                decode_payload(kind, version, text)
        except Exception as error:  # noqa: BLE001 - a project's upcast may raise anything
            words = str(error) if isinstance(error, Invalid | ValidationFailed) else repr(error)
            detail = " ".join(words.split())[:_DETAIL_CHARACTERS_MAX]
            self._found(FindingKind.PAYLOAD_INVALID, f"{place}: {detail}", episode, cursor)
        else:
            for sha256, size in leaves.kept_artifacts(text):
                self._artifacts.setdefault(sha256, (size, cursor))

    def _check_artifacts(self) -> None:
        directory = artifacts_path(self._reader.path)
        for sha256, (size, cursor) in self._artifacts.items():
            path = directory / sha256[:2] / sha256[2:]
            digest = hashlib.sha256()
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        digest.update(chunk)
                    found = os.fstat(file.fileno()).st_size
            except OSError as error:
                self._found(FindingKind.ARTIFACT_MISSING, f"{path}: {error.strerror}", cursor=cursor)
                continue
            if digest.hexdigest() != sha256 or found != size:
                self._found(
                    FindingKind.ARTIFACT_CHANGED,
                    f"{path} has {found} bytes with SHA-256 {digest.hexdigest()}, recorded were {size}",
                    cursor=cursor,
                )

    def _check_file(self) -> None:
        for (text,) in self._reader.select("PRAGMA integrity_check(100)"):
            if text != "ok":
                self._found(FindingKind.FILE_DAMAGED, str(text))
        missing = self._reader.select("PRAGMA foreign_key_check")
        for table, row, other, _ in cast("list[tuple[str, int, str, int]]", missing):
            self._found(
                FindingKind.FILE_DAMAGED, f"row {row} of {table} names a row of {other} that is not there"
            )
