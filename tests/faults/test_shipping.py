"""Agents on another machine, with every fault between: each step that was acknowledged is at the server, once."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.support import players
from tests.support.agents import agent, episode_text, journals, new_journal, settings
from tests.support.fault_proxy import SOUND, Fault, FaultProxy, every
from tests.support.journal import ACKNOWLEDGED, REFUSED
from tests.support.ledger import Ledger
from tests.support.nursery import until
from tests.support.rounds import Place, Shelf
from tests.support.served_history import ServedHistory
from tests.support.voyage import Voyage

from stepstream.shipping import shipper
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.client import NoAnswer
from stepstream.shipping.delivery import Delivery
from stepstream.shipping.server import Unwilling
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.nursery import Child, Nursery

    from stepstream.shipping.parcel import Parcel

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

PATIENCE_S = 4.0

FAULTS = (
    Fault(request_bytes=0, is_reset=True),
    Fault(request_bytes=300),
    Fault(request_bytes=20_000),
    Fault(request_bytes=20_000, is_reset=True),
    Fault(request_bytes=5_000, is_half=True),
    Fault(answer_bytes=0),
    Fault(answer_bytes=0, is_reset=True),
    Fault(answer_bytes=100),
    Fault(answer_bytes=400, is_half=True),
    Fault(delay_s=0.01),
    Fault(drip_bytes=11, delay_s=0.001),
)


class Machine:
    """Agents and a shipper at work on one machine, behind a network that fails, to be killed at any moment."""

    def __init__(self, directory: Path, nursery: Nursery, stand_in: str = "") -> None:
        self.place = directory / "machine"
        self.place.mkdir()
        (directory / "server").mkdir()
        self.served = ServedHistory(directory / "server")
        self.proxy = FaultProxy(self.served.port)
        self.agents: list[Child] = []
        self.shipper: Child | None = None
        self._nursery = nursery
        self._options = settings(segment_bytes_max=64 * 1024).model_dump_json()
        self._episode = episode_text()
        self._stand_in = stand_in
        self._born = 0

    def hire(self, rate: float, padding: int, count: int = 100_000) -> None:
        """Start an agent that shares its episode with the others."""
        self._born += 1
        journal = new_journal(self.place, f"agent-{self._born}", count)
        self.agents.append(
            self._nursery.bear(
                "tests.support.agents:log_steps",
                str(self.place / "history.db"),
                str(journal.path),
                self._options,
                count,
                rate,
                padding,
                self._episode,
            )
        )

    def elect(self) -> None:
        """Start a shipper, if there is none."""
        if self.shipper is None or self.shipper.has_ended():
            database, url = str(self.place / "history.db"), self.proxy.url
            self.shipper = self._nursery.bear(
                "tests.support.voyage:ship", database, url, self._options, 60.0, self._stand_in
            )

    def acknowledged(self) -> int:
        """How many steps agents were told to be recorded."""
        return sum(journal.fates().count(ACKNOWLEDGED) for journal in journals(self.place))

    def work(self, steps: int, *, sent_bytes: int = 0) -> None:
        """Let everybody work until so many more steps are acknowledged to agents, and so much more is sent."""
        wanted, sent = self.acknowledged() + steps, len(self.proxy.sent) + sent_bytes
        patient_until = time.monotonic() + PATIENCE_S

        def is_done() -> bool:
            nonlocal patient_until
            if time.monotonic() > patient_until and self.shipper is not None:
                # After many failures it waits for long; another one has no reason to.
                patient_until = time.monotonic() + PATIENCE_S
                self.kill_shipper()
                self.elect()
            return self.acknowledged() >= wanted and len(self.proxy.sent) >= sent

        until(is_done, f"{steps} more steps are acknowledged, and {sent_bytes} more bytes sent", 90)

    def kill_agents(self) -> None:
        """Kill every agent."""
        for child in self.agents:
            child.kill()
        self.agents.clear()

    def kill_shipper(self) -> None:
        """Kill the shipper."""
        if self.shipper is not None:
            self.shipper.kill()
            self.shipper = None

    def kill_server(self) -> None:
        """Kill the server, and start it again."""
        self.served.kill()
        self.served.start()

    def settle(self) -> None:
        """Let the network heal and everything be shipped, by a shipper that has no reason yet to wait."""
        self.kill_agents()
        self.kill_shipper()
        self.proxy.heal()
        self.elect()
        spool = SpoolDirectory(self.place / "history.db")
        until(lambda: not spool.segment_names(), "everything is shipped", 60)
        spool.close()

    def check(self) -> None:
        """Each acknowledged step is at the server once, in order, and nothing is said to be lost."""
        ledger = Ledger(self.served.database.parent, journals(self.place))
        ledger.check()
        ledger.check_budget()
        assert ledger.history.losses() == []

    def close(self) -> None:
        """End everybody."""
        self.kill_agents()
        self.kill_shipper()
        self.proxy.close()
        self.served.kill()


@pytest.fixture
def machine(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    machine = Machine(tmp_path, nursery)
    yield machine
    machine.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_mix_of_all_faults_loses_nothing(machine: Machine, rounds: int, seed: int) -> None:
    """Agents, shipper and server killed at random under load, behind a network that does all it can."""
    random.seed(seed if rounds == 1 else None)
    machine.proxy.plan = lambda _: random.choice([SOUND, random.choice(FAULTS)])
    for _ in range(6 * rounds):
        while len(machine.agents) < 3:
            machine.hire(random.choice([100, 500, 2000]), random.choice([10, 300, 2000]))
        machine.elect()
        machine.work(random.randrange(200, 1500), sent_bytes=random.choice([1, 10_000, 200_000]))
        match random.choice(["agents", "shipper", "shipper", "server", "network", "everybody"]):
            case "agents":
                machine.kill_agents()
            case "shipper":
                machine.kill_shipper()
            case "server":
                machine.kill_server()
            case "network":
                machine.proxy.refuse()
                machine.work(300)
                machine.proxy.accept()
            case _:
                machine.kill_agents()
                machine.kill_shipper()
                machine.kill_server()
    machine.settle()
    machine.check()
    assert machine.proxy.connections > 3


class TrustsTheNetwork(Delivery):
    """Breaks the rules on purpose: a post that was sent is taken for stored, and nobody asks afterwards."""

    def _confirm(self, parcel: Parcel) -> None:
        pass

    def deliver(self, parcel: Parcel) -> bool:
        with contextlib.suppress(NoAnswer, Unwilling):
            return super().deliver(parcel)
        return True


def trust_the_network() -> None:
    """Make the shipper of this process one that trusts the network."""
    shipper.Delivery = TrustsTheNetwork  # type: ignore[misc]


def test_the_mix_finds_a_shipper_that_does_not_wait_for_the_answer(tmp_path: Path, nursery: Nursery) -> None:
    """A shipper that takes a post for stored before it is answered is caught losing steps."""
    machine = Machine(tmp_path, nursery, stand_in=f"{__name__}:trust_the_network")
    try:
        machine.proxy.plan = every(*FAULTS)
        machine.hire(2_000, 300)
        machine.elect()
        machine.work(4_000, sent_bytes=500_000)
        machine.settle()
        with pytest.raises(AssertionError, match="lost"):
            machine.check()
    finally:
        machine.close()


def test_the_order_of_the_machine_survives_the_network(tmp_path: Path) -> None:
    """Two processes that ask and answer each other are stored so that no answer stands before its question."""
    with ServedHistory(tmp_path) as served, FaultProxy(served.port, every(*FAULTS)) as proxy:
        directory = tmp_path / "machine"
        directory.mkdir()
        process = players.start("pingpong", directory, 3_000)
        until((directory / "history.db-spool" / "database").exists, "they have begun")
        place = Place.at(directory)
        with Voyage(place, proxy.url) as voyage:
            voyage.until(lambda: process.poll() is not None, 60)
            players.finish(process)
            proxy.heal()
            voyage.settle()
        texts = Shelf(served.database).texts()

    assert texts == [f"{who}{number}" for number in range(3_000) for who in "qa"]


def test_an_outage_costs_only_what_there_was_no_room_for(machine: Machine, tmp_path: Path) -> None:
    """With the network gone for long the spool fills to its bound; what was refused is named, all else arrives."""
    machine.proxy.refuse()
    machine.elect()
    writer = agent(
        machine.place, "patient", 20_000, segment_bytes_max=128 * 1024, spool_bytes_max=1024 * 1024
    )
    while writer.recorder.refused < 50:
        writer.log(2_000)
    spool = SpoolDirectory(machine.place / "history.db")
    until(lambda: "Connection refused" in getattr(read_status(spool), "state", ""), "it is told")
    machine.proxy.accept()
    until(lambda: look_at_backlog(spool).bytes == 0, "what there was room for is shipped", 60)
    until(lambda: writer.log(2_000), "there is room again")
    writer.log_many(20)
    writer.close()
    spool.close()
    machine.settle()

    ledger = Ledger(machine.served.database.parent, journals(machine.place))
    ledger.check()
    (journal,) = ledger.journals
    refused = set(journal.numbers(REFUSED))
    assert len(refused) >= 50
    assert ledger.named(ledger.accounts["patient"], "refused") == refused


def test_a_restored_server_gets_what_the_spool_still_holds(machine: Machine, tmp_path: Path) -> None:
    """A server that was put back to an earlier day is given again all that lies in living segments."""
    writer = agent(machine.place, "writer", 1_000)
    machine.elect()
    writer.log_many(100)
    spool = SpoolDirectory(machine.place / "history.db")
    until(lambda: look_at_backlog(spool).bytes == 0, "all is shipped")
    machine.served.stop()
    backup = tmp_path / "backup"
    shutil.copytree(machine.served.database.parent, backup)
    machine.served.start()
    writer.log_many(100)
    until(lambda: look_at_backlog(spool).bytes == 0, "all is shipped")
    machine.served.stop()
    shutil.rmtree(machine.served.database.parent)
    shutil.copytree(backup, machine.served.database.parent)
    machine.served.start()
    writer.log_many(100)
    writer.close()
    spool.close()
    machine.settle()

    machine.check()


def test_a_shipper_that_was_stopped_is_superseded(machine: Machine, nursery: Nursery) -> None:
    """While a shipper is stopped another one takes its place, and when it wakes up it gives way; nothing is doubled."""
    machine.hire(500, 100)
    machine.elect()
    machine.work(100)
    stopped = machine.shipper
    assert stopped is not None
    until(lambda: _term(machine) > 0, "it is in office")
    term = _term(machine)
    stopped.signal(signal.SIGSTOP)
    machine.shipper = None

    def is_superseded() -> bool:
        # As agents do: whoever comes while the stopped one still looks alive ends at once.
        machine.elect()
        return _term(machine) > term

    until(is_superseded, "another one takes office")
    machine.work(500)
    stopped.signal(signal.SIGCONT)
    until(stopped.has_ended, "the one that was stopped ends")
    machine.work(100)
    machine.settle()
    machine.check()


def _term(machine: Machine) -> int:
    spool = SpoolDirectory(machine.place / "history.db")
    try:
        status = read_status(spool)
    finally:
        spool.close()
    return -1 if status is None or not status.is_fresh() else status.generation
