"""The command line with the address of a server for a path: it reads the same, and says where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.canned_server import CannedServer, answer
from tests.support.command_line import CommandLine, Done
from tests.support.nursery import until
from tests.support.served_history import ServedHistory

from stepstream.sdk.provider import ObservabilityProvider
from stepstream.store.sqlite.connection import open_reader

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def served(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Iterator[ServedHistory]:
    """What the demo recorded, at a server."""
    directory = tmp_path_factory.mktemp("served")
    line = CommandLine(directory, dict(environment))
    until(lambda: _is_over(recorded), "the demo's recorders have ended", 10)
    done = line("snapshot", "history.db", "--db", recorded)
    assert done.code == 0, done.err
    with ServedHistory(directory) as running:
        yield running


def _is_over(database: Path) -> bool:
    connection = open_reader(database)
    try:
        return connection.execute("SELECT count(*) FROM recorder WHERE ended_at IS NULL").get == 0
    finally:
        connection.close()


@pytest.mark.parametrize(
    "command",
    [
        ["ls", "--json"],
        ["ls", "status:completed", "-n", "1", "--jsonl"],
        ["show", "@last", "--json"],
        ["show", "@last"],
        ["show", "@last", "--errors"],
        ["show", "@last", "--step", "3"],
        ["show", "@last", "--at", "30"],
        ["tail", "--count", "20"],
        ["tail", "kind:error", "--jsonl"],
        ["tail", "@last", "--count", "5", "--full"],
        ["export", "--jsonl", "-"],
        ["verify", "@last", "--json"],
        ["search", "bracket", "--jsonl"],
    ],
    ids=" ".join,
)
def test_a_command_prints_what_it_prints_beside_the_file(
    inside: Run, served: ServedHistory, command: list[str]
) -> None:
    """The same question to the file and to its server has the same answer, to the letter."""
    there = inside(*command, "--db", served.url)
    here = inside(*command, "--db", served.database)

    assert (there.code, here.code) == (0, 0), there.out + there.err
    assert there.out == here.out
    assert there.out


def test_ids_are_as_short_as_the_list_allows(inside: Run, served: ServedHistory) -> None:
    """A list is a table with ids that can be pasted, and its hints name the server."""
    listed = inside("ls", "-n", "2", "--db", served.url)
    short = listed.out.splitlines()[1].split()[1]

    assert inside("show", short, "--json", "--db", served.url).code == 0
    assert f"ls --limit 20 --db {served.url}" in listed.err


def test_the_environment_may_name_a_server(inside: Run, served: ServedHistory) -> None:
    """STEPSTREAM_DB holds its address, and hints leave it out then."""
    listed = inside("ls", "-n", "1", STEPSTREAM_DB=served.url)

    assert "Design bracket" in listed.out
    assert "--db" not in listed.err
    assert inside("show", "ffff", STEPSTREAM_DB=served.url).code == 3


def test_an_export_goes_to_a_file(inside: Run, served: ServedHistory, tmp_path: Path) -> None:
    """Steps as JSON lines and as Parquet are those that an export beside the file writes."""
    for place, name in ((served.url, "there"), (str(served.database), "here")):
        assert inside("export", "kind:thought", "--jsonl", f"{name}.jsonl", "--db", place).code == 0
        assert inside("export", "--episode", "@last", "--parquet", f"{name}.parquet", "--db", place).code == 0

    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    parquet = pytest.importorskip("pyarrow.parquet")
    there, here = (parquet.read_table(tmp_path / f"{name}.parquet") for name in ("there", "here"))
    assert there.equals(here)


@pytest.mark.parametrize(
    "command",
    [
        ["sql", "SELECT 1"],
        ["snapshot", "copy.db"],
        ["migrate"],
        ["spool", "ls"],
        ["spool", "adopt"],
        ["init"],
        ["serve"],
        ["token", "ls"],
    ],
    ids=" ".join,
)
def test_what_takes_the_file_itself_says_so(
    inside: Run, served: ServedHistory, tmp_path: Path, command: list[str]
) -> None:
    """The command ends with the code of wrong usage, names the server, and leaves no file."""
    done = inside(*command, "--db", served.url)

    assert done.code == 2
    assert f"{served.url} is a server, and this takes the file itself" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [["verify"], ["verify", "--deep"], ["verify", "@last", "--deep"]], ids=" ".join
)
def test_a_whole_check_is_for_where_the_file_is(
    inside: Run, served: ServedHistory, command: list[str]
) -> None:
    """The message names the command to run there."""
    done = inside(*command, "--db", served.url)

    assert done.code == 2
    assert f"where the server runs, use: stepstream {' '.join(command)}" in done.err


def test_each_trouble_with_a_server_has_its_code(inside: Run) -> None:
    """Nobody there, no token, another program and a password in the address are told apart."""
    with CannedServer() as gone:
        pass
    assert inside("ls", "--db", gone.url).code == 5
    for status, code in ((401, 4), (403, 4), (404, 5), (503, 5), (500, 1)):
        with CannedServer(answer(status, '{"detail": "\\u001b[31mno"}')) as canned:
            done = inside("ls", "--db", canned.url)
        assert done.code == code
        assert "\x1b" not in done.err
    wrong = inside("ls", "--db", "http://ada:secret@127.0.0.1:1")
    assert wrong.code == 2
    assert "secret" not in wrong.err


def test_tail_follows_a_server_that_goes_and_comes(stepstream: CommandLine, tmp_path: Path) -> None:
    """It waits for one that is not there yet, says when it goes and comes, and ends at Ctrl-C."""
    served = ServedHistory(tmp_path)
    served.stop()
    following = stepstream.follow("tail", "--follow", "--db", served.url)
    following.read_until("waiting: ")
    served.start()
    with (
        served,
        ObservabilityProvider(served.database, committer="none") as provider,
        provider.episode("Goes on", agent="ada") as episode,
    ):
        following.read_until("started Goes on")
        following.text = ""
        served.kill()
        with episode.tool_call("listen") as call:
            call.observe("nothing")
        following.read_until("waiting: ")
        served.start()
        following.read_until("listen → nothing")
        following.read_until("the server is back")

        assert following.interrupt() == 130
    assert following.text.count("listen()") == 1


def test_tail_of_one_episode_ends_with_it(stepstream: CommandLine, tmp_path: Path) -> None:
    """Followed over a server, it shows that episode alone and ends when it does."""
    with (
        ServedHistory(tmp_path) as served,
        ObservabilityProvider(served.database, committer="none") as provider,
    ):
        with provider.episode("This one") as episode, provider.episode("Another", parent=episode):
            assert provider.flush()
            following = stepstream.follow("tail", episode.id, "--follow", STEPSTREAM_DB=served.url)
            following.read_until("started")
        text = following.read_all()

    assert following.process.returncode == 0
    assert "Another" not in text
    assert text.splitlines()[-1].endswith("ended completed")
