"""A cell: a program as a container or a hardened service has it, as near as a machine without either allows.

It is process 1 of its own, a user who owns nothing and may nothing, in a file system that cannot be written
but for the directories that are given to it and ``/tmp``, with a network of its own that leads nowhere. All of
it is made of the kernel's namespaces, by ``unshare``; no privilege is needed where a user may make them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.command_line import DEADLINE_S, ROOT, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BINARIES = "/opt/stepstream/bin"
"""Where ``stepstream`` and ``python`` lie inside."""

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "--kill-child")

# Arguments: where to build, the user, the directories to show, "--", pairs of outside and inside that may be
# written, "--", the program.
_BUILD = """
set -e
root=$1 user=$2; shift 2
mount -t tmpfs -o mode=755 cell "$root"
mkdir -p "$root/tmp" "$root/proc" "$root%(binaries)s"
mount -t tmpfs -o mode=1777 cell "$root/tmp"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
  if [ -L "$1" ]; then
    ln -s "$(readlink "$1")" "$root$1"
  else
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
  fi
  shift
done
shift
for name in stepstream python; do
  printf '#!/bin/sh\\nPYTHONPATH=%(source)s exec %(python)s %%s "$@"\\n' \
    "$([ "$name" = python ] || echo '-m stepstream')" > "$root%(binaries)s/$name"
  chmod 755 "$root%(binaries)s/$name"
done
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
%(python)s -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))'
exec setpriv --no-new-privs unshare --user --map-user="$user" --map-group="$user" --root="$root" --wd=/ "$@"
"""


@cache
def why_not() -> str | None:
    """Why there can be no cell on this machine; None where there can be one."""
    trial = "mount -t tmpfs none /mnt && mount -t proc none /proc && setpriv --version"
    try:
        done = subprocess.run([*_UNSHARE, "sh", "-c", trial], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no unshare here"
    return done.stderr.strip() if done.returncode else None


class Cell:
    """A program in a cell."""

    def __init__(
        self,
        argv: Sequence[str],
        scratch: Path,
        *,
        user: int,
        writable: Mapping[Path, str],
        variables: Mapping[str, str],
    ) -> None:
        """Start it.

        Args:
            argv: The program, by its name or its path inside.
            scratch: An empty directory of ours.
            user: The user and the group that it is.
            writable: The directories that it may write, and where it finds them.
            variables: Its environment.
        """
        root = scratch / "root"
        root.mkdir()
        self._variables = {"PATH": f"{BINARIES}:/usr/bin:/bin", **variables}
        self._log = scratch / "log"
        shown = [path for path in ("/usr", "/bin", "/lib", "/lib64", "/etc", "/dev") if os.path.lexists(path)]
        shown += [
            path for path in sorted({sys.prefix, sys.base_prefix, str(ROOT)}) if not path.startswith("/usr")
        ]
        paths = {"binaries": BINARIES, "source": ROOT / "src", "python": sys.executable}
        pairs = [str(part) for pair in writable.items() for part in pair]
        settings = [f"{name}={value}" for name, value in self._variables.items()]
        given = [str(user), *shown, "--", *pairs, "--", "env", "-i", *settings, *argv]
        with self._log.open("wb") as log:
            self._outside = subprocess.Popen(
                [*_UNSHARE, "sh", "-c", _BUILD % paths, "cell", root, *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """What it has printed, on stdout and stderr."""
        return self._log.read_text("utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until it says something."""
        wait_for(lambda: text in self.said or self._outside.poll() is not None, repr(text))
        assert text in self.said, f"it ended and said {self.said}"

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run another program beside it, as the same user."""
        settings = [f"{name}={value}" for name, value in self._variables.items()]
        enter = ("nsenter", "--all", "--root", "--wd", "--preserve-credentials", f"--target={self._inside}")
        return subprocess.run(
            [*enter, "env", "-i", *settings, *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def status(self) -> dict[str, str]:
        """What the kernel says of it."""
        lines = Path(f"/proc/{self._inside}/status").read_text("utf-8").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def stop(self, within_s: float) -> int:
        """Stop it as a service or a container is stopped; returns its exit code."""
        os.kill(self._inside, signal.SIGTERM)
        return self._outside.wait(within_s)

    def wait(self) -> int:
        """Wait until it ends by itself; returns its exit code."""
        return self._outside.wait(DEADLINE_S)

    @property
    def _inside(self) -> int:
        pid = self._outside.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._outside.poll() is None:
            self._outside.kill()
            self._outside.wait(DEADLINE_S)
