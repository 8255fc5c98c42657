"""Real processes at the price of a fork: a nursery imports everything once and then bears children.

A child runs one function of a module, in a session of its own. It is no child of the test's, so it is watched
through a descriptor of its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 30.0
_PRELOAD = (
    "stepstream.spool.recorder",
    "stepstream.store.committer_process",
    "stepstream.store.hosting",
    "tests.support.agents",
)
_PR_SET_PTRACER = 0x59616D61
_ANY = ctypes.c_ulong(-1)

Argument = str | int | float | bool | None


def child_environment() -> dict[str, str]:
    """The environment of a process that shall find the product and the tests' support."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("STEPSTREAM_")},
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def until(done: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait until something is so; fail when it is not within a deadline."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.002)


class Child:
    """A process of the nursery."""

    def __init__(self, nursery: Nursery, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._nursery = nursery
        self._handle = os.pidfd_open(pid)
        self._status: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal; one that has ended hears nothing."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """End it as ``kill -9`` does, and see it gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def has_ended(self) -> bool:
        """Whether it is gone."""
        if self._status is not None:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(0))

    def wait(self, within_s: float = WITHIN_S) -> int:
        """Wait for its end; returns the exit code, or the negative number of the signal that killed it."""
        if self._status is None:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            if not poll.poll(within_s * 1000):
                raise AssertionError(f"process {self.pid} did not end within {within_s:g} s:\n{self.said()}")
            self._status = os.waitstatus_to_exitcode(self._nursery.reap(self.pid))
            os.close(self._handle)
        return self._status

    def finish(self, within_s: float = WITHIN_S) -> None:
        """Wait for its end, which must be a good one."""
        status = self.wait(within_s)
        assert status == 0, f"process {self.pid} ended with {status}:\n{self.said()}"

    def said(self) -> str:
        """What it wrote to its output."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def stopped_outside(self, files: Callable[[], bool]) -> bool:
        """Stop it at a moment when a condition holds; says whether it does."""
        self.signal(signal.SIGSTOP)
        until(lambda: self.state() in "TtZ", f"process {self.pid} stops")
        return files()

    def is_traced(self) -> bool:
        """Whether a tracer has attached."""
        try:
            return b"TracerPid:\t0\n" not in Path(f"/proc/{self.pid}/status").read_bytes()
        except FileNotFoundError:
            return False

    def state(self) -> str:
        """The kernel's letter for what it does: R, S, D, T, Z."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "Z"


class Nursery:
    """Starts children; ends what is left of them when it is closed."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._living: dict[int, Child] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(),
            text=True,
        )

    def bear(
        self, function: str, *arguments: Argument, traced: bool = False, limits: dict[str, int] | None = None
    ) -> Child:
        """Start a child that calls ``module:function``.

        Args:
            function: The module and its function.
            *arguments: What it is called with.
            traced: Whether it waits for a tracer before it begins.
            limits: Resource limits by the name of their constant.
        """
        order = {
            "function": function,
            "arguments": arguments,
            "traced": traced,
            "limits": limits or {},
            "logs": str(self._logs),
        }
        pid = self._ask(order)
        child = self._living[pid] = Child(self, pid, self._logs / f"child-{pid}.log")
        return child

    def reap(self, pid: int) -> int:
        """The wait status of a child that has ended."""
        self._living.pop(pid, None)
        return self._ask({"reap": pid})

    def _ask(self, order: dict[str, object]) -> int:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """End every child and the nursery."""
        for child in list(self._living.values()):
            child.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(WITHIN_S)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """Bear and reap children, as the lines on standard input say."""
    for name in ("resource", *_PRELOAD):
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            print(os.waitpid(order["reap"], 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            os._exit(_live(order))
        print(pid, flush=True)


def _live(order: dict[str, object]) -> int:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(f"{order['logs']}/child-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.closerange(3, 256)
    try:
        _limit(order["limits"])
        if order["traced"]:
            _await_tracer()
        module, _, name = str(order["function"]).partition(":")
        return getattr(importlib.import_module(module), name)(*order["arguments"]) or 0
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the last frame of a child
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _limit(limits: dict[str, int]) -> None:
    import resource

    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def _await_tracer() -> None:
    """Stop until strace has attached, which Yama may forbid to whoever is no ancestor."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
