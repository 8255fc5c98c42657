"""The live stream goes to nobody whose token or session has ended, also while there is nothing to tell."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.served_history import ServedHistory
from tests.support.stream_clients import WITHIN_S, SseClient, address, wait_for
from tests.support.stream_server import LiveBuilder, StreamServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import Token, TokenFile


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with LiveBuilder(tmp_path / "history.db") as builder:
        builder.episode()
        builder.commit()
    return tmp_path / "history.db"


@pytest.fixture
def tokens(database: Path) -> TokenFile:
    return TokenFile(database)


@pytest.fixture
def token(tokens: TokenFile) -> Token:
    return tokens.create([Scope.READ])[0]


class Watch:
    """Whether the tokens have changed, and how often that was asked."""

    def __init__(self, tokens: TokenFile) -> None:
        self.asked = 0
        self._has_changed = tokens.watch()

    def __call__(self) -> bool:
        self.asked += 1
        return self._has_changed()


@pytest.fixture
def watch(tokens: TokenFile, token: Token) -> Watch:
    return Watch(tokens)


@pytest.fixture
def server(database: Path, token: Token, watch: Watch) -> Iterator[StreamServer]:
    """A server to which everybody comes with the same token, and whose heartbeats are rarer than any test."""
    still_valid = partial(TokenFile(database).still_valid, token.id)
    with StreamServer(database, still_valid=still_valid, has_access_changed=watch) as server:
        yield server


def until_closed(stream: ClientConnection) -> int | None:
    """Read what is left; returns the code of the close, if there is one."""
    try:
        while True:
            stream.recv(WITHIN_S)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


def test_an_idle_stream_ends_with_its_token(server: StreamServer, tokens: TokenFile, token: Token) -> None:
    """When a token is revoked its streams end, and not only at their next word."""
    with SseClient(server.port, address(after=0)) as client:
        client.until_live()
        tokens.revoke(token.id)

        assert client.message() is None


def test_an_idle_websocket_ends_with_its_token(server: StreamServer, tokens: TokenFile, token: Token) -> None:
    """A WebSocket is closed with the code for a broken rule."""
    with connect(f"ws://127.0.0.1:{server.port}{address(after=0, path='/api/v1/ws')}") as stream:
        while "live" not in str(stream.recv(WITHIN_S)):
            pass
        tokens.revoke(token.id)

        assert until_closed(stream) == 1008


def test_a_stream_outlives_other_tokens(
    server: StreamServer, watch: Watch, tokens: TokenFile, token: Token
) -> None:
    """When another token is revoked those who came with this one stay, and end with their own."""
    other = tokens.create([Scope.READ])[0]
    with SseClient(server.port, address(after=0)) as client:
        client.until_live()
        tokens.revoke(other.id)
        asked = watch.asked
        wait_for(lambda: watch.asked > asked + 1, "the server has looked")
        assert server.broadcast.figures.clients == 1
        tokens.revoke(token.id)

        assert client.message() is None


def test_an_idle_websocket_ends_when_its_time_is_over(database: Path) -> None:
    """What ends by itself, as a token that expires, changes no file, and is noticed with the heartbeat."""
    lasts = [True]
    with (
        StreamServer(database, still_valid=lambda: lasts[0], heartbeat_s=0.1) as server,
        connect(f"ws://127.0.0.1:{server.port}/api/v1/ws") as stream,
    ):
        assert "live" in str(stream.recv(WITHIN_S))
        lasts[0] = False

        assert until_closed(stream) == 1008


def test_the_server_ends_an_idle_websocket_of_a_revoked_token(tmp_path: Path) -> None:
    """With the real server it is the same: nothing is told, and the connection is closed all the same."""
    tokens = TokenFile(tmp_path / "history.db")
    token, text = tokens.create([Scope.READ])
    with (
        ServedHistory(tmp_path, ["--require-token"]) as served,
        connect(
            f"ws://127.0.0.1:{served.port}/api/v1/ws", additional_headers={"authorization": f"Bearer {text}"}
        ) as stream,
    ):
        tokens.revoke(token.id)

        assert until_closed(stream) == 1008
