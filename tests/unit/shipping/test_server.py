"""The server as a shipper sees it: what each answer means, and that only a clear yes is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.canned_server import answer
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.rounds import settings

from stepstream.schemas.identity import id_text, new_id
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.client import NoAnswer
from stepstream.shipping.server import (
    ArtifactUnwanted,
    PostRefused,
    PostTooLarge,
    Server,
    TokenRefused,
    Unwilling,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCEPTED = {"stored": 2, "known": 1, "cursor": 7, "epoch": "e"}


@pytest.fixture
def gateway() -> Iterator[FaultProxy]:
    """Somebody who answers by himself; behind him is nothing."""
    with FaultProxy(1) as gateway:
        yield gateway


class Asked:
    """Servers that answer as they are told, closed at the end of a test."""

    def __init__(self, gateway: FaultProxy) -> None:
        self._gateway = gateway
        self._servers: list[Server] = []

    def __call__(self, *answers: bytes, **options: str) -> Server:
        """A server that answers so."""
        self._gateway.fail(Fault(answers=answers))
        server = Server(ServerAddress.parse(self._gateway.url, "here"), settings(**options))
        self._servers.append(server)
        server.connect()
        return server

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
def asked(gateway: FaultProxy) -> Iterator[Asked]:
    """Makes servers that answer so."""
    asked = Asked(gateway)
    yield asked
    asked.close()


def problem(*fields: str, detail: str = "it does not fit") -> str:
    problems = [{"field": field, "value": "v", "reason": f"bad {field}"} for field in fields]
    return json.dumps(
        {"title": "t", "status": 422, "detail": detail, "request_id": "r", "problems": problems}
    )


def test_a_post_that_is_taken(gateway: FaultProxy, asked: Asked) -> None:
    """The server's word is taken where it speaks of as many steps as were posted; new fields do no harm."""
    server = asked(answer(200, json.dumps({**ACCEPTED, "more": 1}), "application/json"))
    accepted = server.post(b"{}", 3)

    assert (accepted.stored, accepted.known, accepted.cursor, accepted.epoch) == (2, 1, 7, "e")
    assert gateway.sent.startswith(b"POST /api/v1/steps HTTP/1.1\r\n")
    assert b"content-type: application/json\r\n" in gateway.sent


@pytest.mark.parametrize(
    "given",
    [
        answer(200, "<html>Please log in</html>", "text/html"),
        answer(200, "", "application/json"),
        answer(200, json.dumps({**ACCEPTED, "stored": 1}), "application/json"),
        answer(200, json.dumps({**ACCEPTED, "epoch": None}), "application/json"),
        answer(202, json.dumps(ACCEPTED), "application/json"),
        answer(204, ""),
        answer(301, "", location="http://elsewhere/"),
        answer(404, "no such page", "text/plain"),
        answer(405, ""),
        answer(421, "{}"),
        answer(500, "{}"),
        answer(502, "<html>", "text/html"),
    ],
)
def test_everything_else_is_no_yes(gateway: FaultProxy, asked: Asked, given: bytes) -> None:
    """A portal's page, a success without the server's word, a redirect: nothing was taken, and it is tried again."""
    with pytest.raises(Unwilling) as told:
        asked(given).post(b"{}", 3)
    assert told.value.retry_after_s is None


@pytest.mark.parametrize(
    ("stated", "waits_s"), [("7", 7.0), ("999999", 300.0), ("soon", None), ("-1", None), ("²", None)]
)
def test_the_server_says_when(gateway: FaultProxy, asked: Asked, stated: str, waits_s: float | None) -> None:
    """Retry-After is heard where it is a number of seconds, and bounded."""
    head = f"HTTP/1.1 429 Too Many\r\nretry-after: {stated}\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(Unwilling) as told:
        asked(head.encode("latin-1")).post(b"{}", 3)
    assert told.value.retry_after_s == waits_s


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_refused(gateway: FaultProxy, asked: Asked, status: int) -> None:
    """Whatever is asked for with a token that is not good for it, it is said what the server says."""
    refused = answer(status, problem(detail="this needs the scope record"))
    server = asked(*[refused] * 5)
    for ask in (
        lambda: server.post(b"{}", 1),
        lambda: server.last_number(id_text(new_id())),
        lambda: server.register("k", 1, "{}"),
        lambda: server.send_artifact("0" * 64, iter([b"abc"]), 3),
        server.look_in,
    ):
        with pytest.raises(TokenRefused, match="this needs the scope record"):
            ask()


def test_a_post_that_is_refused(gateway: FaultProxy, asked: Asked) -> None:
    """Steps that do not fit are known by their index, whatever stands in front of it."""
    fields = ("steps.3.payload.text", "body.steps.12", "steps.3.kind", "deltas.1.text", "misteps.9")
    with pytest.raises(PostRefused) as told:
        asked(answer(422, problem(*fields))).post(b"{}", 20)
    refusal = told.value
    assert refusal.problems == {3: "bad steps.3.payload.text", 12: "bad body.steps.12"}
    assert refusal.is_in_deltas
    assert not refusal.is_elsewhere


@pytest.mark.parametrize("field", ["recorders.0.host", "gaps", "body.ends.1.recorder"])
def test_a_refusal_of_what_is_no_step_is_told_apart(gateway: FaultProxy, asked: Asked, field: str) -> None:
    """Where a server cannot live with our recorders or gaps, no step is to blame."""
    with pytest.raises(PostRefused) as told:
        asked(answer(400, problem(field))).post(b"{}", 20)
    assert told.value.is_elsewhere
    assert not told.value.problems


def test_a_post_that_is_too_large(gateway: FaultProxy, asked: Asked) -> None:
    """What is too large for the server, or for a gateway before it, is told apart."""
    with pytest.raises(PostTooLarge):
        asked(answer(413, "<html>", "text/html")).post(b"{}", 20)


def test_a_recorder_is_asked_for(gateway: FaultProxy, asked: Asked) -> None:
    """A recorder that is not known has no last number; a page that is not there says nothing of recorders."""
    known = answer(
        200, json.dumps({"id": id_text(new_id()), "last_number": 41, "ended_at": None}), "application/json"
    )
    server = asked(known, answer(404, problem()), answer(404, "<html>", "text/html"))

    assert server.last_number(id_text(new_id())) == 41
    assert server.last_number(id_text(new_id())) == -1
    with pytest.raises(Unwilling, match="is the root path right"):
        server.last_number(id_text(new_id()))


def test_a_kind_is_registered(gateway: FaultProxy, asked: Asked) -> None:
    """A schema that the server does not take is no reason to stop; whether it is there at all is one."""
    server = asked(answer(201, "{}"), answer(422, problem(detail="no schema")), answer(503, ""))

    assert server.register("own", 2, '{"type":"object"}') is None
    assert server.register("own", 2, "{}") == "422: no schema"
    with pytest.raises(Unwilling):
        server.register("own", 2, "{}")
    assert b'{"kind":"own","version":2,"json_schema":{"type":"object"}}' in gateway.sent


def test_files_are_asked_for_and_sent(gateway: FaultProxy, asked: Asked) -> None:
    """A file that is lacking is sent in pieces; what the server will never take is told apart from what it cannot now."""
    head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n"
    found = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    server = asked(head, found, answer(201, ""), answer(422, "{}"), answer(507, "{}"))

    assert not server.has_artifact("0" * 64)
    assert server.has_artifact("0" * 64)
    server.send_artifact("0" * 64, iter([b"ab", b"c"]), 3)
    with pytest.raises(ArtifactUnwanted):
        server.send_artifact("0" * 64, iter([b"abc"]), 3)
    with pytest.raises(Unwilling):
        server.send_artifact("0" * 64, iter([b"abc"]), 3)
    assert f"PUT /api/v1/artifacts/{'0' * 64}/bytes HTTP/1.1".encode() in gateway.sent


def test_looking_in(gateway: FaultProxy, asked: Asked) -> None:
    """A server that is there and lets us record tells its time, where it does."""
    told = answer(404, problem(), date="Sat, 22 Nov 2025 10:00:00 GMT")
    server = asked(told, answer(404, problem()), answer(200, "{}"))

    assert (server.look_in() or 0) < 0
    assert server.look_in() is None
    with pytest.raises(Unwilling):
        server.look_in()


def test_what_a_server_says_is_made_safe(gateway: FaultProxy, asked: Asked) -> None:
    """A stranger's words are shown on one line, without control characters, and not for ever."""
    nasty = "\x1b[2Jfirst\nsecond\u202e" + "x" * 1000
    with pytest.raises(Unwilling) as told:
        asked(answer(500, json.dumps({"detail": nasty}))).post(b"{}", 1)
    text = str(told.value)
    assert text.isprintable()
    assert len(text) <= 300


def test_the_token_is_read_for_every_connection(
    gateway: FaultProxy, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable beats the file, the file is read anew, and one that no header can hold is refused unseen."""
    file = tmp_path / "token"
    file.write_text("from-file\n")
    options = {"token_file": str(file)}
    asked(answer(404, problem()), **options).look_in()
    assert b"Bearer from-file\r\n" in gateway.sent

    file.write_text("renewed")
    asked(answer(404, problem()), **options).look_in()
    assert b"Bearer renewed\r\n" in gateway.sent

    monkeypatch.setenv("STEPSTREAM_TOKEN", " from-variable ")
    asked(answer(404, problem()), **options).look_in()
    assert b"Bearer from-variable\r\n" in gateway.sent

    monkeypatch.setenv("STEPSTREAM_TOKEN", "tok\r\nx-evil: 1")
    with pytest.raises(TokenRefused, match="STEPSTREAM_TOKEN is unusable") as told:
        asked(answer(404, problem()), **options)
    assert "evil" not in str(told.value)

    monkeypatch.delenv("STEPSTREAM_TOKEN")
    file.unlink()
    with pytest.raises(TokenRefused, match="unreadable"):
        asked(answer(404, problem()), **options)


def test_a_connection_that_breaks_is_no_answer(gateway: FaultProxy, asked: Asked) -> None:
    """Where no answer came it is not known whether the request was carried out, and that is said so."""
    with pytest.raises(NoAnswer):
        asked(b"").post(b"{}", 1)
