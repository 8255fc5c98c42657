"""The door and the guard on real sockets: how much a client may ask for, and what happens to whoever asks for more."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from tests.support.command_line import wait_for
from tests.support.guarded_app import guarded_app
from tests.support.guarded_server import GuardedServer, guarded_server, read_to_end

from stepstream.schemas.record import JsonObject
from stepstream.server.auth import scope as scopes
from stepstream.server.auth.rules import AccessRules
from stepstream.server.guard.limits import Limits

READ = scopes.Scope.READ
CLOSED = AccessRules.read(host="127.0.0.1", require_token=True)
HEAD = b"%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
SMALL = Limits(
    body_bytes_max=1_000,
    steps_bytes_max=10_000,
    artifact_bytes_max=100_000,
    url_bytes_max=500,
    header_bytes_max=300,
    headers_max=20,
    head_bytes_max=2_000,
)
HASTY = Limits(header_timeout_s=0.1, body_grace_s=0.1, body_bytes_a_second_min=1_000_000, send_timeout_s=0.1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def small(directory: Path) -> Iterator[GuardedServer]:
    """A server that takes little."""
    with guarded_server(guarded_app(), directory / "small.db", limits=SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(directory: Path) -> Iterator[GuardedServer]:
    """A server that waits for nobody."""
    with guarded_server(guarded_app(), directory / "hasty.db", limits=HASTY) as server:
        yield server


@pytest.fixture(scope="module")
def mirror(directory: Path) -> Iterator[GuardedServer]:
    """A server that answers with the headers it saw when the body had come."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        body = json.dumps([name.decode() for name, _ in scope["headers"]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with guarded_server(app, directory / "mirror.db", limits=SMALL) as server:
        yield server


def request(method: str, path: str, *headers: str) -> bytes:
    """The head of a request."""
    return HEAD % (method.encode(), path.encode(), "".join(f"{header}\r\n" for header in headers).encode())


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def problem(answer: bytes) -> JsonObject:
    """The problem details of an answer, which carries what every answer does."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, answer
    assert b"x-content-type-options: nosniff" in head
    found: JsonObject = json.loads(body)
    assert f"x-request-id: {found['request_id']}".encode() in head
    return found


def pour(server: GuardedServer, head: bytes, endless: bytes, pieces_max: int = 60_000) -> bytes:
    """Send something without an end, until the server has had enough; returns what it answers."""
    with closing(server.connect()) as connection:
        connection.sendall(head)
        with suppress(ConnectionError):
            for _ in range(pieces_max):
                connection.sendall(endless)
            pytest.fail(f"the server took {pieces_max * len(endless)} bytes")
        return read_to_end(connection)


class TestBodies:
    """How large a body may be, and how slow."""

    @pytest.mark.parametrize(
        ("path", "method", "most"),
        [
            ("/api/v1/things", "POST", 1_000),
            ("/api/v1/steps", "POST", 10_000),
            ("/api/v1/artifacts/0/bytes", "PUT", 100_000),
        ],
    )
    @pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
    def test_a_body_has_the_size_of_its_kind(
        self, small: GuardedServer, path: str, method: str, most: int, is_chunked: bool
    ) -> None:
        """A body may be as large as its route takes, and one byte more is refused, however it is sent."""
        for size, fits in ((most, True), (most + 1, False)):
            body = b'{"a": "' + b"x" * (size - 9) + b'"}'
            framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
            head = request(method, path, framing, "Content-Type: application/json", "Connection: close")
            half = size // 2
            sent = chunk(body[:half]) + chunk(body[half:]) + b"0\r\n\r\n" if is_chunked else body
            answer = small.say(head + sent)
            if fits:
                assert answer.startswith(b"HTTP/1.1 200 ")
            else:
                assert problem(answer)["status"] == 413
                assert f"{most:,} bytes" in str(problem(answer)["detail"])

    def test_what_is_refused_is_not_waited_for(self, small: GuardedServer) -> None:
        """A body whose length is too large is refused before it is sent, also where the client asks first."""
        head = request("POST", "/api/v1/things", "Content-Length: 999999999", "Expect: 100-continue")
        with closing(small.connect()) as connection:
            connection.sendall(head)

            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")

    def test_the_rest_of_a_refused_body_does_no_harm(self, small: GuardedServer) -> None:
        """Whoever sends a refused body to its end can go on with the same connection."""
        head = request("POST", "/api/v1/things", "Content-Length: 300000")
        with closing(small.connect()) as connection:
            connection.sendall(head + b"x" * 300_000)
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            connection.sendall(request("GET", "/api/v1/health", "Connection: close"))

            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")

    def test_a_length_that_is_no_number_is_refused(self, small: GuardedServer) -> None:
        """Lengths that cannot be, or contradict each other, end the connection."""
        for framing in (
            ["Content-Length: -1"],
            ["Content-Length: " + "9" * 200],
            ["Content-Length: 1", "Content-Length: 2"],
            ["Content-Length: 1", "Transfer-Encoding: chunked"],
        ):
            answer = small.say(request("POST", "/api/v1/things", *framing))
            assert problem(answer)["status"] == 400

    @pytest.mark.parametrize("path", ["/api/v1/things", "/api/v1/steps", "/api/v1/artifacts/0/bytes"])
    def test_a_body_that_drips_is_cut(self, hasty: GuardedServer, path: str) -> None:
        """Who sends a body slower than the floor is told so and cut, though each byte comes in time."""
        method = "PUT" if "artifacts" in path else "POST"
        with closing(hasty.connect()) as connection:
            connection.sendall(request(method, path, "Content-Length: 100000"))
            with suppress(ConnectionError):
                for _ in range(2_000):
                    connection.sendall(b"x")
                    connection.settimeout(0.01)
                    with suppress(TimeoutError):
                        assert problem(connection.recv(65536))["status"] == 408
                        break
                else:
                    pytest.fail("the body was not cut")
            connection.settimeout(20)

            assert read_to_end(connection) == b""

    def test_a_whole_body_has_no_haste(self, directory: Path) -> None:
        """When a body has come the route may wait as long as it likes for its client to go."""
        told: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while not told or told[-1] == "http.request":
                try:
                    told.append((await receive())["type"])
                except Exception as error:
                    told.append(str(error))
                    raise

        with guarded_server(app, directory / "patient.db", limits=HASTY) as server:
            with closing(server.connect()) as connection:
                connection.sendall(request("POST", "/", "Content-Length: 1") + b"x")
                wait_for(lambda: bool(told), "the body")
                # Three times what the body would have had; a wrong limit shows itself in the meantime.
                time.sleep(0.3)
            wait_for(lambda: len(told) > 1, "the end of the connection")

        assert told == ["http.request", "http.disconnect"]

    def test_what_stands_behind_a_body_is_no_header(self, mirror: GuardedServer) -> None:
        """A header that comes after the body, where nobody checks it, is never seen."""
        head = request("POST", "/", "Transfer-Encoding: chunked", "Connection: close")
        answer = mirror.say(head + chunk(b"x") + b"0\r\nAuthorization: Bearer x\r\n\r\n")

        assert b'["host", "transfer-encoding", "connection"]' in answer


class TestHeads:
    """How large the head of a request may be, and how slow."""

    @pytest.mark.parametrize("path", ["/api/v1/things/1", "/api/v1/ws"])
    def test_a_head_has_an_end(self, small: GuardedServer, path: str) -> None:
        """A long address, a long header, many headers and many bytes altogether are each refused, as is a WebSocket's."""
        upgrade = ["Upgrade: websocket", "Connection: Upgrade"] if path.endswith("ws") else []
        too_much = {
            414: request("GET", f"{path}?{'x' * 500}", *upgrade),
            431: request("GET", path, *upgrade, "X-Long: " + "x" * 300),
            431.1: request("GET", path, *upgrade, *(f"X-{number}: x" for number in range(20))),
            431.2: request("GET", path, *upgrade, *(f"X-{number}: {'x' * 280}" for number in range(8))),
        }
        for status, head in too_much.items():
            assert problem(small.say(head))["status"] == int(status)

    @pytest.mark.parametrize(
        ("head", "endless"),
        [
            (b"GET /", b"x" * 1_000),
            (b"GET / HTTP/1.1\r\nX: ", b"x" * 1_000),
            (b"GET / HTTP/1.1\r\n", b"x" * 1_000),
            (b"GET / HTTP/1.1\r\n", b"X: x\r\n" * 100),
        ],
        ids=["address", "value", "name", "headers"],
    )
    def test_a_head_without_end_is_not_kept(self, small: GuardedServer, head: bytes, endless: bytes) -> None:
        """A head that never ends is refused after a few thousand bytes, whichever part of it goes on."""
        answer = pour(small, head, endless)

        assert answer == b"" or problem(answer)["status"] in {414, 431}

    @pytest.mark.parametrize(
        ("begin", "endless"),
        [
            (chunk(b"x") + b"1;", b"x" * 1_000),
            (chunk(b"x") + b"0\r\nX: ", b"x" * 1_000),
            (b"0" * 10, b"0" * 1_000),
        ],
        ids=["extension", "trailer", "length"],
    )
    def test_nothing_endless_hides_in_a_body(
        self, mirror: GuardedServer, begin: bytes, endless: bytes
    ) -> None:
        """What may stand between the pieces of a body and behind it has an end as well."""
        pour(mirror, request("POST", "/", "Transfer-Encoding: chunked") + begin, endless)

    def test_what_is_no_http_is_told(self, small: GuardedServer) -> None:
        """Bytes that are no request of HTTP/1.1 are answered as everything else is, and the connection ends."""
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
            b"HELLO\r\n\r\n",
            b"GET\r\n\r\n",
            b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        ):
            assert problem(small.say(data))["status"] == 400

    @pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: loc", b"\r\n"])
    def test_a_head_has_its_time(self, hasty: GuardedServer, begun: bytes) -> None:
        """Who connects and says nothing, or never comes to an end, is told so and cut."""
        assert problem(hasty.say(begun))["status"] == 408

    @pytest.mark.parametrize("begun", [b"G", b"\r\n", b"GET / HTTP/1.1\r\n"])
    def test_a_second_head_has_its_time_too(self, hasty: GuardedServer, begun: bytes) -> None:
        """Who got an answer and begins another request without an end is cut."""
        with closing(hasty.connect()) as connection:
            connection.sendall(request("GET", "/api/v1/health"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(begun)

            assert read_to_end(connection) == b""

    def test_the_rest_of_a_body_has_its_time(self, hasty: GuardedServer) -> None:
        """Who was answered before all of his body had come, and never sends the rest, is cut."""
        with closing(hasty.connect()) as connection:
            connection.sendall(request("POST", "/api/v1/nothing", "Content-Length: 1000"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
            connection.sendall(b"x")

            assert read_to_end(connection) == b""

    def test_requests_may_come_in_one_piece(self, small: GuardedServer) -> None:
        """Several requests that are sent at once are all answered, in their order."""
        first, last = (
            request("GET", "/api/v1/things/1"),
            request("GET", "/api/v1/nothing", "Connection: close"),
        )
        answers = small.say(first * 5 + last)

        assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"200"] * 5 + [b"404"]


class TestRates:
    """How often."""

    def test_too_many_requests_are_told(self, directory: Path) -> None:
        """Beyond its allowance a client is told when to come again; a token has an allowance of its own."""
        limits = Limits(requests_a_second=0.01, requests_burst=3)
        with guarded_server(guarded_app(), directory / "rates.db", limits=limits) as server:
            statuses = [server.ask("/api/v1/things/1").status for _ in range(4)]
            answer = server.ask("/api/v1/things/1")
            token = server.token(READ)

            assert statuses == [200, 200, 200, 429]
            assert answer.headers["retry-after"].isdigit()
            assert f"try again in {answer.headers['retry-after']} s" in answer.detail
            assert server.ask("/api/v1/things/1", token=token).status == 200

    def test_strangers_have_less(self, directory: Path) -> None:
        """Whoever shows no token where one is wanted has an allowance that does not touch anybody else's."""
        limits = Limits(stranger_requests_a_second=0.01, stranger_requests_burst=2)
        with guarded_server(guarded_app(), directory / "few.db", rules=CLOSED, limits=limits) as server:
            token = server.token(READ)
            statuses = [server.ask("/api/v1/things/1").status for _ in range(3)]

            assert statuses == [401, 401, 429]
            assert server.ask("/api/v1/things/1", token=token).status == 200

    def test_guessing_is_slowed(self, directory: Path) -> None:
        """After some wrong tokens an address waits, even for a right one; who was known there before goes on."""
        limits = Limits(failures_a_minute=0.01, failures_burst=3)
        with guarded_server(guarded_app(), directory / "guess.db", rules=CLOSED, limits=limits) as server:
            known, new = server.token(READ), server.token(READ)
            assert server.ask("/api/v1/things/1", token=known).status == 200
            wrong = [
                server.ask("/api/v1/things/1", token=new[:-4] + f"{number:04x}").status for number in range(4)
            ]
            by_body = server.ask(
                "/api/v1/session",
                method="POST",
                body=json.dumps({"token": new}).encode(),
                headers={"Content-Type": "application/json"},
            )

            assert wrong == [401, 401, 401, 429]
            assert (server.ask("/api/v1/things/1", token=new).status, by_body.status) == (429, 429)
            assert "retry-after" in by_body.headers
            assert server.ask("/api/v1/things/1", token=known).status == 200
            assert server.log.text.count("a wrong token came from") == 3


class TestConnections:
    """How many."""

    def test_an_address_has_so_many(self, directory: Path) -> None:
        """Beyond its connections an address is refused, also where it says nothing on them; they are given back."""
        limits = Limits(connections_an_address_max=3)
        with guarded_server(guarded_app(), directory / "many.db", limits=limits) as server:
            silent = [server.connect() for _ in range(3)]
            assert problem(server.say(b""))["status"] == 503
            for connection in silent:
                connection.close()

            wait_for(lambda: is_answered(server), "room for a connection")

    def test_all_together_have_so_many(self, directory: Path) -> None:
        """There is an end to the connections of all, behind a proxy too."""
        rules = AccessRules.read(host="127.0.0.1", trusted_proxies=["127.0.0.1"])
        limits = Limits(connections_max=3)
        with guarded_server(guarded_app(), directory / "all.db", rules=rules, limits=limits) as server:
            silent = [server.connect() for _ in range(3)]
            assert problem(server.say(b""))["status"] == 503
            for connection in silent:
                connection.close()

            wait_for(lambda: is_answered(server), "room for a connection")

    def test_behind_a_proxy_clients_are_counted(self, directory: Path) -> None:
        """A proxy may have any number of connections; each of its clients has so many streams, and no more."""
        rules = AccessRules.read(host="127.0.0.1", trusted_proxies=["127.0.0.1"])
        limits = Limits(connections_an_address_max=2)
        with guarded_server(guarded_app(), directory / "behind.db", rules=rules, limits=limits) as server:
            bearer = f"Authorization: Bearer {server.token(READ)}"

            def stream(client: str) -> tuple[socket.socket, bytes]:
                connection = server.connect()
                connection.sendall(request("GET", "/api/v1/events", bearer, f"X-Forwarded-For: {client}"))
                return connection, connection.recv(65536)

            streams = [stream(client) for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1")]
            # A person has a whole network of IPv6.
            streams += [stream(f"2001:db8::{number}") for number in (1, 2, 3)]
            for connection, _ in streams:
                connection.close()

        statuses = [answer.split(b" ")[1] for _, answer in streams]
        assert statuses == [b"200", b"200", b"200", b"503", b"200", b"200", b"503"]

    def test_who_takes_nothing_is_cut(self, directory: Path) -> None:
        """A client that asks for a long answer and does not read it is cut, and its place is free again."""
        limits = Limits(send_timeout_s=0.2, connections_an_address_max=1)
        with guarded_server(guarded_app(), directory / "frozen.db", limits=limits) as server:
            with closing(server.connect()) as frozen:
                frozen.sendall(request("GET", "/api/v1/endless"))
                wait_for(lambda: is_answered(server), "room for a connection")

            assert "Traceback" not in server.log.text


def is_answered(server: GuardedServer) -> bool:
    """Whether there is room for a connection."""
    with suppress(ConnectionError):
        return b" 200 OK" in server.say(request("GET", "/api/v1/health", "Connection: close"))
    return False
