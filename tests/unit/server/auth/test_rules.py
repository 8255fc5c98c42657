"""Rules: what an operator's choice means for addresses, host names and origins."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from stepstream.errors import ConfigurationInvalid
from stepstream.server.auth.authority import Authority, read_authority
from stepstream.server.auth.rules import AccessRules, check_start
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import TokenFile, TokensUnusable


def host(text: str) -> Authority:
    """A host name that can be read."""
    found = read_authority(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", Authority("localhost")),
        ("LocalHost:80", Authority("localhost", 80)),
        ("127.0.0.1:8321", Authority("127.0.0.1", 8321)),
        ("[::1]", Authority("::1")),
        ("[0:0:0:0:0:0:0:1]:8", Authority("::1", 8)),
        ("[::ffff:127.0.0.1]:8", Authority("127.0.0.1", 8)),
        ("a-b.example.org", Authority("a-b.example.org")),
        ("", None),
        ("a b", None),
        ("a/b", None),
        ("user@localhost", None),
        ("localhost:", None),
        ("localhost:80:80", None),
        ("localhost:99999", None),
        ("localhost, evil.example", None),
        ("[::1", None),
        ("::1", None),
        ("[fe80::1%eth0]", None),
        ("[:::]", None),
        ("localhost\n", None),
        ("l\u043ecalhost", None),
        ("x" * 300, None),
    ],
)
def test_a_host_header_is_read(text: str, expected: Authority | None) -> None:
    """What has the form of a host and a port is read as one, and nothing else is."""
    assert read_authority(text) == expected


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.4", False),
        ("::ffff:10.0.0.1", False),
        ("somewhere", False),
        ("localhost.example.org", False),
    ],
)
def test_an_address_to_listen_on_is_loopback_or_not(address: str, is_loopback: bool) -> None:
    """Only addresses that no other machine can reach count as loopback."""
    rules = AccessRules.read(host=address)

    assert (rules.is_loopback, rules.needs_token) == (is_loopback, not is_loopback)


@pytest.mark.parametrize(
    "rules",
    [
        AccessRules.read(host="127.0.0.1", require_token=True),
        AccessRules.read(host="127.0.0.1", allowed_hosts=["example.org"]),
        AccessRules.read(host="127.0.0.1", trusted_proxies=["127.0.0.1"]),
        AccessRules.read(host="0.0.0.0"),
    ],
)
def test_anything_that_hints_at_others_needs_a_token(rules: AccessRules) -> None:
    """An address that others reach, a host name, a proxy, or being told so: each alone makes a token needed."""
    assert rules.needs_token


@pytest.mark.parametrize(
    ("name", "loopback", "open_to_others", "named"),
    [
        ("localhost:8321", True, True, True),
        ("127.0.0.1", True, True, True),
        ("[::1]:8321", True, True, True),
        ("192.168.1.4:8321", False, True, False),
        ("[2001:db8::1]", False, True, False),
        ("evil.example", False, False, False),
        ("example.org", False, False, True),
        ("example.org:9999", False, False, True),
        ("sub.example.org", False, False, False),
        ("localhost.evil.example", False, False, False),
        ("127.0.0.1.evil.example", False, False, False),
        ("0x7f.1", False, False, False),
        ("ported.example:8443", False, False, True),
        ("ported.example", False, False, False),
    ],
)
def test_a_name_is_ours_or_not(name: str, loopback: bool, open_to_others: bool, named: bool) -> None:
    """A server answers to this machine's names, to addresses where others may connect, and to names it was given."""
    names = ["example.org", "ported.example:8443"]

    assert AccessRules.read(host="127.0.0.1").is_ours(host(name)) is loopback
    assert AccessRules.read(host="0.0.0.0").is_ours(host(name)) is open_to_others
    assert AccessRules.read(host="127.0.0.1", allowed_hosts=names).is_ours(host(name)) is named


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://localhost:8321", True),
        ("HTTP://LOCALHOST:8321", True),
        ("http://localhost", False),
        ("https://localhost:8321", False),
        ("http://localhost:3000", False),
        ("http://127.0.0.1:8321", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://localhost:8321/", False),
        ("http://localhost:8321, http://evil.example", False),
        ("https://example.org", True),
        ("https://example.org:443", True),
        ("http://example.org", False),
        ("https://example.org:8443", False),
    ],
)
def test_an_origin_is_our_page_or_not(origin: str, is_own: bool) -> None:
    """An origin is ours when it is the one of the request, or a name we were given over TLS."""
    rules = AccessRules.read(host="127.0.0.1", allowed_hosts=["example.org"])

    assert rules.is_own_origin(origin, "http", host("localhost:8321")) is is_own


def test_a_default_port_need_not_be_written() -> None:
    """With and without the port that the scheme means, an origin is the same."""
    rules = AccessRules()

    assert rules.is_own_origin("http://localhost", "http", host("localhost:80"))
    assert rules.is_own_origin("https://localhost:443", "https", host("localhost"))


def test_proxies_are_believed_by_network() -> None:
    """A proxy is believed when its address is in one of the networks, also when IPv6 carries it."""
    rules = AccessRules.read(host="127.0.0.1", trusted_proxies=["10.0.0.0/8", "::1"])

    assert [rules.trusts(each) for each in ("10.1.2.3", "::ffff:10.1.2.3", "::1")] == [True] * 3
    assert [rules.trusts(each) for each in ("11.0.0.1", "::2", "", "proxy")] == [False] * 4
    assert not AccessRules().trusts("127.0.0.1")
    assert ip_address("10.1.2.3") in rules.trusted_proxies[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"allowed_hosts": ["http://example.org"]}, "--allowed-host"),
        ({"allowed_hosts": ["*"]}, "--allowed-host"),
        ({"trusted_proxies": ["proxy.example"]}, "--trusted-proxy"),
        ({"trusted_proxies": ["10.0.0.7/8"]}, "--trusted-proxy"),
        ({"root_path": "obs"}, "--root-path"),
        ({"root_path": "/a//b"}, "--root-path"),
        ({"root_path": "/.."}, "--root-path"),
        ({"root_path": '/"><script>'}, "--root-path"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str], named: str) -> None:
    """What cannot be read is refused with the option, the value and an example."""
    with pytest.raises(ConfigurationInvalid, match=named):
        AccessRules.read(host="127.0.0.1", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("/", ""), ("/obs", "/obs"), ("/a/b.c/", "/a/b.c"), ("/~x", "/~x")]
)
def test_a_root_path_is_read(text: str, expected: str) -> None:
    """What stands in front of all paths begins with a slash and ends without one."""
    assert AccessRules.read(host="127.0.0.1", root_path=text).root_path == expected


class TestStart:
    """Whether a server may start."""

    def test_others_need_a_token_first(self, tmp_path: Path) -> None:
        """A server that others can reach does not start before there is a token, and names the command."""
        tokens = TokenFile(tmp_path / "my history.db")
        rules = AccessRules.read(host="0.0.0.0")
        with pytest.raises(
            ConfigurationInvalid, match=r"stepstream token create --scope read --db '.*my history\.db'"
        ):
            check_start(rules, tokens)
        tokens.create([Scope.READ])

        check_start(rules, tokens)

    def test_an_expired_token_is_none(self, tmp_path: Path) -> None:
        """A token that is good for nothing does not open the server to others."""
        tokens = TokenFile(tmp_path / "history.db")
        tokens.create([Scope.READ], lifetime_ns=1)

        with pytest.raises(ConfigurationInvalid):
            check_start(AccessRules.read(host="0.0.0.0"), tokens)

    def test_loopback_needs_none(self, tmp_path: Path) -> None:
        """A server that only this machine reaches starts without one; what it asks for is another matter."""
        tokens = TokenFile(tmp_path / "history.db")

        check_start(AccessRules.read(host="127.0.0.1"), tokens)
        check_start(AccessRules.read(host="127.0.0.1", require_token=True), tokens)

    def test_a_file_that_cannot_be_trusted_stops_every_server(self, tmp_path: Path) -> None:
        """A damaged file is told at the start, wherever the server listens."""
        tokens = TokenFile(tmp_path / "history.db")
        tokens.path.write_text("damaged")

        with pytest.raises(TokensUnusable):
            check_start(AccessRules.read(host="127.0.0.1"), tokens)
