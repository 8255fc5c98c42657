"""Hosting a shipper: started like a committer, with the token where nobody else can read it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.nursery import until
from tests.support.rounds import Pen, Place, Shelf, settings

from stepstream.shipping.address import ServerAddress
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.hosting import REFUSED, Shipping
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory
from stepstream.store.election import is_locked, read_status, somebody_commits
from stepstream.store.hosting import release_committer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.served_history import ServedHistory

TOKEN = "sst_0123456789ab_" + "cd" * 32


@pytest.fixture
def spool(place: Place) -> Iterator[SpoolDirectory]:
    spool = SpoolDirectory(place.database)
    yield spool
    release_committer(place.database)
    until(lambda: not is_locked(spool, COMMITTER_LOCK), "no shipper is left")
    spool.close()


@pytest.fixture
def gateway() -> Iterator[FaultProxy]:
    """Somebody who lets nobody in."""
    with FaultProxy(1, lambda _: Fault(answers=(answer(401, "{}"),))) as gateway:
        yield gateway


def shipping(place: Place, url: str) -> Shipping:
    return Shipping(place.database, ServerAddress.parse(url, "here"))


def test_a_process_ships_and_ends_by_itself(
    place: Place, spool: SpoolDirectory, served: ServedHistory
) -> None:
    """A shipper process of its own session is not waited for, ships all there is, and ends."""
    with FaultProxy(served.port) as proxy:
        pen = Pen(place)
        for number in range(50):
            pen.write(str(number))
        began = time.monotonic()
        shipping(place, proxy.url).ensure(spool, settings(committer="process", linger_s=0.3))
        assert time.monotonic() - began < 5, "it is not waited for"
        until(
            lambda: (status := read_status(spool)) is not None and status.pid != os.getpid(),
            "it says who it is",
        )
        status = read_status(spool)
        assert status is not None
        assert os.getsid(status.pid) != os.getsid(0)
        until(lambda: look_at_backlog(spool).bytes == 0, "all is shipped")
        pen.close()
        until(lambda: not is_locked(spool, COMMITTER_LOCK), "it ends when nobody needs it")

    assert place.segments() == []
    assert Shelf(served.database).texts(pen.recorder.id) == [str(number) for number in range(50)]


def test_the_token_is_seen_by_nobody(
    place: Place, spool: SpoolDirectory, gateway: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token goes to the server; it stands in no argument, no status, no log and no file of ours."""
    monkeypatch.setenv("STEPSTREAM_TOKEN", TOKEN)
    pen = Pen(place)
    pen.write("x")
    shipping(place, gateway.url).ensure(spool, settings(committer="process", linger_s=0.1))
    until(
        lambda: (status := read_status(spool)) is not None and status.state.startswith(REFUSED),
        "it is refused",
    )
    status = read_status(spool)
    assert status is not None

    command = Path(f"/proc/{status.pid}/cmdline").read_bytes()
    assert b"shipper_process" in command
    assert TOKEN.encode() not in command
    assert TOKEN.encode() in gateway.sent
    files = [path for path in place.directory.rglob("*") if path.is_file()]
    assert files
    assert all(TOKEN.encode() not in path.read_bytes() for path in files)
    pen.close()
    os.kill(status.pid, 15)


def test_whoever_comes_with_another_token_is_let_in(
    place: Place, spool: SpoolDirectory, served: ServedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shipper that is refused ends when an agent with another token comes, and one with that token is started."""
    with FaultProxy(served.port, lambda _: Fault(answers=(answer(401, "{}"),))) as proxy:
        monkeypatch.setenv("STEPSTREAM_TOKEN", "wrong")
        pen = Pen(place)
        pen.write("0")
        first = shipping(place, proxy.url)
        options = settings(committer="process", linger_s=0.3)
        first.ensure(spool, options)
        until(
            lambda: (status := read_status(spool)) is not None and status.state.startswith(REFUSED),
            "it is refused",
        )
        first.ensure(spool, options)
        refused = read_status(spool)

        proxy.heal()
        monkeypatch.delenv("STEPSTREAM_TOKEN")
        second = shipping(place, proxy.url)

        def come() -> bool:
            second.ensure(spool, options)
            time.sleep(0.05)
            return look_at_backlog(spool).bytes == 0

        until(come, "the other token is tried")
        status = read_status(spool)
        assert refused is not None
        assert status is not None
        assert status.pid != refused.pid
        until(lambda: not Path(f"/proc/{refused.pid}").exists(), "the one that was refused ends")
        pen.close()
        until(lambda: not is_locked(spool, COMMITTER_LOCK), "it ends when nobody needs it")


def test_a_thread_ships_where_asked_to(place: Place, spool: SpoolDirectory, served: ServedHistory) -> None:
    """With committer thread a thread of this process ships, however often it is asked for, and drains at its end."""
    pen = Pen(place)
    worker = shipping(place, served.url)
    for number in range(5):
        worker.ensure(spool, settings(committer="thread"))
        pen.write(str(number))
    until(lambda: look_at_backlog(spool).bytes == 0, "all is shipped")
    pen.close()
    release_committer(place.database)

    assert Shelf(served.database).texts(pen.recorder.id) == ["0", "1", "2", "3", "4"]
    assert not somebody_commits(spool)


def test_a_thread_ends_in_time_while_the_server_is_deaf(place: Place, spool: SpoolDirectory) -> None:
    """A thread that is told to end while an answer is outstanding gives it up, long before its time is over."""
    with FaultProxy(1, lambda _: Fault(is_deaf=True)) as proxy:
        pen = Pen(place)
        pen.write("0")
        worker = shipping(place, proxy.url)
        worker.ensure(spool, settings(committer="thread"))
        until(lambda: b"POST" in proxy.sent or proxy.connections > 0, "the post is on its way")
        began = time.monotonic()
        release_committer(place.database, 20.0)
        assert time.monotonic() - began < 10
        assert not is_locked(spool, COMMITTER_LOCK)
        pen.close()


def test_the_heart_beats_while_an_answer_is_outstanding(place: Place, spool: SpoolDirectory) -> None:
    """Nobody takes a shipper for dead that waits for a slow server."""
    with FaultProxy(1, lambda _: Fault(is_deaf=True)) as proxy:
        pen = Pen(place)
        pen.write("0")
        shipping(place, proxy.url).ensure(spool, settings(committer="thread"))
        until(lambda: proxy.connections > 0, "the post is on its way")
        deadline = time.monotonic() + 1.6
        while time.monotonic() < deadline:
            assert somebody_commits(spool)
            time.sleep(0.05)
        pen.close()
