"""Whether a place can hold a history without losing locks or files.

Knows file systems. SQLite and the election need ``flock``, shared memory and one kernel; network and
pass-through file systems promise these and break them (sqlite.org/howtocorrupt.html, section 2).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from stepstream.errors import UnsafeLocation

_UNSAFE = ("nfs", "cifs", "smb", "9p", "virtiofs", "fuse", "ceph", "glusterfs", "afs", "vboxsf", "prl_fs")
_MOUNTS = Path("/proc/self/mountinfo")
_POINT = 4
_ESCAPE = re.compile(r"\\([0-7]{3})")


def check_location(database: Path, *, allow_unsafe: bool = False, mounts: Path = _MOUNTS) -> None:
    """Refuse a database path where steps could be lost.

    Args:
        database: The path.
        allow_unsafe: Whether a file system known to lose locks was chosen on purpose.
        mounts: Where the kernel lists what is mounted, as in proc_pid_mountinfo(5).

    Raises:
        UnsafeLocation: The file has a second name, is a mount point of its own, or lies on a file system
            known to lose locks.
    """
    try:
        info = os.stat(database)
    except FileNotFoundError:
        info = None
    if info is not None:
        if info.st_nlink > 1:
            raise UnsafeLocation(
                database,
                "it has a second name (hard link), whose users would not see each other",
                "copy it instead",
            )
        if info.st_dev != os.stat(database.parent).st_dev:
            raise UnsafeLocation(
                database,
                "the file alone is mounted, so its log and spool are not shared with the other side",
                "mount its directory instead",
            )
    if allow_unsafe:
        return
    kind = file_system(database.parent, mounts)
    if kind is not None and kind.startswith(_UNSAFE):
        raise UnsafeLocation(
            database,
            f"file system {kind!r} is known to lose locks",
            "use a local disk, or set unsafe_location = true after reading docs/how-to/where-to-put-it.md",
        )


def file_system(directory: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system a directory is on, as the kernel names it; None where it does not tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, str] | None = None
    target = os.fspath(directory.resolve())
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) <= _POINT:
            continue
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[_POINT])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and (found is None or len(point) >= found[0]):
            found = (len(point), right.split(" ", 1)[0])
    return None if found is None else found[1]
