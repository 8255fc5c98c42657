"""The shipper: each step is stored at the server once, in order, whatever the server and the network answer."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic_core import to_json
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.frames import DELTA, WALL, encode_frame, encode_step, thought
from tests.support.rounds import Pen, Place, Row, Shelf, open_files, settings
from tests.support.voyage import Voyage

from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.kinds import LossReason
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.settings import RedactionPattern, RedactionSettings
from stepstream.shipping.backlog import look_at_backlog
from stepstream.shipping.hosting import REFUSED
from stepstream.shipping.mark import decode_mark
from stepstream.shipping.notice import give_notice
from stepstream.shipping.office import SHIPPING
from stepstream.shipping.shipper import Shipper
from stepstream.spool.directory import COMMITTER_LOCK, STATUS, SpoolDirectory
from stepstream.store.election import is_locked, read_status, somebody_commits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.served_history import ServedHistory

    from stepstream.schemas.record import JsonObject

OWN = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


@pytest.fixture
def proxy(served: ServedHistory) -> Iterator[FaultProxy]:
    """The network between the shipper and the server."""
    with FaultProxy(served.port) as proxy:
        yield proxy


@pytest.fixture
def voyage(place: Place, proxy: FaultProxy) -> Iterator[Voyage]:
    """A shipper on its way through that network."""
    with Voyage(place, proxy.url) as voyage:
        yield voyage


def stored(served: ServedHistory, pen: Pen) -> list[str]:
    """The texts of a pen's thoughts at the server, in order."""
    shelf = Shelf(served.database)
    shelf.audit()
    assert shelf.losses(pen.recorder.id) == []
    return shelf.texts(pen.recorder.id)


def rows(served: ServedHistory, recorder: bytes) -> list[Row]:
    """What is stored of a recorder, without what the server says of its episodes."""
    found = [row for row in Shelf(served.database).steps if row.recorder == recorder]
    return [row for row in found if row.kind != "status_change"]


def posts(proxy: FaultProxy) -> list[JsonObject]:
    """The posts that went through the proxy."""
    found = []
    for part in bytes(proxy.sent).split(b"POST /api/v1/steps HTTP/1.1")[1:]:
        head, _, rest = part.partition(b"\r\n\r\n")
        (length,) = (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        found.append(json.loads(rest[: int(length.split()[1])]))
    return found


def write(pen: Pen, count: int) -> None:
    for _ in range(count):
        assert pen.write(str(len(pen.acknowledged)))


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


def test_deltas_are_posted_while_they_are_fresh(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """Pieces of answers go along once with what is logged then; an old one, and one that failed, is dropped."""
    proxy.fail(Fault(request_bytes=0, is_reset=True))
    segment = place.segment().step()

    def delta(text: str, age_s: float) -> bytes:
        return to_json({"step_id": id_text(new_id()), "episode_id": id_text(segment.episode), "text": text})

    now = time.time_ns()
    for text, wall in (("an old piece ", now - 10**10), ("a piece that fails ", now)):
        body = delta(text, 0)
        frame = encode_frame(segment.recorder, segment.next, body, kind=DELTA, wall=wall)
        segment.add(frame, numbers=1)
    path = segment.write(place.spool)
    voyage.drain()
    fresh = encode_frame(segment.recorder, 3, delta("a fresh piece ", 0), kind=DELTA, wall=time.time_ns())
    with path.open("ab") as file:
        file.write(fresh)
    voyage.drain()

    assert proxy.sent.count(b"a fresh piece ") == 1
    assert b"an old piece" not in proxy.sent
    assert proxy.sent.count(b"a piece that fails") <= 1


def test_no_descriptor_is_left_behind(place: Place, proxy: FaultProxy) -> None:
    """A shipper that came and went, through good days and bad, leaves nothing open."""
    pen = Pen(place)
    before = open_files()
    for _ in range(3):
        write(pen, 5)
        proxy.fail(Fault(answer_bytes=0))
        voyage = Voyage(place, proxy.url)
        voyage.drain()
        voyage.close()
    assert open_files() <= before + 2, "the proxy may still be closing its own"
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


# -- what servers and gateways say


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
    from stepstream.shipping.token import ask_for_token, fingerprint

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
    import shutil

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


# -- secrets and files


def test_what_any_project_calls_a_secret_leaves_with_none(
    place: Place, voyage: Voyage, proxy: FaultProxy
) -> None:
    """Rules that two agents left word of hold for the steps of both, before the first byte leaves."""
    pattern = RedactionPattern(regex=r"PRJ-\d+", literals=("PRJ-",))
    first, second = Pen(place), Pen(place)
    write(first, 1)
    voyage.drain()
    give_notice(first.spool, RedactionSettings(names=("launch_code",)))
    give_notice(second.spool, RedactionSettings(patterns={"project": pattern}))
    first.write('PRJ-4711 {"launch_code": "moonlight"}')
    second.write('PRJ-0815 {"launch_code": "sunshine"}')
    voyage.drain()

    for secret in (b"PRJ-4711", b"PRJ-0815", b"moonlight", b"sunshine"):
        assert secret not in proxy.sent
    assert proxy.sent.count(b"[redacted:project:") == 2
    first.close()
    second.close()


def test_redaction_is_off_only_where_all_have_turned_it_off(
    place: Place, voyage: Voyage, proxy: FaultProxy
) -> None:
    """One project that wants its secrets seen does not show those of another."""
    secret = "sk-ant-api03-" + "aB3-_xY7" * 11 + "AA"
    pen = Pen(place)
    give_notice(pen.spool, RedactionSettings(enabled=False))
    pen.write(f"open {secret}")
    voyage.drain()
    assert secret.encode() in proxy.sent
    proxy.sent.clear()
    give_notice(pen.spool, RedactionSettings())
    pen.write(f"closed {secret}")
    voyage.drain()

    assert secret.encode() not in proxy.sent
    assert b"closed [redacted:anthropic:" in proxy.sent
    pen.close()


def test_rules_that_nobody_can_use_stop_everything(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """Where a notice cannot be read nobody can say what is a secret, and nothing leaves."""
    pen = Pen(place)
    notice = place.spool / "redaction-0.json"
    notice.write_text("{")
    notice.chmod(0o600)
    write(pen, 3)
    voyage.until(lambda: "redaction-0.json" in voyage.shipper.state)
    assert proxy.connections == 0
    notice.unlink()
    voyage.drain()
    pen.close()


def attached(place: Place, text: str) -> tuple[bytes, Path]:
    """A file that was attached, as the payload of the step that says so, and where its bytes are kept."""
    store = ArtifactStore(place.database, settings())
    artifact = store.keep(text.encode(), "mesh.stl", "model/stl")
    return to_json({"artifact": artifact.model_dump()}), store.path / artifact.sha256[:2] / artifact.sha256[
        2:
    ]


def test_files_travel_before_their_steps_and_once(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """A file is at the server before the step that shows it, is sent once, and its copy here goes afterwards."""
    text = f"solid {new_id().hex()} " + "facet " * 100_000
    payload, kept = attached(place, text)
    segment = (
        place.segment().step(payload, kind=b"artifact_attached").step(payload, kind=b"artifact_attached")
    )
    segment.write(place.spool)
    proxy.fail(Fault(request_bytes=300_000), Fault(answer_bytes=0))
    voyage.settle()

    digest = kept.parent.name + kept.name
    there = served.database.with_name("history.db-artifacts") / kept.parent.name / kept.name
    assert there.read_text() == text
    assert not kept.exists()
    sent = bytes(proxy.sent)
    assert sent.rindex(b"PUT /api/v1/artifacts/" + digest.encode()) < sent.index(b'"artifact_attached"')
    assert len(rows(served, segment.recorder)) == 2

    payload, kept = attached(place, text)
    proxy.sent.clear()
    place.segment().step(payload, kind=b"artifact_attached").write(place.spool)
    voyage.settle()
    assert b"PUT " not in proxy.sent
    assert not kept.exists()


@pytest.mark.parametrize("damage", ["gone", "changed", "a directory"])
def test_a_file_that_is_not_there_holds_nothing_up(
    place: Place, voyage: Voyage, served: ServedHistory, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A step is told even where the bytes that it shows are gone or are others by now."""
    payload, kept = attached(place, f"file {new_id().hex()}")
    kept.unlink()
    if damage == "changed":
        kept.write_text("something else")
    elif damage == "a directory":
        kept.mkdir()
    segment = place.segment().step(payload, kind=b"artifact_attached").step()
    segment.write(place.spool)
    voyage.settle()

    assert [row.kind for row in rows(served, segment.recorder)] == ["artifact_attached", "thought"]
    assert "is not sent" in caplog.text or "does not take the file" in caplog.text


def test_a_file_of_a_tools_value_travels_too(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """Whatever kind of step refers to a file whose bytes were kept, they travel; those of a path do not."""
    payload, kept = attached(place, f"file {new_id().hex()}")
    reference = json.loads(payload)["artifact"]
    result = {"result": {"deep": [reference]}, "artifacts": [{**reference, "path": "/somewhere"}]}
    place.segment().step(to_json(result), kind=b"observation").write(place.spool)
    voyage.settle()

    assert (served.database.with_name("history.db-artifacts") / kept.parent.name / kept.name).exists()


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

    from stepstream.store.sqlite.connection import open_reader

    connection = open_reader(served.database)
    sql = "SELECT occurred_at, recorded_at FROM step JOIN recorder ON recorder.key = step.recorder WHERE recorder.id = ? AND kind = 'thought' ORDER BY cursor"
    times = connection.execute(sql, (segment.recorder,)).fetchall()
    connection.close()
    assert [occurred for occurred, _ in times] == [1, WALL, 2**63 - 1]
    assert all(abs(recorded - time.time_ns()) < 60 * 10**9 for _, recorded in times)


# -- whether these tests can fail


class MovesTooEarly(Shipper):
    """Breaks the rule on purpose: the offset moves before the answer is there."""

    def _deliver(self, parcel: object) -> bool:
        self._acknowledge(parcel)  # type: ignore[arg-type]
        del self._taken[: parcel.frames]  # type: ignore[attr-defined]
        return super()._deliver(parcel)  # type: ignore[arg-type]


def test_a_shipper_that_moves_the_offset_first_is_caught(
    place: Place, proxy: FaultProxy, served: ServedHistory
) -> None:
    """The check that nothing is missing fails for a shipper that trusts the network."""
    pen = Pen(place)
    write(pen, 20)
    proxy.fail(Fault(request_bytes=0, is_reset=True))
    with Voyage(place, proxy.url, kind=MovesTooEarly) as voyage:
        voyage.drain()
    pen.close()

    assert stored(served, pen) != pen.acknowledged


def test_the_status_file_is_the_committers(place: Place, voyage: Voyage) -> None:
    """Whoever looks for a committer of this spool finds the shipper under the same names."""
    voyage.shipper.work()

    assert {COMMITTER_LOCK, STATUS} <= {path.name for path in place.spool.iterdir()}
