"""A real process streams an answer while a committer runs: it is seen live, and nothing of it is stored."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.nursery import until
from tests.support.rounds import Place, Shelf, file_bytes, settings

from stepstream import ObservabilityProvider, log_event, model_call
from stepstream.schemas.identity import id_bytes
from stepstream.schemas.kinds import Thought
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.committer import Committer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.nursery import Nursery

    from stepstream.schemas.stream import Delta

pytestmark = pytest.mark.fault

DELTAS = 2_000
THOUGHTS_EVERY = 100
MARK = "ephemeral"


def stream(database: str, go_on: str) -> None:
    """Log an episode whose model answers in many pieces, and say how many; goes on in the middle when told to."""
    count = 0
    with (
        ObservabilityProvider(database, committer="none") as provider,
        provider.episode("streamed"),
        model_call("small") as call,
    ):
        while count < DELTAS or not Path(go_on).exists():
            call.delta(f"{MARK} line {count}\n")
            if count % THOUGHTS_EVERY == 0:
                log_event(Thought(text=f"thought {count}"))
            count += 1
            if count >= DELTAS // 2 and not Path(go_on).exists():
                time.sleep(0.02)
        call.reply("All of it.")
    print(count)


class Watching:
    """A committer that works in a thread of this process, and what it was told to show."""

    def __init__(self, place: Place) -> None:
        self.deltas: list[Delta] = []
        self._spool = SpoolDirectory(place.database)
        self.committer = Committer(place.database, self._spool, settings(), on_deltas=self._take)

    def _take(self, deltas: Sequence[Delta]) -> None:
        self.deltas += deltas

    @property
    def lines(self) -> list[int]:
        """The numbers of the lines that were shown, in order."""
        text = "".join(delta.text for delta in tuple(self.deltas))
        return [int(number) for number in re.findall(r"line (\d+)\n", text)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Make passes, from before anything is logged until everything is stored."""
        stopping = threading.Event()

        def work() -> None:
            while not stopping.is_set() or self.committer.has_owners() or self.committer.waiting_bytes():
                self.committer.work()
                time.sleep(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            until(lambda: self.committer.elected, "the committer is elected")
            yield
        finally:
            stopping.set()
            thread.join()
            self.committer.close()
            self._spool.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_answer_is_seen_while_it_is_made_and_not_stored(place: Place, nursery: Nursery) -> None:
    """Two thousand deltas of a live process are shown in order; history has no trace of them, no Loss and no gap."""
    go_on = place.directory / "go on"
    watching = Watching(place)
    with watching.at_work():
        agent = nursery.bear("tests.faults.test_deltas:stream", str(place.database), str(go_on))
        until(lambda: bool(watching.lines), "the answer is seen before it is complete")
        go_on.touch()
        agent.finish()

    count = int(agent.said())
    assert count >= DELTAS
    shelf = Shelf(place.database)
    shelf.audit()
    thoughts = [f"thought {number}" for number in range(0, count, THOUGHTS_EVERY)]
    others = ["status_change", "model_call", "model_reply", "status_change"]
    assert shelf.texts() == thoughts
    assert [step.kind for step in shelf.steps if step.kind != "thought"] == others
    assert MARK.encode() not in file_bytes(place.directory)
    # Each of the four kinds is announced by a frame of its own.
    assert list(shelf.recorders.values()) == [4 + len(others) + len(thoughts) + count - 1]

    # Where the machine stood still for seconds, some were too old to be shown.
    assert watching.lines == sorted(set(watching.lines))
    call = next(step for step in shelf.steps if step.kind == "model_call")
    assert {id_bytes(delta.step_id) for delta in watching.deltas} == {call.id}
    assert {id_bytes(delta.episode_id) for delta in watching.deltas} == {call.episode}


def test_deltas_of_a_process_that_was_killed_leave_nothing_missing(place: Place, nursery: Nursery) -> None:
    """An agent that is killed in the middle of an answer has an open call, and no Loss for what it streamed."""
    watching = Watching(place)
    with watching.at_work():
        agent = nursery.bear(
            "tests.faults.test_deltas:stream", str(place.database), str(place.directory / "never")
        )
        until(lambda: bool(watching.lines), "the answer is seen before it is complete")
        agent.kill()

    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.losses() == []
    assert "model_reply" not in {step.kind for step in shelf.steps}
    assert shelf.steps[-1].kind == "status_change"
    assert MARK.encode() not in file_bytes(place.directory)
