"""Limits: how much of anything one client, or all of them together, may ask for.

Knows numbers. Must not know how they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes; generous to whoever works with it, and an end to whoever does not.

    Attributes:
        connections_max: Open connections altogether; each takes a file descriptor.
        connections_an_address_max: Of these, from one address (IPv6: one network of 64 bits).
        header_timeout_s: How long a client may take to send the head of a request.
        url_bytes_max: The longest address.
        header_bytes_max: The longest line of a head.
        headers_max: The most lines of a head.
        head_bytes_max: The longest head altogether.
        body_bytes_max: The largest body, where nothing else is said.
        steps_bytes_max: The largest body of posted steps.
        artifact_bytes_max: The largest artifact, which is never held in memory.
        body_grace_s: How long we wait for a body altogether, before its speed counts.
        body_bytes_a_second_min: The speed at which the rest of a body has to come.
        send_timeout_s: How long a client may take nothing of an answer.
        requests_a_second: Requests of one token, or of one address where none is needed, in the long run.
        requests_burst: How many of them may come at once.
        stranger_requests_a_second: The same of an address that has shown no token where one is needed.
        stranger_requests_burst: How many of them may come at once.
        failures_a_minute: Wrong tokens from one address in the long run.
        failures_burst: How many of them may come at once.
        addresses_max: How many clients are counted at a time; the one that was quiet longest is forgotten.
        recheck_interval_s: How often we look whether a long answer may still go to whom it goes.
    """

    connections_max: int = 5_000
    connections_an_address_max: int = 2_000
    header_timeout_s: float = 10.0
    url_bytes_max: int = 8_000
    header_bytes_max: int = 8_000
    headers_max: int = 100
    head_bytes_max: int = 32 * _KIB
    body_bytes_max: int = 1 * _MIB
    steps_bytes_max: int = 32 * _MIB
    artifact_bytes_max: int = 4 * _GIB
    body_grace_s: float = 10.0
    body_bytes_a_second_min: int = 4 * _KIB
    send_timeout_s: float = 30.0
    requests_a_second: float = 1_000.0
    requests_burst: int = 4_000
    stranger_requests_a_second: float = 50.0
    stranger_requests_burst: int = 200
    failures_a_minute: float = 12.0
    failures_burst: int = 20
    addresses_max: int = 10_000
    recheck_interval_s: float = 1.0
