"""Rules: who may come in without a token, which host names are ours, and which proxies are believed.

Knows what the operator chose. Must not know requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from shlex import quote
from typing import TYPE_CHECKING, Self

from stepstream.errors import ConfigurationInvalid
from stepstream.server.auth.authority import Authority, address, read_authority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.server.auth.tokens import TokenFile

_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What the operator chose.

    Attributes:
        is_loopback: Whether only programs of the same machine can connect.
        require_token: Whether even they need a token.
        allowed_hosts: Names, beside those of this machine, by which the server is called.
        trusted_proxies: Networks whose word about a client's address and scheme is believed.
        root_path: What stands in front of every path outside, as in ``/stepstream``; empty for nothing.
    """

    is_loopback: bool = True
    require_token: bool = False
    allowed_hosts: tuple[Authority, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    root_path: str = ""

    @classmethod
    def read(
        cls,
        *,
        host: str,
        require_token: bool = False,
        allowed_hosts: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        root_path: str = "",
    ) -> Self:
        """Read the options of ``stepstream serve``.

        Args:
            host: The address that is listened on.
            require_token: Whether a token is needed in any case.
            allowed_hosts: As in ``example.org`` or ``example.org:8443``.
            trusted_proxies: Addresses or networks, as in ``10.0.0.0/8``.
            root_path: As in ``/stepstream``.

        Raises:
            ConfigurationInvalid: One of them cannot be read.
        """
        return cls(
            # Another name may mean this machine today and not tomorrow.
            is_loopback=Authority(host.lower().strip("[]")).is_loopback,
            require_token=require_token,
            allowed_hosts=tuple(_host(text) for text in allowed_hosts),
            trusted_proxies=tuple(_network(text) for text in trusted_proxies),
            root_path=_path(root_path),
        )

    @property
    def needs_token(self) -> bool:
        """Whether nobody comes in without a token.

        A reverse proxy on the same machine connects from a loopback address, on behalf of anybody. So where
        anything says that there may be one, an address proves nothing.
        """
        return self.require_token or not self.is_loopback or bool(self.allowed_hosts or self.trusted_proxies)

    def trusts(self, client: str) -> bool:
        """Whether an address is that of a proxy that is believed."""
        if not self.trusted_proxies:
            return False
        found = address(client)
        return found is not None and any(found in network for network in self.trusted_proxies)

    def is_ours(self, authority: Authority) -> bool:
        """Whether the server answers to a host name.

        A page of anybody's can let its own name point to our address (DNS rebinding), and a browser takes us
        for a part of that page then; but the name still stands in the request.
        """
        if authority.is_loopback:
            return True
        if not self.is_loopback and authority.address is not None:
            # Whoever calls us by address asked no name server that could have lied.
            return True
        return any(
            allowed.host == authority.host and allowed.port in (None, authority.port)
            for allowed in self.allowed_hosts
        )

    def is_own_origin(self, origin: str, scheme: str, authority: Authority) -> bool:
        """Whether an origin is the page that this server serves.

        Args:
            origin: What the browser says.
            scheme: The scheme of the request, ``http`` or ``https``.
            authority: The host name of the request.
        """
        origin_scheme, _, place = origin.lower().partition("://")
        said = read_authority(place)
        port = _DEFAULT_PORTS.get(origin_scheme)
        if said is None or port is None:
            return False
        if origin_scheme == scheme and said.at(port) == authority.at(port):
            return True
        # Where a proxy takes TLS off, and does not say so or calls us by another name.
        return origin_scheme == "https" and any(
            said.at(port) == allowed.at(port) for allowed in self.allowed_hosts
        )


def check_start(rules: AccessRules, tokens: TokenFile) -> None:
    """Refuse to start a server that others can reach before there is a token.

    Raises:
        ConfigurationInvalid: Others can connect and there is no token.
        TokensUnusable: There is a file of tokens and it cannot be used.
    """
    if not tokens.living() and not rules.is_loopback:
        raise ConfigurationInvalid(
            "the address to listen on",
            "one that other machines reach, and there is no token yet",
            f"a token first; run: stepstream token create --scope read --db {quote(str(tokens.database))}",
        )


def _host(text: str) -> Authority:
    found = read_authority(text)
    if found is None:
        raise ConfigurationInvalid(
            "--allowed-host", repr(text), "a host name, as example.org or example.org:8443"
        )
    return found


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ConfigurationInvalid(
            "--trusted-proxy", repr(text), "an address or a network, as 10.0.0.7 or 10.0.0.0/8"
        ) from None


def _path(text: str) -> str:
    found = text.removesuffix("/")
    if _ROOT_PATH.fullmatch(found) is None:
        raise ConfigurationInvalid("--root-path", repr(text), "a path, as /stepstream")
    return found
