"""The client: one connection, no redirects, a bound on every wait, and errors that say nothing of what was sent."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.nursery import until

from stepstream.shipping.address import ServerAddress
from stepstream.shipping.client import Client, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "sst_0123456789ab_" + "cd" * 32
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def client_of(url: str, **options: float) -> Client:
    return Client(ServerAddress.parse(url, "here"), **options)


@pytest.fixture
def gateway() -> Iterator[FaultProxy]:
    """Somebody who answers by himself; behind him is nothing."""
    with FaultProxy(1) as gateway:
        yield gateway


def test_requests_share_a_connection(gateway: FaultProxy) -> None:
    """Requests go one after the other over one connection, each with the token and whole."""
    gateway.fail(Fault(answers=(OK, OK, OK)))
    client = client_of(gateway.url + "/root")
    client.connect(TOKEN)
    body = bytes(range(256)) * 4000
    answers = [
        client.ask("GET", "/a"),
        client.ask("POST", "/b", body=body, headers={"content-type": "x/y"}),
        client.ask("PUT", "/c", body=iter([b"ab", b"c"]), body_bytes=3),
    ]
    client.close()

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 3
    assert client.connections == gateway.connections == 1
    sent = bytes(gateway.sent)
    assert sent.count(f"authorization: Bearer {TOKEN}".encode()) == 3
    assert sent.startswith(b"GET /root/a HTTP/1.1\r\n")
    assert b"\r\n\r\n" + body + b"PUT /root/c" in sent
    assert sent.endswith(b"\r\n\r\nabc")


def test_a_new_connection_is_counted(gateway: FaultProxy) -> None:
    """Who asks can tell that there is another connection since, and it is never made behind his back."""
    gateway.fail(Fault(answers=(OK,)), Fault(answers=(OK,)))
    client = client_of(gateway.url)
    client.connect(None)
    client.ask("GET", "/")
    until(lambda: not client.is_connected, "the end of the connection is seen")
    with pytest.raises(NoAnswer):
        client.ask("GET", "/")
    assert client.connections == 1
    client.connect(None)
    assert client.ask("GET", "/").status == 200
    client.close()

    assert client.connections == 2
    assert b"authorization" not in gateway.sent


def test_a_redirect_is_an_answer(gateway: FaultProxy) -> None:
    """Nobody is followed to another address: the token is for the one that was stated."""
    with FaultProxy(1) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nlocation: {elsewhere.url}/\r\ncontent-length: 0\r\n\r\n".encode()
        gateway.fail(Fault(answers=(moved,)))
        client = client_of(gateway.url)
        client.connect(TOKEN)
        assert client.ask("POST", "/", body=b"x").status == 307
        client.close()
        assert elsewhere.connections == 0


def test_an_answer_before_the_end_of_a_request_is_heard(gateway: FaultProxy) -> None:
    """A gateway that has had enough may answer while we still send, and close."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
    client.connect(None)
    assert client.ask("POST", "/", body=b"x" * 8_000_000).status == 413
    assert not client.is_connected
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(answers=(b"SSH-2.0-OpenSSH_9.2\r\n",)),
        Fault(answers=(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",)),
        Fault(answers=(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n",)),
        Fault(answers=(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000,)),
        Fault(answers=(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",)),
        Fault(answers=(b"",)),
    ],
    ids=["ssh", "short", "torn-head", "endless", "long-head", "nothing"],
)
def test_what_is_no_answer_is_none(gateway: FaultProxy, fault: Fault) -> None:
    """An answer that is torn, far too long or of another protocol is none, and the connection is given up."""
    gateway.fail(fault)
    client = client_of(gateway.url)
    client.connect(TOKEN)
    with pytest.raises(NoAnswer) as told:
        client.ask("GET", "/")

    assert TOKEN not in str(told.value)
    assert not client.is_connected
    assert not told.value.is_late


def test_nobody_there() -> None:
    """Where nobody listens, or no such name is known, that is said in few words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswer, match=r"^Connection refused$"):
        client_of(f"http://127.0.0.1:{port}").connect(None)
    with pytest.raises(NoAnswer, match=r"^its name cannot be resolved$"):
        client_of("http://nobody.invalid:1").connect(None)


def test_a_deaf_server_is_given_up(gateway: FaultProxy) -> None:
    """A server that accepts and never answers is given up after the time for an answer."""
    gateway.fail(Fault(is_deaf=True))
    client = client_of(gateway.url, answer_s=0.2)
    client.connect(None)
    with pytest.raises(NoAnswer, match=r"^no answer in time$") as told:
        client.ask("POST", "/", body=b"x")
    assert told.value.is_late


def test_a_dripping_answer_is_cut(gateway: FaultProxy) -> None:
    """A server that goes on answering a byte at a time is cut by another thread when the time is over."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        try:
            for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 50_000:
                connection.sendall(bytes([byte]))
                if stopping.wait(0.01):
                    break
        except OSError:
            pass
        connection.close()

    def beat() -> None:
        while not stopping.wait(0.02):
            client.cut_late()

    thread = threading.Thread(target=drip)
    thread.start()
    client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", answer_s=0.3)
    client.connect(None)
    heart = threading.Thread(target=beat)
    heart.start()
    with pytest.raises(NoAnswer, match=r"^no answer in time$") as told:
        client.ask("GET", "/")
    assert told.value.is_late
    stopping.set()
    for each in (thread, heart):
        each.join()
    listener.close()


def test_a_slow_upload_is_not_cut_while_it_goes_on(gateway: FaultProxy) -> None:
    """Each piece of a long body has time of its own, so that a slow line can carry it."""

    def pieces() -> Iterator[bytes]:
        for _ in range(8):
            time.sleep(0.1)
            client.cut_late()
            yield b"x" * 10

    gateway.fail(Fault(answers=(OK,)))
    client = client_of(gateway.url, answer_s=0.4)
    client.connect(None)
    assert client.ask("PUT", "/", body=pieces(), body_bytes=80).status == 200
    client.close()


def test_a_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate nobody vouches for gets nothing, not even the token; a trusted one does."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    heard = bytearray()

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as safe:
                    heard.extend(safe.recv(65536))
                    safe.sendall(OK)
            except (ssl.SSLError, OSError):
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(NoAnswer, match="its certificate is not trusted: self-signed certificate"):
        client_of(url).connect(TOKEN)
    assert not heard

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = client_of(url)
    client.connect(TOKEN)
    assert client.ask("GET", "/").status == 200
    assert TOKEN.encode() in heard
    client.close()
    thread.join()
    listener.close()
