"""The configurations on the page about reverse proxies do what the page says, in proxies that really run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.reverse_proxy import Caddy, Nginx, ReverseProxy, program_of
from tests.support.server_page import Background, Page, Served, person
from websockets.sync.client import connect

from stepstream import ObservabilityProvider, Thought
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import TokenFile

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, and it is not here")

NAME = "history.example.org"
SPOOFED = "203.0.113.9"
CONFIGURATIONS = {Caddy: "Caddyfile", Nginx: "stepstream.conf"}


@pytest.fixture(scope="module", params=[Caddy, Nginx], ids=["caddy", "nginx"])
def kind(request: pytest.FixtureRequest) -> type[ReverseProxy]:
    """A proxy that is here."""
    proxy: type[ReverseProxy] = request.param
    if program_of(proxy) is None:
        pytest.skip(f"there is no {proxy.__name__.lower()} here")
    return proxy


@pytest.fixture(scope="module")
def page() -> Page:
    """The page."""
    return Page("put-behind-a-reverse-proxy.md")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def variables(home: Path) -> dict[str, str]:
    """The variables of a person."""
    return person(home)


@pytest.fixture(scope="module")
def server(page: Page, home: Path, variables: dict[str, str]) -> Iterator[Served]:
    """A server, started as the page says."""
    place = home / "place"
    place.mkdir()
    with Served(place, variables) as server:
        server.start(page.command("The server").text)
        yield server


@pytest.fixture(scope="module")
def proxy(kind: type[ReverseProxy], page: Page, server: Served, home: Path) -> Iterator[ReverseProxy]:
    """A proxy in front of it, as the page sets it up."""
    directory = home / kind.__name__
    directory.mkdir()
    configuration = page.file(CONFIGURATIONS[kind])
    with kind(str(program_of(kind)), directory, configuration, NAME, server.address) as proxy:
        yield proxy


class Visitor:
    """Somebody who comes through a proxy, by the name that the certificate has."""

    def __init__(self, proxy: ReverseProxy, token: str, name: str = NAME) -> None:
        self._proxy = proxy
        self._token = token
        self._name = name

    def curl(self, path: str, *options: str | Path) -> list[str]:
        """The command that asks for a path."""
        to_proxy = f"{self._name}:443:127.0.0.1:{self._proxy.port}"
        return [
            *("curl", "-sS", "-N", "--connect-to", to_proxy, "--cacert", str(self._proxy.authority)),
            *("-H", f"Authorization: Bearer {self._token}", *map(str, options)),
            f"https://{self._name}{path}",
        ]

    def ask(self, path: str, *options: str | Path) -> str:
        """The answer."""
        return run(self.curl(path, *options))

    def message(self, after: str) -> dict[str, object]:
        """The first message of the WebSocket behind a place."""
        context = ssl.create_default_context(cafile=str(self._proxy.authority))
        with (
            socket.create_connection(("127.0.0.1", self._proxy.port)) as connection,
            connect(
                f"wss://{self._name}/api/v1/ws?after={after}",
                sock=connection,
                ssl=context,
                server_hostname=self._name,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                proxy=None,
            ) as websocket,
        ):
            message: dict[str, object] = json.loads(websocket.recv(timeout=20))
            return message


def run(argv: list[str]) -> str:
    """What a command prints."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def token(server: Served, *scopes: Scope) -> str:
    """A new token of a server's history."""
    return TokenFile(server.directory / "history.db").create(scopes or [Scope.READ])[1]


def record(server: Served, text: str) -> None:
    """Record one thought, as an agent of this machine."""
    with ObservabilityProvider(server.directory / "history.db") as provider:
        with provider.episode("Design a wall bracket") as episode:
            episode.log_event(Thought(text=text))
        assert provider.flush()


@pytest.fixture
def visitor(proxy: ReverseProxy, server: Served) -> Visitor:
    """Somebody with a token who may read."""
    return Visitor(proxy, token(server))


def test_the_live_stream_passes(visitor: Visitor, page: Page, server: Served, tmp_path: Path) -> None:
    """Steps come through at once, by events and by WebSocket, and a restart of the server costs nothing."""
    stream = visitor.curl("/api/v1/events?filter=kind:thought")
    with Background(stream, tmp_path / "stream", os.environ) as following:
        following.wait_for("event: live")
        record(server, "through the proxy")
        # The answer has not ended and the next heartbeat is far: nothing held it back.
        following.wait_for("through the proxy")
        assert server.stop() == 0
    record(server, "while it was away")
    server.start(page.command("The server").text)
    place = [line for line in following.text.splitlines() if line.startswith("id: ")][-1][4:]
    again = visitor.curl("/api/v1/events?filter=kind:thought", "-H", f"Last-Event-ID: {place}")
    with Background(again, tmp_path / "again", os.environ) as following:
        following.wait_for("event: live")
        assert following.text.count('"kind":"thought"') == 1
        assert "while it was away" in following.text
    message = visitor.message(place)

    assert message["type"] == "steps"
    assert "while it was away" in json.dumps(message)


def test_a_client_is_who_the_proxy_says(proxy: ReverseProxy, server: Served) -> None:
    """Address and scheme of a client are those that the trusted proxy states, whatever anybody else states."""
    spoof = ("-H", f"X-Forwarded-For: {SPOOFED}", "-H", "X-Forwarded-Proto: https")
    wrong = ("-H", "Authorization: Bearer sst_wrong")
    through = Visitor(proxy, "sst_wrong").ask("/api/v1/info", *spoof, "-i", "--interface", "127.0.0.2")
    direct = run(
        ["curl", "-sSi", "--interface", "127.0.0.3", *spoof, *wrong, f"http://{server.address}/api/v1/info"]
    )

    assert " 401" in through.splitlines()[0]
    assert "strict-transport-security" in through.lower()
    assert " 401" in direct.splitlines()[0]
    assert "strict-transport-security" not in direct.lower()
    for answer, client in ((through, "127.0.0.2"), (direct, "127.0.0.3")):
        request = json.loads(answer.splitlines()[-1])["request_id"]
        server.wait_for(f"a wrong token came from {client} (request {request})")


def test_another_name_is_refused(visitor: Visitor, server: Served) -> None:
    """Who calls the server by a name that is not its own gets nothing, with a proxy or without one."""
    mine = visitor.ask("/api/v1/info")
    foreign = visitor.ask("/api/v1/info", "-H", "Host: evil.example")
    direct = run(["curl", "-sS", "-H", "Host: evil.example", f"http://{server.address}/api/v1/health"])

    assert json.loads(mine)["path"] == "history.db"
    assert "history.db" not in foreign
    assert json.loads(direct)["status"] == 421


def test_everybody_needs_a_token(proxy: ReverseProxy, server: Served) -> None:
    """Behind a proxy no one is taken for a program of this machine."""
    assert json.loads(Visitor(proxy, "").ask("/api/v1/info"))["status"] == 401
    direct = run(["curl", "-sS", f"http://{server.address}/api/v1/info"])
    assert json.loads(direct)["status"] == 401


def test_large_bodies_pass(proxy: ReverseProxy, server: Served, tmp_path: Path) -> None:
    """A file that is larger than a proxy takes by itself reaches the server."""
    mesh = f"vertex {proxy.port}\n".encode() * 200_000
    (tmp_path / "mesh.stl").write_bytes(mesh)
    sha256 = hashlib.sha256(mesh).hexdigest()
    path = f"/api/v1/artifacts/{sha256}/bytes"
    answer = Visitor(proxy, token(server, Scope.RECORD)).ask(
        path, "--upload-file", tmp_path / "mesh.stl", "-w", "%{http_code}"
    )

    assert answer == "201"
    assert (server.directory / "history.db-artifacts" / sha256[:2] / sha256[2:]).read_bytes() == mesh


def test_a_path_may_stand_in_front(
    kind: type[ReverseProxy], page: Page, variables: dict[str, str], tmp_path: Path
) -> None:
    """Below a path the API and the live stream are found by that path."""
    configuration = page.file("Caddyfile.path")
    if kind is Nginx:
        below = page.file("stepstream.conf").replace("location / {", "location /stepstream/ {")
        configuration = below.replace(f"server_name {NAME}", "server_name example.org")
    directory = tmp_path / "proxy"
    directory.mkdir()
    with Served(tmp_path, variables) as server:
        server.start(page.command("Below a path").text)
        with kind(str(program_of(kind)), directory, configuration, "example.org", server.address) as proxy:
            visitor = Visitor(proxy, token(server), "example.org")
            assert json.loads(visitor.ask("/stepstream/api/v1/ready")) == {"status": "ready"}
            stream = visitor.curl("/stepstream/api/v1/events")
            with Background(stream, tmp_path / "stream", os.environ) as following:
                following.wait_for("event: live")
                record(server, "below a path")
                following.wait_for("below a path")
