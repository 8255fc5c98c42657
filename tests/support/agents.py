"""Agents that log numbered steps, as processes of the nursery or in the test's own process.

An agent logs through a Recorder, as the SDK does, and writes down in its journal what each call returned. The
n-th step of an agent is the n-th frame of its recorder, so that the recorder's numbers are the agent's.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.journal import ACKNOWLEDGED, REFUSED, TRIED, Journal

from stepstream.schemas.identity import NO_ID, id_bytes, id_text, new_id
from stepstream.schemas.release import RELEASE
from stepstream.settings import Settings
from stepstream.spool.clock import SystemClock
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.frame import FrameKind, encode_step
from stepstream.spool.recorder import Recorder
from stepstream.store.hosting import database_identity, ensure_committer

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.spool.clock import Clock

ROOM = 200_000
_FILLER = "lorem ipsum " * 6000


def settings(**options: str | float | bool) -> Settings:
    """Settings that start no committer and do not depend on this machine's disk."""
    bounds = {"committer": "none", "disk_free_bytes_min": 0, "disk_free_percent_min": 0.0}
    return Settings.load(Path("/nowhere/history.db"), {}, **{**bounds, **options})


def thought(name: str, number: int, padding: int) -> bytes:
    """The payload of an agent's step: who, which, and something to carry."""
    return json.dumps({"text": f"{name} {number} {_FILLER[:padding]}"}, separators=(",", ":")).encode()


def step_body(episode: bytes, payload: bytes) -> bytes:
    """The body of a frame with one thought."""
    return encode_step(new_id(), episode, NO_ID, NO_ID, 0, 1, 0, b"thought", b"", b"", payload)


class Waiting:
    """How long this thread waited for a processor, which is nobody's fault but the machine's."""

    def __init__(self) -> None:
        self._descriptor = os.open(
            f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC
        )

    def __call__(self) -> int:
        return int(os.pread(self._descriptor, 64, 0).split()[1])

    def close(self) -> None:
        """Let go of the counter."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Agent:
    """Logs numbered steps and writes down what it was told.

    Args:
        database: The history it logs into.
        journal: Where it writes down the fate of each step.
        options: Bounds and durability.
        episode: Where its steps belong; one of its own by default.
        clock: Where stamps and times come from.
    """

    def __init__(
        self,
        database: Path,
        journal: Journal,
        options: Settings,
        *,
        episode: bytes | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database = database
        self.journal = journal
        self.options = options
        self.episode = episode or new_id()
        self.number = 0
        self.spool = SpoolDirectory(database)
        self.database_id = database_identity(database, self.spool)
        self.recorder = Recorder(
            self.spool, self.database_id, options, clock or SystemClock(), RELEASE, self._look_around
        )
        journal.note_recorder(self.recorder.id)
        self._waiting = Waiting()

    def _look_around(self) -> None:
        """What the SDK does once a second: see to a committer, follow a database that was replaced."""
        ensure_committer(self.database, self.spool, self.options)
        try:
            identity = self.spool.identity()
        except OSError:
            return
        if identity is not None and identity.database_id != self.database_id:
            self.database_id = identity.database_id
            self.recorder.move(identity.database_id)

    def log(self, padding: int = 100) -> bool:
        """Log one step; what is written down is written after the call returned."""
        number, self.number = self.number, self.number + 1
        body = step_body(self.episode, thought(self.journal.name, number, padding))
        self.journal.note(number, TRIED)
        refused = self.recorder.refused
        waited, began = self._waiting(), time.monotonic_ns()
        done = self.recorder.append(FrameKind.STEP, body)
        ended, waited = time.monotonic_ns(), self._waiting() - waited
        if done:
            self.journal.note(number, ACKNOWLEDGED)
        elif self.recorder.refused > refused:
            # Else it was written, and nobody knows whether it outlasts a power cut.
            self.journal.note(number, REFUSED)
        self.journal.note_blocked(ended - began - waited)
        return done

    def log_many(self, count: int, padding: int = 100) -> None:
        """Log so many steps."""
        for _ in range(count):
            self.log(padding)

    def log_while(self, wanted: Callable[[], bool], rate: float, padding: int = 100) -> None:
        """Log at a rate for as long as it is wanted and there is room in the journal."""
        began = time.monotonic()
        count = 0
        while wanted() and self.number < self.journal.room:
            self.log(padding)
            count += 1
            if rate:
                time.sleep(max(0.0, began + count / rate - time.monotonic()))

    def close(self) -> None:
        """End as a provider does."""
        self.recorder.close()
        self._let_go()

    def crash(self) -> None:
        """End as a killed process does: descriptors are closed, nothing is said."""
        self.recorder.abandon()
        self._let_go()

    def _let_go(self) -> None:
        self.spool.close()
        self._waiting.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def agent(directory: Path, name: str, room: int = ROOM, **options: str | float | bool) -> Agent:
    """An agent in this process, with a journal in ``directory/journals``."""
    return Agent(directory / "history.db", new_journal(directory, name, room), settings(**options))


def new_journal(directory: Path, name: str, room: int = ROOM) -> Journal:
    """A journal beside the database."""
    folder = directory / "journals"
    folder.mkdir(exist_ok=True)
    return Journal(folder / f"{name}.journal", room)


def journals(directory: Path) -> list[Journal]:
    """Every journal there is."""
    return [Journal(path) for path in sorted((directory / "journals").glob("*.journal"))]


# -- what a child of the nursery runs


def log_steps(  # noqa: PLR0917 - arguments of a child arrive in a row
    database: str, journal: str, options: str, count: int, rate: float, padding: int, episode: str = ""
) -> None:
    """Log so many steps and close."""
    logging.basicConfig(level=logging.INFO)
    writer = Agent(
        Path(database),
        Journal(Path(journal)),
        Settings.model_validate_json(options),
        episode=id_bytes(episode) if episode else None,
    )
    writer.log_while(lambda: writer.number < count, rate, padding)
    writer.close()
    writer.journal.note_end()


def commit(database: str, options: str, linger_s: float = 0.0, committer: str = "") -> None:
    """Commit until nobody needs it; ``committer`` names another function that stands in for the product's."""
    import sys

    from stepstream.store.committer_process import main

    logging.basicConfig(level=logging.INFO)
    chosen = Settings.model_validate_json(options).model_copy(update={"linger_s": linger_s})
    sys.argv = ["committer_process", database, chosen.model_dump_json()]
    if committer:
        import importlib

        module, _, name = committer.partition(":")
        getattr(importlib.import_module(module), name)()
    raise SystemExit(main())


def episode_text() -> str:
    """A new episode id, as text that can be handed to several agents."""
    return id_text(new_id())
