"""The ledger: what the agents were told against what the history holds.

Acknowledged means readable exactly once; a step that was tried and not acknowledged is there whole or not at
all; what was refused is named by a Loss and nothing else is; sequences are gapless; the file is sound.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.agents import journals, settings, thought
from tests.support.journal import ACKNOWLEDGED, REFUSED

from stepstream.schemas.identity import id_bytes
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.journal import Journal

    from stepstream.settings import Settings

DRAINED_WITHIN_S = 30.0
ODD_CALLS = 2
ODD_MS = 2_000.0


class Row(NamedTuple):
    """One step as the file has it."""

    cursor: int
    episode: bytes
    sequence: int
    kind: str
    occurred_at: int
    recorder: bytes
    payload: dict[str, object]


class Lost(NamedTuple):
    """One Loss as the file has it."""

    recorder: bytes
    first: int
    last: int | None
    reason: str


class History:
    """Everything the file holds, read at once."""

    def __init__(self, database: Path) -> None:
        connection = open_reader(database)
        try:
            self.integrity = connection.execute("PRAGMA integrity_check").get
            self.orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
            self.meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            self.next_sequences = dict(connection.execute("SELECT id, next_sequence FROM episode").fetchall())
            self.statuses = dict(connection.execute("SELECT id, status FROM episode").fetchall())
            self.last_numbers = dict(connection.execute("SELECT id, last_number FROM recorder").fetchall())
            bodies = dict(connection.execute("SELECT hash, body FROM content").fetchall())
            rows = connection.execute(
                "SELECT step.cursor, episode.id, step.sequence, step.kind, step.occurred_at, recorder.id,"
                " step.payload, step.pooled FROM step JOIN episode ON episode.key = step.episode"
                " JOIN recorder ON recorder.key = step.recorder ORDER BY step.cursor"
            ).fetchall()
        finally:
            connection.close()
        self.rows = [Row(*row[:6], _payload(row[6], row[7], bodies)) for row in rows]

    def losses(self) -> list[Lost]:
        """What is said to be lost."""
        return [
            Lost(id_bytes(str(p["recorder_id"])), int(str(p["first"])), p["last"], str(p["reason"]))  # type: ignore[arg-type]
            for p in (row.payload for row in self.rows if row.kind == "loss")
        ]


def _payload(text: str, pooled: str | None, bodies: dict[bytes, str]) -> dict[str, object]:
    payload: dict[str, object] = json.loads(text)
    for path, key, kind in json.loads(pooled or "[]"):
        assert kind == "text"
        assert len(path) == 1
        payload[path[0]] = bodies[bytes.fromhex(key)]
    return payload


class Account(NamedTuple):
    """What became of one agent's steps."""

    name: str
    recorder: bytes
    stored: list[int]
    """Numbers of its steps in cursor order."""


class Ledger:
    """The check of one history against the journals of its agents."""

    def __init__(self, directory: Path, told: Sequence[Journal] | None = None) -> None:
        self.history = History(directory / "history.db")
        self.journals = list(told) if told is not None else journals(directory)
        self.accounts = self._accounts()

    def _accounts(self) -> dict[str, Account]:
        recorders = {journal.name: journal.recorder_id for journal in self.journals}
        stored: defaultdict[str, list[int]] = defaultdict(list)
        for row in self.history.rows:
            if row.kind != "thought":
                continue
            name, number, padding = str(row.payload["text"]).split(" ", 2)
            assert recorders.get(name) == row.recorder, f"nobody logged {row.payload}"
            whole = json.loads(thought(name, int(number), len(padding)))
            assert row.payload == whole, f"step {number} of {name} is not what was logged"
            stored[name].append(int(number))
        return {name: Account(name, recorder, stored[name]) for name, recorder in sorted(recorders.items())}

    def check(self, *, may_miss: Iterable[str] = ()) -> None:
        """Check every invariant; agents named in ``may_miss`` may have lost steps, if that is said."""
        self.check_file()
        for journal in self.journals:
            self.check_agent(journal, may_miss=journal.name in set(may_miss))

    def check_file(self) -> None:
        """A sound file, gapless sequences."""
        history = self.history
        assert history.integrity == "ok"
        assert history.orphans == []
        sequences: defaultdict[bytes, list[int]] = defaultdict(list)
        for row in history.rows:
            sequences[row.episode].append(row.sequence)
        for episode, found in sequences.items():
            assert found == list(range(len(found))), f"episode {episode.hex()} has sequences {found}"
            assert history.next_sequences[episode] == len(found)

    def check_agent(self, journal: Journal, *, may_miss: bool = False) -> None:
        """Acknowledged is there once, in order; refused is named; nothing else is."""
        account = self.accounts[journal.name]
        stored = set(account.stored)
        twice = [number for number, count in Counter(account.stored).items() if count > 1]
        assert not twice, f"{journal.name}: stored more than once: {twice}"
        assert account.stored == sorted(account.stored), f"{journal.name}: out of order"
        acknowledged = set(journal.numbers(ACKNOWLEDGED))
        refused = set(journal.numbers(REFUSED))
        named = self.named(account)
        assert not stored & refused, f"{journal.name}: refused and stored: {_spans(stored & refused)}"
        assert not stored & named, f"{journal.name}: stored and said to be lost: {_spans(stored & named)}"
        missing = acknowledged - stored
        if not may_miss:
            assert not missing, f"{journal.name}: acknowledged and lost: {_spans(missing)}"
            assert named == refused & named, (
                f"{journal.name}: falsely said to be lost: {_spans(named - refused)}"
            )
        silent = (missing | refused) - named
        assert not silent, f"{journal.name}: lost without a word: {_spans(silent)}"

    def named(self, account: Account, reason: str | None = None) -> set[int]:
        """The numbers of an agent that a Loss names, for a reason or for any."""
        numbers: set[int] = set()
        for loss in self.history.losses():
            if loss.recorder == account.recorder and reason in {None, loss.reason}:
                assert loss.last is not None, f"{account.name}: a loss of nobody knows how many: {loss}"
                span = set(range(loss.first, loss.last + 1))
                assert not span & numbers, f"{account.name}: said to be lost twice: {_spans(span & numbers)}"
                numbers |= span
        return numbers

    def check_budget(self) -> None:
        """No agent was held up for longer than its budget, but for the odd moment when the machine stood still.

        What blocks an agent does so on every call of a kind; a machine that is shared does it to any one.
        """
        for journal in self.journals:
            assert journal.blocked_calls <= ODD_CALLS, (
                f"{journal.name} was held up {journal.blocked_calls} times, up to {journal.longest_blocked_ms:.1f} ms"
            )
            assert journal.longest_blocked_ms <= ODD_MS, (
                f"{journal.name} was held up for {journal.longest_blocked_ms:.1f} ms"
            )


def _spans(numbers: Iterable[int]) -> str:
    """Numbers as ranges, for a message."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"


def drain(directory: Path, options: Settings | None = None, within_s: float = DRAINED_WITHIN_S) -> None:
    """Commit in this process until every segment without an owner is stored and deleted."""
    database = directory / "history.db"
    spool = SpoolDirectory(database)
    committer = Committer(database, spool, options or settings())
    deadline = time.monotonic() + within_s
    try:
        while True:
            count = committer.work()
            if count == 0 and committer.elected and not committer.has_owners():
                return
            assert time.monotonic() < deadline, f"not drained within {within_s:g} s: {committer.state}"
            time.sleep(0.001)
    finally:
        committer.close()
        spool.close()
