"""What servers and gateways answer a shipper: only a clear yes moves it on, and a no costs what it is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.frames import thought
from tests.support.rounds import Pen, Place, Shelf
from tests.support.voyage import Voyage, posts, stored, write

from stepstream.schemas.kinds import LossReason
from stepstream.shipping.hosting import REFUSED
from stepstream.shipping.mark import decode_mark
from stepstream.shipping.office import SHIPPING
from stepstream.shipping.token import ask_for_token, fingerprint
from stepstream.spool.directory import COMMITTER_LOCK
from stepstream.store.election import is_locked

if TYPE_CHECKING:
    from tests.support.served_history import ServedHistory


@pytest.mark.parametrize(
    "given",
    [
        answer(500, "{}"),
        answer(503, "{}", retry_after="0"),
        answer(429, "{}"),
        answer(502, "<html>", "text/html"),
        answer(307, "", location="http://127.0.0.1:9/"),
        answer(200, "<html>Welcome to the hotel</html>", "text/html"),
        answer(404, "not here", "text/plain"),
    ],
    ids=["500", "503", "429", "502", "307", "200", "404"],
)
def test_an_answer_that_is_no_yes_is_asked_again(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory, given: bytes
) -> None:
    """Whatever stands in the way says, only the server's own word counts; until then nothing is given up."""
    pen = Pen(place)
    write(pen, 10)
    proxy.fail(Fault(answers=(given, given)))
    voyage.until(lambda: voyage.shipper.state.startswith(f"{proxy.url} takes nothing: "))
    voyage.drain()

    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_retry_after_is_kept_to(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """A server that says when to come again is not asked before."""
    pen = Pen(place)
    write(pen, 1)
    proxy.fail(Fault(answers=(answer(429, "{}", retry_after="7"),)))
    voyage.until(lambda: voyage.shipper.pause_s > 0)
    assert 6.5 < voyage.shipper.pause_s < 10
    pen.close()


def test_a_refused_token_is_told_and_another_one_tried(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong token is a state of its own, tried again only after half a minute, and at once when it changes."""
    monkeypatch.setenv("STEPSTREAM_TOKEN", "wrong")
    pen = Pen(place)
    write(pen, 5)
    refusal = json.dumps({"title": "t", "status": 401, "detail": "the token is unknown", "request_id": "r"})
    proxy.fail(Fault(answers=(answer(401, refusal),)))
    voyage.until(lambda: voyage.shipper.state.startswith(REFUSED))
    assert "the token is unknown" in voyage.shipper.state
    assert voyage.shipper.pause_s > 25
    connections = proxy.connections
    for _ in range(20):
        voyage.shipper.work()
    assert proxy.connections == connections, "nobody asks again with the same token"

    monkeypatch.delenv("STEPSTREAM_TOKEN")
    voyage.drain()
    assert voyage.shipper.state == SHIPPING
    assert stored(served, pen) == pen.acknowledged
    pen.close()


def test_a_shipper_that_is_refused_gives_way_to_another_token(
    place: Place, voyage: Voyage, proxy: FaultProxy, tmp_path: Path
) -> None:
    """When somebody comes with another token, whoever is refused leaves the office to him."""
    pen = Pen(place)
    write(pen, 5)
    proxy.fail(Fault(answers=(answer(403, "{}"),)))
    voyage.until(lambda: voyage.shipper.state.startswith(REFUSED))
    ask_for_token(voyage.spool, fingerprint(voyage.spool, None))
    voyage.shipper.work()
    assert voyage.shipper.elected, "that is his own"
    ask_for_token(voyage.spool, fingerprint(voyage.spool, "another"))
    voyage.shipper.work()

    assert not is_locked(voyage.spool, COMMITTER_LOCK)
    with Voyage(place, proxy.url) as other:
        other.drain()
    pen.close()


def test_a_post_that_is_too_large_is_halved(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """A server that takes less at a time gets less at a time."""
    pen = Pen(place)
    write(pen, 64)
    too_large = answer(413, "{}")
    proxy.fail(Fault(answers=(too_large, too_large, too_large)))
    voyage.drain()

    assert stored(served, pen) == pen.acknowledged
    sizes = [len(post["steps"]) for post in posts(proxy)]
    assert sizes[:4] == [64, 32, 16, 8]
    assert sum(sizes[3:]) == 64
    pen.close()


def test_a_step_that_no_server_takes_is_lost_by_name(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """A single step that is too large is set aside and told, and the next ones follow."""
    pen = Pen(place)
    write(pen, 1)
    voyage.drain()
    write(pen, 1)
    proxy.fail(
        Fault(
            answers=(
                answer(200, json.dumps({"id": "x", "last_number": 0}), "application/json"),
                answer(413, "{}"),
            )
        )
    )
    voyage.drain()
    write(pen, 1)
    pen.close()
    voyage.settle()

    shelf = Shelf(served.database)
    (loss,) = shelf.losses(pen.recorder.id)
    assert (loss.first, loss.last, loss.reason) == (1, 1, LossReason.INVALID)
    assert shelf.texts(pen.recorder.id) == ["0", "2"]
    assert thought("1") in (place.spool / str(loss.kept_as)).read_bytes()


def test_a_step_that_does_not_fit_costs_itself_alone(
    place: Place, voyage: Voyage, served: ServedHistory
) -> None:
    """Steps that the server's own schemas refuse are set aside by their index; all others are stored."""
    segment = place.segment()
    for number in range(60):
        bad = number in {7, 8, 31}
        segment.step(b'{"text":1}' if bad else thought(str(number)))
    segment.step(b"{}", kind=b"never_announced").write(place.spool)
    voyage.settle()

    shelf = Shelf(served.database)
    shelf.audit()
    assert shelf.missing(segment.recorder) == {7, 8, 31, 60}
    assert {loss.reason for loss in shelf.losses(segment.recorder)} == {LossReason.INVALID}
    expected = [str(number) for number in range(60) if number not in {7, 8, 31}]
    assert shelf.texts(segment.recorder) == expected
    assert len(place.damaged()) == 4


@pytest.mark.parametrize("payload", [b"{", b"\xff\xfe", b'{"text":"a"},"x":{', b"[]"])
def test_a_payload_that_is_no_json_is_found(
    place: Place, voyage: Voyage, served: ServedHistory, payload: bytes
) -> None:
    """A payload that breaks the whole post is found by halving, and costs itself alone."""
    segment = place.segment().steps(5).step(payload).steps(6)
    segment.write(place.spool)
    voyage.settle()

    shelf = Shelf(served.database)
    assert shelf.missing(segment.recorder) == {5}
    assert shelf.texts(segment.recorder) == [str(number) for number in range(12) if number != 5]


def test_what_is_no_steps_fault_sets_no_step_aside(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """A server that cannot live with our recorders is a state; no step is given up for it."""
    pen = Pen(place)
    write(pen, 5)
    told = {"problems": [{"field": "recorders.0.host", "value": "x", "reason": "no"}], "detail": "a host"}
    proxy.fail(Fault(answers=(answer(422, json.dumps(told)),)))
    voyage.until(lambda: "what it refuses is no step" in voyage.shipper.state)
    voyage.drain()

    assert stored(served, pen) == pen.acknowledged
    assert place.damaged() == []
    pen.close()


def test_a_server_that_forgot_gets_everything_again(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """When a new connection finds a server with less than it had acknowledged, what is still there is posted again."""
    pen = Pen(place)
    write(pen, 10)
    voyage.drain()
    (name,) = place.segments()
    assert decode_mark((place.spool / name).read_bytes()).number == 9
    less = answer(200, json.dumps({"id": "x", "last_number": 3}), "application/json")
    proxy.fail(Fault(answers=(less,)))
    write(pen, 1)
    before = len(posts(proxy))
    voyage.drain()

    numbers = [step["number"] for post in posts(proxy)[before:] for step in post["steps"]]
    assert numbers == list(range(11))
    assert stored(served, pen) == pen.acknowledged
    pen.close()
