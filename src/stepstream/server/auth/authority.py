"""Authority: the host and port by which somebody calls a server, as in ``example.org:8443`` or ``[::1]``.

Knows how they are written. Must not know which of them are ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

_WRITTEN = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
)
_PORT_MAX = 65535


class Authority(NamedTuple):
    """A host, in lower case and without brackets, and a port; None for the one that the scheme means."""

    host: str
    port: int | None = None

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that the host is written as; None for a name."""
        return address(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether it means the machine that says it; no name server is asked about these."""
        found = self.address
        return self.host == "localhost" if found is None else found.is_loopback

    def at(self, port: int) -> Authority:
        """The same with a port where none is written."""
        return self if self.port is not None else Authority(self.host, port)


@lru_cache(maxsize=256)
def read_authority(text: str) -> Authority | None:
    """Read what a Host header says, or what follows ``://`` in an origin; None when it is neither."""
    found = _WRITTEN.fullmatch(text.lower())
    if found is None:
        return None
    port = None if found["port"] is None else int(found["port"])
    if port is not None and port > _PORT_MAX:
        return None
    if found["v6"] is None:
        return Authority(found["name"], port)
    written = address(found["v6"])
    return None if written is None else Authority(str(written), port)


@lru_cache(maxsize=256)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of IPv4 that is wrapped in IPv6 is unwrapped; None when it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    wrapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if wrapped is None else wrapped
