"""A run of agents and a committer on a recorded disk: ``python -m tests.support.outage SCENARIO PLACE RECORDING``.

What agents were told and what was published stands in the recording between the writes.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.power import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.agents import Agent

    from stepstream.store.committer import Committer

_SEGMENT_BYTES = 16 * 1024


class Run:
    """The scenario's hands: agents, a committer, and what they are told."""

    def __init__(self, disk: Disk, committer: type[Committer]) -> None:
        self._disk = disk
        self._place = Path(disk.root)
        self._committer_class = committer
        self._committer: Committer | None = None
        self._names = itertools.count(1)
        self._epoch = ""
        self.agents: list[Agent] = []

    def hire(self, durability: str) -> Agent:
        """An agent, named by what it was promised."""
        from tests.support.agents import Agent, settings
        from tests.support.journal import Journal

        name = f"{durability}-{next(self._names)}"
        journal = Journal(self._place.parent / f"{name}.journal", 10_000)
        options = settings(durability=durability, segment_bytes_max=_SEGMENT_BYTES)
        self.agents.append(Agent(self._place / "history.db", journal, options))
        return self.agents[-1]

    def log(self, agent: Agent, padding: int = 700) -> None:
        """Log one step and write down what the agent was told."""
        number = agent.number
        if agent.log(padding):
            segment = agent.recorder._segment
            assert segment is not None
            self._disk.say("acknowledged", agent.journal.name, number, segment.name)

    def dismiss(self, agent: Agent) -> None:
        """An agent ends."""
        agent.close()
        self.agents.remove(agent)

    def elect(self, log_sync_interval_ms: int = 1) -> None:
        """A committer takes office."""
        from tests.support.agents import settings

        from stepstream.spool.directory import SpoolDirectory

        database = self._place / "history.db"
        self._spool = SpoolDirectory(database)
        options = settings(log_sync_interval_ms=log_sync_interval_ms)
        self._committer = self._committer_class(database, self._spool, options)
        self.commit(lambda: self._office().elected)

    def _office(self) -> Committer:
        assert self._committer is not None
        return self._committer

    def commit(self, done: Callable[[], bool]) -> None:
        """Make passes until something is so."""
        committer = self._office()
        deadline = time.monotonic() + 20
        while True:
            committer.work()
            if committer._store is not None and committer._store.epoch != self._epoch:
                self._epoch = committer._store.epoch
                self._disk.say("epoch", self._epoch)
            if done():
                return
            assert time.monotonic() < deadline, committer.state
            time.sleep(0.001)

    def commit_all(self) -> None:
        """Make passes until every byte is committed."""
        self.commit(lambda: self._office().waiting_bytes() == 0)

    def retire(self) -> None:
        """Make passes until every segment without an owner is deleted."""
        owned = {agent.recorder._segment.name for agent in self.agents if agent.recorder._segment}
        self.commit(lambda: set(self._spool.segment_names()) <= owned)

    def leave(self) -> None:
        """The committer ends as it should."""
        self._office().close()
        self._spool.close()


def day_of_work(run: Run, disk: Disk) -> None:
    """Agents come and go, segments rotate and are deleted, the machine is shut down once and started again."""
    careful = run.hire("power")
    hasty = run.hire("process")
    for _ in range(4):
        run.log(careful)
        run.log(hasty)
    run.elect()
    for _ in range(30):
        run.log(careful)
        run.log(hasty, 900)
        run.commit_all()
    run.retire()
    run.dismiss(hasty)
    run.retire()
    run.leave()
    run.log(careful)
    run.dismiss(careful)

    disk.reboot()
    careful, hasty = run.hire("power"), run.hire("process")
    run.log(hasty)
    run.elect()
    for _ in range(12):
        run.log(hasty, 2000)
        run.log(careful, 2000)
        run.commit_all()
    run.dismiss(careful)
    run.dismiss(hasty)
    run.retire()


def short_life(run: Run, disk: Disk) -> None:
    """An agent comes, works and goes while the log is flushed now and then; what it leaves is deleted."""
    run.elect(log_sync_interval_ms=800)
    agent = run.hire("power")
    run.log(agent)
    run.commit_all()
    # The log has just been flushed, and will be again only after the segment is finished.
    for _ in range(20):
        run.log(agent)
    run.commit_all()
    run.dismiss(agent)
    run.retire()


def crowd_of_threads(run: Run, disk: Disk) -> None:
    """Threads share one recorder that promises to outlast a power cut, while its segments rotate."""
    from tests.support.agents import step_body, thought

    from stepstream.spool.frame import FrameKind

    sys.setswitchinterval(1e-5)
    disk.is_moody = True
    agent = run.hire("power")

    def log(first: int) -> None:
        for number in range(first, first + 40):
            body = step_body(agent.episode, thought(agent.journal.name, number, 3000))
            if agent.recorder.append(FrameKind.STEP, body):
                disk.say("acknowledged", agent.journal.name, number, "")

    threads = [threading.Thread(target=log, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def committers() -> dict[str, type[Committer]]:
    """The product's committer, and ones that break a rule on purpose."""
    from stepstream.store.committer import Committer

    class DeletesAtOnce(Committer):
        """Deletes a segment when its steps are committed, not when the disk holds them."""

        def _delete(self) -> None:
            for retired in self._retired:
                retired.reader.delete()
            self._retired.clear()
            self._spool.sync()

    return {"sound": Committer, "deletes-at-once": DeletesAtOnce}


def main() -> None:
    """Record one run."""
    scenario, kind, place, recording = sys.argv[1:]
    disk = Disk(Path(place))
    disk.install()
    run = Run(disk, committers()[kind])
    {"day-of-work": day_of_work, "short-life": short_life, "crowd-of-threads": crowd_of_threads}[scenario](
        run, disk
    )
    disk.save(Path(recording))


if __name__ == "__main__":
    main()
