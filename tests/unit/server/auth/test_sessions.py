"""Sessions: a cookie that is known again, for as long as it shall be and not longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stepstream.server.auth.scope import Scope
from stepstream.server.auth.sessions import LIFETIME_S, Sessions, cookie_name, set_cookie
from stepstream.server.auth.tokens import Token, TokenFile

_NS = 1_000_000_000
NAME = "stepstream_session"


CHANGES: dict[str, Callable[[str], str]] = {
    "another signature": lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
    "another token": lambda value: "0" * 12 + value[12:],
    "another session": lambda value: value[:13] + "0" * 32 + value[45:],
    "a later end": lambda value: value.replace(".18", ".19", 1),
    "another way of writing": lambda value: value.replace(".18", ".018", 1),
    "no signature": lambda value: value[:-64],
    "in quotes": lambda value: f'"{value}"',
    "nothing": lambda _: "",
}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000

    def __call__(self) -> int:
        return self.now_s * _NS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> TokenFile:
    return TokenFile(tmp_path / "history.db", now_ns=clock)


@pytest.fixture
def token(tokens: TokenFile) -> Token:
    return tokens.create([Scope.READ])[0]


@pytest.fixture
def sessions(tokens: TokenFile, clock: Clock) -> Sessions:
    return Sessions(tokens, now_ns=clock)


def test_a_session_is_known_again(sessions: Sessions, token: Token) -> None:
    """The cookie of a session gives the session back, among other cookies and in another server."""
    session = sessions.begin(token.id)
    value = sessions.seal(session)
    elsewhere = Sessions(TokenFile(sessions.tokens.database), now_ns=lambda: 1_800_000_000 * _NS)

    assert sessions.find(f"theme=dark; {NAME}={value}; x=y", NAME) == session
    assert elsewhere.find(f"{NAME}={value}", NAME) == session


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_cookie_is_nobodys(sessions: Sessions, token: Token, change: Callable[[str], str]) -> None:
    """Another token, another session, a later end or another signature make a cookie worthless."""
    value = sessions.seal(sessions.begin(token.id))

    assert sessions.find(f"{NAME}={change(value)}", NAME) is None


def test_a_cookie_of_another_name_does_not_count(sessions: Sessions, token: Token) -> None:
    """Only the cookie whose name the server has set is looked at."""
    value = sessions.seal(sessions.begin(token.id))

    assert sessions.find(f"other={value}; x{NAME}={value}", NAME) is None


def test_a_cookie_of_another_server_does_not_hide_ours(sessions: Sessions, token: Token) -> None:
    """Of several cookies of one name the one that is ours counts; of very many, none needs to."""
    session = sessions.begin(token.id)
    ours = f"{NAME}={sessions.seal(session)}"

    assert sessions.find(f"{NAME}=foreign; {ours}", NAME) == session
    assert sessions.find(f"{NAME}=foreign; " * 100 + ours, NAME) is None


def test_a_session_expires(sessions: Sessions, token: Token, clock: Clock) -> None:
    """A session that nobody renews counts for its lifetime and not a second longer."""
    session = sessions.begin(token.id)
    cookies = f"{NAME}={sessions.seal(session)}"
    clock.now_s += LIFETIME_S - 1
    assert sessions.find(cookies, NAME) == session
    clock.now_s += 1

    assert sessions.find(cookies, NAME) is None
    assert not sessions.still_valid(session)


def test_a_session_is_renewed(sessions: Sessions, token: Token, clock: Clock) -> None:
    """After an hour a session gets its whole time again, and stays the same session."""
    session = sessions.begin(token.id)
    assert sessions.renewed(session) is None
    clock.now_s += 3601
    renewed = sessions.renewed(session)

    assert renewed is not None
    assert (renewed.id, renewed.expires_s) == (session.id, clock.now_s + LIFETIME_S)
    assert sessions.csrf_token(renewed) == sessions.csrf_token(session)


def test_a_session_dies_with_its_token(sessions: Sessions, token: Token) -> None:
    """When the token is revoked, whoever signed in with it is out."""
    session = sessions.begin(token.id)
    cookies = f"{NAME}={sessions.seal(session)}"
    sessions.tokens.revoke(token.id)

    assert sessions.find(cookies, NAME) is None
    assert not sessions.still_valid(session)


def test_an_ended_session_stays_ended(sessions: Sessions, token: Token, clock: Clock) -> None:
    """A cookie that was kept does not count after signing out, nor does a renewed one of the same session."""
    session = sessions.begin(token.id)
    clock.now_s += 4000
    renewed = sessions.renewed(session)
    assert renewed is not None
    sessions.end(session)

    for each in (session, renewed):
        assert sessions.find(f"{NAME}={sessions.seal(each)}", NAME) is None
        assert not sessions.still_valid(each)
    clock.now_s += LIFETIME_S - 1
    assert sessions.tokens.is_ended(renewed.id)


def test_the_csrf_token_goes_with_its_session(sessions: Sessions, token: Token) -> None:
    """Each session has a CSRF token of its own, which is neither the cookie's signature nor anybody else's."""
    one, other = sessions.begin(token.id), sessions.begin(token.id)

    assert sessions.is_csrf_token(one, sessions.csrf_token(one))
    for text in (sessions.csrf_token(other), sessions.seal(one).rpartition(".")[2], "", "é"):
        assert not sessions.is_csrf_token(one, text)


def test_without_a_key_no_cookie_counts(sessions: Sessions) -> None:
    """Where there never was a token, nobody can sign a cookie, not even with a key that is empty."""
    session = sessions.begin("0" * 12)

    assert sessions.find(f"{NAME}={sessions.seal(session)}", NAME) is None
    assert sessions.seal(session) != sessions.seal(session)


def test_a_file_that_cannot_be_trusted_ends_sessions(sessions: Sessions, token: Token) -> None:
    """When others may read the key, no session counts."""
    session = sessions.begin(token.id)
    sessions.tokens.path.chmod(0o644)

    assert not sessions.still_valid(session)


@pytest.mark.parametrize(
    ("is_https", "root_path", "expected"),
    [
        (False, "", "stepstream_session=v; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        (True, "", "__Host-stepstream_session=v; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
        (False, "/obs", "stepstream_session=v; Path=/obs; Max-Age=43200; HttpOnly; SameSite=Strict"),
        (True, "/obs", "stepstream_session=v; Path=/obs; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
    ],
)
def test_the_cookie_is_as_closed_as_it_can_be(is_https: bool, root_path: str, expected: str) -> None:
    """Scripts and other sites never get the cookie; over TLS it never leaves it, and no other host can set it."""
    assert set_cookie("v", is_https=is_https, root_path=root_path) == expected
    assert expected.startswith(cookie_name(is_https=is_https, root_path=root_path) + "=")
    assert "Max-Age=0" in set_cookie("", is_https=is_https, root_path=root_path)
