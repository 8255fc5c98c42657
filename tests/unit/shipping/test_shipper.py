"""The shipper: each step is stored at the server once and in order, whoever ships and whatever the network does."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic_core import to_json
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.frames import DELTA, WALL, encode_frame, encode_step, thought
from tests.support.nursery import until
from tests.support.rounds import Pen, Place, Shelf, open_files, settings
from tests.support.voyage import Voyage, posts, rows, stored, write

from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.kinds import LossReason
from stepstream.settings import RedactionSettings
from stepstream.shipping import shipper
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.client import NoAnswer
from stepstream.shipping.delivery import Delivery
from stepstream.shipping.notice import give_notice
from stepstream.shipping.office import SHIPPING
from stepstream.shipping.parcel import Parcel
from stepstream.spool.directory import COMMITTER_LOCK, STATUS, SpoolDirectory
from stepstream.store.election import is_locked, read_status, somebody_commits
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from tests.support.served_history import ServedHistory

OWN = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


# -- in good weather


def test_steps_arrive_once_and_in_order(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """What processes log arrives, each step once, in the order of the machine; then the segments go."""
    first, second = Pen(place), Pen(place)
    for number in range(300):
        (first, second)[number % 3 == 0].write(str(number))
        if number % 50 == 0:
            voyage.shipper.work()
    voyage.drain()
    assert len(place.segments()) == 2, "they are still written to"
    first.close()
    second.crash()
    voyage.settle()

    assert place.segments() == []
    shelf = Shelf(served.database)
    shelf.audit()
    ours = {first.recorder.id, second.recorder.id}
    texts = [int(row.text) for row in shelf.steps if row.recorder in ours and row.kind == "thought"]
    assert texts == list(range(300))
    assert shelf.losses(first.recorder.id) == shelf.losses(second.recorder.id) == []


def test_kinds_of_a_project_are_registered_first(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """A kind that only the agent knows is stored, as it announced the schema, also from its later segments."""
    kind = f"own_{new_id().hex()[-12:]}"
    segment = place.segment().schema(kind, 3, OWN)
    segment.step(b'{"x":1.5}', kind=kind.encode(), version=3).step().write(place.spool)
    voyage.settle()

    found = [(row.kind, row.payload) for row in rows(served, segment.recorder)]
    assert found == [(kind, {"x": 1.5}), ("thought", {"text": "2"})]


def test_an_interrupted_episode_is_marked_by_the_server(
    place: Place, voyage: Voyage, served: ServedHistory
) -> None:
    """Of a process that was killed the server hears that it ended, and marks what it left open."""
    segment = place.segment()
    start = {"status": "running", "start": {"name": "left open"}}
    segment.step(to_json(start), kind=b"status_change").step()
    segment.write(place.spool, segment.as_killed())
    voyage.settle()

    assert Shelf(served.database).status[segment.episode] == "interrupted"


def test_a_recorder_with_another_segment_has_not_ended(
    place: Place, voyage: Voyage, served: ServedHistory
) -> None:
    """A sealed segment is shipped and deleted while its recorder goes on in another one."""
    pen = Pen(place, settings(segment_bytes_max=16 * 1024))
    for number in range(40):
        pen.write(f"{number} {'x' * 1000}")
    assert len(place.segments()) > 2
    voyage.until(lambda: len(place.segments()) == 1)
    assert Shelf(served.database).status[pen.episode] == "running"
    pen.write("the last")
    pen.close()
    voyage.settle()

    texts = stored(served, pen)
    assert [text.split()[0] for text in texts] == [*map(str, range(40)), "the"]


def test_an_idle_shipper_says_how_it_goes(place: Place, voyage: Voyage) -> None:
    """The status is fresh while it holds the office, says what waits, and that all is well."""
    pen = Pen(place)
    write(pen, 3)
    voyage.drain()
    voyage.until(lambda: (status := read_status(voyage.spool)) is not None and status.cursor > 0)
    status = read_status(voyage.spool)

    assert status is not None
    assert (status.pid, status.state, status.waiting_bytes) == (os.getpid(), SHIPPING, 0)
    assert somebody_commits(voyage.spool)
    voyage.close()
    assert not somebody_commits(pen.spool)
    pen.close()


class Speaker:
    """A recorder that shows answers while they are made."""

    def __init__(self, place: Place) -> None:
        self._segment = place.segment().step()
        self._path = self._segment.write(place.spool)

    def say(self, text: str, *, age_s: float = 0.0) -> None:
        """Show a piece of an answer."""
        segment = self._segment
        piece = {"step_id": id_text(new_id()), "episode_id": id_text(segment.episode), "text": text}
        wall = time.time_ns() - int(age_s * 1e9)
        frame = encode_frame(segment.recorder, segment.next, to_json(piece), kind=DELTA, wall=wall)
        segment.next += 1
        with self._path.open("ab") as file:
            file.write(frame)


def knows_up_to(number: int) -> bytes:
    """What a server answers that is asked for a recorder."""
    return answer(200, json.dumps({"id": "x", "last_number": number}), "application/json")


@pytest.mark.parametrize("is_redacted", [True, False])
def test_deltas_are_not_told_again_when_steps_are(
    place: Place, voyage: Voyage, proxy: FaultProxy, is_redacted: bool
) -> None:
    """A server that has lost what it had gets the steps once more, and those who watch nothing twice."""
    give_notice(voyage.spool, RedactionSettings(enabled=is_redacted))
    speaker = Speaker(place)
    voyage.drain()
    speaker.say("a piece ")
    voyage.drain()
    proxy.fail(Fault(answers=(knows_up_to(-1),)))
    speaker.say("of an answer ")
    voyage.drain()
    speaker.say("that goes on ")
    voyage.drain()

    assert len([post for post in posts(proxy) if post["steps"]]) == 2, "the step was posted again"
    assert proxy.sent.count(b"a piece ") == 1
    assert proxy.sent.count(b"of an answer ") <= 1
    assert proxy.sent.count(b"that goes on ") == 1


def test_deltas_are_posted_while_they_are_fresh(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """Pieces of answers go along once with what is logged then; an old one, and one that failed, is dropped."""
    speaker = Speaker(place)
    voyage.drain()
    speaker.say("a fresh piece ")
    voyage.drain()
    speaker.say("an old piece ", age_s=10)
    voyage.drain()
    proxy.fail(Fault(answers=(knows_up_to(2), answer(500, "{}"))))
    speaker.say("a piece that fails ")
    voyage.drain()

    assert proxy.sent.count(b"a fresh piece ") == 1
    assert b"an old piece" not in proxy.sent
    assert proxy.sent.count(b"a piece that fails") == 1
    assert proxy.sent.count(b'"first":3,"last":3') == 2, "its number was posted a second time"


def test_no_descriptor_is_left_behind(place: Place, proxy: FaultProxy) -> None:
    """A shipper that came and went, through good days and bad, leaves nothing open."""
    pen = Pen(place)
    write(pen, 1)
    before = open_files()
    for _ in range(3):
        write(pen, 5)
        proxy.fail(Fault(answer_bytes=0))
        voyage = Voyage(place, proxy.url)
        voyage.drain()
        voyage.close()
    # The proxy is of this process, and may still be closing its own.
    until(lambda: open_files() <= before, "every descriptor is closed")
    pen.close()


# -- what the network does


@pytest.mark.parametrize(
    "fault",
    [
        Fault(request_bytes=0),
        Fault(request_bytes=0, is_reset=True),
        Fault(request_bytes=200),
        Fault(request_bytes=700, is_reset=True),
        Fault(request_bytes=700, is_half=True),
        Fault(answer_bytes=0),
        Fault(answer_bytes=0, is_reset=True),
        Fault(answer_bytes=0, is_half=True),
        Fault(answer_bytes=40),
        Fault(drip_bytes=7, delay_s=0.0005),
        Fault(delay_s=0.05),
    ],
    ids=repr,
)
def test_a_fault_of_the_network_costs_nothing(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory, fault: Fault
) -> None:
    """Cut before, in or after a post, half closed, dripping, late: each step is stored once, and none is missing."""
    pen = Pen(place)
    for _ in range(3):
        write(pen, 20)
        proxy.fail(fault, fault)
        voyage.drain()
    pen.close()
    proxy.fail(fault)
    voyage.settle()

    assert stored(served, pen) == pen.acknowledged


def test_a_lost_answer_is_known_by_the_number(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """The post whose answer was swallowed was stored; the second one stores nothing, and the first is seen to be there."""
    pen = Pen(place)
    write(pen, 10)
    proxy.fail(Fault(answer_bytes=0))
    voyage.until(lambda: proxy.connections >= 2)
    voyage.drain()

    assert proxy.sent.count(b"POST /api/v1/steps") == 2
    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_a_server_out_of_reach_is_told_and_waited_for(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """While nobody listens the shipper holds its office, says why nothing moves, and goes on when it can."""
    pen = Pen(place)
    proxy.refuse()
    write(pen, 10)
    voyage.until(lambda: "Connection refused" in voyage.shipper.state)
    status = read_status(voyage.spool)
    assert status is not None
    assert status.state.startswith(f"no answer from {proxy.url}: Connection refused")
    assert look_at_backlog(voyage.spool).bytes > 0
    write(pen, 10)
    proxy.accept()
    voyage.drain()

    assert voyage.shipper.state == SHIPPING
    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_the_breaks_get_longer(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """Tries follow each other ever more slowly, at least every half minute, and never in step."""
    pen = Pen(place)
    write(pen, 1)
    proxy.refuse()
    pauses = []
    for _ in range(14):
        voyage.shipper._patience.end()
        voyage.shipper.work()
        pauses.append(voyage.shipper.pause_s)
    proxy.accept()

    assert pauses[0] <= 0.05
    assert 15 <= pauses[-1] <= 30
    assert all(later > 0.9 * earlier for earlier, later in zip(pauses[:8:2], pauses[2:10:2], strict=True))
    pen.close()


# -- who ships


def test_the_next_shipper_goes_on(place: Place, proxy: FaultProxy, served: ServedHistory) -> None:
    """A shipper that comes after another posts again only what it cannot know to be there."""
    pen = Pen(place)
    write(pen, 50)
    with Voyage(place, proxy.url) as first:
        first.drain()
    proxy.sent.clear()
    write(pen, 5)
    with Voyage(place, proxy.url) as second:
        second.drain()

    assert proxy.sent.count(b'"number":') == 5
    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_a_shipper_that_was_stopped_gives_way(place: Place, proxy: FaultProxy, served: ServedHistory) -> None:
    """Two shippers that both believe to be elected store nothing twice, and the older term ends."""
    pen = Pen(place)
    write(pen, 5)
    stopped = Voyage(place, proxy.url)
    stopped.drain()
    stopped.shipper._office._stopping.set()
    stopped.shipper._office._heart.join()  # type: ignore[union-attr]
    other = Voyage(place, proxy.url)
    other.until(lambda: other.shipper.elected)
    write(pen, 5)
    other.drain()
    write(pen, 5)
    stopped.shipper._office._beat()
    stopped.shipper._house_at = 0.0
    stopped.shipper.work()
    assert not stopped.shipper.elected
    other.drain()
    assert other.shipper.elected
    assert other.shipper._office.holds_lock
    stopped.close()
    other.close()

    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_one_of_two_ships(place: Place, proxy: FaultProxy) -> None:
    """Of two shippers of one spool one holds the office, and the other when it is left."""
    first, second = Voyage(place, proxy.url), Voyage(place, proxy.url)
    first.shipper.work()
    second.shipper.work()
    assert (first.shipper.elected, second.shipper.elected) == (True, False)
    first.close()
    second.until(lambda: second.shipper.elected)
    second.close()


def test_a_spool_that_was_removed_is_begun_anew(
    place: Place, voyage: Voyage, served: ServedHistory, tmp_path: Path
) -> None:
    """When somebody removes the directory under us, the next process's steps are shipped from the next one."""
    voyage.shipper.work()
    shutil.rmtree(place.spool)
    fresh = tmp_path / "again"
    fresh.mkdir()
    spool = SpoolDirectory(place.database)
    spool.claim_identity(new_id())
    spool.close()
    pen = Pen(Place.at(tmp_path))
    write(pen, 3)
    voyage.until(lambda: look_at_backlog(pen.spool).bytes == 0)
    pen.close()

    assert stored(served, pen) == pen.acknowledged


def test_a_newer_release_is_given_way(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """What only a newer release can read stays where it is, and the office is free for that release."""
    old = place.segment().steps(2)
    old.write(place.spool)
    newer = place.segment().step()
    newer.body(b"?", version=7).write(place.spool)
    voyage.until(lambda: "newer stepstream" in voyage.shipper.state)

    assert not is_locked(voyage.spool, COMMITTER_LOCK)
    assert Shelf(served.database).texts(newer.recorder) == ["0"]
    assert Shelf(served.database).texts(old.recorder) == ["0", "1"]


def test_a_segment_that_somebody_removed_is_told(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """Steps that went with their file are told to be missing, and the recorder that had no other has ended."""
    segment = place.segment().steps(3)
    path = segment.write(place.spool)
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    voyage.drain()
    with path.open("ab") as file:
        file.write(encode_frame(segment.recorder, 3, encode_step(thought("3"), episode=segment.episode)))
    path.unlink()
    voyage.shipper._intake.readers[path.name].rest()
    voyage.until(lambda: Shelf(served.database).losses(segment.recorder) != [])
    os.close(descriptor)

    (loss,) = Shelf(served.database).losses(segment.recorder)
    assert (loss.first, loss.reason) == (3, LossReason.MISSING)


# -- clocks


def test_clocks_need_not_agree(place: Place, proxy: FaultProxy, served: ServedHistory) -> None:
    """When a step happened is what its agent said; the server's clock says when it was recorded, years away."""
    segment = place.segment()
    body = encode_step(thought("long ago"), episode=segment.episode, occurred_at=1)
    segment.body(body).step(thought("by the frame"))
    future = encode_step(thought("far away"), episode=segment.episode, occurred_at=2**63 - 1)
    segment.body(future).write(place.spool)
    with Voyage(place, proxy.url, now=lambda: 4 * 10**18) as voyage:
        voyage.settle()

    connection = open_reader(served.database)
    sql = "SELECT occurred_at, recorded_at FROM step JOIN recorder ON recorder.key = step.recorder WHERE recorder.id = ? AND kind = 'thought' ORDER BY cursor"
    times = connection.execute(sql, (segment.recorder,)).fetchall()
    connection.close()
    assert [occurred for occurred, _ in times] == [1, WALL, 2**63 - 1]
    assert all(abs(recorded - time.time_ns()) < 60 * 10**9 for _, recorded in times)


# -- whether these tests can fail


class TrustsTheNetwork(Delivery):
    """Breaks the rule on purpose: a post that was sent is taken for stored."""

    def deliver(self, parcel: Parcel) -> bool:
        try:
            return super().deliver(parcel)
        except NoAnswer:
            return True


def test_a_shipper_that_does_not_wait_for_the_answer_is_caught(
    place: Place, proxy: FaultProxy, served: ServedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check that nothing is missing fails for a shipper that trusts the network."""
    monkeypatch.setattr(shipper, "Delivery", TrustsTheNetwork)
    pen = Pen(place)
    write(pen, 20)
    proxy.fail(Fault(request_bytes=0, is_reset=True))
    with Voyage(place, proxy.url) as voyage:
        voyage.drain()
    pen.close()

    assert stored(served, pen) != pen.acknowledged


def test_the_status_file_is_the_committers(place: Place, voyage: Voyage) -> None:
    """Whoever looks for a committer of this spool finds the shipper under the same names."""
    voyage.shipper.work()

    assert {COMMITTER_LOCK, STATUS} <= {path.name for path in place.spool.iterdir()}
