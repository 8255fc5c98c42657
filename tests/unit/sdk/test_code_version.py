"""What runs is told from what lies on disk: no process is started, nothing is imported, nothing raises."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepstream.sdk.code_version import code_version, git_commit, installed_packages

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main"]


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*GIT, *arguments], cwd=directory, check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one commit."""
    directory = tmp_path / "project"
    directory.mkdir()
    _git(directory, "init", "-q")
    (directory / "a.txt").write_text("a")
    _git(directory, "add", ".")
    _git(directory, "commit", "-qm", "first")
    return directory


def test_the_commit_is_found_from_any_folder(checkout: Path) -> None:
    """The commit of the branch, of a packed branch, of a detached head, of a worktree."""
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "deep" / "inside").mkdir(parents=True)
    assert git_commit(checkout / "deep" / "inside") == commit
    _git(checkout, "pack-refs", "--all")
    assert git_commit(checkout) == commit
    _git(checkout, "worktree", "add", "-q", "-b", "other", "../worktree")
    assert git_commit(checkout.parent / "worktree") == commit
    _git(checkout, "checkout", "-q", "--detach")
    assert git_commit(checkout) == commit


def test_where_there_is_no_commit_there_is_none(tmp_path: Path, checkout: Path) -> None:
    """No checkout, an empty one, a broken one: None, and no error."""
    assert git_commit(tmp_path) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    _git(empty, "init", "-q")
    assert git_commit(empty) is None
    (checkout / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_commit(checkout) is None


def test_packages_are_those_that_python_knows() -> None:
    """Names and versions agree with importlib.metadata, from the names of directories alone."""
    found = dict(entry.split("==") for entry in installed_packages(sys.path))
    known = {
        item.metadata["Name"].lower().replace("-", "_"): item.version
        for item in importlib.metadata.distributions()
    }

    assert found["pydantic"] == importlib.metadata.version("pydantic")
    named = {name.lower().replace("-", "_").replace(".", "_") for name in found}
    assert {name.replace(".", "_") for name in known} - named <= {"stepstream"}


def test_it_is_looked_up_once_and_quickly() -> None:
    """The first episode waits a few milliseconds for it, the others not at all."""
    version = code_version()
    before = time.perf_counter()
    installed_packages(sys.path)
    assert time.perf_counter() - before < 0.1
    assert code_version() is version
    assert version.python == ".".join(map(str, sys.version_info[:3]))
    assert version.host == os.uname().nodename
