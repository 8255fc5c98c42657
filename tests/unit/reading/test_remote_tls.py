"""A server behind TLS: whom we trust, and that an encrypted connection can be cut as well as a bare one."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from tests.support.canned_server import CannedServer, answer
from tests.support.stream_clients import wait_for
from tests.support.subscribers import followers

from stepstream.errors import Unreachable
from stepstream.reading.recorders import RecorderPosition
from stepstream.reading.remote.link import Link, Question
from stepstream.reading.remote.subscription import RemoteSubscription
from stepstream.schemas.event import Event
from stepstream.shipping.address import ServerAddress

RECORDER = "0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11"
FOUND = answer(200, json.dumps({"id": RECORDER, "last_number": 7, "ended_at": None}), "application/json")
ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody has signed but itself, with its key in the same file."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl here")
    directory = tmp_path_factory.mktemp("tls")
    options = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", directory / "key.pem", "-out", directory / "certificate.pem"]
    subprocess.run(
        [program, "req", "-x509", *options.split(), *names, *files], check=True, capture_output=True
    )
    return directory / "certificate.pem"


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def link_to(server: CannedServer) -> Link:
    return Link(ServerAddress.parse(server.url, "here"), "a-token")


def test_a_certificate_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    """Neither a question nor a subscription goes to a server that may be another one, and no token does."""
    with CannedServer(FOUND, tls=tls) as server:
        with pytest.raises(Unreachable, match="its certificate is not trusted: self-signed certificate"):
            link_to(server).ask(Question(("info",)), RecorderPosition)
        with RemoteSubscription(link_to(server), 0) as events:
            threading.Thread(target=list, args=(events,)).start()
            wait_for(lambda: "not trusted" in str(events.trouble), "it is refused")

        assert server.requests == []


def test_a_trusted_server_is_asked_and_followed(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system trusts is trusted, and closing wakes whoever waits for an encrypted connection."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with CannedServer(FOUND, ENDLESS, tls=tls) as server:
        link = link_to(server)
        assert link.ask(Question(("info",)), RecorderPosition).last_number == 7
        events = RemoteSubscription(link, 0)
        ended: list[list[Event]] = []
        thread = threading.Thread(target=lambda: ended.append(list(events)))
        thread.start()
        wait_for(lambda: events.trouble is None, "it is followed")
        events.close()
        assert followers() == []
        thread.join(20)

    assert ended == [[]]
    assert all("authorization: Bearer a-token" in request for request in server.requests)
