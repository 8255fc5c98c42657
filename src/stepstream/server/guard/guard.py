"""The guard: every request passes it before anything else sees it.

It asks in this order: who sends it, where a proxy says so; by which name does it call us; does a page of
somebody else's send it; whose is it; is it too much; may somebody unknown ask this at all. What it finds out
it leaves in the connection's state, where :mod:`stepstream.server.auth.access` reads it.

Knows rules, tokens, sessions, limits. Must not know what routes do. It is plain ASGI and keeps little for
each connection, as there are thousands of streams.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from stepstream.schemas.identity import id_text, new_id
from stepstream.server.auth.access import Principal, Scope
from stepstream.server.auth.authority import Authority, address, read_authority
from stepstream.server.auth.sessions import Desk, Session, Sessions, cookie_name, set_cookie
from stepstream.server.auth.tokens import Token, TokenFile, TokensUnusable, token_id_in
from stepstream.server.guard.allowance import Allowance, Occupancy, Remembered, client_key
from stepstream.server.guard.limits import Limits
from stepstream.server.guard.passage import HttpPassage, Passage, WebSocketPassage, too_large
from stepstream.server.problems import Refused, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as Connection

    from stepstream.server.auth.rules import AccessRules

_log = logging.getLogger("stepstream.server")

API = "/api"
_SESSION, _STEPS, _ARTIFACTS = "/api/v1/session", "/api/v1/steps", "/api/v1/artifacts/"
OPEN_PATHS = frozenset({"/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json", _SESSION})
"""What somebody unknown may ask of the API. All the rest is closed, also a route that forgot to say so."""

LOCAL = Principal("local", frozenset(Scope))
_COMPLAINT_INTERVAL_S = 60
_DIGITS_MAX = 18
_SHARED_MAX = 1_000
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})
_FORWARDED = b"x-forwarded-"
_READ = frozenset(
    {
        b"authorization",
        b"content-length",
        b"cookie",
        b"forwarded",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"via",
        b"x-csrf-token",
        b"x-real-ip",
    }
)
_PROXY_SIGNS = (b"forwarded", b"via", b"x-real-ip")

_WRONG_TOKEN = "the token is unknown, was revoked or has expired; make one with: stepstream token create"  # noqa: S105
_WRONG_TOKEN_HEADER = ("www-authenticate", 'Bearer realm="stepstream", error="invalid_token"')
_NO_CSRF_TOKEN = "with a session, X-CSRF-Token has to hold what GET /api/v1/session answers"  # noqa: S105
_ENDING = "the server is shutting down; send it again"
_TOKENS_UNUSABLE = "the server cannot trust its file of tokens, and lets nobody in; its log tells why"

_Headers = dict[bytes, bytes]


class _Visitor(NamedTuple):
    """Whom the guard takes the sender of a request for.

    Attributes:
        principal: Who it is; None for nobody.
        session: The session by which that is known.
        cookie: The session's cookie, where the browser is to have a newer one.
        refusal: Why nobody is known, where there is more to say than that nobody is.
        still_valid: Tells whether that holds; None where it always does.
    """

    principal: Principal | None = None
    session: Session | None = None
    cookie: str | None = None
    refusal: Refused | None = None
    still_valid: Callable[[], bool] | None = None


class _Request(NamedTuple):
    """What the guard looks at.

    Attributes:
        connection: The request.
        headers: The headers that it reads.
        path: The path without what stands in front of all of them.
        is_https: Whether it came over TLS, for all that we know.
        client: What the client is counted by.
        is_forwarded: Whether anything says that a proxy has passed it on.
    """

    connection: Connection
    headers: _Headers
    path: str
    is_https: bool
    client: str
    is_forwarded: bool

    @property
    def is_api(self) -> bool:
        return self.path == API or self.path.startswith(API + "/")

    @property
    def scheme(self) -> str:
        return "https" if self.is_https else "http"

    @property
    def bearer(self) -> str | None:
        """The token that it says it has."""
        scheme, _, token = self.text(b"authorization").partition(" ")
        # Another scheme is meant for a proxy in front of us, which passes it on all the same.
        return token.strip() if scheme.lower() == "bearer" else None

    @property
    def is_websocket(self) -> bool:
        return bool(self.connection["type"] == "websocket")

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing; a WebSocket may."""
        return not self.is_websocket and self.connection["method"] in _SAFE_METHODS

    def text(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


class Guard:
    """Stands in front of an application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        rules: AccessRules,
        tokens: TokenFile,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Guard an application.

        Args:
            app: What is guarded.
            rules: Who may come in.
            tokens: By what they are known.
            limits: How much they may ask for.
            clock: Seconds that never run backwards.
            now_ns: The clock that tells what has expired.
        """
        self._app = app
        self._rules = rules
        self._tokens = tokens
        self._limits = limits = limits or Limits()
        self._sessions = Sessions(tokens, now_ns=now_ns)
        kept = limits.addresses_max
        self._inside = Occupancy(limits.connections_max, limits.connections_an_address_max)
        self._known = Allowance(limits.requests_a_second, limits.requests_burst, kept, clock=clock)
        self._strangers = Allowance(
            limits.stranger_requests_a_second, limits.stranger_requests_burst, kept, clock=clock
        )
        self._failures = Allowance(limits.failures_a_minute / 60, limits.failures_burst, kept, clock=clock)
        self._regulars = Remembered(kept)
        # One for all connections of a token.
        self._validity_of = lru_cache(maxsize=_SHARED_MAX)(partial(partial, tokens.still_valid))
        self._complaints = Allowance(1 / _COMPLAINT_INTERVAL_S, 1, 1, clock=clock)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = self._request(scope)
        client = request.client
        kind = WebSocketPassage if request.is_websocket else HttpPassage
        request_id = id_text(new_id())
        passage: Passage = kind(
            receive, send, request_id, self._limits, is_https=request.is_https, is_api=request.is_api
        )
        is_inside = self._inside.enter(client)
        try:
            if not is_inside:
                raise Refused(503, "too many connections; try again", headers=[("retry-after", "1")])
            self._admit(request, passage)
            # What is kept here is kept for each client of a stream.
            del request, request_id, kind
            await self._app(scope, passage.receiver, passage.send)
        except asyncio.CancelledError:
            # Nobody cancels a request but the server that has waited for it long enough, or is told not to.
            await passage.fail(Refused(503, _ENDING, headers=[("retry-after", "1")]), scope)
        except Exception as error:  # noqa: BLE001 - whatever a route raises, a client gets an answer
            await passage.fail(error, scope)
        finally:
            if is_inside:
                self._inside.leave(client)

    def _admit(self, request: _Request, passage: Passage) -> None:
        """Say on what terms a request passes; what the guard finds out is left in its state.

        Raises:
            Refused: It does not pass.
        """
        state = request.connection.setdefault("state", {})
        state["request_id"] = passage.request_id
        authority = self._authority(request)
        self._check_page(request, authority)
        visitor = self._visitor(request, passage.request_id)
        self._check_rate(request, visitor)
        state["principal"] = visitor.principal
        if visitor.refusal is not None:
            state["refusal"] = visitor.refusal
        if visitor.still_valid is not None:
            state["still_valid"] = passage.still_valid = visitor.still_valid
        if request.path == _SESSION:
            recognise = partial(self._recognised, request.client, passage.request_id)
            state["desk"] = Desk(self._sessions, visitor.session, recognise)
        if visitor.principal is None and request.is_api and request.path not in OPEN_PATHS:
            raise visitor.refusal or Unauthenticated
        passage.body_bytes_max = self._body_bytes_max(request)
        passage.cookie = visitor.cookie

    # -- what the request says

    def _request(self, scope: Connection) -> _Request:
        """Look at a request; where a proxy that is believed passed it on, at the one that it got."""
        headers: _Headers = {}
        is_forwarded = scope.get("http_version") == "1.0"
        for name, value in scope["headers"]:
            if name in _READ:
                # Of what may stand once only, two make one that is wrong.
                headers[name] = headers[name] + b", " + value if name in headers else value
            elif name.startswith(_FORWARDED):
                is_forwarded = True
                headers[name] = headers[name] + b", " + value if name in headers else value
        peer = _client(scope)
        is_https = scope["scheme"] in {"https", "wss"}
        if self._rules.trusts(peer):
            is_forwarded = True
            client = self._forwarded_for(headers.get(b"x-forwarded-for", b""), peer)
            # The last word is that of the proxy which is nearest to us.
            said = headers.get(b"x-forwarded-proto", b"").rpartition(b",")[2].strip().lower()
            is_https = said in {b"https", b"wss"} if said else is_https
            scope["client"] = (client, 0)
            scope["scheme"] = ("ws" if scope["type"] == "websocket" else "http") + ("s" if is_https else "")
        else:
            client = peer
            is_forwarded = is_forwarded or not headers.keys().isdisjoint(_PROXY_SIGNS)
        scope["root_path"] = self._rules.root_path
        return _Request(scope, headers, self._path(scope["path"]), is_https, client_key(client), is_forwarded)

    def _path(self, path: str) -> str:
        """The path as routes know it, whether or not a proxy has taken off what stands in front."""
        root = self._rules.root_path
        return path[len(root) :] if root and path.startswith(root + "/") else path

    def _forwarded_for(self, chain: bytes, peer: str) -> str:
        """Who is behind the proxies: the nearest address that is not one of theirs."""
        client = peer
        for part in reversed(chain.decode("latin-1").split(",")):
            written = part.strip()
            said = read_authority(written)
            found = address(written) or (None if said is None else said.address)
            if found is None:
                break
            client = str(found)
            if not self._rules.trusts(client):
                break
        return client

    def _authority(self, request: _Request) -> Authority:
        """By which name the client calls us.

        Raises:
            Refused: By none, or by one that is not ours.
        """
        authority = read_authority(request.text(b"host"))
        if authority is None:
            raise Refused(400, "the request has no readable Host header")
        if not self._rules.is_ours(authority):
            raise Refused(
                421,
                "this server does not go by that host name; "
                "if it is one of its own, start the server with: --allowed-host NAME",
            )
        return authority

    def _check_page(self, request: _Request, authority: Authority) -> None:
        """Refuse what a page of another site lets a browser send.

        Raises:
            Refused: It is such a request.
        """
        if request.headers.get(b"sec-fetch-site") in _FOREIGN_SITES:
            # No page can send a token of its own to another site, unless that site agrees, which we never do.
            is_harmless = request.bearer is not None or not request.is_api
            if not (request.is_safe and is_harmless):
                raise Refused(403, "a page of another site may not send this")
        if request.is_safe or b"origin" not in request.headers:
            return
        if not self._rules.is_own_origin(request.text(b"origin"), request.scheme, authority):
            raise Refused(
                403,
                "a page of another origin may not send this; "
                "if it is the server's own, behind a proxy, start the server with: --allowed-host NAME",
            )

    def _check_rate(self, request: _Request, visitor: _Visitor) -> None:
        if visitor.principal is None:
            wait_s = self._strangers.take(request.client)
        else:
            wait_s = self._known.take(visitor.principal.token_id or request.client)
        if wait_s > 0:
            raise _too_often("too many requests", wait_s)

    def _body_bytes_max(self, request: _Request) -> int | None:
        """The largest body that a request may have; None when it has none.

        Raises:
            Refused: It says that it has a larger one.
        """
        said = request.headers.get(b"content-length")
        if request.is_websocket or (said in {None, b"0"} and b"transfer-encoding" not in request.headers):
            return None
        largest = self._limits.body_bytes_max
        if request.path == _STEPS:
            largest = self._limits.steps_bytes_max
        elif request.path.startswith(_ARTIFACTS):
            largest = self._limits.artifact_bytes_max
        if said is not None and (not said.isdigit() or len(said) > _DIGITS_MAX or int(said) > largest):
            raise too_large(largest)
        return largest

    # -- whose it is

    def _visitor(self, request: _Request, request_id: str) -> _Visitor:
        """Find out whose a request is."""
        try:
            if request.bearer is not None:
                return self._by_token(request.client, request_id, request.bearer)
            name = cookie_name(is_https=request.is_https, root_path=self._rules.root_path)
            session = self._sessions.find(request.text(b"cookie"), name)
            if session is not None:
                return self._by_session(request, session)
            # Asked also where no token is needed: where tokens cannot be trusted, something is wrong.
            self._tokens.living()
        except TokensUnusable as error:
            if self._complaints.take("") == 0:
                _log.error("nobody is let in: %s", error)
            return _Visitor(refusal=Refused(503, _TOKENS_UNUSABLE))
        return _Visitor() if self._rules.needs_token or not _is_local(request) else _Visitor(LOCAL)

    def _by_token(self, client: str, request_id: str, bearer: str) -> _Visitor:
        try:
            principal = self._recognised(client, request_id, bearer)
        except Refused as refusal:
            return _Visitor(refusal=refusal)
        return _Visitor(principal, still_valid=self._validity_of(token_id_in(bearer)))

    def _recognised(self, client: str, request_id: str, bearer: str) -> Principal:
        """Whose a token is.

        Raises:
            Refused: Nobody's, or too many of this client's were.
            TokensUnusable: The file of tokens cannot be trusted or read.
        """
        # Only who is new here is slowed, so that one who guesses does not lock out his neighbours.
        regular = f"{client} {token_id_in(bearer)}"
        if regular not in self._regulars and (wait_s := self._failures.wait_s(client)) > 0:
            raise _too_often("too many wrong tokens", wait_s)
        token = self._tokens.authenticate(bearer)
        if token is None:
            if self._failures.take(client) == 0:
                _log.warning("a wrong token came from %s (request %s)", client, request_id)
            raise Refused(401, _WRONG_TOKEN, headers=[_WRONG_TOKEN_HEADER])
        self._regulars.add(regular)
        return _principal(token)

    def _by_session(self, request: _Request, session: Session) -> _Visitor:
        token = self._tokens.token(session.token_id)
        if token is None:
            return _Visitor()
        if not request.is_safe and not request.is_websocket:
            # A browser adds the cookie by itself, whoever asks it to send; the page alone knows this.
            said = request.text(b"x-csrf-token")
            if not self._sessions.is_csrf_token(session, said):
                return _Visitor(refusal=Refused(403, _NO_CSRF_TOKEN))
        return _Visitor(
            _principal(token),
            session,
            cookie=self._renewed_cookie(request, session),
            still_valid=partial(self._sessions.still_valid, session),
        )

    def _renewed_cookie(self, request: _Request, session: Session) -> str | None:
        renewed = self._sessions.renewed(session)
        if renewed is None:
            return None
        value = self._sessions.seal(renewed)
        return set_cookie(value, is_https=request.is_https, root_path=self._rules.root_path)


def _client(scope: Connection) -> str:
    """The address at the other end of the connection; empty where there is none."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_local(request: _Request) -> bool:
    """Whether a request comes from a program of this machine itself, as far as can be seen.

    A proxy on this machine that says nothing of itself looks like one; so old a protocol is mostly a proxy's.
    """
    found = address(_client(request.connection))
    return found is not None and found.is_loopback and not request.is_forwarded


def _principal(token: Token) -> Principal:
    return _shared_principal(token.name, token.scopes, token.id)


@lru_cache(maxsize=_SHARED_MAX)
def _shared_principal(name: str, scopes: tuple[Scope, ...], token_id: str) -> Principal:
    """One for all connections of a token."""
    return Principal(name, frozenset(scopes), token_id)


def _too_often(what: str, wait_s: float) -> Refused:
    seconds = math.ceil(wait_s)
    return Refused(429, f"{what}; try again in {seconds} s", headers=[("retry-after", str(seconds))])
