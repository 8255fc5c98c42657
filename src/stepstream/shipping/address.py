"""The address of a server: what a URL must say, and where steps for it wait on this machine.

Knows URLs. Must not know tokens: one that stands in a URL is refused, since URLs end up in logs.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from stepstream.errors import ConfigurationInvalid
from stepstream.schemas.record import short_repr

SCHEMES = frozenset({"http", "https"})
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?\.?")
_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_SLUG_CHARACTERS_MAX = 80
_EXPECTED = "an address such as https://host:8000 or https://host/root"


class ServerAddress(NamedTuple):
    """Where a server is.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name, or an IP address without brackets.
        port: Its port.
        root: The path in front of ``/api``, without a slash at its end; empty for none.
    """

    scheme: str
    host: str
    port: int
    root: str

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read a URL.

        Args:
            text: The URL.
            where: Where it was stated, for the error.

        Raises:
            ConfigurationInvalid: It is none, or says more than where a server is.
        """
        _refuse_more(text, where)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ConfigurationInvalid(where, short_repr(text), f"{_EXPECTED} ({error})") from None
        host = (parts.hostname or "").lower()
        if parts.scheme not in SCHEMES or not _is_host(host) or port == 0:
            raise ConfigurationInvalid(where, short_repr(text), _EXPECTED)
        root = parts.path.rstrip("/")
        if not _ROOT.fullmatch(parts.path) or {".", ".."} & set(root.split("/")):
            raise ConfigurationInvalid(where, short_repr(text), f"{_EXPECTED}, with a plain root path")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], root)

    @property
    def text(self) -> str:
        """The URL, always written the same way."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.root}"

    @property
    def slug(self) -> str:
        """A name for a directory: readable, and different for every server."""
        readable = re.sub(r"[^a-z0-9]+", "-", f"{self.host}-{self.port}{self.root}".lower()).strip("-")
        mark = hashlib.sha256(self.text.encode("ascii")).hexdigest()[:8]
        return f"{readable[:_SLUG_CHARACTERS_MAX]}-{mark}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing that is sent there leaves this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def is_address(text: str) -> bool:
    """Whether a text means a server, not a file."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def _refuse_more(text: str, where: str) -> None:
    """Refuse what is no part of where a server is; a password must not even be shown."""
    if "@" in text:
        raise ConfigurationInvalid(
            where, "an address with a user or a password", f"{_EXPECTED}, and the token in STEPSTREAM_TOKEN"
        )
    if "?" in text or "#" in text:
        raise ConfigurationInvalid(where, "an address with a query or a fragment", _EXPECTED)
    if not text.isascii() or not text.isprintable():
        raise ConfigurationInvalid(where, short_repr(text), f"{_EXPECTED}, in ASCII")


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
