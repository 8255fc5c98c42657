"""Processes that log for the order tests: ``python -m tests.support.players PART DIRECTORY ...``.

Each says on its standard output what it was told, as JSON, when it ends.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests.support.frames import NO_ID, new_id, thought
from tests.support.rounds import settings

from stepstream.schemas.release import RELEASE
from stepstream.spool.clock import SystemClock
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.frame import encode_step
from stepstream.spool.recorder import Recorder
from stepstream.store.hosting import database_identity, ensure_committer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepstream.settings import Settings

PATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))


class Player:
    """A recorder as a provider opens it: it finds the identity, and sees to a committer where asked to."""

    def __init__(self, directory: Path, options: Settings, episode: bytes | None = None) -> None:
        database = directory / "history.db"
        self.spool = SpoolDirectory(database)
        identity = database_identity(database, self.spool)
        self.recorder = Recorder(
            self.spool,
            identity,
            options,
            SystemClock(),
            RELEASE,
            lambda: ensure_committer(database, self.spool, options),
        )
        self.episode = episode or new_id()
        self.count = 0

    def log(self, text: str) -> None:
        """Log a thought."""
        body = encode_step(new_id(), self.episode, NO_ID, NO_ID, 0, 1, 0, b"thought", b"", b"", thought(text))
        if not self.recorder.append(1, body):
            raise AssertionError(self.recorder.refusal)
        self.count += 1

    def report(self, **more: object) -> None:
        """Close, and say what was logged."""
        self.recorder.close()
        print(json.dumps({"recorder": self.recorder.id.hex(), "count": self.count, **more}), flush=True)


def start(
    part: str, directory: Path, *arguments: str | int, stdin: int | IO[bytes] | None = None, **options: object
) -> subprocess.Popen[bytes]:
    """Start a part of this file as a process."""
    command = [sys.executable, "-m", "tests.support.players", part, os.fspath(directory)]
    return subprocess.Popen(
        [*command, json.dumps(options), *map(str, arguments)],
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PATH},
    )


def finish(process: subprocess.Popen[bytes], within_s: float = 50.0) -> dict[str, Any]:
    """Wait for a process and read its report."""
    try:
        output, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, f"a player ended with {process.returncode}"
    return dict(json.loads(output.splitlines()[-1]))


def play_pingpong(player: Player, rounds: int) -> None:
    """Ask and be answered through two pipes: each logs first, and writes to its pipe then."""
    to_child, from_child = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        player.recorder.abandon()
        answerer = Player(player.spool.path.parent, settings(), player.episode)
        for number in range(rounds):
            os.read(to_child[0], 1)
            answerer.log(f"a{number}")
            os.write(from_child[1], b".")
        answerer.recorder.close()
        os._exit(0)
    for number in range(rounds):
        player.log(f"q{number}")
        os.write(to_child[1], b".")
        os.read(from_child[0], 1)
    os.waitpid(child, 0)
    player.report()


class Grumbler:
    """Logs when it is collected, in a cycle, so that only the collector can do it."""

    def __init__(self, log: Callable[[], None]) -> None:
        self.log = log
        self.me = self

    def __del__(self) -> None:
        self.log()


def play_reentry(player: Player, handlers: int) -> None:
    """Log while a signal handler and destructors log in the same thread."""
    told = interrupt_yourself(player.log, handlers, lambda _: None)
    player.report(**told)


def interrupt_yourself(
    log: Callable[[str], None], handlers: int, remark: Callable[[int], None]
) -> dict[str, int]:
    """Log while a signal handler and destructors log in the same thread, until the handler ran so often."""
    told = {"main": 0, "handler": 0, "destructor": 0, "remark": 0}
    depth = 0

    def say(who: str) -> None:
        number, told[who] = told[who], told[who] + 1
        log(f"{who} {number}")

    def arm() -> None:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0002))

    def handle(_number: int, _frame: object) -> None:
        # A handler may come between a handler, but not for ever: a slow disk would end in a recursion.
        nonlocal depth
        depth += 1
        if depth < 4:
            arm()
        say("handler")
        depth -= 1
        arm()

    # The first steps import and create what they need; a handler that imports the same fails in CPython itself.
    for _ in range(2):
        say("main")
        remark(told["remark"])
        told["remark"] += 1
    signal.signal(signal.SIGALRM, handle)
    gc.set_threshold(40, 2, 2)
    arm()
    deadline = time.monotonic() + 40
    while told["handler"] < handlers and time.monotonic() < deadline:
        say("main")
        if told["main"] % 16 == 0:
            Grumbler(lambda: say("destructor"))
        if told["main"] % 64 == 0:
            remark(told["remark"])
            told["remark"] += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    gc.collect()
    return told


def play_public(directory: Path, handlers: int) -> None:
    """The same through the public interface, with a logging handler that records beside it."""
    from stepstream import ObservabilityProvider, StepHandler, StepPayload, Thought

    class Remark(StepPayload, kind="remark"):
        text: str

    logger = logging.getLogger("agent")
    with (
        ObservabilityProvider(directory / "history.db", committer="none") as provider,
        provider.episode("re-entry", agent="a") as episode,
    ):
        logger.addHandler(StepHandler())
        logger.setLevel(logging.INFO)

        def log(text: str) -> None:
            episode.log_event((Thought if len(text) % 2 else Remark)(text=text))

        told = interrupt_yourself(log, handlers, lambda number: logger.info("%d", number))
    print(json.dumps(told), flush=True)


def play_start(player: Player, count: int) -> None:
    """Log as soon as everybody does, and see to a committer."""
    sys.stdin.buffer.read()
    ensure = player.recorder._on_check
    ensure()
    for number in range(count):
        player.log(str(number))
        if number % 50 == 0:
            time.sleep(random.uniform(0, 0.002))
    player.report(database=player.recorder._database_id.hex())


def play_fork(player: Player, children: int) -> None:
    """Log, fork children that log for themselves or die at once, and go on; answers come after questions."""
    player.log("parent 0")
    reports = []
    for number in range(children):
        player.log(f"ask {number}")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            if number % 3 == 2:
                # It never logs, and goes without a word.
                os.kill(os.getpid(), signal.SIGKILL)
            player.recorder.abandon()
            own = Player(player.spool.path.parent, settings(), player.episode)
            own.log(f"child {number}")
            os.write(write, own.recorder.id)
            if number % 3 == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            own.recorder.close()
            os._exit(0)
        os.close(write)
        reports.append(os.read(read, 16).hex())
        os.close(read)
        os.waitpid(child, 0)
        player.log(f"answered {number}")
    player.report(children=reports)


PARTS: dict[str, Callable[[Player, int], None]] = {
    "pingpong": play_pingpong,
    "reentry": play_reentry,
    "start": play_start,
    "fork": play_fork,
}


def main(arguments: Sequence[str]) -> None:
    """Play a part."""
    part, directory, options, count = arguments
    if part == "public":
        play_public(Path(directory), int(count))
        return
    player = Player(Path(directory), settings(**json.loads(options)))
    PARTS[part](player, int(count))


if __name__ == "__main__":
    main(sys.argv[1:])
