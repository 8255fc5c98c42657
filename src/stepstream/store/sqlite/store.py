"""history.db: the embedded engine, written by the one committer.

Knows SQL and the file. Must not know frames or payloads. Nothing here opens history.db but through apsw; its
write-ahead log carries no locks and may be opened to flush it.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import apsw

from stepstream.errors import Busy, StoreError
from stepstream.schemas.identity import id_bytes, id_text, new_id
from stepstream.spool.clock import boot_id
from stepstream.store.batch import EpisodeState, Fenced, RecorderState, RowRefused
from stepstream.store.sqlite.connection import WRITER_BUSY_MS, immediate, open_writer, translate
from stepstream.store.sqlite.migration import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stepstream.store.batch import Batch

logger = logging.getLogger("stepstream")

_LOG_FRAME_BYTES = 4096 + 24
_STEP_COLUMNS = 16
_ROWS_A_STATEMENT = 64
_ONE_STEP = f"({','.join('?' * _STEP_COLUMNS)})"
_INSERT_STEP = f"INSERT INTO step VALUES {_ONE_STEP}"
_INSERT_STEPS = f"INSERT INTO step VALUES {','.join([_ONE_STEP] * _ROWS_A_STATEMENT)}"

_EPISODE_COLUMNS = (
    "key, id, recorder, name, started_at, status, reason, problem, attempt, parent_id, tags, ended_at,"
    " outcome, score, ending, metadata, code_version, data_use, ambient, implied, agent, role, next_sequence,"
    " errors, last_cursor, last_at"
)
_EPISODE_NAMES = tuple(name.strip() for name in _EPISODE_COLUMNS.split(","))
_UPSERT_EPISODE = (
    f"INSERT INTO episode ({_EPISODE_COLUMNS}) VALUES ({','.join('?' * len(_EPISODE_NAMES))}) "
    f"ON CONFLICT (key) DO UPDATE SET {','.join(f'{name} = excluded.{name}' for name in _EPISODE_NAMES[2:])}"
)
_RECORDER_COLUMNS = (
    "id, pid, host, boot_id, release, started_at, last_number, refused, episode, ended_at, key"
)
_UPSERT_RECORDER = (
    f"INSERT INTO recorder ({_RECORDER_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (key) DO UPDATE SET last_number = excluded.last_number, refused = excluded.refused,"
    " episode = excluded.episode, ended_at = excluded.ended_at"
)


class SqliteStore:
    """The committer's connection to history.db."""

    def __init__(self, path: Path, expected_id: bytes | None = None, *, mode: int = 0o600) -> None:
        """Open or create the file, bring it to the newest schema and settle its identity.

        Args:
            path: The database.
            expected_id: The id a new file gets, so that segments begun before it are of this database.
            mode: Who may read and write the file.

        Raises:
            StoreError: The file cannot be opened, is no history, is damaged or too new.
        """
        self.path = path
        self._aside: apsw.Connection | None = None
        self._generation = 0
        self._mode = mode
        self._connection = open_writer(path, mode)
        try:
            with self._translated():
                self.migrated = migrate(self._connection, path)
                self._settle_identity(expected_id)
            self._connection.hold_index()
            self._files = self._named_files()
            self._log = os.open(self._log_path(), os.O_RDWR | os.O_CLOEXEC)
        except BaseException:
            self._connection.close()
            raise
        try:
            # That the file is in use again must be on the disk before anybody hears of a cursor: a power cut
            # would else take back both the cursor and the sign that it may be given out twice.
            os.fdatasync(self._log)
            self._sync_directory()
        except BaseException:
            os.close(self._log)
            self._connection.close()
            raise

    # -- identity

    def _settle_identity(self, expected_id: bytes | None) -> None:
        """Give a new file its identity, and a new epoch to one whose cursors may be given out twice."""
        with immediate(self._connection):
            meta = self._meta()
            info = os.stat(self.path)
            here = {"device": str(info.st_dev), "inode": str(info.st_ino), "boot_id": boot_id().hex()}
            if "database_id" not in meta:
                meta["database_id"] = id_text(expected_id or new_id())
                meta["salt"] = secrets.token_hex(16)
                meta["generation"] = "0"
                meta["epoch"] = secrets.token_hex(8)
            else:
                moved = any(meta.get(name) != here[name] for name in ("device", "inode"))
                rolled_back = meta.get("boot_id") != here["boot_id"] and meta.get("clean") != "1"
                if moved or rolled_back:
                    meta["epoch"] = secrets.token_hex(8)
            meta |= here | {"clean": "0"}
            self._set_meta(meta)
        self.database_id = id_bytes(meta["database_id"])
        self.epoch = meta["epoch"]
        self.salt = bytes.fromhex(meta["salt"])

    def _meta(self) -> dict[str, str]:
        rows = self._all("SELECT name, value FROM meta")
        return {str(name): str(value) for name, value in rows}

    def _set_meta(self, values: dict[str, str]) -> None:
        self._connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            values.items(),
        )

    def take_office(self, published: int = 0) -> int:
        """Begin a term of office; every batch of an earlier term is refused from here on."""
        with self._translated(), immediate(self._connection):
            generation = int(self._meta()["generation"]) + 1
            if published > self.last_cursor():
                self.epoch = secrets.token_hex(8)
            self._set_meta({"generation": str(generation), "epoch": self.epoch, "clean": "0"})
        self._generation = generation
        return generation

    # -- writing

    def append(self, batch: Batch, generation: int) -> None:
        """Write a batch in one transaction, whole or not at all."""
        with self._translated(), immediate(self._connection):
            self._prove_office(generation)
            self._write_recorders(batch)
            self._move_offsets(batch)
            self._write_steps(batch)
            self._write_projections(batch)

    def _prove_office(self, generation: int) -> None:
        found = self._connection.execute("SELECT value FROM meta WHERE name = 'generation'").get
        if found != str(generation):
            raise Fenced(f"generation {generation} ended, {found} began")

    def _move_offsets(self, batch: Batch) -> None:
        for move in batch.offsets:
            finished_at = time.time_ns() if move.finished else None
            if move.before is None:
                self._connection.execute(
                    "INSERT INTO segment VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (move.segment, move.recorder, move.after, finished_at),
                )
            else:
                self._connection.execute(
                    "UPDATE segment SET consumed = ?, finished_at = ? WHERE name = ? AND consumed = ?",
                    (move.after, finished_at, move.segment, move.before),
                )
            if self._connection.changes() != 1:
                raise Fenced(f"segment {move.segment} is not consumed up to {move.before}")

    def _write_recorders(self, batch: Batch) -> None:
        for r in batch.recorders.values():
            self._connection.execute(
                _UPSERT_RECORDER,
                (
                    r.id,
                    r.pid,
                    r.host,
                    r.boot_id,
                    r.release,
                    r.started_at,
                    r.last_number,
                    r.refused,
                    r.episode,
                    r.ended_at,
                    r.key,
                ),
            )

    def _write_steps(self, batch: Batch) -> None:
        steps = batch.steps
        whole = len(steps) - len(steps) % _ROWS_A_STATEMENT
        if whole:
            self._connection.executemany(
                _INSERT_STEPS,
                (
                    tuple(chain.from_iterable(steps[start : start + _ROWS_A_STATEMENT]))
                    for start in range(0, whole, _ROWS_A_STATEMENT)
                ),
            )
        if whole < len(steps):
            self._connection.executemany(_INSERT_STEP, steps[whole:])

    def _write_projections(self, batch: Batch) -> None:
        execute = self._connection.executemany
        if batch.episodes:
            execute(
                _UPSERT_EPISODE,
                (tuple(getattr(state, name) for name in _EPISODE_NAMES) for state in batch.episodes.values()),
            )
        if batch.contents:
            execute("INSERT INTO content VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", batch.contents.values())
        if batch.artifacts:
            execute("INSERT INTO artifact VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", batch.artifacts)
        if batch.schemas:
            execute(
                "INSERT INTO payload_schema VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                ((kind, version, text) for (kind, version), text in batch.schemas.items()),
            )
        if batch.redactions:
            execute(
                "INSERT INTO redaction VALUES (?, ?)"
                " ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count",
                batch.redactions.items(),
            )

    # -- reading back what the committer must know

    def last_cursor(self) -> int:
        """The highest cursor ever given out."""
        with self._translated():
            found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'step'").get
        return int(found or 0)

    def recorder(self, recorder_id: bytes) -> RecorderState | None:
        """A recorder by id."""
        with self._translated():
            row = self._connection.execute(
                f"SELECT {_RECORDER_COLUMNS} FROM recorder WHERE id = ?", (recorder_id,)
            ).fetchone()
        return None if row is None else RecorderState(*row)

    def episode(self, episode_id: bytes) -> EpisodeState | None:
        """An episode by id."""
        return self._find_episode("id = ?", episode_id)

    def episode_at(self, key: int) -> EpisodeState | None:
        """An episode by key."""
        return self._find_episode("key = ?", key)

    def _find_episode(self, condition: str, value: bytes | int) -> EpisodeState | None:
        with self._translated():
            row = self._connection.execute(
                f"SELECT {_EPISODE_COLUMNS} FROM episode WHERE {condition}", (value,)
            ).fetchone()
        return None if row is None else EpisodeState(**dict(zip(_EPISODE_NAMES, row, strict=True)))

    def running_episodes(self, recorder: int) -> list[bytes]:
        """The ids of the episodes that a recorder opened and nobody ended."""
        rows = self._all(
            "SELECT id FROM episode WHERE recorder = ? AND ended_at IS NULL ORDER BY key", recorder
        )
        return [row[0] for row in rows]

    def open_steps(self, episode: int) -> list[bytes]:
        """The ids of an episode's steps that nothing closes."""
        rows = self._all(
            "SELECT id FROM step AS opened WHERE episode = ? AND kind IN ('tool_call', 'model_call') "
            "AND NOT EXISTS (SELECT 1 FROM step WHERE closes = opened.id) ORDER BY sequence",
            episode,
        )
        return [row[0] for row in rows]

    def has_step(self, step_id: bytes) -> bool:
        """Whether a step is stored."""
        with self._translated():
            return bool(self._connection.execute("SELECT count(*) FROM step WHERE id = ?", (step_id,)).get)

    def next_keys(self) -> tuple[int, int]:
        """The next free keys of a recorder and of an episode."""
        with self._translated():
            recorder = self._connection.execute("SELECT coalesce(max(key), 0) + 1 FROM recorder").get
            episode = self._connection.execute("SELECT coalesce(max(key), 0) + 1 FROM episode").get
        return int(recorder), int(episode)

    def offsets(self) -> dict[str, tuple[int, bool]]:
        """How far each segment is consumed, and whether it is finished."""
        rows = self._all("SELECT name, consumed, finished_at IS NOT NULL FROM segment")
        return {str(name): (int(consumed), bool(finished)) for name, consumed, finished in rows}

    def unfinished_segments(self) -> dict[str, bytes]:
        """The segments that were read in part, each with the id of its recorder, which has not ended."""
        rows = self._all(
            "SELECT segment.name, recorder.id FROM segment JOIN recorder ON recorder.key = segment.recorder "
            "WHERE segment.finished_at IS NULL AND recorder.ended_at IS NULL"
        )
        return {str(name): bytes(recorder) for name, recorder in rows}

    def schemas(self) -> dict[tuple[str, int], str]:
        """The JSON schema of every kind and version ever stored."""
        rows = self._all("SELECT kind, schema_version, json_schema FROM payload_schema")
        return {(str(kind), int(version)): str(text) for kind, version, text in rows}

    def forget_segments(self, finished_before: int) -> None:
        """Drop the rows of segments finished before a time; their files are long gone."""
        with self._translated():
            self._connection.execute("DELETE FROM segment WHERE finished_at < ?", (finished_before,))

    def _all(self, sql: str, *bindings: int) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(sql, bindings).fetchall()

    # -- the file

    def sync_log(self) -> bool:
        """Flush what is committed to the disk; False when it failed or the path names another file."""
        try:
            os.fdatasync(self._log)
        except OSError:
            return False
        return self.is_intact()

    def is_intact(self) -> bool:
        """Whether the path still names the files that are open."""
        return self._named_files() == self._files

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        return os.fstat(self._log).st_size

    def checkpoint_aside(self) -> int:
        """Move the log into the database as far as nobody is disturbed; returns the bytes in use in it."""
        try:
            if self._aside is None:
                self._aside = open_writer(self.path, self._mode)
                self._aside.set_busy_timeout(0)
            frames, _ = self._aside.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.Error, StoreError) as error:
            logger.debug("a checkpoint was put off: %s", error)
            return 0
        return frames * _LOG_FRAME_BYTES

    def restart_log(self) -> None:
        """Write the log from its front again, if nobody reads it; waits for nobody.

        Its file keeps its size: giving 64 MiB back took 25 ms in which nothing was committed, and a log that
        need not grow is flushed in less time.
        """
        self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)

    def _checkpoint(self, mode: int) -> None:
        with self._translated():
            self._connection.set_busy_timeout(0)
            try:
                self._connection.wal_checkpoint(mode=mode)
            except apsw.BusyError:
                return
            finally:
                self._connection.set_busy_timeout(WRITER_BUSY_MS)

    def close(self, *, clean: bool) -> None:
        """Let go of the database; ``clean`` states that nothing is in doubt."""
        try:
            if clean:
                with self._translated(), immediate(self._connection):
                    if self._meta()["generation"] == str(self._generation):
                        self._set_meta({"clean": "1"})
                os.fdatasync(self._log)
                self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            if self._aside is not None:
                self._aside.close()
            os.close(self._log)
            self._connection.close()

    def _sync_directory(self) -> None:
        """Make the names of the database and its log outlast a power cut; SQLite in NORMAL does not."""
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _log_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _named_files(self) -> tuple[tuple[int, int], ...]:
        # The index too: readers that find none make one of their own, and would hear of no later commit.
        index = self.path.with_name(self.path.name + "-shm")
        files = []
        for path in (self.path, self._log_path(), index):
            try:
                info = os.stat(path)
            except OSError:
                return ()
            files.append((info.st_dev, info.st_ino))
        return tuple(files)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.ConstraintError as error:
            raise RowRefused(str(error)) from error
        except (apsw.MismatchError, apsw.TooBigError, apsw.RangeError) as error:
            raise RowRefused(str(error)) from error
        except apsw.BusyError as error:
            raise Busy(self.path, WRITER_BUSY_MS / 1000) from error
        except apsw.Error as error:
            raise translate(self.path, error) from error
