"""The pages about the server hold: their commands and programs are tried against one that runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.support.command_line import wait_for
from tests.support.server_page import ADDRESS, Background, Command, Page, Served, Terminal, person
from typer.testing import CliRunner

from stepstream import History, ObservabilityProvider, Status, Thought
from stepstream.cli.commands import app
from stepstream.cli.failure import ExitCode
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import TokenFile
from stepstream.server.vitals import Readiness

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl, and it is not here")

# Logs a thought every few milliseconds until it is told to end.
AGENT = """
import select, sys
from stepstream import ObservabilityProvider, Thought

with ObservabilityProvider("history.db") as provider:
    with provider.episode("Design a wall bracket", agent="engineer") as episode:
        number = 0
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            episode.log_event(Thought(text=f"idea {number}"))
            with episode.tool_call("simulate") as call:
                call.observe(number)
            number += 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def variables(home: Path) -> dict[str, str]:
    """The variables of a person."""
    return person(home)


@pytest.fixture(scope="module")
def closed(home: Path, variables: dict[str, str]) -> Iterator[Served]:
    """A server that wants a token of everybody, for tests that leave it as it is."""
    place = home / "closed"
    place.mkdir()
    with Served(place, variables) as server:
        server.start("stepstream serve --db history.db --require-token")
        yield server


@pytest.fixture
def server(tmp_path: Path, variables: dict[str, str]) -> Iterator[Served]:
    """A server that is not started yet."""
    with Served(tmp_path, variables) as server:
        yield server


@contextmanager
def terminal_of(server: Served) -> Iterator[Terminal]:
    """A terminal where a server runs."""
    with Terminal(server.directory, server.environment, {ADDRESS: server.address}) as terminal:
        yield terminal


def record(database: Path, text: str) -> None:
    """Record one thought, as an agent of this machine."""
    with ObservabilityProvider(database) as provider:
        with provider.episode("Design a wall bracket", agent="engineer") as episode:
            episode.log_event(Thought(text=text))
        assert provider.flush()


# -- serve-a-history.md


def test_a_history_is_served(server: Served) -> None:
    """The server takes over without the agents' doing, tells who is there already, and ends with 0."""
    page = Page("serve-a-history.md")
    database = server.directory / "history.db"
    record(database, "before the server")
    start, ready = page.commands("Start it")
    server.start(start.text)
    with terminal_of(server) as terminal:
        assert terminal.meant(start.output or "") == server.said
        assert "ready" in terminal.type(ready.text)
        terminal.follow(page.command("What changes for agents"))
    record(database, "with the server")
    status = json.loads((server.directory / "history.db-spool/committer.json").read_text())
    assert status["pid"] == server.pid
    assert server.stop() == 0
    record(database, "after the server")

    with History.open(database) as history:
        thoughts = [step.payload for step in history.steps(kind="thought")]
    assert thoughts == [Thought(text=f"{when} the server") for when in ("before", "with", "after")]


def test_tokens_let_others_in(closed: Served) -> None:
    """A token is made, used and taken back as the page says, and then lets nobody in."""
    create, use, revoke = Page("serve-a-history.md").commands("Let others in")
    with terminal_of(closed) as terminal:
        terminal.follow_all([create, use])
        assert "ada" in terminal.type("stepstream token ls --db history.db")
        assert '"items"' in terminal.type(use.text.replace("/session", "/episodes"))
        terminal.follow(revoke)
        assert '"status":401' in terminal.type(use.text)


def test_a_server_for_other_machines_wants_a_token_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another address than the loopback it does not start while there is no token."""
    monkeypatch.chdir(tmp_path)
    argv = shlex.split(Page("serve-a-history.md").command("By which name").text)

    done = CliRunner().invoke(app, argv[1:])

    assert done.exit_code == ExitCode.USAGE
    assert "stepstream token create" in done.stderr


# -- follow-a-live-run.md


@pytest.mark.timeout(120)
def test_a_live_run_is_followed_across_restarts(server: Served) -> None:
    """With curl and with the program, every step is told once while the server comes and goes."""
    page = Page("follow-a-live-run.md")
    place, variables = server.directory, dict(server.environment)
    first, again = page.commands("From a terminal")
    program = page.command("From a program")
    (place / "follow.py").write_text(page.file("follow.py"))
    server.start("stepstream serve --db history.db")
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT], cwd=place, env=variables, stdin=subprocess.PIPE, text=True
    )

    def begin(command: Command, name: str, place_seen: str = "") -> Background:
        text = command.text.replace(ADDRESS, server.address).replace("8114d449665ea7be:17", place_seen)
        return Background(["/bin/sh", "-c", f"exec {text}"], place / name, variables)

    try:
        with begin(program, "follow.txt") as following:
            with begin(first, "first.txt") as before:
                before.wait_for("event: steps")
                following.wait_for("idea 20")
                assert server.stop() == 0
            server.start("stepstream serve --db history.db")
            with begin(again, "again.txt", places_of(before.text)[-1]) as after:
                after.wait_for("event: live")
                server.kill()
                server.start("stepstream serve --db history.db")
                assert agent.stdin is not None
                agent.stdin.close()
                assert agent.wait(30) == 0
                thoughts = thoughts_of(place / "history.db")
                following.wait_for(f"\n{thoughts[-1]} thought ")
    finally:
        agent.kill()
        agent.wait()

    told = [int(line.split()[0]) for line in following.text.splitlines()]
    assert told == thoughts
    by_curl = cursors_of(before.text) + cursors_of(after.text)
    assert by_curl == thoughts[thoughts.index(by_curl[0]) :][: len(by_curl)]
    assert cursors_of(before.text)
    assert cursors_of(after.text)
    assert len(page.file("follow.py").splitlines()) <= 40


def places_of(stream: str) -> list[str]:
    """The ids of the events in a stream, but for one that was cut off."""
    return [
        line.removeprefix("id: ")
        for event in stream.split("\n\n")[:-1]
        for line in event.splitlines()
        if line.startswith("id: ")
    ]


def cursors_of(stream: str) -> list[int]:
    """The cursors of the steps in a stream, but for an event that was cut off."""
    return [
        step["cursor"]
        for event in stream.split("\n\n")[:-1]
        for line in event.splitlines()
        if line.startswith("data: ")
        for step in json.loads(line.removeprefix("data: ")).get("steps", ())
    ]


def thoughts_of(database: Path) -> list[int]:
    """The cursors of all thoughts, once everything that was logged is committed."""
    with ObservabilityProvider(database) as provider:
        assert provider.flush()
    with History.open(database) as history:
        return [step.cursor for step in history.steps(kind="thought", limit=None)]


# -- post-from-another-language.md


def test_another_language_posts(closed: Served) -> None:
    """The script of the page runs as it stands there, prints what is shown, and leaves a whole history."""
    page = Page("post-from-another-language.md")
    headings = ("Get ready", "Begin an episode", "Say what came of it", "Send a file")
    with terminal_of(closed) as terminal:
        terminal.follow_all(command for heading in headings for command in page.commands(heading))
        terminal.follow(
            Command("stepstream verify --deep --db history.db", "", "✓ whole 5 steps · … · 1 artifact")
        )


# -- probe-the-server.md


def test_the_probes_answer(closed: Served) -> None:
    """Health and readiness answer as shown, and every word that readiness may answer is explained."""
    page = Page("probe-the-server.md")
    with terminal_of(closed) as terminal:
        terminal.follow_all(page.commands("Is it alive? Is it ready?"))

    assert [
        word for word in Readiness if word is not Readiness.READY and f"| `{word}` |" not in page.text
    ] == []


def test_every_metric_on_the_page_is_exposed(closed: Served) -> None:
    """Prometheus gets, where and as its configuration says, every metric that an alert asks for."""
    page = Page("probe-the-server.md")
    (path,) = re.findall(r"metrics_path: (\S+)", page.file("prometheus.yml"))
    with terminal_of(closed) as terminal:
        terminal.follow_all(page.commands("Prometheus"))
        scraped = terminal.type(
            'curl -f -H "Accept: application/openmetrics-text" '
            f'-H "Authorization: Bearer $(cat stepstream.token)" http://{ADDRESS}{path}'
        )
    samples = {sample.name for family in text_string_to_metric_families(scraped) for sample in family.samples}
    named = set(re.findall(r"\bstepstream_\w+", page.text))

    assert len(named) > 10
    assert named - samples == set()


# -- record-from-another-machine.md


@pytest.mark.timeout(120)
def test_an_agent_records_from_another_machine(server: Served, tmp_path: Path) -> None:
    """An agent elsewhere records with and without a network, and each of its steps is stored once."""
    page = Page("record-from-another-machine.md")
    start = "stepstream serve --db history.db --require-token"
    database = server.directory / "history.db"
    server.start(start)
    with terminal_of(server) as terminal:
        terminal.follow_all(page.commands("A token"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(server.directory / "solver-1.token", elsewhere)
    (elsewhere / "ada.token").write_text(TokenFile(database).create([Scope.READ])[1])
    address = {"https://history.example.org": f"http://{server.address}"}
    for name in ("design.py", "read.py"):
        (elsewhere / name).write_text(page.file(name).replace(*next(iter(address.items()))))
    theirs = {
        **server.environment,
        "HOME": str(elsewhere),
        # Without a network an agent waits so long at its end.
        "STEPSTREAM_FLUSH_TIMEOUT_S": "0.5",
    }
    setting, run = page.commands("The agent")
    examine = page.command("Is all well?")

    with Terminal(elsewhere, theirs, address) as terminal:
        terminal.follow_all([setting, run])
        wait_for(lambda: episodes_ended(database) == 1, "the first episode")
        terminal.follow_all([*page.commands("Read it there, too"), examine])
        assert server.stop() == 0
        terminal.follow(run)
        assert "no answer" in terminal.type(examine.text)
        server.start(start)
        wait_for(lambda: episodes_ended(database) == 2, "the second episode", 45)

    with terminal_of(server) as terminal:
        terminal.follow(Command("stepstream verify --deep --db history.db", "", "✓ whole 10 steps · …"))
    assert [path.name for path in elsewhere.glob("*.db*")] == []
    assert list((elsewhere / ".local/state/stepstream").iterdir()) != []


def episodes_ended(database: Path) -> int:
    """How many episodes of a history were completed."""
    with History.open(database) as history:
        return sum(episode.status is Status.COMPLETED for episode in history.episodes())
