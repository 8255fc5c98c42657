"""``tail``: what is there, what comes, and what happens when those who write or commit die."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.command_line import wait_for

from stepstream.schemas.step import Step
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import read_status

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.support.command_line import CommandLine, Done

    Run = Callable[..., Done]

AGENT = """
import sys
from stepstream import ObservabilityProvider, Thought

name, agent = sys.argv[1:]
with ObservabilityProvider("history.db") as provider, provider.episode(name, agent=agent) as episode:
    print("ready", flush=True)
    for line in sys.stdin:
        with episode.tool_call("listen") as call:
            call.observe(line.strip())
        episode.log_event(Thought(text=f"heard {line.strip()}"))
        print("logged", flush=True)
"""


def say(agent: subprocess.Popen[str], text: str) -> None:
    """Let an agent log something, and wait until it has."""
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write(text + "\n")
    agent.stdin.flush()
    agent.stdout.readline()


def committers(directory: Path) -> list[int]:
    """The processes that commit, or stand for it, for a database in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if "stepstream.store.committer_process" in words and str(directory / "history.db") in words:
                found.append(int(process.name))
    return found


def hush(agent: subprocess.Popen[str]) -> None:
    """Let an agent end its episode."""
    agent.communicate(timeout=30)


@pytest.fixture
def agent(stepstream: CommandLine) -> subprocess.Popen[str]:
    """An agent that logs what it is told."""
    process = stepstream.agent(AGENT, "a live run", "listener")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_last_steps_are_shown(inside: Run, recorded: Path) -> None:
    """Without following, the last steps come in order and the command ends."""
    lines = inside("tail", "-n", "5", "--db", recorded).out.splitlines()

    assert len(lines) == 5
    assert "ended accepted, score 0.51" in lines[-1]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  Design bracket-9  ", lines[-1])


def test_one_episode_and_a_filter(inside: Run, recorded: Path) -> None:
    """An episode, a filter, or both narrow what is shown; one word that is no id is a filter."""
    first = str(inside("ls", "problem:bracket-14", "--jsonl", "--db", recorded).json_lines()[0]["id"])
    of_episode = inside("tail", first, "-n", "1000", "--jsonl", "--db", recorded).json_lines()
    errors = inside("tail", "kind:error", "--jsonl", "--db", recorded).json_lines()
    both = inside("tail", first, "kind:error", "--jsonl", "--db", recorded).json_lines()

    assert {step["episode_id"] for step in of_episode} == {first}
    assert {step["kind"] for step in errors} == {"error_report"}
    assert both == [step for step in errors if step["episode_id"] == first]
    assert 0 < len(both) < len(errors)


def test_json_lines_are_steps(inside: Run, recorded: Path) -> None:
    """Every line of JSON is a Step, in the order of cursors."""
    out = inside("tail", "-n", "1000", "--jsonl", "--db", recorded).out
    steps = [Step.model_validate_json(line) for line in out.splitlines()]

    assert [step.cursor for step in steps] == list(range(1, len(steps) + 1))


def test_since_bounds_the_age(inside: Run, recorded: Path) -> None:
    """With an age only younger steps are shown, and all of those."""
    total = sum(int(str(each["steps"])) for each in inside("ls", "--jsonl", "--db", recorded).json_lines())

    assert len(inside("tail", "--since", "1d", "--jsonl", "--db", recorded).json_lines()) == total
    assert inside("tail", "--since", "1ms", "--jsonl", "--db", recorded).out == ""
    assert inside("tail", "--since", "soon", "--db", recorded).code == 2


def test_full_shows_whole_texts(inside: Run, recorded: Path) -> None:
    """In full, an error comes with its traceback."""
    short = inside("tail", "kind:error", "--db", recorded).out
    full = inside("tail", "kind:error", "--full", "--db", recorded).out

    assert "Traceback (most recent call last)" not in short
    assert "    Traceback (most recent call last)" in full


def test_steps_of_another_process_are_shown_live(
    stepstream: CommandLine, agent: subprocess.Popen[str]
) -> None:
    """A step that another process logs is on the screen at once, with how long its call had taken."""
    following = stepstream.follow("tail", "-f")
    following.read_until("started a live run")
    say(agent, "one")
    following.read_until("heard one")
    began = time.monotonic()
    say(agent, "two")
    text = following.read_until("heard two")

    assert time.monotonic() - began < 5
    assert re.search(r"listener  ✓ listen → two  \d+ (µs|ms)\n", text)
    assert text.index("listen → one") < text.index("heard one") < text.index("listen → two")
    hush(agent)
    following.read_until("ended completed")
    assert following.interrupt() == 130


def test_new_episodes_are_followed(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """Without an episode named, one that begins later is followed too, and lines say whose they are."""
    following = stepstream.follow("tail", "-f")
    following.read_until("started a live run")
    other = stepstream.agent(AGENT, "another run", "second")
    following.read_until("another run  second")
    hush(other)
    hush(agent)
    following.read_until("a live run   listener  ✓ ended")


def test_one_episode_is_followed_to_its_end(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """Following one episode ends with it, and shows nothing of others."""
    following = stepstream.follow("tail", "@last", "-f")
    following.read_until("started")
    other = stepstream.agent(AGENT, "another run", "second")
    hush(other)
    say(agent, "one")
    hush(agent)
    text = following.read_all()

    assert following.process.returncode == 0
    assert "ended completed" in text
    assert "second" not in text


def test_a_filter_holds_for_what_comes(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """A filter lets the same steps pass live as it does in the table."""
    following = stepstream.follow("tail", "tool:listen", "-f")
    say(agent, "one")
    text = following.read_until("listen → one")
    hush(agent)

    assert "heard" not in text
    assert "started" not in text


def test_at_a_terminal_it_follows_by_itself(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """At a terminal no option is needed to follow, and Ctrl-C ends it with code 130."""
    following = stepstream.at_terminal("tail")
    following.read_until("a live run")
    say(agent, "one")
    following.read_until("heard one")
    hush(agent)

    assert following.interrupt() == 130
    assert "Traceback" not in following.text


def test_waiting_for_a_history_to_begin(stepstream: CommandLine) -> None:
    """Asked to follow, it waits for a database that is not there yet and shows it from its first step."""
    following = stepstream.follow("tail", "-f")
    following.read_until("waiting for history.db")
    agent = stepstream.agent(AGENT, "a late run", "listener")
    following.read_until("started a late run")
    hush(agent)


def test_a_new_committer_is_followed(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """After the committer was killed and another one took over, the next steps are shown, each once."""
    following = stepstream.follow("tail", "-f")
    say(agent, "one")
    following.read_until("heard one")
    spool = SpoolDirectory(stepstream.directory / "history.db", create=False)
    try:
        status = read_status(spool)
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
    finally:
        spool.close()
    say(agent, "two")
    text = following.read_until("heard two")
    hush(agent)

    assert len(re.findall("heard one", text)) == 1


def test_everybody_else_was_killed(stepstream: CommandLine, agent: subprocess.Popen[str]) -> None:
    """When agent and committer are killed at once, following sees to it that what was logged is committed."""
    following = stepstream.follow("tail", "-f")
    say(agent, "one")
    following.read_until("heard one")
    spool = SpoolDirectory(stepstream.directory / "history.db", create=False)
    try:
        status = read_status(spool)
        assert status is not None
        wait_for(lambda: committers(stepstream.directory) == [status.pid], "an election without latecomers")
        os.kill(status.pid, signal.SIGSTOP)
        say(agent, "the last word")
        os.kill(agent.pid, signal.SIGKILL)
        os.kill(status.pid, signal.SIGKILL)
    finally:
        spool.close()
    agent.communicate(timeout=30)
    text = following.read_until("ended interrupted")

    assert "heard the last word" in text
