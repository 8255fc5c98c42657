"""strace as the adversary: it kills, fails or delays a process at its N-th call of a kind.

Needs strace and leave to trace; where either is missing, tests say so and are skipped.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.nursery import WITHIN_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.nursery import Child

_SHORT = ["-qq", "-f", "-s", "200"]


@cache
def forbidden() -> str | None:
    """Why nothing can be traced here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    inject = ["-e", "trace=getppid", "-e", "inject=getppid:error=EIO"]
    command = ["strace", *_SHORT, "-o", "/dev/null", *inject, sys.executable, "-c", "import os; os.getppid()"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    return None if done.returncode == 0 else f"ptrace is forbidden here: {done.stderr.strip()}"


class Tracer:
    """strace, attached to a child that was born with ``traced=True``.

    Args:
        child: The process, waiting to be traced.
        injections: What is done to it, each as strace wants it: ``pwrite64:signal=KILL:when=3``.
        report: Where strace writes.
        only: The one file whose calls are meant; all are by default.
    """

    def __init__(self, child: Child, *injections: str, report: Path, only: Path | None = None) -> None:
        self.report = report
        names = sorted({name for each in injections for name in each.partition(":")[0].split(",")})
        orders = [part for each in injections if ":" in each for part in ("-e", f"inject={each}")]
        orders += ["-P", str(only), "-P", only.name] if only is not None else []
        until(lambda: child.state() == "T", "the child waits for its tracer")
        self._process = subprocess.Popen(
            [
                "strace",
                *_SHORT,
                "-o",
                str(report),
                "-e",
                f"trace={','.join(names)}",
                *orders,
                "-p",
                str(child.pid),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: child.is_traced() or self._process.poll() is not None, "strace attaches")
        child.signal(signal.SIGCONT)

    def wait(self, within_s: float = WITHIN_S) -> None:
        """Wait until the traced process has ended."""
        try:
            _, said = self._process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise AssertionError(f"the traced process did not end within {within_s:g} s") from None
        assert "attach" not in said, said

    def wait_for(self, said: Callable[[str], bool]) -> None:
        """Wait until the report says something."""
        until(
            lambda: self.report.exists() and said(self.report.read_text("utf-8", "replace")),
            "strace reports what is waited for",
        )

    def detach(self) -> None:
        """Leave the traced process to itself."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate(timeout=WITHIN_S)

    def has_struck(self) -> bool:
        """Whether an injection has happened."""
        text = self.report.read_text("utf-8", "replace") if self.report.exists() else ""
        return "(INJECTED)" in text or "killed by SIGKILL" in text

    def calls(self) -> dict[str, int]:
        """How often each traced call was made."""
        return calls_of(self.report.read_text("utf-8", "replace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()


def calls_of(report: str) -> dict[str, int]:
    """How often each call was made by the thread that made it most, for strace counts by thread."""
    most: dict[str, int] = {}
    for (_, name), count in Counter(re.findall(r"^(\d+) +(\w+)\(", report, re.MULTILINE)).items():
        most[name] = max(count, most.get(name, 0))
    return most
