"""The guard on real sockets: who is let in, for how long, and what every answer carries."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.command_line import wait_for
from tests.support.guarded_app import INSIDE, guarded_app
from tests.support.guarded_server import GuardedServer, guarded_server, read_to_end, websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from stepstream.schemas.identity import is_id
from stepstream.server.auth.scope import Scope
from stepstream.server.guard.limits import Limits


def drain(connection: ClientConnection) -> None:
    """Read what comes until the server closes."""
    while True:
        connection.recv()


class TestLocal:
    """On this machine alone, nobody needs a token."""

    def test_whoever_connects_is_local(self, local: GuardedServer) -> None:
        """A program of this machine may do everything without a token."""
        assert local.ask("/api/v1/health").json()["who"] == "local"
        assert local.ask("/api/v1/things/1").json() == {"name": "local"}
        assert local.ask("/api/v1/episodes/1", method="DELETE").json() == {"name": "local"}

    @pytest.mark.parametrize(
        "header",
        ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"],
    )
    def test_a_request_that_was_passed_on_needs_a_token(self, local: GuardedServer, header: str) -> None:
        """Where a proxy that nobody told us of has passed a request on, its sender may be anybody."""
        answer = local.ask("/api/v1/things/1", headers={header: "127.0.0.1"})

        assert answer.status == 401
        assert local.ask("/api/v1/health", headers={header: "127.0.0.1"}).json()["who"] == ""

    def test_an_old_protocol_needs_a_token(self, local: GuardedServer) -> None:
        """A request of HTTP/1.0, as silent proxies send it, is let in only with a token."""
        request = "GET /api/v1/things/1 HTTP/1.0\r\nHost: localhost\r\n%s\r\n"

        assert local.say((request % "").encode()).startswith(b"HTTP/1.1 401 ")
        token = f"Authorization: Bearer {local.token(Scope.READ)}\r\n"
        assert local.say((request % token).encode()).startswith(b"HTTP/1.1 200 ")

    def test_a_token_counts_here_too(self, local: GuardedServer) -> None:
        """Whoever shows a token may do what it allows and no more, and a wrong one is told."""
        token = local.token(Scope.READ)

        assert local.ask("/api/v1/things/1", token=token).status == 200
        assert local.ask("/api/v1/episodes/1", method="DELETE", token=token).status == 403
        assert local.ask("/api/v1/things/1", token=token[:-1] + "x").status == 401

    def test_other_kinds_of_authorization_are_somebody_elses(self, local: GuardedServer) -> None:
        """What a proxy's own password check passes on to us is no token, and no wrong one."""
        assert local.ask("/api/v1/things/1", headers={"Authorization": "Basic eDp5"}).status == 200


class TestClosed:
    """Where a token is wanted."""

    def test_nobody_comes_in_without_one(self, closed: GuardedServer) -> None:
        """Without a token everything of the API is closed, also what is not there, and the answer says what to do."""
        for path in ("/api/v1/things/1", "/api/v1/nothing", "/api", "/api/", "/api/v2"):
            answer = closed.ask(path)
            assert answer.status == 401
            assert "stepstream token create --scope read" in answer.detail
            assert answer.headers["www-authenticate"] == 'Bearer realm="stepstream"'

    @pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/openapi.json", "/"])
    def test_a_few_things_are_open(self, closed: GuardedServer, path: str) -> None:
        """Health, the description of the API and the page answer anybody, even with a wrong token."""
        assert closed.ask(path).status == 200
        assert closed.ask(path, token="wrong").status == 200

    def test_nothing_is_read_from_whom_nobody_knows(self, closed: GuardedServer) -> None:
        """A body that is no JSON does not come as far as the parser, as nobody is known who sent it."""
        answer = closed.ask(
            "/api/v1/things", method="POST", body=b"{", headers={"Content-Type": "application/json"}
        )

        assert answer.status == 401

    def test_a_token_opens_what_it_is_for(self, closed: GuardedServer) -> None:
        """A token opens the routes of its scopes; one for everything opens all."""
        reader, admin = closed.token(Scope.READ), closed.token(Scope.ADMIN)

        assert closed.ask("/api/v1/things/1", token=reader).status == 200
        assert closed.ask("/api/v1/steps", method="POST", token=reader).status == 403
        assert closed.ask("/api/v1/steps", method="POST", token=admin).status == 200

    def test_a_revoked_token_ends(self, closed: GuardedServer) -> None:
        """From the moment a token is revoked nobody comes in with it."""
        token, text = closed.tokens.create([Scope.READ])
        assert closed.ask("/api/v1/things/1", token=text).status == 200
        closed.tokens.revoke(token.id)

        answer = closed.ask("/api/v1/things/1", token=text)
        assert answer.status == 401
        assert "revoked" in answer.detail

    def test_a_revoked_token_ends_a_stream(self, closed: GuardedServer) -> None:
        """A live stream ends soon after the token is revoked that it was opened with."""
        token, text = closed.tokens.create([Scope.READ])
        with closed.connect() as connection:
            connection.sendall(
                f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\n\r\n".encode()
            )
            received = b""
            while b": still here" not in received:
                received += connection.recv(65536)
            closed.tokens.revoke(token.id)

            assert not read_to_end(connection).endswith(b"0\r\n\r\n")

    def test_a_revoked_token_ends_a_websocket(self, closed: GuardedServer) -> None:
        """A WebSocket is closed soon after the token is revoked, with the code for a broken rule."""
        token, text = closed.tokens.create([Scope.READ])
        with websocket(closed, text) as connection:
            assert connection.recv() == "still here"
            closed.tokens.revoke(token.id)
            with pytest.raises(ConnectionClosed) as caught:
                drain(connection)

        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008

    def test_a_websocket_without_a_token_is_refused(self, closed: GuardedServer) -> None:
        """Whoever nobody knows gets an answer of HTTP instead of a WebSocket."""
        with pytest.raises(InvalidStatus) as caught:
            websocket(closed)

        assert caught.value.response.status_code == 401
        assert caught.value.response.headers["content-type"] == "application/problem+json"
        assert b"stepstream token create" in (caught.value.response.body or b"")

    def test_a_file_that_cannot_be_trusted_lets_nobody_in(self, closed: GuardedServer) -> None:
        """While the file of tokens is open to others nobody is let in, which is told; the log says why."""
        text = closed.token(Scope.ADMIN)
        closed.tokens.path.chmod(0o644)
        try:
            for token in (text, None):
                answer = closed.ask("/api/v1/things/1", token=token)
                assert (answer.status, str(closed.tokens.path.parent) in answer.detail) == (503, False)
            assert closed.ask("/api/v1/health").status == 200
            assert "cannot trust its file of tokens" in closed.ask("/").body.decode()
        finally:
            closed.tokens.path.chmod(0o600)

        assert "others may read or write it (mode 0644)" in closed.log.text
        assert closed.ask("/api/v1/things/1", token=text).status == 200

    def test_a_damaged_file_closes_a_local_server_too(self, directory: Path) -> None:
        """Where tokens cannot be trusted something is wrong, and nobody comes in without one either."""
        with guarded_server(guarded_app(), directory / "damaged.db") as server:
            assert server.ask("/api/v1/things/1").status == 200
            server.tokens.path.write_text("{}")
            server.tokens.path.chmod(0o600)

            assert server.ask("/api/v1/things/1").status == 503


class TestAnswers:
    """What every answer carries, and what it does not."""

    @pytest.mark.parametrize(
        "path",
        ["/", "/api/v1/health", "/api/v1/things/1", "/api/v1/things/x", "/api/v1/nothing", "/api/v1/broken"],
    )
    def test_every_answer_tells_the_browser_to_be_careful(self, local: GuardedServer, path: str) -> None:
        """Good answers, refusals and failures alike carry the headers that keep a browser from mischief."""
        headers = local.ask(path).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert (
            headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        )
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers

    def test_a_route_may_say_otherwise(self, local: GuardedServer) -> None:
        """A route that has its own policy or may be kept says so, once."""
        headers = local.ask("/api/v1/kept").headers

        assert headers.get_all("content-security-policy") == ["sandbox"]
        assert headers.get_all("cache-control") == ["private, max-age=60"]

    def test_every_request_has_an_id(self, local: GuardedServer) -> None:
        """Each answer names its request by an id of ours, never by one that the client sent."""
        sent = {"X-Request-ID": "mine"}
        ids = [
            local.ask(path, headers=sent).headers["x-request-id"] for path in ("/", "/", "/api/v1/nothing")
        ]

        assert len(set(ids)) == 3
        assert all(map(is_id, ids))

    def test_a_failure_is_told_without_what_is_inside(self, local: GuardedServer) -> None:
        """A route that fails is answered with an id alone; the log has the rest under that id."""
        answer = local.ask("/api/v1/broken")

        assert (answer.status, INSIDE in answer.body.decode()) == (500, False)
        assert "Traceback" not in answer.body.decode()
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        line = f"(request {answer.headers['x-request-id']})"
        wait_for(lambda: line in local.log.text, "a line of the log")
        assert INSIDE in local.log.text.partition(line)[2]

    def test_a_failure_ends_nothing_else(self, local: GuardedServer) -> None:
        """After a failure that was told, the same connection goes on."""
        broken = b"GET /api/v1/broken HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with local.connect() as connection:
            connection.sendall(broken)
            assert b"HTTP/1.1 500 " in connection.recv(65536)
            connection.sendall(last)

            assert b"HTTP/1.1 200 " in read_to_end(connection)

    def test_half_an_answer_does_not_look_whole(self, local: GuardedServer) -> None:
        """A route that fails in the middle of its answer ends the connection, and the log knows why."""
        received = local.say(b"GET /api/v1/half HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        assert not received.endswith(b"0\r\n\r\n")
        assert INSIDE.encode() not in received
        wait_for(lambda: "GET '/api/v1/half' failed" in local.log.text, "a line of the log")

    @pytest.mark.parametrize("kind", ["problem", "validation"])
    def test_wrong_input_is_told_as_problem_details(self, local: GuardedServer, kind: str) -> None:
        """What does not fit is told in the one form for problems, with each field that is wrong."""
        answer = local.ask("/api/v1/things/x" if kind == "validation" else "/api/v1/nothing")

        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status == (422 if kind == "validation" else 404)
        if kind == "validation":
            assert "path.thing_id" in str(answer.json()["problems"])


def test_websockets_give_their_place_back(directory: Path) -> None:
    """However WebSockets end, the connection they took is free again."""
    limits = Limits(connections_an_address_max=3)
    with guarded_server(guarded_app(), directory / "places.db", limits=limits) as server:

        def has_room() -> bool:
            with closing(server.connect()) as bare, suppress(ConnectionError):
                bare.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return b"200 OK" in bare.recv(65536)
            return False

        for number in range(8):
            if number % 2:
                with pytest.raises(InvalidStatus):
                    websocket(server, None, "http://evil.example")
            else:
                with websocket(server) as connection:
                    assert connection.recv() == "still here"
            wait_for(has_room, "room for a connection")
