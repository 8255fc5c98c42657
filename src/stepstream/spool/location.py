"""Whether a place can hold a history without losing locks or files, and where steps for a server wait.

Knows file systems. SQLite and the election need ``flock``, shared memory and one kernel; network and
pass-through file systems promise these and break them (sqlite.org/howtocorrupt.html, section 2).
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.errors import UnsafeLocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def state_directory(chosen: str | None, environment: Mapping[str, str], mounts: Path = _MOUNTS) -> Path:
    """Where steps wait that are meant for servers; nothing is created.

    Args:
        chosen: What the settings say; it is taken as it is.
        environment: Variables by name.
        mounts: As for ``check_location``.

    Returns:
        The first of these that can be used: what was chosen, the user's state directory, and a directory of
        the user's own among the temporary files.
    """
    if chosen is not None:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    for place in _state_homes(environment):
        if _can_hold(place, mounts):
            return place / "stepstream"
    return Path(tempfile.gettempdir()) / f"stepstream-{os.geteuid()}"


def _state_homes(environment: Mapping[str, str]) -> Iterator[Path]:
    stated = environment.get("XDG_STATE_HOME", "")
    # A relative one is to be ignored, says the standard.
    if os.path.isabs(stated):
        yield Path(stated)
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        yield Path(home) / ".local" / "state"


def _can_hold(directory: Path, mounts: Path) -> bool:
    """Whether a directory, or the nearest one above it that is there, can be written and keeps locks."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    kind = file_system(there, mounts)
    is_safe = kind is None or not kind.startswith(_UNSAFE)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK) and is_safe


def make_private(directory: Path) -> None:
    """Create a directory, and those above it, so that nobody else may write there.

    Raises:
        UnsafeLocation: One that is there already is a link, belongs to somebody else, or others may write to
            it.
        OSError: It cannot be created.
    """
    directory.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in (directory.parent, directory):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            _check_private(each)


def _check_private(directory: Path) -> None:
    info = os.stat(directory, follow_symlinks=False)
    if not stat.S_ISDIR(info.st_mode):
        raise UnsafeLocation(directory, "it is not a directory of its own", "remove it")
    if info.st_uid != os.geteuid():
        advice = "set STEPSTREAM_SPOOL_DIRECTORY to a directory of your own"
        raise UnsafeLocation(directory, f"it belongs to user {info.st_uid}", advice)
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeLocation(
            directory,
            "others may write there, and who writes there can forge steps",
            f"run: chmod 700 {directory}",
        )
