"""Browsers on real sockets: how they sign in and out, the page for it, and that no secret is told."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from tests.support.guarded_app import guarded_app
from tests.support.guarded_server import GuardedServer, guarded_server, read_to_end

from stepstream.server.auth.rules import AccessRules
from stepstream.server.auth.scope import Scope

CLOSED = AccessRules.read(host="127.0.0.1", require_token=True)


class TestSessions:
    """Browsers that sign in."""

    def sign_in(self, server: GuardedServer, token: str) -> tuple[dict[str, str], str]:
        """The headers of a browser that has signed in, and its CSRF token."""
        answer = server.ask("/api/v1/session", method="POST", token=token)
        assert answer.status == 200, answer
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie}, str(answer.json()["csrf_token"])

    def test_a_browser_signs_in_and_out(self, closed: GuardedServer) -> None:
        """With a session a browser may what its token may; changes need the CSRF token; signing out ends it."""
        browser, csrf = self.sign_in(closed, closed.token(Scope.READ, Scope.ADMIN))
        who = closed.ask("/api/v1/session", headers=browser).json()
        assert (who["scopes"], who["csrf_token"]) == (["read", "admin"], csrf)
        assert closed.ask("/api/v1/things/1", headers=browser).status == 200
        remove = {"path": "/api/v1/episodes/1", "method": "DELETE"}
        assert closed.ask(**remove, headers=browser).status == 403
        assert closed.ask(**remove, headers={**browser, "X-CSRF-Token": "x" * 64}).status == 403
        assert closed.ask(**remove, headers={**browser, "X-CSRF-Token": csrf}).status == 200

        assert closed.ask("/api/v1/session", method="DELETE", headers=browser).status == 403
        answer = closed.ask("/api/v1/session", method="DELETE", headers={**browser, "X-CSRF-Token": csrf})
        assert answer.status == 204
        assert "stepstream_session=; " in answer.headers["set-cookie"]
        assert closed.ask("/api/v1/things/1", headers=browser).status == 401

    def test_the_token_may_stand_in_the_body(self, closed: GuardedServer) -> None:
        """A sign-in takes the token from the body too; what is wrong there is not repeated in the answer."""
        token = closed.token(Scope.READ)
        headers = {"Content-Type": "application/json"}

        def sent(body: str) -> tuple[int, str]:
            answer = closed.ask("/api/v1/session", method="POST", body=body.encode(), headers=headers)
            return answer.status, answer.body.decode()

        assert sent(f'{{"token": "{token}"}}')[0] == 200
        assert sent(f'{{"token": "{token[:-1]}x"}}')[0] == 401
        status, text = sent(f'{{"token": ["{token}"]}}')
        assert (status, token in text, token[:20] in text) == (422, False, False)

    def test_a_session_needs_a_token(self, local: GuardedServer, closed: GuardedServer) -> None:
        """Nobody signs in with nothing, neither where a token is wanted nor where none is."""
        assert closed.ask("/api/v1/session", method="POST").status == 401
        assert closed.ask("/api/v1/session").status == 401
        assert local.ask("/api/v1/session", method="POST").status == 400
        assert local.ask("/api/v1/session").json()["name"] == "local"

    def test_the_cookie_is_closed(self, closed: GuardedServer, proxied: GuardedServer) -> None:
        """Scripts and other sites do not get the cookie, and over TLS it never leaves it."""
        plain = closed.ask("/api/v1/session", method="POST", token=closed.token(Scope.READ))
        headers = {"X-Forwarded-Proto": "https"}
        over_tls = proxied.ask(
            "/api/v1/session", method="POST", token=proxied.token(Scope.READ), headers=headers
        )

        flags = "; Max-Age=43200; HttpOnly; SameSite=Strict"
        assert re.fullmatch(rf"stepstream_session=\S+; Path=/{flags}", plain.headers["set-cookie"])
        assert re.fullmatch(
            rf"stepstream_session=\S+; Path=/obs{flags}; Secure", over_tls.headers["set-cookie"]
        )

    def test_a_whole_host_over_tls_has_its_own_cookie(self, directory: Path) -> None:
        """Over TLS and without a prefix the cookie's name keeps other hosts from setting it."""
        rules = AccessRules.read(host="127.0.0.1", trusted_proxies=["127.0.0.1"])
        with guarded_server(guarded_app(), directory / "whole.db", rules=rules) as server:
            headers = {"X-Forwarded-Proto": "https"}
            answer = server.ask(
                "/api/v1/session", method="POST", token=server.token(Scope.READ), headers=headers
            )
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert cookie.startswith("__Host-stepstream_session=")

            assert server.ask("/api/v1/session", headers={**headers, "Cookie": cookie}).status == 200
            stolen = cookie.removeprefix("__Host-")
            assert server.ask("/api/v1/session", headers={**headers, "Cookie": stolen}).status == 401

    def test_a_session_survives_a_restart(self, directory: Path) -> None:
        """A browser stays signed in when the server is started anew, and a new server of another database knows nothing."""
        database = directory / "restarted.db"
        with guarded_server(guarded_app(), database, rules=CLOSED) as server:
            browser, csrf = self.sign_in(server, server.token(Scope.READ))
        with guarded_server(guarded_app(), database, rules=CLOSED) as server:
            assert server.ask("/api/v1/session", headers=browser).json()["csrf_token"] == csrf
            assert server.ask("/api/v1/things/1", headers=browser).status == 200

    def test_a_session_that_is_used_goes_on(self, directory: Path) -> None:
        """A browser that comes again after an hour gets its cookie for longer; one that stays away is out."""
        now = [1_800_000_000]
        database = directory / "sliding.db"
        with guarded_server(
            guarded_app(), database, rules=CLOSED, now_ns=lambda: now[0] * 1_000_000_000
        ) as server:
            browser, _ = self.sign_in(server, server.token(Scope.READ))
            assert "set-cookie" not in server.ask("/api/v1/things/1", headers=browser).headers
            for _ in range(5):
                now[0] += 11 * 3600
                assert "set-cookie" not in server.ask("/api/v1/kept", headers=browser).headers
                answer = server.ask("/api/v1/things/1", headers=browser)
                assert answer.status == 200
                browser = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
            now[0] += 12 * 3600

            assert server.ask("/api/v1/things/1", headers=browser).status == 401

    def test_a_revoked_token_ends_its_sessions(self, closed: GuardedServer) -> None:
        """Whoever signed in with a token is out when it is revoked, and so is the stream of the session."""
        token, text = closed.tokens.create([Scope.READ])
        browser, _ = self.sign_in(closed, text)
        with closed.connect() as connection:
            request = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nCookie: {browser['Cookie']}\r\n\r\n"
            connection.sendall(request.encode())
            assert b"200 OK" in connection.recv(65536)
            closed.tokens.revoke(token.id)
            read_to_end(connection)

        assert closed.ask("/api/v1/things/1", headers=browser).status == 401

    def test_signing_in_again_ends_the_session_before(self, closed: GuardedServer) -> None:
        """A browser that signs in while it is signed in gets a new session, and the old one counts no longer."""
        browser, csrf = self.sign_in(closed, closed.token(Scope.READ))
        answer = closed.ask("/api/v1/session", method="POST", headers={**browser, "X-CSRF-Token": csrf})

        assert answer.status == 200
        assert answer.json()["csrf_token"] != csrf
        assert closed.ask("/api/v1/session", headers=browser).status == 401

    def test_a_bearer_token_needs_no_csrf_token(self, closed: GuardedServer) -> None:
        """What a browser does not add by itself is proof enough; a stale cookie beside it does no harm."""
        token = closed.token(Scope.ADMIN)
        browser, _ = self.sign_in(closed, token)

        for headers in ({}, browser, {"Cookie": "stepstream_session=stale"}):
            answer = closed.ask("/api/v1/episodes/1", method="DELETE", token=token, headers=headers)
            assert answer.status == 200


class TestPage:
    """The page at ``/``."""

    def test_each_answer_has_its_own_nonce(self, local: GuardedServer) -> None:
        """The policy names a nonce that is in the page and in no other answer, and allows nothing else."""
        nonces = set()
        for _ in range(5):
            answer = local.ask("/")
            found = re.fullmatch(
                r"default-src 'none'; script-src 'nonce-(\S+)'; style-src 'nonce-(\S+)'; connect-src 'self'; "
                r"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                answer.headers["content-security-policy"],
            )
            assert found is not None
            assert found[1] == found[2]
            assert answer.body.decode().count(f'nonce="{found[1]}"') == 2
            nonces.add(found[1])

        assert len(nonces) == 5

    def test_nothing_of_a_request_becomes_markup(self, proxied: GuardedServer) -> None:
        """Whatever a token is called, the page shows it as text."""
        _, text = proxied.tokens.create([Scope.READ], name="<script>alert(1)</script>\"'&")
        path = "/" + quote("?<script>x</script>")
        page = proxied.ask("/", token=text).body.decode()

        assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in page
        assert page.count("<script") == 1
        assert proxied.ask(path).status == 404

    def test_it_says_who_one_is(self, local: GuardedServer, closed: GuardedServer) -> None:
        """The page says whether one is signed in, and shows the command that fits."""
        known, unknown = local.ask("/").body.decode(), closed.ask("/").body.decode()

        assert "You are local and may admin, control, read, record." in known
        assert f"curl -N http://127.0.0.1:{local.port}/api/v1/events" in known
        assert "You are not signed in" in unknown
        assert "Authorization: Bearer $STEPSTREAM_TOKEN" in unknown


def test_no_secret_is_logged(directory: Path) -> None:
    """Neither tokens nor cookies nor the key of sessions come into the log or an error, whatever goes wrong."""
    rules = AccessRules.read(host="127.0.0.1", require_token=True)
    with guarded_server(guarded_app(), directory / "logged.db", rules=rules) as server:
        token, text = server.tokens.create([Scope.ADMIN])
        signed_in = server.ask("/api/v1/session", method="POST", token=text)
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        csrf = str(signed_in.json()["csrf_token"])
        answers = [
            server.ask(path, method=method, token=bearer, headers=headers)
            for path in ("/", "/api/v1/broken", "/api/v1/things/x", "/api/v1/session", "/api/v1/half")
            for method in ("GET", "POST")
            for bearer in (text, text[:-2] + "00", None)
            for headers in ({}, {"Cookie": cookie, "X-CSRF-Token": csrf})
            if path != "/api/v1/half" or bearer is None
        ]
        server.tokens.path.write_text(server.tokens.path.read_text() + "x")
        answers.append(server.ask("/api/v1/things/1", token=text))
        kept = server.tokens.session_key
        secrets = [text.rpartition("_")[2], cookie.rpartition(".")[2], token.secret_sha256]

        assert answers[-1].status == 503
        assert kept is not None
    told = server.log.text + "".join(answer.body.decode() for answer in answers)
    assert "a wrong token came from 127.0.0.1" in told
    assert [secret for secret in secrets if secret[:16] in told] == []
