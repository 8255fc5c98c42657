"""Sessions: how a browser stays signed in without holding a token.

A session is a signed cookie: which token it came from, and until when it counts. The server keeps nothing of
it, so that it outlives a restart; it dies with its token, when it is signed out, or when nobody used it for
long.

Knows cookies and signatures. Must not know requests.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from stepstream.server.auth.tokens import TokensUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Scope as Connection

    from stepstream.server.auth.access import Principal
    from stepstream.server.auth.tokens import TokenFile

LIFETIME_S = 12 * 3600
"""How long a session lasts after it was last renewed."""
_RENEWED_AFTER_S = 3600
_COOKIE = "stepstream_session"
_HOST_PREFIX = "__Host-"
_ID_BYTES = 16
_NS = 1_000_000_000
_VALUE = re.compile(r"([0-9a-f]{12})\.([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{64})")
_CANDIDATES_MAX = 4


class Session(NamedTuple):
    """A browser that is signed in.

    Attributes:
        token_id: The token that it signed in with.
        id: What it is told from others by.
        expires_s: Until when it counts; s since 1970 UTC.
    """

    token_id: str
    id: str
    expires_s: int


class Sessions:
    """Begins, recognises and ends the sessions of one server."""

    def __init__(self, tokens: TokenFile, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Sign with the key that the tokens are kept with.

        Args:
            tokens: The tokens that people sign in with.
            now_ns: The clock that tells what has expired.
        """
        self.tokens = tokens
        self._now_ns = now_ns

    def begin(self, token_id: str) -> Session:
        """A session of whoever has shown a token."""
        return Session(token_id, secrets.token_hex(_ID_BYTES), self._now_s() + LIFETIME_S)

    def seal(self, session: Session) -> str:
        """The session as the value of a cookie.

        Raises:
            TokensUnusable: The file of tokens cannot be trusted or read.
        """
        text = f"{session.token_id}.{session.id}.{session.expires_s}"
        return f"{text}.{self._sign('session', text)}"

    def find(self, cookies: str, name: str) -> Session | None:
        """The session that a Cookie header holds, if one counts.

        Raises:
            TokensUnusable: The file of tokens cannot be trusted or read.
        """
        # Another server of the same machine, on another port, may have set one of the same name.
        for _, value in zip(range(_CANDIDATES_MAX), _values(cookies, name), strict=False):
            written = _VALUE.fullmatch(value)
            if written is None:
                continue
            session = Session(written[1], written[2], int(written[3]))
            if hmac.compare_digest(self.seal(session), value) and self.still_valid(session):
                return session
        return None

    def still_valid(self, session: Session) -> bool:
        """Whether a session counts still: it and its token have neither ended nor expired."""
        try:
            return (
                self._now_s() < session.expires_s
                and not self.tokens.is_ended(session.id)
                and self.tokens.token(session.token_id) is not None
            )
        except TokensUnusable:
            return False

    def renewed(self, session: Session) -> Session | None:
        """The session with its time begun anew, once an hour; None before that."""
        renewed = session._replace(expires_s=self._now_s() + LIFETIME_S)
        return renewed if renewed.expires_s - session.expires_s > _RENEWED_AFTER_S else None

    def csrf_token(self, session: Session) -> str:
        """What a page of ours sends beside the cookie, and a page of anybody else's cannot know.

        Raises:
            TokensUnusable: The file of tokens cannot be trusted or read.
        """
        return self._sign("csrf", session.id)

    def is_csrf_token(self, session: Session, text: str) -> bool:
        """Whether a text is the one that goes with a session.

        Raises:
            TokensUnusable: The file of tokens cannot be trusted or read.
        """
        return hmac.compare_digest(self.csrf_token(session).encode(), text.encode("utf-8", "replace"))

    def end(self, session: Session) -> None:
        """Let a session count no longer, even if somebody has kept its cookie.

        Raises:
            TokensUnusable: The file of tokens cannot be trusted, read or written.
        """
        # The cookie may have been renewed since, and every form of it has to stay ended.
        self.tokens.end_session(session.id, (self._now_s() + LIFETIME_S) * _NS)

    def _sign(self, purpose: str, text: str) -> str:
        # Where there is no key there is no token either, and no signature is right.
        key = self.tokens.session_key() or secrets.token_bytes(32)
        return hmac.digest(key, f"{purpose}:{text}".encode("ascii"), "sha256").hex()

    def _now_s(self) -> int:
        return self._now_ns() // _NS


class Desk(NamedTuple):
    """Where browsers sign in and out; the guard leaves it in the state of the requests that are about that.

    Attributes:
        sessions: The sessions of the server.
        session: The one of the request.
        recognise: Tells whose a token is, or raises Refused; counts the wrong ones as the guard does.
    """

    sessions: Sessions
    session: Session | None
    recognise: Callable[[str], Principal]


def desk_of(connection: Connection) -> Desk:
    """What the guard left for a request about a session."""
    return cast("Desk", connection["state"]["desk"])


def cookie_name(*, is_https: bool, root_path: str) -> str:
    """What the cookie is called.

    The prefix makes browsers refuse one that another host of the domain has set; it is for whole hosts only.
    """
    return f"{_HOST_PREFIX}{_COOKIE}" if is_https and not root_path else _COOKIE


def set_cookie(value: str, *, is_https: bool, root_path: str) -> str:
    """The Set-Cookie header that gives a browser its session; an empty value takes it away."""
    parts = [
        f"{cookie_name(is_https=is_https, root_path=root_path)}={value}",
        f"Path={root_path or '/'}",
        f"Max-Age={LIFETIME_S if value else 0}",
        "HttpOnly",
        "SameSite=Strict",
    ]
    return "; ".join([*parts, "Secure"] if is_https else parts)


def _values(cookies: str, name: str) -> Iterator[str]:
    for part in cookies.split(";"):
        found, equals, value = part.strip().partition("=")
        if equals and found == name:
            yield value
