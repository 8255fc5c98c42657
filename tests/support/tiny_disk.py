"""A small disk of one's own: a scenario runs in a namespace of its own, on a tmpfs of a few MiB.

Needs root or leave to make user namespaces (``unshare -Urm``); where the kernel forbids both, tests say so and
are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.nursery import ROOT, child_environment

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024
_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


@cache
def forbidden() -> str | None:
    """Why there can be no disk of one's own; None when there can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    mount = "mount -t tmpfs -o size=1m none /proc/fs"
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", mount], capture_output=True, text=True, check=False, timeout=30
    )
    return None if done.returncode == 0 else f"a tmpfs of one's own is forbidden here: {done.stderr.strip()}"


def on_tiny_disk(scenario: Callable[[Path], None], place: Path, mebibytes: float) -> None:
    """Run a function of a test module on a disk of so many MiB; it gets the disk's directory.

    What the scenario writes beside the disk, in the parent of its directory, has all the room there is.
    """
    disk = place / "disk"
    disk.mkdir()
    command = f'mount -t tmpfs -o size={int(mebibytes * MIB)},mode=700 none {disk} && exec "$@"'
    done = subprocess.run(
        [
            *_UNSHARE,
            "sh",
            "-c",
            command,
            "sh",
            sys.executable,
            "-m",
            "tests.support.tiny_disk",
            str(sys.modules[scenario.__module__].__file__),
            scenario.__name__,
            str(disk),
        ],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


class Filler:
    """A file that takes all the room that is left, or most of it."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Take the room."""
        info = os.statvfs(self._disk)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            more = info.f_bavail * info.f_frsize - leave_bytes
            if more > 0:
                os.posix_fallocate(descriptor, size, more)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Give the room back."""
        self._path.unlink()


def main() -> None:
    """Run one scenario."""
    file, name, disk = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("scenario", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scenario"] = module
    spec.loader.exec_module(module)
    getattr(module, name)(Path(disk))


if __name__ == "__main__":
    main()
