"""The guard on real sockets: by which name it is called, from which page, and through which proxy."""

from __future__ import annotations

import pytest
from tests.support.guarded_server import GuardedServer, websocket
from websockets.exceptions import InvalidStatus

from stepstream.server.auth.scope import Scope


class TestNames:
    """By which name the server is called."""

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("localhost:1", 200),
            ("127.0.0.1:8321", 200),
            ("[::1]:8321", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.nip.example:8321", 421),
            ("192.168.1.7", 421),
            ("", 400),
            ("a b", 400),
            ("localhost@evil.example", 400),
        ],
    )
    def test_a_name_that_is_not_ours_is_refused(self, local: GuardedServer, host: str, status: int) -> None:
        """A page whose name was made to point to this machine is not answered, for its name is not ours."""
        for path in ("/", "/api/v1/health", "/api/v1/things/1"):
            assert local.ask(path, headers={"Host": host}).status == status

    def test_a_request_without_a_name_is_refused(self, local: GuardedServer) -> None:
        """No Host header, or two of them, are no request of HTTP/1.1."""
        for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
            request = f"GET /api/v1/health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
            assert local.say(request.encode()).startswith(b"HTTP/1.1 400 ")

    def test_a_name_in_the_address_does_not_count(self, local: GuardedServer) -> None:
        """A request that names another host in its first line is judged by its Host header."""
        request = (
            "GET http://localhost/api/v1/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        )

        assert local.say(request.encode()).startswith(b"HTTP/1.1 421 ")

    def test_a_name_that_was_given_is_answered(self, proxied: GuardedServer) -> None:
        """A server that was told its name answers to it, and says how where it does not."""
        assert proxied.ask("/api/v1/health", headers={"Host": "stepstream.example.org"}).status == 200
        answer = proxied.ask("/api/v1/health", headers={"Host": "other.example.org"})

        assert answer.status == 421
        assert "--allowed-host" in answer.detail


class TestPages:
    """What pages of other sites let a browser send."""

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_site_gets_nothing_of_the_api(self, local: GuardedServer, site: str) -> None:
        """A browser that says it asks for another site's page is refused, but for the page itself."""
        headers = {"Sec-Fetch-Site": site}

        assert local.ask("/api/v1/things/1", headers=headers).status == 403
        assert local.ask("/api/v1/things", method="POST", headers=headers).status == 403
        assert local.ask("/", headers=headers).status == 200

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_our_own_page_and_the_person_may(self, local: GuardedServer, site: str) -> None:
        """What our own page asks, and what a person types, is answered."""
        assert local.ask("/api/v1/things/1", headers={"Sec-Fetch-Site": site}).status == 200

    def test_a_token_of_its_own_is_proof(self, closed: GuardedServer) -> None:
        """A page that shows a token may read with it from anywhere, and change nothing from elsewhere."""
        token, headers = closed.token(Scope.ADMIN), {"Sec-Fetch-Site": "cross-site"}

        assert closed.ask("/api/v1/things/1", token=token, headers=headers).status == 200
        assert closed.ask("/api/v1/episodes/1", method="DELETE", token=token, headers=headers).status == 403

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "null",
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1",
            "x",
        ],
    )
    def test_a_change_comes_from_our_own_page(self, local: GuardedServer, origin: str) -> None:
        """What changes something is refused from any other origin, also another port of this machine."""
        for path, method in (("/api/v1/episodes/1", "DELETE"), ("/api/v1/session", "POST")):
            answer = local.ask(path, method=method, headers={"Origin": origin})
            assert answer.status == 403
            assert "--allowed-host" in answer.detail

    def test_our_own_origin_passes(self, local: GuardedServer) -> None:
        """What changes something is let in from the origin that the request itself is for."""
        headers = {"Host": "localhost:8321", "Origin": "http://localhost:8321"}

        assert local.ask("/api/v1/episodes/1", method="DELETE", headers=headers).status == 200

    def test_a_websocket_of_another_page_is_refused(self, local: GuardedServer) -> None:
        """A page of another origin opens no WebSocket, with a token or without; our own page does."""
        for token in (None, local.token(Scope.READ)):
            with pytest.raises(InvalidStatus) as caught:
                websocket(local, token, "http://evil.example")
            assert caught.value.response.status_code == 403
        with websocket(local, None, f"http://127.0.0.1:{local.port}") as connection:
            assert connection.recv() == "still here"

    def test_no_other_site_is_ever_allowed_to_read(self, local: GuardedServer) -> None:
        """Asked whether another origin may, the server never says that it may."""
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        for method in ("OPTIONS", "GET"):
            answer = local.ask("/api/v1/things/1", method=method, headers=headers)
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


class TestProxies:
    """Behind a proxy that is believed."""

    @pytest.mark.parametrize(
        ("chain", "client"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("203.0.113.7, nonsense", "127.0.0.1"),
            ("", "127.0.0.1"),
        ],
    )
    def test_the_client_is_the_nearest_that_is_no_proxy(
        self, proxied: GuardedServer, chain: str, client: str
    ) -> None:
        """Of the addresses that proxies report the last one counts that is not their own, whatever a client adds."""
        answer = proxied.ask("/api/v1/health", headers={"X-Forwarded-For": chain})

        assert answer.json()["client"] == client

    def test_an_address_never_replaces_a_token(self, proxied: GuardedServer) -> None:
        """Behind a proxy nobody is local, whatever address is reported."""
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            assert proxied.ask("/api/v1/things/1", headers=headers).status == 401

    @pytest.mark.parametrize(
        ("said", "scheme"),
        [("https", "https"), ("http", "http"), ("http, https", "https"), ("gopher", "http")],
    )
    def test_the_scheme_is_the_proxys(self, proxied: GuardedServer, said: str, scheme: str) -> None:
        """The proxy tells whether a client came over TLS, and then its browser is told to stay there."""
        answer = proxied.ask("/api/v1/health", headers={"X-Forwarded-Proto": said})

        assert answer.json()["scheme"] == scheme
        assert ("strict-transport-security" in answer.headers) is (scheme == "https")

    def test_a_stranger_is_not_believed(self, local: GuardedServer) -> None:
        """Without a proxy that is believed neither address nor scheme are anybody's to say."""
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        answer = local.ask("/api/v1/health", headers=headers)

        assert (answer.json()["client"], answer.json()["scheme"]) == ("127.0.0.1", "http")
        assert "strict-transport-security" not in answer.headers

    @pytest.mark.parametrize("prefix", ["", "/obs"])
    def test_the_prefix_may_be_taken_off_or_not(self, proxied: GuardedServer, prefix: str) -> None:
        """Routes are found, and closed, whether or not the proxy takes off what stands in front of them."""
        token = proxied.token(Scope.READ)

        assert proxied.ask(f"{prefix}/api/v1/things/1", token=token).status == 200
        assert proxied.ask(f"{prefix}/api/v1/things/1").status == 401
        assert proxied.ask(f"{prefix}/api/v1/nothing").status == 401
        assert proxied.ask(f"{prefix}/api/v1/health").status == 200
        assert 'data-root="/obs"' in proxied.ask(f"{prefix}/").body.decode()

    def test_a_page_over_tls_is_ours(self, proxied: GuardedServer) -> None:
        """Our page over TLS may change something, whether or not the proxy says that there is TLS."""
        token = proxied.token(Scope.ADMIN)
        for more in ({}, {"X-Forwarded-Proto": "https"}):
            headers = {"Host": "stepstream.example.org", "Origin": "https://stepstream.example.org", **more}
            assert (
                proxied.ask("/api/v1/episodes/1", method="DELETE", token=token, headers=headers).status == 200
            )
