"""Seeing to it that somebody commits: a process of its own, or a thread where none can be started.

Knows how a worker is started and stopped: a committer, or whoever else empties a spool. Nothing here waits
for one or raises into an agent.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stepstream.errors import NotADatabase, StepstreamError, StoreError
from stepstream.schemas.identity import id_bytes, new_id
from stepstream.settings import CommitterMode
from stepstream.spool.directory import COMMITTER_LOCK, Identity, SpoolDirectory
from stepstream.store.election import is_locked, read_status, somebody_commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.settings import Settings

logger = logging.getLogger("stepstream")

_START_INTERVAL_S = 2.0
_THREAD_AFTER_STARTS = 3
_TRIES = 3

_threads: dict[Path, CommitterThread] = {}
_started_at: dict[Path, float] = {}
_starts_in_vain: dict[Path, int] = {}
# Re-entrant: a signal handler may log its first step while a committer is being started.
_guard = threading.RLock()


def database_identity(database: Path, spool: SpoolDirectory) -> bytes:
    """The id of a database, decided once and for all by whoever comes first.

    A spool that was last seen with another file than the one at the path asks that file.

    Raises:
        NotADatabase: There is a file, and it is no history.
    """
    known = spool.identity()
    try:
        info = os.stat(database)
    except FileNotFoundError:
        return (known or spool.claim_identity(new_id())).database_id
    if known is not None and (known.device, known.inode) == (info.st_dev, info.st_ino):
        return known.database_id
    try:
        found = _ask(database)
    except NotADatabase:
        raise
    except StoreError as error:
        # Held, damaged, or half created when its committer was killed: only a committer can mend that, and it
        # says then what it found.
        logger.debug("%s does not tell its id: %s", database, error)
        found = None
    if found is None:
        return (known or spool.claim_identity(new_id())).database_id
    spool.set_identity(Identity(found, info.st_dev, info.st_ino))
    return found


def _ask(database: Path) -> bytes | None:
    """The id a database file says it has; None while its first committer is still creating it."""
    import apsw  # noqa: PLC0415 - only needed for a file the spool has not seen

    from stepstream.store.sqlite.connection import is_unborn, open_reader, translate  # noqa: PLC0415

    if os.stat(database).st_size == 0:
        return None
    try:
        try:
            connection = open_reader(database, busy_ms=0)
        except NotADatabase:
            if is_unborn(database):
                return None
            # It may have been born between the two looks.
            connection = open_reader(database, busy_ms=0)
        try:
            text = connection.execute("SELECT value FROM meta WHERE name = 'database_id'").get
        finally:
            connection.close()
    except apsw.Error as error:
        raise translate(database, error) from error
    return None if text is None else id_bytes(text)


class Worker(Protocol):
    """Whoever empties a spool, as it is started: by its path there is one in every process at most."""

    @property
    def database(self) -> Path:
        """The path that the spool is named after."""
        ...

    def start_process(self, settings: Settings) -> None:
        """Start a process that does it; never waited for.

        Raises:
            OSError: No process can be started here.
        """
        ...

    def run(self, spool: SpoolDirectory, settings: Settings, until: Callable[[], bool]) -> None:
        """Do it in this thread until told to stop."""
        ...


class Committing:
    """A committer, as it is started."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def start_process(self, settings: Settings) -> None:
        start_process(self.database, settings)

    def run(self, spool: SpoolDirectory, settings: Settings, until: Callable[[], bool]) -> None:
        from stepstream.store.loop import run_committer  # noqa: PLC0415 - apsw is heavy

        run_committer(self.database, spool, settings, until=until)


def ensure_committer(database: Path, spool: SpoolDirectory, settings: Settings) -> None:
    """Start a committer if nobody commits for this database; never waits, never raises."""
    ensure_worker(Committing(database), spool, settings)


def ensure_worker(worker: Worker, spool: SpoolDirectory, settings: Settings) -> None:
    """Start a worker if nobody works on this spool; never waits, never raises."""
    try:
        match settings.committer:
            case CommitterMode.NONE:
                return
            case CommitterMode.THREAD:
                _ensure_thread(worker, settings)
            case CommitterMode.PROCESS:
                works = somebody_commits(spool)
                if works or _has_stirred(worker.database, spool):
                    _starts_in_vain.pop(worker.database, None)
                if not works:
                    _ensure_process(worker, settings)
    except (OSError, StepstreamError, RuntimeError, subprocess.SubprocessError) as error:
        logger.warning(
            "no committer could be started for %s: %s; steps wait in %s", worker.database, error, spool.path
        )


def release_committer(database: Path, timeout_s: float = 5.0) -> None:
    """Stop this process's committer thread for a database, if there is one, after it has drained."""
    with _guard:
        thread = _threads.pop(database, None)
    if thread is not None and thread.pid == os.getpid():
        thread.stop(timeout_s)


def forget_after_fork() -> None:
    """In a forked child: the parent's committer threads are not here; their connections are left alone."""
    global _guard  # noqa: PLW0603 - another thread of the parent may have held it
    _guard = threading.RLock()
    _threads.clear()
    _started_at.clear()


def _ensure_thread(worker: Worker, settings: Settings) -> None:
    with _guard:
        if worker.database not in _threads or not _threads[worker.database].is_alive():
            _threads[worker.database] = CommitterThread(worker.database, settings, worker)
            _threads[worker.database].start()


def _has_stirred(database: Path, spool: SpoolDirectory) -> bool:
    """Whether a process said something after our last start: it runs, even if the database is in trouble."""
    started, status = _started_at.get(database), read_status(spool)
    return started is not None and status is not None and status.was_alive_after(started)


def _ensure_process(worker: Worker, settings: Settings) -> None:
    database = worker.database
    now = time.monotonic()
    with _guard:
        if now - _started_at.get(database, -_START_INTERVAL_S) < _START_INTERVAL_S:
            return
        _started_at[database] = now
        _starts_in_vain[database] = _starts_in_vain.get(database, 0) + 1
        in_vain = _starts_in_vain[database]
    if in_vain > _THREAD_AFTER_STARTS or not sys.executable or getattr(sys, "frozen", False):
        _ensure_thread(worker, settings)
        return
    worker.start_process(settings)


def start_process(database: Path, settings: Settings) -> None:
    """Start a committer process.

    Raises:
        OSError: No process can be started here.
    """
    start_module("stepstream.store.committer_process", os.fspath(database), settings.model_dump_json())


def start_module(module: str, *arguments: str) -> None:
    """Start a process that outlives us: own session, no descriptors of ours, nobody's child.

    A shell starts it in the background and ends at once, so that the agent never has a child it does not
    know of. Anybody on the machine can read the arguments; the environment only its owner.

    Raises:
        OSError: No process can be started here.
    """
    package = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")])),
    }
    environment.pop("PYTHONSTARTUP", None)
    subprocess.run(
        [
            "/bin/sh",
            "-c",
            '"$@" </dev/null >/dev/null 2>&1 &',
            "sh",
            sys.executable,
            "-P",
            "-m",
            module,
            *arguments,
        ],
        env=environment,
        cwd="/",
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=5,
    )


def has_a_chance(spool: SpoolDirectory) -> bool:
    """Whether a process that was started is to stand: of sixteen started at once, fifteen end here."""
    for _ in range(_TRIES):
        if not is_locked(spool, COMMITTER_LOCK):
            return True
        status = read_status(spool)
        if status is not None and not status.is_fresh():
            return True
        time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - jitter
    return False


class CommitterThread(threading.Thread):
    """A committer, or another worker, inside this process."""

    def __init__(self, database: Path, settings: Settings, worker: Worker | None = None) -> None:
        super().__init__(name="stepstream-committer", daemon=True)
        self.pid = os.getpid()
        self._database = database
        self._settings = settings
        self._worker = worker or Committing(database)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until stopped."""
        spool = SpoolDirectory(self._database, shared_group=self._settings.spool_shared_group)
        try:
            self._worker.run(spool, self._settings, self._stopping.is_set)
        finally:
            spool.close()

    def stop(self, timeout_s: float) -> None:
        """Drain, leave the office and end, within a budget."""
        self._stopping.set()
        self.join(timeout_s)
