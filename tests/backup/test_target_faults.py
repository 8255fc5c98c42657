"""A target in trouble: every fault passes, or ends the job with an error that says what, where and what to do."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.backups import KEYS, SECRET, Rig, rows
from tests.support.fault_proxy import Fault, FaultProxy, every
from tests.support.object_store import ObjectServer

from stepstream.backup.journal import JobState
from stepstream.errors import BackupError, ConfigurationInvalid, TargetUnreachable, TargetUnusable

SOUND = Fault()
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def half(fault: Fault) -> Callable[[int], Fault]:
    """A plan in which half of the connections have a fault, in no order that a client could fall in step with."""
    chance = random.Random(23)
    return lambda _: chance.choice((fault, SOUND))


@pytest.fixture
def proxy(s3: ObjectServer) -> Iterator[FaultProxy]:
    """A network in front of the server that fails on order."""
    with FaultProxy(s3.port) as proxy:
        yield proxy


@pytest.fixture
def far_rig(database: Path, s3: ObjectServer, proxy: FaultProxy) -> Rig:
    """The history with a bucket behind that network."""
    return Rig(database, f"s3://{s3.bucket()}/team", proxy.url)


def failed(rig: Rig, error: type[BackupError]) -> BackupError:
    """Take a backup that fails; the journal tells it as the error does, and there is no backup."""
    with pytest.raises(error) as caught:
        rig.take()
    job = rig.journal.jobs()[0]
    assert job.state is JobState.FAILED
    assert (job.error, job.error_type) == (str(caught.value), error.__name__)
    assert job.ended_at is not None
    return caught.value


@pytest.mark.parametrize(
    "fault",
    [
        Fault(delay_s=0.02),
        Fault(answer_bytes=0),
        Fault(request_bytes=300, is_reset=True),
        Fault(answer_bytes=100),
        Fault(answers=(UNAVAILABLE,)),
        Fault(answers=(BROKEN,)),
        Fault(drip_bytes=200, delay_s=0.001),
    ],
    ids=["late", "answer lost", "request cut", "answer cut", "503", "500", "drip"],
)
def test_a_fault_that_passes_is_waited_out(
    far_rig: Rig, proxy: FaultProxy, fault: Fault, tmp_path: Path
) -> None:
    """Half of all connections fail, and both backup and restore succeed."""
    proxy.plan = half(fault)

    job = far_rig.take()
    far_rig.restore(tmp_path / "back.db")

    assert job.state is JobState.SUCCEEDED
    assert proxy.connections > 2
    assert rows(tmp_path / "back.db") == rows(far_rig.database)


def test_chance_faults_pass(far_rig: Rig, proxy: FaultProxy, tmp_path: Path) -> None:
    """Faults of all kinds in any order leave a whole backup."""
    chance = random.Random(17)
    faults = (
        Fault(answer_bytes=0),
        Fault(request_bytes=1000),
        Fault(answers=(UNAVAILABLE,)),
        Fault(answer_bytes=50, is_reset=True),
        SOUND,
        SOUND,
    )
    proxy.plan = lambda _: chance.choice(faults)

    far_rig.take()
    proxy.heal()
    far_rig.restore(tmp_path / "back.db")

    assert rows(tmp_path / "back.db") == rows(far_rig.database)


def test_a_lost_answer_to_the_manifest_is_no_conflict(far_rig: Rig, proxy: FaultProxy) -> None:
    """The manifest that is there already when it is written again is our own."""
    target = far_rig.target
    target.probe("x")
    proxy.fail(Fault(answer_bytes=0))

    target.put_new("x/manifest", b"one")

    assert target.read_small("x/manifest") == b"one"


def test_a_name_is_never_written_over(far_rig: Rig) -> None:
    """Another object of the name is an error and stays."""
    target = far_rig.target
    target.put_new("x/manifest", b"one")

    with pytest.raises(TargetUnusable, match="there already"):
        target.put_new("x/manifest", b"two")
    assert target.read_small("x/manifest") == b"one"


@pytest.mark.parametrize("kind", ["refuses", "deaf", "503"])
def test_a_target_that_stays_down_is_told(far_rig: Rig, proxy: FaultProxy, kind: str) -> None:
    """When patience is at its end the job fails, with the address and what to do; the next one succeeds."""
    far_rig.patience_s, far_rig.request_s = 0.5, 0.3
    if kind == "refuses":
        proxy.refuse()
    else:
        proxy.plan = lambda _: Fault(is_deaf=True) if kind == "deaf" else Fault(answers=(UNAVAILABLE,))

    error = failed(far_rig, TargetUnreachable)

    assert far_rig.url in str(error)
    assert "take the backup again" in str(error)
    if kind == "refuses":
        proxy.accept()
    proxy.heal()
    proxy.cut()
    far_rig.patience_s, far_rig.request_s = 20, 10
    assert far_rig.take().state is JobState.SUCCEEDED


def test_a_target_that_dies_in_the_middle_leaves_no_backup(far_rig: Rig, proxy: FaultProxy) -> None:
    """What goes down while the database travels is a failure, and nothing that looks like a backup."""
    far_rig.patience_s, far_rig.request_s = 0.5, 1
    far_rig.stages = _Trap(proxy)  # type: ignore[assignment]

    failed(far_rig, TargetUnreachable)

    proxy.accept()
    far_rig.patience_s = 20
    assert [name for name in far_rig.objects() if "manifests" in name] == []


class _Trap(list[object]):
    """Takes the target away when the database begins to travel."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__()
        self._proxy: FaultProxy | None = proxy

    def append(self, job: object) -> None:
        if "UPLOADING" in repr(job) and self._proxy is not None:
            proxy, self._proxy = self._proxy, None
            proxy.refuse()


def test_a_missing_bucket_is_told_at_once(rig: Rig, moto_server: ObjectServer) -> None:
    """Trying again would not help."""
    rig.url, rig.endpoint = "s3://no-such-bucket-here/team", moto_server.endpoint
    # Whoever would try again until then runs into the time limit of the test.
    rig.patience_s = 600

    error = failed(rig, TargetUnusable)

    assert "create the bucket" in str(error)


@pytest.mark.parametrize("server", ["answers", "file"])
def test_wrong_credentials_are_told_and_not_shown(rig: Rig, proxy: FaultProxy, server: str) -> None:
    """The error says what the server said, and nothing of what it quotes of the request."""
    said = (
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature we calculated does not match</Message>"
        f"<AWSAccessKeyId>{KEYS['AWS_ACCESS_KEY_ID']}</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign></Error>"
    ).encode()
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        len(said),
        said,
    )
    proxy.plan = lambda _: Fault(answers=(answer,))
    rig.url, rig.endpoint = "s3://bucket/team", proxy.url
    if server == "file":
        credentials = Path.home() / ".aws" / "credentials"
        credentials.parent.mkdir(exist_ok=True)
        credentials.write_text(
            f"[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {SECRET}\n"
        )
        rig.environment = {}

    error = failed(rig, TargetUnusable)

    assert "SignatureDoesNotMatch" in str(error)
    assert "AWS_SECRET_ACCESS_KEY" in str(error)
    for secret in (SECRET, KEYS["AWS_ACCESS_KEY_ID"]):
        assert secret not in str(error)
        assert secret.encode() not in b"".join(path.read_bytes() for path in rig.journal.path.rglob("*.json"))


@pytest.mark.parametrize(
    ("code", "passes"),
    [("RequestTimeout", True), ("IncompleteBody", True), ("AuthorizationHeaderMalformed", False)],
)
def test_of_bad_requests_some_pass(far_rig: Rig, proxy: FaultProxy, code: str, passes: bool) -> None:
    """What the network spoilt is sent again; what is wrong with the settings is told at once."""
    said = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        len(said),
        said,
    )
    bad = Fault(answers=(answer,))
    proxy.plan = half(bad) if passes else every(bad)

    if passes:
        assert far_rig.take().state is JobState.SUCCEEDED
    else:
        assert "correct the region" in str(failed(far_rig, TargetUnusable))


def test_a_server_that_repeats_a_secret_is_not_repeated(rig: Rig, proxy: FaultProxy) -> None:
    """Of an answer in words of its own a part is told, without what must not be shown."""
    said = f"no entry for {KEYS['AWS_ACCESS_KEY_ID']} with {SECRET} here".encode()
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        len(said),
        said,
    )
    proxy.plan = lambda _: Fault(answers=(answer,))
    rig.url, rig.endpoint = "s3://bucket/team", proxy.url

    assert "no entry for … with … here" in str(failed(rig, TargetUnusable))


def test_a_clock_that_is_wrong_is_told(rig: Rig, proxy: FaultProxy) -> None:
    """A server that finds our time too far off leads to advice about the clock."""
    said = b"<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>"
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        len(said),
        said,
    )
    proxy.plan = lambda _: Fault(answers=(answer,))
    rig.url, rig.endpoint = "s3://bucket/team", proxy.url

    assert "set the clock" in str(failed(rig, TargetUnusable))


def test_without_credentials_nothing_is_asked(rig: Rig, proxy: FaultProxy) -> None:
    """An own server needs keys, and their lack is told before it is asked."""
    rig.url, rig.endpoint, rig.environment = "s3://bucket/team", proxy.url, {}

    with pytest.raises(TargetUnusable, match="AWS_ACCESS_KEY_ID"):
        rig.take()
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/x",
        "s3://bucket/x?token=secret",
        "https://bucket/secret#x",
        "ftp://host/x",
        "s3:///x",
        "file://host/x",
        "file:///",
        "nonsense",
        "",
        "s3://[bad",
    ],
)
def test_a_url_that_is_no_place_is_refused(rig: Rig, url: str) -> None:
    """The error says how a target is given, and repeats no credential."""
    rig.url = url

    with pytest.raises(TargetUnusable) as caught:
        _ = rig.target
    assert "secret" not in str(caught.value).replace("https://bucket/secret", "")


def test_a_file_of_credentials_that_cannot_be_read_is_named(rig: Rig) -> None:
    """The error names the file, and quotes no line of it."""
    file = Path.home() / ".aws" / "credentials"
    file.parent.mkdir(exist_ok=True)
    file.write_text("aws_secret_access_key = secret-without-section\n")
    rig.url, rig.environment = "s3://bucket/x", {}

    with pytest.raises(ConfigurationInvalid, match="credentials") as caught:
        _ = rig.target
    assert "secret-without-section" not in str(caught.value)


def test_a_full_directory_is_told(rig: Rig, tmp_path: Path) -> None:
    """A directory that may not be written is no target."""
    (tmp_path / "flat").write_text("a file")
    rig.url = f"file://{tmp_path}/flat/below"

    with pytest.raises(TargetUnusable, match="who may write there"):
        rig.take()


@pytest.mark.parametrize("answers", [True, False], ids=["an error", "as if it were none"])
def test_a_weak_clone_is_worked_with(s3_rig: Rig, tmp_path: Path, s3: ObjectServer, answers: bool) -> None:
    """A server that answers a condition with an error, or writes over what is there, still holds backups."""
    with _WeakProxy(s3.port, answers=answers) as proxy:
        s3_rig.endpoint = proxy.url
        job = s3_rig.take()
        s3_rig.restore(tmp_path / "back.db")

    assert job.state is JobState.SUCCEEDED
    assert proxy.conditions
    assert rows(tmp_path / "back.db") == rows(s3_rig.database)


class _WeakProxy(FaultProxy):
    """A server that knows no If-None-Match: it refuses the header, or does not look at it."""

    def __init__(self, port: int, *, answers: bool) -> None:
        self.conditions = 0
        self._answers = answers
        super().__init__(port)

    def _received_from(self, client: socket.socket) -> bytes:
        data = client.recv(65536)
        if b"if-none-match" in data:
            self.conditions += 1
        return data.replace(b"if-none-match", b"x-none-matched")

    def _pass_on(self, client: socket.socket, fault: Fault) -> None:
        error = b"<Error><Code>NotImplemented</Code><Message>no conditions here</Message></Error>"
        answer = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
        server = socket.create_connection(("127.0.0.1", self.target))
        back = threading.Thread(target=self._return, args=(server, client, fault), daemon=True)
        back.start()
        try:
            before = self.conditions
            while data := self._received_from(client):
                if self._answers and self.conditions > before:
                    client.sendall(answer % (len(error), error))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()
        finally:
            server.close()


def test_an_upload_that_fails_leaves_no_parts(s3_rig: Rig, s3: ObjectServer) -> None:
    """What was sent of an object that is given up is aborted, and nothing has its name."""
    bucket = s3_rig.url.removeprefix("s3://").partition("/")[0]

    def chunks() -> Iterator[bytes]:
        for _ in range(12):
            yield random.randbytes(2 << 20)
        raise OSError(5, "the disk fails")

    with pytest.raises(OSError, match="the disk fails"):
        s3_rig.target.upload("x/large", 30 << 20, chunks)

    with urllib.request.urlopen(f"{s3.endpoint}/{bucket}?uploads") as answer:
        assert b"<Upload>" not in answer.read()
    assert s3_rig.objects() == []


def test_a_large_object_travels_in_parts(s3_rig: Rig) -> None:
    """Parts come back as one object, and its hash is that of what was sent."""
    parts = [random.randbytes(3 << 20) for _ in range(9)]

    s3_rig.target.upload("x/large", 27 << 20, lambda: iter(parts))

    found = s3_rig.target.hash_of("x/large", 27 << 20, lambda _: None)
    assert found == hashlib.sha256(b"".join(parts)).hexdigest()
