"""The server as a process: it takes over, answers, drains, ends, and is killed without losing a step."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import urllib3
from tests.support.nursery import ROOT, child_environment, until
from tests.support.rounds import Shelf
from tests.support.served_history import ServedHistory

from stepstream import ObservabilityProvider, Thought
from stepstream.schemas.identity import id_text, new_id
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stepstream.schemas.record import JsonObject

END_WITHIN_S = 10.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedHistory]:
    with ServedHistory(tmp_path) as served:
        yield served


class Sender:
    """A program elsewhere that posts thoughts and posts again until it is told that they last."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.acknowledged: list[str] = []
        self.failures = 0
        self._url = url
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)
        self._recorder: JsonObject = {"id": id_text(new_id()), "host": name, "started_at": time.time_ns()}
        self._episode = id_text(new_id())

    def post(self, first: int, count: int) -> None:
        """Post some thoughts, until it is said that they are stored."""
        texts = [f"{self.name} {number}" for number in range(first, first + count)]
        steps = [self._step(number, text) for number, text in enumerate(texts, first)]
        body = json.dumps({"recorders": [self._recorder], "steps": steps}).encode()
        while not self._answered(body):
            self.failures += 1
            time.sleep(0.02)
        self.acknowledged += texts

    def _step(self, number: int, text: str) -> JsonObject:
        return {
            "id": id_text(new_id()),
            "episode_id": self._episode,
            "kind": "thought",
            "payload": {"text": text},
            "occurred_at": time.time_ns(),
            "recorder": 0,
            "number": number,
        }

    def _answered(self, body: bytes) -> bool:
        try:
            answer = self._http.request(
                "POST", f"{self._url}/api/v1/steps", body=body, headers={"content-type": "application/json"}
            )
        except urllib3.exceptions.HTTPError:
            return False
        assert answer.status in {200, 503}, answer.data
        return answer.status == 200


def committing_pid(database: Path) -> int | None:
    spool = SpoolDirectory(database)
    try:
        status = read_status(spool)
    finally:
        spool.close()
    return None if status is None or not status.is_fresh() else status.pid


def test_a_server_takes_over_from_the_committer_of_an_agent(tmp_path: Path) -> None:
    """Steps are committed by the server as soon as there is one, and by another when it has gone."""
    database = tmp_path / "history.db"
    with ObservabilityProvider(database) as provider, provider.episode("long") as episode:
        episode.log_event(Thought(text="before"))
        assert provider.flush(10)
        first = committing_pid(database)
        with ServedHistory(tmp_path) as served:
            episode.log_event(Thought(text="during"))
            assert provider.flush(10)
            assert committing_pid(database) == served.pid != first
        episode.log_event(Thought(text="after"))
        until(lambda: provider.flush(1), "somebody commits again")

    shelf = Shelf(database)
    shelf.audit()
    assert shelf.texts() == ["before", "during", "after"]


def test_a_second_server_says_that_there_is_one(served: ServedHistory) -> None:
    """Whoever would serve what is served already is told by whom, and ends with a failure."""
    done = subprocess.run(
        [sys.executable, "-m", "stepstream", "serve", "--port", "0", "--db", str(served.database)],
        capture_output=True,
        text=True,
        cwd=served.database.parent,
        env=child_environment(),
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert f"process {served.pid} serves history.db already" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """An address that cannot be had is an error of usage, with the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "stepstream",
                "serve",
                "--port",
                str(port),
                "--db",
                str(tmp_path / "h.db"),
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=child_environment(),
            timeout=30,
            check=False,
        )

    assert done.returncode == 2
    assert str(port) in done.stderr
    assert not (tmp_path / "h.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(served: ServedHistory, number: int) -> None:
    """With a stream open and posts on their way it ends within ten seconds, with code 0 and all it promised."""
    sender = Sender(served.url, "sender")
    with socket.create_connection(("127.0.0.1", served.port)) as watching:
        watching.sendall(b"GET /api/v1/events?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" in watching.recv(1024)
        posting = threading.Thread(target=lambda: [sender.post(n * 50, 50) for n in range(100)], daemon=True)
        posting.start()
        until(lambda: len(sender.acknowledged) > 100, "posts are answered")
        began = time.monotonic()

        code = served.signal(number)

        assert code == 0
        assert time.monotonic() - began < END_WITHIN_S
        watching.settimeout(10)
        while watching.recv(65536):
            pass
    acknowledged = list(sender.acknowledged)
    served.start()
    posting.join(30)
    shelf = Shelf(served.database)
    shelf.audit()
    assert set(acknowledged) <= set(shelf.texts())
    assert shelf.texts() == sender.acknowledged


def is_closed(port: int) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("method", ["POST /api/v1/steps", f"PUT /api/v1/artifacts/{'0' * 64}/bytes"])
def test_a_second_signal_cuts_short_what_is_left(
    served: ServedHistory, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever still sends is told that the server ends, the code is 0 all the same, and the log has no trace of code."""
    head = (
        f"{method} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port)) as sending:
        sending.settimeout(END_WITHIN_S)
        sending.sendall(f"{head}[".encode())
        # What comes later is answered, so that the server knows of what came before.
        assert urllib3.request("GET", f"{served.url}/api/v1/health", retries=False).status == 200
        os.kill(served.pid, signal.SIGTERM)
        until(lambda: is_closed(served.port), "nobody is let in any more")

        code = served.signal(signal.SIGTERM)

        answer = b""
        while data := sending.recv(65536):
            answer += data
    assert code == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"the server is shutting down" in answer
    assert "Traceback" not in capfd.readouterr().err


def test_what_was_acknowledged_survives_every_kill(served: ServedHistory) -> None:
    """Senders and a local agent go on while the server is killed again and again: each step once, none lost."""
    senders = [Sender(served.url, f"sender-{n}") for n in range(3)]

    def send(sender: Sender) -> None:
        for number in range(30):
            sender.post(number * 20, 20)
            time.sleep(0.02)

    threads = [threading.Thread(target=send, args=(sender,), daemon=True) for sender in senders]
    with ObservabilityProvider(served.database) as provider, provider.episode("local") as episode:
        for thread in threads:
            thread.start()
        local: list[str] = []
        chance = random.Random(7)
        for _ in range(4):
            ends = time.monotonic() + chance.uniform(0.1, 0.4)
            while time.monotonic() < ends:
                local.append(f"local {len(local)}")
                episode.log_event(Thought(text=local[-1]))
                time.sleep(0.001)
            served.kill()
            time.sleep(chance.uniform(0.0, 0.2))
            served.start()
        for thread in threads:
            thread.join(40)
            assert not thread.is_alive()
        assert provider.flush(20)

    shelf = Shelf(served.database)
    shelf.audit()
    assert shelf.losses() == []
    by_sender = {sender.name: sender.acknowledged for sender in senders} | {"local": local}
    stored: dict[str, list[str]] = {}
    for text in shelf.texts():
        stored.setdefault(text.split(" ")[0], []).append(text)
    assert stored == by_sender
    assert sum(sender.failures for sender in senders) > 0


def test_files_of_a_server_are_private(served: ServedHistory) -> None:
    """What a server makes is for its own user alone: files 0600, directories 0700."""
    Sender(served.url, "sender").post(0, 5)
    for path in [served.database.parent / name for name in ("history.db", "history.db-wal")]:
        assert path.stat().st_mode & 0o077 == 0, path
    for path in served.database.parent.glob("history.db-*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_an_answer_tells_nothing_from_inside(served: ServedHistory) -> None:
    """A request that cannot be read is answered with a request id and without a trace of code."""
    http = urllib3.PoolManager(retries=False)
    answer = http.request(
        "POST", f"{served.url}/api/v1/steps", body=b"{", headers={"content-type": "application/json"}
    )

    assert answer.status == 422
    problem = answer.json()
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.data.decode()


def test_pieces_of_an_answer_are_seen_while_it_is_made(served: ServedHistory) -> None:
    """A delta reaches who watches, without an id, and neither the database nor who comes later."""
    with (
        ObservabilityProvider(served.database) as provider,
        provider.episode("streaming") as episode,
        socket.create_connection(("127.0.0.1", served.port)) as watching,
    ):
        watching.sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        watching.settimeout(20)
        seen = b""
        while b"event: live" not in seen:
            seen += watching.recv(65536)
        with episode.model_call("some-model", messages=[]) as call:
            while b"event: deltas" not in seen:
                call.delta("a piece ")
                watching.setblocking(False)
                try:
                    seen += watching.recv(65536)
                except BlockingIOError:
                    time.sleep(0.01)
            call.reply("a piece of it")
        assert provider.flush(10)

    deltas = next(part for part in seen.split(b"\n\n") if b"event: deltas" in part)
    assert b"a piece" in deltas
    assert b"id: " not in deltas
    shelf = Shelf(served.database)
    shelf.audit()
    assert shelf.losses() == []
    assert [step.kind for step in shelf.steps] == [
        "status_change",
        "model_call",
        "model_reply",
        "status_change",
    ]
