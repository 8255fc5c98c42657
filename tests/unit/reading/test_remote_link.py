"""The link to a server: what goes out, and which error an answer becomes."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.canned_server import CannedServer, answer

from stepstream.errors import (
    AccessDenied,
    Busy,
    ConfigurationInvalid,
    EpisodeNotFound,
    FilterInvalid,
    Problem,
    StepstreamError,
    StoreError,
    Unreachable,
    ValidationFailed,
)
from stepstream.reading.recorders import RecorderPosition
from stepstream.reading.remote.link import Link, Misdirected, Question
from stepstream.shipping.address import ServerAddress

TOKEN = "ss_read_a-very.secret~token+/="
RECORDER = "0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11"
FOUND = answer(200, json.dumps({"id": RECORDER, "last_number": 7, "ended_at": None}), "application/json")
ABOUT = Question(("episodes", "ab cd/é"), {"filter": "kind:", "limit": 3, "after": None}, episode="ab")


def link_to(server: CannedServer, token: str | None = None) -> Link:
    return Link(ServerAddress.parse(server.url, "here"), token)


def problem(status: int, detail: str = "", **more: object) -> bytes:
    return answer(status, json.dumps({"title": "x", "status": status, "detail": detail, **more}))


def test_a_question_is_asked_and_its_answer_is_typed() -> None:
    """Path and query are quoted, the token goes into one header, and a connection is used again."""
    with CannedServer(FOUND) as server:
        link = link_to(server, TOKEN)
        found = [link.ask(ABOUT, RecorderPosition) for _ in range(3)]

    assert found == [RecorderPosition(id=RECORDER, last_number=7, ended_at=None)] * 3
    first, *headers = server.requests[0].split("\r\n")
    assert first == "GET /api/v1/episodes/ab%20cd%2F%C3%A9?filter=kind%3A&limit=3 HTTP/1.1"
    assert [line for line in headers if TOKEN in line] == [f"authorization: Bearer {TOKEN}"]
    assert server.connections == 1


def test_a_server_may_stand_below_a_path() -> None:
    """The root of the address comes before the API's own."""
    with CannedServer(FOUND) as server:
        Link(ServerAddress.parse(f"{server.url}/stepstream/", "here")).ask(
            Question(("info",)), RecorderPosition
        )

    assert server.requests[0].startswith("GET /stepstream/api/v1/info HTTP/1.1\r\n")
    assert "authorization" not in server.requests[0].lower()


def test_an_idle_connection_that_was_closed_is_replaced() -> None:
    """A server that closes connections after each answer is asked again over new ones."""
    with CannedServer(FOUND, stays=False) as server:
        link = link_to(server)
        for _ in range(3):
            link.ask(ABOUT, RecorderPosition)

    assert len(server.requests) == 3


FILTER_DETAIL = "the filter cannot be used: expected a kind\nor two\n  kind:\n       ^"


CASES = {
    "no episode": (problem(404, "there is no episode"), EpisodeNotFound("ab")),
    "two episodes": (problem(404, "two", candidates=["abc", "abd"]), EpisodeNotFound("ab", ["abc", "abd"])),
    "filter": (problem(400, FILTER_DETAIL, position=5), FilterInvalid("kind:", 5, "expected a kind\nor two")),
    "parameter": (
        problem(422, "no", problems=[{"field": "limit", "value": "-3", "reason": "too small", "more": 1}]),
        ValidationFailed("question", [Problem("limit", "-3", "too small")]),
    ),
    "busy": (problem(503, "the disk sleeps"), Busy("WHERE", told="the disk sleeps")),
    "too often": (problem(429, "too many requests"), Busy("WHERE", told="too many requests")),
    "proxy busy": (answer(503, "<html>", "text/html"), Busy("WHERE", told="503 Service Unavailable")),
    "no token": (problem(401, "this wants a token"), AccessDenied("WHERE", "this wants a token")),
    "no scope": (problem(403, "it needs\x1b[31m read"), AccessDenied("WHERE", "it needs [31m read")),
    "proxy alone": (answer(502, "", "text/html"), Unreachable("WHERE", "it answers 502: 502 Bad Gateway")),
    "server at fault": (
        problem(500, "the server failed", request_id="r-1"),
        StoreError("WHERE failed at TARGET: the server failed (request r-1)"),
    ),
    "another program": (
        answer(404, "<html>", "text/html"),
        Misdirected("WHERE", "it answers 404 to TARGET: 404 Not Found"),
    ),
    "redirect": (
        answer(302, "", location="http://127.0.0.1:1/"),
        Misdirected("WHERE", "it points to another address, which is not followed"),
    ),
    "no JSON": (
        answer(200, "<html>hotel wifi</html>", "text/html"),
        Misdirected(
            "WHERE", "its answer to TARGET cannot be read: Invalid JSON: expected value at line 1 column 1"
        ),
    ),
    "other JSON": (
        answer(200, '{"id": 3}', "application/json"),
        Misdirected("WHERE", "its answer to TARGET cannot be read: id: Input should be a valid string"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_becomes_the_error_that_a_file_would_raise(case: str) -> None:
    """Class and words are those of the error at the server, and the token is in none of them."""
    given, expected = CASES[case]
    with CannedServer(given) as server:
        with pytest.raises(StepstreamError) as caught:
            link_to(server, TOKEN).ask(ABOUT, RecorderPosition)

        words = str(expected).replace("WHERE", server.url).replace("TARGET", ABOUT.target)
        assert (type(caught.value), str(caught.value)) == (type(expected), words)
    assert TOKEN not in "".join(map(repr, (caught.value, caught.value.__cause__, caught.value.__context__)))
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    """The token does not go to where a server points."""
    with CannedServer(FOUND) as elsewhere:
        with (
            CannedServer(answer(307, "", location=f"{elsewhere.url}/x")) as server,
            pytest.raises(Unreachable),
        ):
            link_to(server, TOKEN).ask(ABOUT, RecorderPosition)

        assert elsewhere.connections == 0


def test_nobody_at_the_address_is_unreachable() -> None:
    """The error names the address, the reason and what to do; so does a server that breaks off or is silent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        silent = Link(ServerAddress.parse(f"http://127.0.0.1:{port}", "here"))
        with pytest.raises(Unreachable, match="no answer in time"):
            silent.ask(ABOUT, RecorderPosition, answer_s=0.05)
        silent.close()
    with pytest.raises(Unreachable, match=rf"127.0.0.1:{port} cannot be asked: Connection refused; see that"):
        silent.ask(ABOUT, RecorderPosition)
    half, foreign = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH\r\n"
    for given in (half, foreign):
        with (
            CannedServer(given, stays=False) as server,
            pytest.raises(Unreachable, match="the connection broke"),
        ):
            link_to(server).ask(ABOUT, RecorderPosition)


@pytest.mark.parametrize("token", ["a b", "a\r\nx: y", "ä", "x" * 5000])
def test_a_token_that_no_header_can_hold_is_refused_unseen(token: str) -> None:
    """The error does not show it."""
    with pytest.raises(ConfigurationInvalid, match="the token is unusable") as caught:
        Link(ServerAddress.parse("http://127.0.0.1:1", "here"), token)

    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1:1", "http://127.0.0.1:1/?token=secret", "ftp://127.0.0.1"]
)
def test_an_address_that_says_too_much_is_refused(url: str) -> None:
    """A user, a password or a query in the address is refused, and is not shown."""
    with pytest.raises(ConfigurationInvalid) as caught:
        Link.open(url)

    assert "secret" not in str(caught.value)


def test_the_token_comes_from_the_environment_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An argument beats STEPSTREAM_TOKEN, which beats the file that the settings name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("of-the-file\n")
    monkeypatch.setenv("STEPSTREAM_TOKEN_FILE", str(tmp_path / "token"))

    def sent(token: str | None = None) -> str | None:
        return Link.open("http://127.0.0.1:1", token).headers.get("authorization")

    assert sent() == "Bearer of-the-file"
    monkeypatch.setenv("STEPSTREAM_TOKEN", "of-the-environment")
    assert sent() == "Bearer of-the-environment"
    assert sent("of-the-argument") == "Bearer of-the-argument"


def test_a_token_over_a_bare_line_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for this machine, not over TLS, not without a token, and never with the token itself."""
    caplog.set_level(logging.WARNING, "stepstream")
    for url, token in [
        ("http://warned-once.example:1", TOKEN),
        ("http://warned-once.example:1", TOKEN),
        ("https://warned-once.example:1", TOKEN),
        ("http://127.0.0.1:1", TOKEN),
        ("http://localhost:1", TOKEN),
        ("http://bare.example:1", None),
    ]:
        assert TOKEN not in repr(Link(ServerAddress.parse(url, "here"), token))

    (record,) = caplog.records
    assert "http://warned-once.example:1 is not encrypted" in record.getMessage()
    assert TOKEN not in caplog.text


def test_a_forked_child_asks_over_a_connection_of_its_own() -> None:
    """Its answers and its parent's cannot be taken for each other's."""
    with CannedServer(FOUND) as server:
        link = link_to(server)
        link.ask(ABOUT, RecorderPosition)
        child = os.fork()
        if not child:
            os._exit(0 if link.ask(ABOUT, RecorderPosition).last_number == 7 else 1)
        assert os.waitpid(child, 0)[1] == 0
        link.ask(ABOUT, RecorderPosition)

        assert server.connections == 2


def test_who_reads_no_server_does_not_pay_for_one() -> None:
    """Neither the package nor a history in a file imports the HTTP client."""
    program = "import sys, stepstream, stepstream.reading.history; stepstream.ObservabilityProvider, stepstream.History"
    code = f"{program}; sys.exit('urllib3' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
