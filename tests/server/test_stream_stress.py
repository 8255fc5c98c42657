"""A crowd at the stream while agents log, servers die, and clients do what clients do; checked step by step."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.agents import settings
from tests.support.nursery import Child, Nursery, until
from tests.support.stream_crowd import HABITS, QUESTIONS, Crowd, Habit, Member
from tests.support.stream_server import LiveBuilder, StreamServer

from stepstream.reading.backlog import wait_until_committed
from stepstream.reading.history import History
from stepstream.schemas.event import Reset
from stepstream.schemas.kinds import Thought
from stepstream.server.stream.broadcast import Broadcast
from stepstream.server.stream.channel import Channel
from stepstream.server.stream.past import Encoded, PastPage
from stepstream.server.stream.query import StreamQuery
from stepstream.spool.directory import SpoolDirectory

pytestmark = pytest.mark.fault

AGENTS = 3
ROUNDS = 150


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


class Stage:
    """A committer, agents and one server after the other, all of them processes."""

    def __init__(self, place: Path, nursery: Nursery) -> None:
        self.database = place / "history.db"
        self.port_file = place / "port"
        self._nursery = nursery
        options = settings().model_dump_json()
        nursery.bear("tests.support.agents:commit", str(self.database), options, 60.0)
        self.server = self._serve()
        until(self.port_file.exists, "the server listens")

    def _serve(self) -> Child:
        return self._nursery.bear("tests.support.stream_crowd:serve", str(self.database), str(self.port_file))

    def replace_server(self, number: signal.Signals) -> None:
        """End the server and start another one at its port."""
        self.server.signal(number)
        self.server.wait()
        self.server = self._serve()

    def agents(self) -> list[Child]:
        return [
            self._nursery.bear("tests.support.stream_crowd:work", str(self.database), number, ROUNDS, 0.01)
            for number in range(AGENTS)
        ]

    def last_cursor(self) -> int:
        """The last cursor when everything is committed."""
        with closing(SpoolDirectory(self.database)) as spool:
            assert wait_until_committed(self.database, spool, 20)
        with History.open(self.database) as history:
            return history.last_cursor()


def test_everybody_sees_every_step_once_whatever_happens(tmp_path: Path, nursery: Nursery) -> None:
    """Clients come, go, dawdle and freeze, servers are killed and ended, and nobody misses a step or has one twice."""
    stage = Stage(tmp_path, nursery)
    questions = [(question, habit) for question in QUESTIONS for habit in HABITS]
    members = [
        Member(question, habit, seed, from_now=seed % 5 == 4)
        for seed, (question, habit) in enumerate(questions)
    ]
    with Crowd(int(stage.port_file.read_text()), members) as crowd:
        agents = stage.agents()
        for number in (signal.SIGKILL, signal.SIGTERM):
            time.sleep(0.8)
            stage.replace_server(number)
        for agent in agents:
            agent.finish()
        last = stage.last_cursor()
        crowd.finish(last)
    stage.server.signal(signal.SIGTERM)
    stage.server.finish()

    crowd.check(stage.database)
    assert last >= AGENTS * (3 * ROUNDS + 2)
    assert sum(member.connections for member in members) > 3 * len(members)


# -- the check finds what it is there to find


class Dropping(Broadcast):
    """Loses a step now and then on its way into the ring."""

    def _take(self) -> Encoded | Reset | None:
        taken = super()._take()
        if isinstance(taken, Encoded) and taken.step.cursor % 50 == 0:
            return super()._take()
        return taken


class SkippingAtTheSeam(Broadcast):
    """Believes to have read one step more of the table than it has."""

    async def past(self, after: int, channel: Channel) -> PastPage | None:
        page = await super().past(after, channel)
        return page and page._replace(upto=page.upto + 1)


class RepeatingAtTheSeam(Broadcast):
    """Believes to have read one step less of the table than it has."""

    async def past(self, after: int, channel: Channel) -> PastPage | None:
        page = await super().past(after, channel)
        return page and page._replace(upto=max(after + 1, page.upto - 1))


class Unfiltered(Broadcast):
    """Lets everything pass for everybody."""

    def _channel(self, query: StreamQuery) -> Channel:
        return super()._channel(query._replace(filter=""))


def rehearse(place: Path, make: type[Broadcast]) -> None:
    """A small crowd at a server that may be broken."""
    builder = LiveBuilder(place / "history.db")
    episode = builder.episode()
    for _ in range(700):
        episode.log(Thought(text="before"))
    builder.commit()
    questions: tuple[dict[str, str], ...] = ({}, {"filter": "kind:thought"}, {"filter": "seq:0..760"})
    members = [
        Member(question, habit, seed)
        for seed, (question, habit) in enumerate(
            (q, h) for q in questions for h in (Habit(), Habit(stays_s=0.2))
        )
    ]
    with (
        closing(builder),
        StreamServer(builder.path, make=make, ring_steps_max=30, heartbeat_s=0.1) as server,
        Crowd(server.port, members) as crowd,
    ):
        for _ in range(100):
            for _ in range(2):
                episode.log(Thought(text="round"))
            last = builder.commit()
            time.sleep(0.005)
        crowd.finish(last)
        crowd.check(builder.path)


def test_the_rehearsal_is_good(tmp_path: Path) -> None:
    """With the product's own broadcast the small crowd has nothing to complain of."""
    rehearse(tmp_path, Broadcast)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Dropping, "are missing"),
        (SkippingAtTheSeam, "are missing"),
        (RepeatingAtTheSeam, "came after"),
        (Unfiltered, "do not belong"),
    ],
)
def test_a_broken_stream_is_found_out(tmp_path: Path, make: type[Broadcast], complaint: str) -> None:
    """A step that is lost, skipped, repeated or shown to the wrong client is noticed by the same check."""
    with pytest.raises(AssertionError, match=complaint):
        rehearse(tmp_path, make)
