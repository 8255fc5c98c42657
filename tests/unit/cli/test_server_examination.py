"""``doctor`` of a server: what waits here, who ships it, and whether the server takes it, with what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.nursery import child_environment
from tests.support.rounds import Pen, Place, settings
from tests.support.voyage import Voyage

from stepstream.cli.examination import Level
from stepstream.cli.server_examination import examine_server
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.shipping.address import ServerAddress
from stepstream.spool.directory import spool_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stepstream.cli.examination import Check

UNKNOWN = answer(404, '{"title":"Not Found","status":404,"detail":"no recorder","request_id":"r"}')


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A server that answers one question, in an empty place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPSTREAM_SPOOL_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("STEPSTREAM_TOKEN", raising=False)
    with FaultProxy(1, lambda _: Fault(answers=(UNKNOWN,))) as gateway:
        yield gateway


class RemotePlace(Place):
    """The place of the steps for a server, where a provider would have made it."""

    def __init__(self, state: Path, url: str) -> None:
        directory = state / ServerAddress.parse(url, "here").slug
        directory.mkdir(parents=True, mode=0o700)
        super().__init__(directory)
        self.database = directory / "remote"
        self.spool.rename(spool_path(self.database))
        self.spool = spool_path(self.database)


@pytest.fixture
def place(gateway: FaultProxy, tmp_path: Path) -> RemotePlace:
    return RemotePlace(tmp_path / "state", gateway.url)


def examined(url: str) -> dict[str, Check]:
    """What was found, by name."""
    return {check.name: check for check in examine_server(url)}


def test_before_anything_is_recorded(gateway: FaultProxy, tmp_path: Path) -> None:
    """A server that answers, and nothing on this machine: all is well, and nothing is created."""
    found = examined(gateway.url)

    assert {check.level for check in found.values()} == {Level.OK}
    assert found["spool"].seen == "none, so nothing waits"
    assert found["server"].seen == "answers, and lets us record"
    assert not (tmp_path / "state").exists()


def test_what_waits_is_told(gateway: FaultProxy, place: RemotePlace) -> None:
    """How much waits, since when, that nobody ships it, and which files wait."""
    segment = place.segment().steps(3)
    segment.write(place.spool)
    ArtifactStore(place.database, settings()).keep(b"bytes", "name", "text/plain")
    found = examined(gateway.url)

    assert found["shipper"].level is Level.WARN
    assert found["shipper"].seen.startswith("none runs, ")
    assert "wait, 0 processes recording, the oldest since " in found["spool"].seen
    assert found["files"].seen == "1 file with 5 B wait"


def test_a_shipper_at_work(gateway: FaultProxy, place: RemotePlace) -> None:
    """A shipper that is well is told with its process."""
    with Voyage(place, gateway.url) as voyage:
        voyage.shipper.work()
        found = examined(gateway.url)
    assert found["shipper"] == (
        "shipper",
        Level.OK,
        f"process {os.getpid()}, release {found['stepstream'].seen.split()[0]}, at cursor 0",
        "",
    )


def test_a_shipper_in_trouble(gateway: FaultProxy, place: RemotePlace) -> None:
    """What holds up the shipper is told as it says it."""
    Pen(place).write("x")
    gateway.plan = lambda _: Fault(answers=(answer(401, '{"detail":"revoked"}'),))
    with Voyage(place, gateway.url) as voyage:
        voyage.until(lambda: voyage.shipper.pause_s > 0)
        found = examined(gateway.url)
    assert found["shipper"].level is Level.FAIL
    assert "the server refuses the token: 401: revoked" in found["shipper"].seen
    assert found["server"].level is Level.FAIL
    assert "STEPSTREAM_TOKEN" in found["server"].fix


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(403, '{"detail":"no scope"}'), "the server refuses the token: 403: no scope"),
        (answer(500, '{"detail":"sick"}'), "500: sick"),
        (answer(404, "<html>", "text/html"), "no stepstream server answers there"),
        (answer(302, "", location="http://127.0.0.1:9/"), "points to another address"),
    ],
)
def test_a_server_that_takes_nothing(gateway: FaultProxy, given: bytes, told: str) -> None:
    """Whatever the server says instead, it is told, and that it fails."""
    gateway.plan = lambda _: Fault(answers=(given,))
    found = examined(gateway.url)
    assert found["server"].level is Level.FAIL
    assert told in found["server"].seen


def test_nobody_answers(gateway: FaultProxy) -> None:
    """Where nobody listens that is said."""
    gateway.refuse()
    found = examined(gateway.url)
    gateway.accept()
    assert found["server"].level is Level.FAIL
    assert found["server"].seen == "no answer: Connection refused"


def told(system: object) -> Callable[[int], Fault]:
    """A server that answers the second question with how it stands."""
    report = answer(200, json.dumps(system), "application/json")
    return lambda number: Fault(answers=(report if number % 2 else UNKNOWN,))


def test_a_server_that_shows_everything(gateway: FaultProxy) -> None:
    """Where the token may read too, it is told that the stream tells everything and how far one can search."""
    search = {"state": "indexing", "indexed_to": 90, "last_cursor": 100, "problem": None, "new": 1}
    gateway.plan = told({"stream": {"trouble": None, "clients": 3}, "search": search, "release": "9"})
    found = examined(gateway.url)

    assert found["stream"] == ("stream", Level.OK, "tells everything", "")
    assert found["search"] == ("search", Level.OK, "indexing, 10 steps behind", "")


def test_a_server_that_cannot_show_everything(gateway: FaultProxy) -> None:
    """What keeps the stream from telling, and the search from finding, is told as the server says it."""
    search = {"state": "no_room", "indexed_to": 7, "last_cursor": 8}
    gateway.plan = told({"stream": {"trouble": "step 3 cannot be read"}, "search": search})
    found = examined(gateway.url)

    assert (found["stream"].level, found["stream"].seen) == (Level.WARN, "step 3 cannot be read")
    assert (found["search"].level, found["search"].seen) == (Level.WARN, "no room, 1 step behind")
    search |= {"state": "failed", "problem": "the disk is sick"}
    gateway.plan = told({"stream": None, "search": search})
    found = examined(gateway.url)
    assert found["search"].seen == "failed, 1 step behind: the disk is sick"
    assert "stream" not in found


@pytest.mark.parametrize(
    "given", [answer(403, '{"detail":"no scope"}'), answer(404, "{}"), answer(200, "[]", "application/json")]
)
def test_a_server_that_does_not_show_how_it_stands(gateway: FaultProxy, given: bytes) -> None:
    """A token that may only record, or another release of the server, is nothing that is wrong."""
    gateway.plan = lambda number: Fault(answers=(given if number % 2 else UNKNOWN,))

    assert {check.level for check in examined(gateway.url).values()} == {Level.OK}


def test_clocks_that_disagree(gateway: FaultProxy) -> None:
    """A clock that is far off is a warning, and no more: order does not depend on it."""
    far = answer(404, UNKNOWN.partition(b"\r\n\r\n")[2], date="Sat, 22 Nov 2025 10:00:00 GMT")
    gateway.plan = lambda _: Fault(answers=(far,))
    assert examined(gateway.url)["clock"].level is Level.WARN


@pytest.mark.parametrize(
    ("url", "name", "told"),
    [
        ("http://user:s3cret@host", "settings", "the token in STEPSTREAM_TOKEN"),
        ("http://server.invalid:80", "address", "can be read on their way"),
    ],
)
def test_an_address_that_is_not_right(gateway: FaultProxy, url: str, name: str, told: str) -> None:
    """A wrong address fails, and one over which everybody can listen is a warning."""
    found = examined(url)
    assert found[name].level is not Level.OK
    assert told in found[name].seen
    assert "s3cret" not in str(found)


def test_a_full_spool_and_refused_steps(
    gateway: FaultProxy, place: RemotePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool at its bound fails, and what processes refuse is counted."""
    monkeypatch.setenv("STEPSTREAM_SPOOL_BYTES_MAX", str(1 << 20))
    segment = place.segment()
    for _ in range(3):
        segment.step(b'{"text":"' + b"x" * 400_000 + b'"}')
    segment.refused = 7
    segment.write(place.spool)
    found = examined(gateway.url)
    assert found["spool"].level is Level.FAIL
    assert "new steps are refused" in found["spool"].seen
    assert found["refused now"].seen.startswith("7 steps")


def test_the_command_takes_an_address(gateway: FaultProxy, tmp_path: Path) -> None:
    """``stepstream doctor`` examines the server that ``--db`` or STEPSTREAM_DB names."""
    environment = {**child_environment(), "STEPSTREAM_SPOOL_DIRECTORY": str(tmp_path / "state")}
    for arguments, variables in ((["--db", gateway.url], {}), ([], {"STEPSTREAM_DB": gateway.url})):
        done = subprocess.run(
            [sys.executable, "-m", "stepstream", "doctor", *arguments],
            env={**environment, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"✓ ok    address     {gateway.url}\n" in done.stdout
