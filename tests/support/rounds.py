"""A database's place, a committer that is driven pass by pass, and what it left in the file.

The parts are the product's own; only the loop around the committer is replaced, so that a test says when a
pass is made and sees the state after each.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.frames import NO_ID, HandSegment, new_id, thought

from stepstream.errors import NotADatabase
from stepstream.schemas.payload import decode_payload
from stepstream.schemas.release import RELEASE
from stepstream.settings import Settings
from stepstream.spool.clock import SystemClock
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.frame import encode_step
from stepstream.spool.recorder import Recorder
from stepstream.store.committer import Committer
from stepstream.store.post_office import PostOffice
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepstream.schemas.kinds import Loss
    from stepstream.schemas.record import JsonObject
    from stepstream.schemas.stream import Delta
    from stepstream.spool.clock import Clock

WITHIN_S = 20.0


class Place:
    """Where a history is going to be: its path, its spool and the identity they share."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "history.db"
        self.spool = directory / "history.db-spool"
        self.database_id = new_id()
        self.spool.mkdir(mode=0o700)
        identity = self.spool / "database"
        identity.write_text(f"{uuid.UUID(bytes=self.database_id)} 0 0\n", "ascii")
        identity.chmod(0o600)

    @classmethod
    def at(cls, directory: Path) -> Self:
        """A place that somebody else has begun."""
        place = cls.__new__(cls)
        place.directory = directory
        place.database = directory / "history.db"
        place.spool = directory / "history.db-spool"
        place.database_id = uuid.UUID((place.spool / "database").read_text("ascii").split()[0]).bytes
        return place

    def segment(
        self, *, recorder: bytes | None = None, first: int = 0, **header: str | int | bool
    ) -> HandSegment:
        """A segment of this database, to be written by hand."""
        return HandSegment(self.database_id, recorder=recorder, first=first, **header)

    def segments(self) -> list[str]:
        """The segments that are there."""
        return sorted(path.name for path in self.spool.glob("*.segment"))

    def damaged(self) -> list[Path]:
        """What was set aside."""
        return sorted((self.spool / "damaged").glob("*"))


def settings(**options: str | float | bool) -> Settings:
    """Settings without a committer of their own and without a bound that depends on this machine's disk."""
    return Settings.load(
        Path("/nowhere/history.db"),
        {},
        **{"committer": "none", "disk_free_bytes_min": 0, "disk_free_percent_min": 0.0, **options},
    )


def _nothing() -> None:
    pass


class Pen:
    """A recorder of this process and one episode that it writes into."""

    def __init__(
        self,
        place: Place,
        options: Settings | None = None,
        *,
        episode: bytes | None = None,
        clock: Clock | None = None,
        on_check: Callable[[], None] | None = None,
    ) -> None:
        options = options or settings()
        self.spool = SpoolDirectory(place.database, shared_group=options.spool_shared_group)
        self.recorder = Recorder(
            self.spool, place.database_id, options, clock or SystemClock(), RELEASE, on_check or _nothing
        )
        self.episode = episode or new_id()
        self.acknowledged: list[str] = []

    def write(self, text: str, step: bytes | None = None) -> bool:
        """Log a thought; what returned True is acknowledged."""
        body = encode_step(
            step or new_id(), self.episode, NO_ID, NO_ID, 0, 1, 0, b"thought", b"", b"", thought(text)
        )
        done = self.recorder.append(1, body)
        if done:
            self.acknowledged.append(text)
        return done

    def close(self) -> None:
        """Close the recorder and the directory."""
        self.recorder.close()
        self.spool.close()

    def crash(self) -> None:
        """End as a killed process does: every descriptor is closed, nothing is said."""
        self.recorder.abandon()
        self.spool.close()


class Office:
    """A committer, driven pass by pass."""

    def __init__(
        self,
        place: Place,
        options: Settings | None = None,
        *,
        server: bool = False,
        on_deltas: Callable[[Sequence[Delta]], None] | None = None,
    ) -> None:
        options = options or settings()
        self.place = place
        self.spool = SpoolDirectory(place.database, shared_group=options.spool_shared_group)
        self.post_office = PostOffice() if server else None
        self.committer = Committer(
            place.database, self.spool, options, post_office=self.post_office, on_deltas=on_deltas
        )

    def until(self, done: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Make passes until something is so, or the deadline is over."""
        deadline = time.monotonic() + within_s
        while not done():
            self.committer.work()
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not so within {within_s} s; the committer is: {self.committer.state}; "
                    f"in the spool: {self.place.segments()}"
                )
            time.sleep(0.0005)

    def settle(self, within_s: float = WITHIN_S) -> None:
        """Make passes until every segment without an owner is stored and deleted."""
        self.committer.work()
        self.until(lambda: self.committer.elected and not self.committer.has_owners(), within_s)

    def drain(self, within_s: float = WITHIN_S) -> None:
        """Make passes until every byte of every segment is committed."""
        self.committer.work()
        self.until(lambda: self.committer.elected and self.committer.waiting_bytes() == 0, within_s)

    def crash(self) -> None:
        """End as a killed process does: nothing is written, locks go with their descriptors."""
        self.committer.leave(clean=False)
        self.close()

    def close(self) -> None:
        """Leave the election and let go of everything."""
        self.committer.close()
        self.spool.close()
        if self.post_office is not None:
            self.post_office.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Row(NamedTuple):
    """A step as the file has it."""

    cursor: int
    id: bytes
    episode: bytes
    sequence: int
    kind: str
    version: int
    recorder: bytes
    payload: JsonObject

    @property
    def text(self) -> str:
        """The text of a thought."""
        return str(self.payload["text"])


def stored_texts(database: Path) -> list[str]:
    """The thoughts that are stored, none while there is no history yet."""
    try:
        return Shelf(database).texts()
    except (FileNotFoundError, NotADatabase):
        return []


class Shelf:
    """What lasts: the steps of a history, read with one query of the test's own."""

    def __init__(self, database: Path) -> None:
        connection = open_reader(database)
        try:
            self.integrity = connection.execute("PRAGMA integrity_check").get
            self.orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
            self.next_sequences = dict(connection.execute("SELECT id, next_sequence FROM episode").fetchall())
            self.status = dict(connection.execute("SELECT id, status FROM episode").fetchall())
            self.recorders = dict(connection.execute("SELECT id, last_number FROM recorder").fetchall())
            rows = connection.execute(
                "SELECT step.cursor, step.id, episode.id, step.sequence, step.kind, step.schema_version,"
                " recorder.id, step.payload FROM step JOIN episode ON episode.key = step.episode"
                " JOIN recorder ON recorder.key = step.recorder ORDER BY step.cursor"
            ).fetchall()
        finally:
            connection.close()
        self.steps = [Row(*row[:-1], json.loads(row[-1])) for row in rows]

    def texts(self, recorder: bytes | None = None) -> list[str]:
        """The thoughts in cursor order."""
        return [
            step.text for step in self.steps if step.kind == "thought" and recorder in {None, step.recorder}
        ]

    def losses(self, recorder: bytes | None = None) -> list[Loss]:
        """What is said to be lost."""
        return [
            decode_payload("loss", 1, json.dumps(step.payload))  # type: ignore[misc]
            for step in self.steps
            if step.kind == "loss" and recorder in {None, step.recorder}
        ]

    def missing(self, recorder: bytes) -> set[int]:
        """The numbers that are named lost; a loss without an end names its first number only."""
        return {
            number
            for loss in self.losses(recorder)
            for number in range(loss.first, (loss.first if loss.last is None else loss.last) + 1)
        }

    def audit(self) -> None:
        """Check what must always be so: gapless sequences, unique ids, rising cursors, a sound file."""
        assert self.integrity == "ok"
        assert self.orphans == []
        sequences: defaultdict[bytes, list[int]] = defaultdict(list)
        for step in self.steps:
            sequences[step.episode].append(step.sequence)
        for episode, found in sequences.items():
            assert found == list(range(len(found))), f"episode {episode.hex()} has sequences {found}"
            assert self.next_sequences[episode] == len(found)
        assert [key for key, count in Counter(step.id for step in self.steps).items() if count > 1] == []
        cursors = [step.cursor for step in self.steps]
        assert cursors == sorted(set(cursors))


def descriptors() -> list[int]:
    """The descriptors that this process has open."""
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def open_files() -> int:
    """How many descriptors this process has open."""
    return len(descriptors())


def file_bytes(directory: Path) -> bytes:
    """All that lies at a history's path and beside it, but for its spool; for files that nobody has open."""
    return b"".join(path.read_bytes() for path in sorted(directory.glob("history.db*")) if path.is_file())
