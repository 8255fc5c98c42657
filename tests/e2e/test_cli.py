"""Commands that read: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from stepstream.schemas.record import JsonObject
from stepstream.schemas.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import CommandLine, Done

    Run = Callable[..., Done]

ESCAPE = "\x1b"


def objects(value: object) -> list[JsonObject]:
    """A JSON value that is a list of objects."""
    return cast("list[JsonObject]", value)


class TestStart:
    """Before any command runs."""

    def test_the_version_is_printed(self, stepstream: CommandLine) -> None:
        """The version is a word and a number on stdout."""
        done = stepstream("--version")

        assert re.fullmatch(r"stepstream \d+\.\d+\S*\n", done.out)
        assert done.err == ""

    @pytest.mark.parametrize("heavy", ["apsw", "rich", "typer"])
    def test_the_version_needs_nothing_heavy(self, stepstream: CommandLine, heavy: str) -> None:
        """Asked for the version alone, the program imports neither SQLite nor what draws and parses."""
        script = (
            "import sys; sys.argv = ['stepstream', '--version']\n"
            f"from stepstream.cli.main import main; main(); print({heavy!r} in sys.modules)\n"
        )

        assert stepstream.python("-c", script).out.splitlines()[-1] == "False"

    def test_help_lists_every_command(self, stepstream: CommandLine) -> None:
        """Help names each command with a sentence, and needs no library that draws."""
        done = stepstream("--help")
        commands = "demo init ls show tail export snapshot sql verify doctor migrate spool".split()  # noqa: SIM905

        assert done.code == 0
        assert [name for name in commands if not re.search(rf"^  {name}  ", done.out, re.MULTILINE)] == []

    def test_no_command_is_a_usage_error(self, stepstream: CommandLine) -> None:
        """Without a command the help is shown and the code says usage."""
        done = stepstream()

        assert done.code == 2
        assert "Commands:" in done.out

    @pytest.mark.parametrize(
        "arguments", [("nonsense",), ("show",), ("ls", "--limit", "x"), ("ls", "--nonsense")]
    )
    def test_wrong_usage_is_told(self, stepstream: CommandLine, arguments: tuple[str, ...]) -> None:
        """A wrong word, a missing argument and a bad value are told on stderr, with the code for usage."""
        done = stepstream(*arguments)

        assert (done.code, done.out) == (2, "")
        assert "Traceback" not in done.err
        assert "--help" in done.err


class TestFailures:
    """Errors are a message and a code, never a traceback."""

    @pytest.mark.parametrize("command", ["ls", "show @last", "tail", "verify", "migrate", "sql 'select 1'"])
    def test_a_history_that_is_not_there(self, stepstream: CommandLine, command: str) -> None:
        """Without a database a reading command says where there is none and what makes one, with code 3."""
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
        done = stepstream(*words)

        assert (done.code, done.out) == (3, "")
        assert "there is no history at history.db" in done.err
        assert "stepstream init" in done.err
        assert not list(stepstream.directory.iterdir())

    def test_an_episode_that_is_not_there(self, inside: Run, recorded: Path) -> None:
        """An id that nothing answers to is told with the command that lists those that are."""
        done = inside("show", "ffff", "--db", recorded)

        assert done.code == 3
        assert f"stepstream ls --db {recorded}" in done.err

    def test_an_ambiguous_id(self, inside: Run, recorded: Path) -> None:
        """A beginning that fits several ids is told with all of them."""
        ids = [str(each["id"]) for each in inside("ls", "--jsonl", "--db", recorded).json_lines()]
        done = inside("show", ids[0][:4], "--db", recorded)

        assert done.code == 3
        assert all(each in done.err for each in ids)

    def test_a_filter_that_cannot_be_read(self, inside: Run, recorded: Path) -> None:
        """A filter that is wrong is shown with the place where it went wrong, with the code for usage."""
        done = inside("ls", "kind:", "--db", recorded)

        assert done.code == 2
        assert done.err.splitlines()[-2:] == ["  kind:", "       ^"]

    def test_a_file_that_is_no_history(self, stepstream: CommandLine) -> None:
        """A file of another kind is refused and left as it is."""
        other = stepstream.directory / "notes.txt"
        other.write_text("not a database, but long enough to look at" * 10)
        done = stepstream("ls", "--db", other)

        assert done.code == 4
        assert "not a stepstream history" in done.err
        assert other.read_text().startswith("not a database")

    def test_a_traceback_is_shown_when_asked_for(self, stepstream: CommandLine) -> None:
        """Who mends stepstream gets the traceback; nobody else does."""
        assert "Traceback" not in stepstream("ls").err
        assert "Traceback" in stepstream("--traceback", "ls").err
        assert "Traceback" in stepstream("ls", STEPSTREAM_DEBUG="1").err

    def test_an_address_is_no_file(self, stepstream: CommandLine) -> None:
        """What takes the file itself says so to the address of a server, and no file is made of its name."""
        done = stepstream("sql", "SELECT 1", "--db", "http://localhost:8000")

        assert done.code == 2
        assert "run it where the server runs" in done.err
        assert not list(stepstream.directory.iterdir())

    def test_the_environment_names_the_database(self, stepstream: CommandLine, recorded: Path) -> None:
        """STEPSTREAM_DB names the database, and hints leave it out then."""
        done = stepstream("show", "ffff", STEPSTREAM_DB=str(recorded))

        assert "list them with: stepstream ls\n" in done.err


class TestLs:
    """The list of episodes."""

    def test_a_table_for_people(self, inside: Run, recorded: Path) -> None:
        """The latest episode stands first, with its status, steps, errors and score."""
        title, latest, first = inside("ls", "--db", recorded).out.splitlines()

        assert " ".join(title.split()) == "ID EPISODE STATUS NOW WHO STEPS ERRORS TOOK AGE SCORE"
        assert latest.startswith("✓")
        assert "Design bracket-9" in latest
        assert "Design bracket-14" in first
        assert "planner engineer reviewer" in first
        assert "0.558" in first

    def test_json_and_json_lines_agree(self, inside: Run, recorded: Path) -> None:
        """Both forms hold the same episodes with the same fields."""
        whole = inside("ls", "--json", "--db", recorded).json()
        lines = inside("ls", "--jsonl", "--db", recorded).json_lines()

        assert objects(whole["episodes"]) == lines
        assert [line["name"] for line in lines] == ["Design bracket-9", "Design bracket-14"]
        assert {"id", "status", "outcome", "score", "steps", "errors", "now", "who"} <= set(lines[0])

    def test_a_filter_and_a_limit(self, inside: Run, recorded: Path) -> None:
        """A filter leaves out what does not pass, a limit what comes later."""
        assert len(inside("ls", "problem:bracket-14", "--jsonl", "--db", recorded).json_lines()) == 1
        assert len(inside("ls", "--limit", "1", "--jsonl", "--db", recorded).json_lines()) == 1
        assert inside("ls", "problem:x", "--db", recorded).out == ""

    def test_the_shown_id_can_be_typed(self, inside: Run, recorded: Path) -> None:
        """What stands in the column of ids is enough to show the episode."""
        line = inside("ls", "--db", recorded).out.splitlines()[2]

        assert "Design bracket-14" in inside("show", line.split()[1], "--db", recorded).out

    def test_what_a_running_agent_does_now(self, stepstream: CommandLine) -> None:
        """Of an episode that runs, the call that is open is shown, and the step it is in."""
        script = (
            "from stepstream import episode, tool_call\n"
            "with episode('work'), tool_call('mesh', {'mm': 2.5}):\n"
            "    print('ready', flush=True); input()\n"
        )
        agent = stepstream.agent(script)
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            (episode,) = stepstream("ls", "--jsonl").json_lines()
        finally:
            agent.communicate("\n", timeout=30)

        assert (episode["status"], episode["now"]) == ("running", "mesh(mm=2.5)")


class TestShow:
    """One episode."""

    def test_a_tree_for_people(self, inside: Run, recorded: Path) -> None:
        """The header says how it went; below it calls stand with their answers and what went wrong."""
        out = inside("show", "@last", "--db", recorded).out

        assert out.startswith("✓ Design bracket-9\n  accepted, score 0.51")
        assert re.search(r"✗ make_geometry\(.*\)  \d+ (µs|ms)\n +StockThicknessMissing: ", out)
        assert re.search(r"✓ simulate\(.*\) → load_n=", out)
        assert re.search(r"\n *\d+  engineer {4,}◦ bracket_simulation ", out)

    def test_json_is_the_tree(self, inside: Run, recorded: Path) -> None:
        """The tree as JSON holds the episode and its steps, nested."""
        tree = inside("show", "@last", "--json", "--db", recorded).json()

        assert cast("JsonObject", tree["episode"])["name"] == "Design bracket-9"
        first = cast("JsonObject", objects(tree["roots"])[0]["step"])
        assert (first["kind"], first["sequence"]) == ("status_change", 0)

    def test_only_the_errors(self, inside: Run, recorded: Path) -> None:
        """The errors alone come with the line of code they are from, or with their tracebacks."""
        short = inside("show", "@last", "--errors", "--db", recorded).out
        long = inside("show", "@last", "--errors", "--traceback", "--db", recorded).out
        data = inside("show", "@last", "--errors", "--json", "--db", recorded).json()

        assert re.search(r"at \S+bracket.py:\d+ in _check_plate", short)
        assert "Traceback (most recent call last)" not in short
        assert "Traceback (most recent call last)" in long
        assert [error["kind"] for error in objects(data["errors"])] == ["error_report"]

    def test_one_step_whole(self, inside: Run, recorded: Path) -> None:
        """A step is shown with every field of its payload, and its JSON is a Step."""
        out = inside("show", "@last", "--step", "1", "--db", recorded).out
        step = Step.model_validate(
            inside("show", "@last", "--step", "1", "--json", "--db", recorded).json(), strict=False
        )

        assert "step 1 of Design bracket-9" in out
        assert step.payload.model_dump()["text"] in out.replace("\n    ", "")
        assert inside("show", "@last", "--step", "99999", "--db", recorded).code == 3

    def test_the_state_at_a_step(self, inside: Run, recorded: Path) -> None:
        """At a step in the middle the plan, what was open and the files known then are shown."""
        tree = inside("show", "@last", "--json", "--db", recorded).json()
        call = next(
            cast("JsonObject", node["step"])
            for node in objects(tree["roots"])
            if cast("JsonObject", cast("JsonObject", node["step"])["payload"]).get("tool") == "simulate"
        )
        at = str(call["sequence"])
        out = inside("show", "@last", "--at", at, "--db", recorded).out
        state = inside("show", "@last", "--at", at, "--json", "--db", recorded).json()

        assert f"Design bracket-9 after step {at}" in out
        assert re.search(r"open\n  step \d+ engineer simulate\(", out)
        assert [step["id"] for step in objects(state["open_steps"])] == [call["id"]]
        assert state["artifacts"] == []

    def test_a_long_episode_is_cut_and_says_so(self, inside: Run, recorded: Path) -> None:
        """With a limit the last steps are shown, and the command that shows all of them."""
        out = inside("show", "@last", "--limit", "5", "--db", recorded).out

        assert re.search(r"… \d+ steps before these; all of them with: stepstream show \S+ --limit 0", out)
        assert "ended accepted" in out
        assert "started" not in out

    def test_views_exclude_each_other(self, inside: Run, recorded: Path) -> None:
        """Two views at once are a usage error."""
        assert inside("show", "@last", "--errors", "--at", "3", "--db", recorded).code == 2


class TestTerminal:
    """At a terminal and off it."""

    @pytest.mark.parametrize("command", ["ls", "show @last --errors", "tail -F", "doctor"])
    def test_no_colour_off_a_terminal(self, stepstream: CommandLine, recorded: Path, command: str) -> None:
        """A pipe gets no escape sequence from any command, on stdout or stderr."""
        done = stepstream(*command.split(), "--db", recorded)

        assert done.code == 0
        assert ESCAPE not in done.out + done.err

    @pytest.mark.parametrize(
        ("command", "width"), [("ls", 80), ("ls", 100), ("show @last", 80), ("tail -F -n 20", 100)]
    )
    def test_lines_fit_the_terminal(
        self, stepstream: CommandLine, recorded: Path, command: str, width: int
    ) -> None:
        """At a terminal there is colour, and no line of a table, a tree or a tail is wider than it."""
        text = stepstream.at_terminal(*command.split(), "--db", recorded, width=width).read_all()
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]

        assert f"{ESCAPE}[" in text
        assert [line for line in lines if len(line) > width] == []

    def test_colour_is_declined(self, stepstream: CommandLine, recorded: Path) -> None:
        """NO_COLOR leaves a terminal without escape sequences."""
        assert ESCAPE not in stepstream.at_terminal("ls", "--db", recorded, NO_COLOR="1").read_all()

    def test_a_reader_that_has_seen_enough(self, stepstream: CommandLine, recorded: Path) -> None:
        """A pipe that is closed early ends the command without a word on stderr."""
        command = f"{sys.executable} -m stepstream export --jsonl - --db {recorded}"
        with subprocess.Popen(
            command.split(),
            cwd=stepstream.directory,
            env=stepstream.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            words = process.stderr.read()

        assert words == b""
        assert process.returncode in {0, 141}


HOSTILE = """
from stepstream import Thought, agent, episode, log_event, tool_call
evil = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e [bold red]markup[/] "
with episode("name " + evil, agent="agent " + evil, tags=(evil,), problem=evil):
    log_event(Thought(text=evil + "\\r\\nsecond line"))
    log_event(Thought(text="x" * 1_000_000))
    with tool_call("tool " + evil, {"key " + evil: evil}) as call:
        call.observe("half \\ud800 " + evil)
    try:
        with tool_call("breaks"):
            raise ValueError(evil + "\\nsecond line")
    except ValueError:
        pass
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A history in which every name and text is hostile."""
    database = tmp_path_factory.mktemp("hostile") / "history.db"
    here = environment | {"STEPSTREAM_DB": str(database)}
    subprocess.run([sys.executable, "-c", HOSTILE], env=here, check=True, timeout=60)
    return database


class TestHostileText:
    """What agents write is shown, never obeyed."""

    @pytest.mark.parametrize(
        "command",
        [
            "ls",
            "ls --json",
            "show @last",
            "show @last --errors --traceback",
            "show @last --step 1",
            "show @last --at 4",
            "show @last --json",
            "tail -F",
            "tail -F --full",
            "tail -F --jsonl",
            "export --jsonl -",
            "sql --csv 'select name, agent from episode'",
            "sql 'select name, agent from episode'",
        ],
    )
    def test_a_terminal_gets_none_of_it(self, stepstream: CommandLine, hostile: Path, command: str) -> None:
        """At a terminal no escape sequence but our own colours arrives, and markup stands as written."""
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
        text = stepstream.at_terminal(*words, "--db", hostile, width=120).read_all()
        without_ours = re.sub(r"\x1b\[[0-9;]*m", "", text)

        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\ud800-\udfff]", without_ours)
        assert command == "ls" or "[bold red]" in text

    def test_a_line_of_a_megabyte_is_one_line(self, stepstream: CommandLine, hostile: Path) -> None:
        """A text of a megabyte takes one line of the terminal."""
        text = stepstream.at_terminal("show", "@last", "--db", hostile, width=80).read_all()

        assert len(text) < 10_000
        assert sum("xxxxxxxx" in line for line in text.splitlines()) == 1


class TestDrain:
    """Reading commands see what was logged, or say what they do not see."""

    LOG = "from stepstream import Thought, episode\nwith episode('left'): pass\n"

    def test_what_nobody_committed_is_read(self, stepstream: CommandLine) -> None:
        """Steps of a process that ended before anybody committed are there when a command reads."""
        stepstream.python("-c", self.LOG, STEPSTREAM_COMMITTER="none")
        assert not (stepstream.directory / "history.db").exists()

        (episode,) = stepstream("ls", "--jsonl").json_lines()

        assert (episode["name"], episode["steps"]) == ("left", 2)

    def test_what_cannot_be_read_yet_is_told(self, stepstream: CommandLine) -> None:
        """Where no committer may be started, the command says how much waits, on stderr."""
        assert stepstream("init").code == 0
        stepstream.python("-c", self.LOG, STEPSTREAM_COMMITTER="none")

        done = stepstream("ls", "--jsonl", STEPSTREAM_COMMITTER="none")

        assert (done.code, done.out) == (0, "")
        assert re.search(r"of new steps are not shown yet: no committer runs.*stepstream doctor", done.err)

    def test_a_copy_on_read_only_media_is_read(self, stepstream: CommandLine, recorded: Path) -> None:
        """A database in a directory that cannot be written is read like any other."""
        directory = stepstream.directory / "media"
        directory.mkdir()
        shutil.copy(self.snapshot(stepstream, recorded), directory / "history.db")
        directory.chmod(0o500)
        try:
            done = stepstream("ls", "--jsonl", "--db", directory / "history.db")
        finally:
            directory.chmod(0o700)

        assert len(done.json_lines()) == 2
        assert [path.name for path in directory.iterdir()] == ["history.db"]

    def snapshot(self, stepstream: CommandLine, recorded: Path) -> Path:
        """A copy of the history."""
        copy = stepstream.directory / "copy.db"
        assert stepstream("snapshot", copy, "--db", recorded).code == 0
        return copy


def test_the_version_is_quick(stepstream: CommandLine) -> None:
    """The version takes no longer than importing the package does, but for a few milliseconds."""
    stepstream("--version")
    times: dict[str, list[float]] = {"version": [], "import": []}
    for _ in range(3):
        for name, arguments in (
            ("version", ("-m", "stepstream", "--version")),
            ("import", ("-c", "import stepstream, importlib.metadata")),
        ):
            began = time.monotonic()
            stepstream.python(*arguments)
            times[name].append(time.monotonic() - began)

    assert min(times["version"]) < min(times["import"]) * 1.3 + 0.05
