"""The guard without a socket: what no socket of a test can show."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from stepstream.server.auth.access import principal_of, request_id_of, still_allowed
from stepstream.server.auth.rules import AccessRules
from stepstream.server.auth.tokens import TokenFile
from stepstream.server.guard.guard import Guard


def seen(tmp_path: Path, **changes: object) -> Scope:
    """What an application sees of a request that has passed."""
    found: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        found.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 4711),
        **changes,
    }
    guard = Guard(app, rules=AccessRules(), tokens=TokenFile(tmp_path / "history.db"))
    asyncio.run(guard(scope, receive, send))
    return found[0]


@pytest.mark.parametrize("client", [None, ("192.0.2.1", 4711), ("somewhere", 1), ("", 0)])
def test_only_this_machine_is_local(tmp_path: Path, client: tuple[str, int] | None) -> None:
    """Whoever does not connect from a loopback address is nobody, though the server should not be reachable."""
    assert principal_of(seen(tmp_path, client=client)) is None


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.1.2.3", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)])
def test_this_machine_has_several_addresses(tmp_path: Path, client: tuple[str, int]) -> None:
    """Each loopback address is this machine, also of IPv4 within IPv6."""
    scope = seen(tmp_path, client=client)
    principal = principal_of(scope)

    assert principal is not None
    assert principal.name == "local"
    assert request_id_of(scope)
    assert still_allowed(scope)


def test_what_is_no_request_passes(tmp_path: Path) -> None:
    """The start and end of a server are the application's own business."""
    assert seen(tmp_path, type="lifespan")["type"] == "lifespan"
