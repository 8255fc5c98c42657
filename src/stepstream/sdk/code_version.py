"""What runs: git commit, installed packages, interpreter, platform, host and program.

Knows where these are written on disk. Starts no process and imports no package; looks once a process.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

from stepstream.schemas.episode import CodeVersion
from stepstream.schemas.record import printable

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_DIST_INFO = ".dist-info"


@cache
def code_version() -> CodeVersion:
    """The code this process runs; never raises for what it cannot find out."""
    system = os.uname()
    return CodeVersion(
        git_commit=_git_commit_here(),
        python=".".join(map(str, sys.version_info[:3])),
        platform=printable(f"{system.sysname} {system.release} {system.machine}"),
        host=printable(system.nodename),
        program=printable(next(iter(getattr(sys, "argv", [])), "")),
        packages=installed_packages(sys.path),
    )


def _git_commit_here() -> str | None:
    try:
        return git_commit(Path.cwd())
    except FileNotFoundError:
        # The working directory was removed.
        return None


def git_commit(directory: Path) -> str | None:
    """The commit of the checkout a directory lies in; None when there is none that can be read."""
    for folder in (directory, *directory.parents):
        try:
            git = _git_directory(folder / ".git")
            if git is not None:
                return _commit(git)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _git_directory(path: Path) -> Path | None:
    """Where git keeps its data; a worktree and a submodule have a file that says so."""
    if path.is_dir():
        return path
    if not path.is_file():
        return None
    name = path.read_text("utf-8").partition("gitdir:")[2].strip()
    return (path.parent / name) if name else None


def _commit(git: Path) -> str | None:
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.match(head) else None
    reference = head.removeprefix("ref:").strip()
    shared = git / "commondir"
    places = [git, git / shared.read_text("utf-8").strip()] if shared.is_file() else [git]
    for place in places:
        loose = place / reference
        if loose.is_file():
            text = loose.read_text("utf-8").strip()
            return text if _COMMIT.match(text) else None
    for place in places:
        packed = place / "packed-refs"
        if packed.is_file():
            for line in packed.read_text("utf-8").splitlines():
                commit, _, name = line.partition(" ")
                if name == reference and _COMMIT.match(commit):
                    return commit
    return None


def installed_packages(places: list[str]) -> tuple[str, ...]:
    """The distributions installed on a path, by the names of their directories alone."""
    found: set[str] = set()
    for place in places:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208 - half the time of pathlib, and every program waits for it
        except OSError:
            continue
        for name in names:
            if name.endswith(_DIST_INFO):
                package, _, version = name.removesuffix(_DIST_INFO).partition("-")
                found.add(printable(f"{package}=={version}"))
    return tuple(sorted(found))
