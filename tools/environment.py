"""The virtual environment of a checkout: made, kept up to date, shared by shells that start at once.

Runs on a bare Python, so it imports the standard library only. Knows requirement files and pip; must not know
what the environment is used for.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Each set holds the one before it: what `demo` needs is a quick first run, tests and checks need the rest.
REQUIREMENTS = {"runtime": ("runtime.txt", "build.txt"), "dev": ("dev.txt",)}

VENV_PACKAGE = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


class Environment:
    """A virtual environment with stepstream installed in place."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path
        self.python = path / "bin" / "python"
        self._unfinished = path.with_name(f"{path.name}.unfinished")

    def require(self, name: str) -> None:
        """Bring the environment up to the set of requirements of this name."""
        names = list(REQUIREMENTS)[: list(REQUIREMENTS).index(name) + 1]
        if self._unfinished.exists() or not all(self._is_current(name) for name in names):
            with self._lock():
                self._prepare(names)
        if not dashboard.is_current(self.root):
            with self._lock():
                self._build_dashboard()

    def run(self, *command: str) -> int:
        """Run a command of the environment in the checkout; return its exit code."""
        return subprocess.run(
            self._resolved(command), cwd=self.root, env=self._variables(), check=False
        ).returncode

    def become(self, *command: str) -> NoReturn:
        """Turn this process into a command of the environment; signals and the terminal are then its own."""
        sys.stdout.flush()
        resolved = self._resolved(command)
        try:
            os.execve(resolved[0], resolved, self._variables())
        except OSError as error:
            message = f"cannot run {command[0]}: {error.strerror}"
            raise SetupError(message) from error

    def _resolved(self, command: Sequence[str]) -> list[str]:
        return [shutil.which(command[0], path=self._variables()["PATH"]) or command[0], *command[1:]]

    def _variables(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        search = f"{self.path / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
        return variables | {"VIRTUAL_ENV": str(self.path), "PATH": search}

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.with_name(f"{self.path.name}.lock").open("w")
        except OSError as error:
            message = f"{error}; name a place that can be written in STEPSTREAM_VENV"
            raise SetupError(message) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another ./dev that is preparing the environment")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _prepare(self, names: Sequence[str]) -> None:
        is_usable = self._is_usable()
        self._unfinished.touch()
        try:
            if not is_usable:
                self._create()
            for name in names:
                if not self._is_current(name):
                    self._install(name)
        except SetupError:
            self._unfinished.unlink()  # pip takes back what it cannot finish, unless it is killed
            raise
        self._unfinished.unlink()

    def _is_usable(self) -> bool:
        # A preparation that was cut off may have left half a package, which pip would take for a whole one.
        if self._unfinished.exists() or not self.python.exists():
            return False
        # A copied environment still has scripts that start the interpreter of the original.
        if not (self.path / "pyvenv.cfg").read_text().rstrip().endswith(f" {self.path}"):
            return False
        return (
            subprocess.run([self.python, "-c", "import pip"], capture_output=True, check=False).returncode
            == 0
        )

    def _create(self) -> None:
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / "pyvenv.cfg").exists():
            message = (
                f"{self.path} is not empty and no virtual environment; name another place in STEPSTREAM_VENV"
            )
            raise SetupError(message)
        say(f"creating {self.path} with Python {sys.version.split()[0]}")
        # The interpreter behind an active environment: --clear must not delete the one that is running.
        venv = (getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear")
        if has_ensurepip() or (install_debian_package(VENV_PACKAGE) and has_ensurepip()):
            execute(*venv, self.path)
            return
        say("this Python has no ensurepip: taking pip from Debian's package, into the environment only")
        try:
            execute(*venv, "--without-pip", self.path)
            with tempfile.TemporaryDirectory(prefix="stepstream-pip-") as scratch:
                wheel = download_pip_of_debian(Path(scratch))
                execute(self.python, f"{wheel}/pip", "install", "--quiet", "--no-index", wheel)
        except SetupError as failure:
            remedy = (
                f"Install ensurepip and run ./dev again (Debian, as root: apt-get install {VENV_PACKAGE})."
            )
            message = f"{failure}\n{remedy}"
            raise SetupError(message) from failure

    def _install(self, name: str) -> None:
        say(f"installing the {name} requirements" + (" (a minute or two, once)" if name == "dev" else ""))
        self._stamp(name).unlink(missing_ok=True)
        files = [f"--requirement={self.root / 'requirements' / file}" for file in REQUIREMENTS[name]]
        # Wheels only: a build would run unpinned code and fail late, for want of a compiler.
        self._pip("install", "--require-hashes", "--only-binary=:all:", *files)
        if name == "runtime":
            # The dashboard is built apart, again and again as its sources change.
            skip = {"STEPSTREAM_SKIP_DASHBOARD": "1"}
            self._pip("install", "--no-deps", "--no-build-isolation", f"--editable={self.root}", **skip)
        self._stamp(name).write_text(self._fingerprint(name))

    def dashboard_node(self) -> dashboard.Node:
        """A Node with all that checks and tests of the dashboard need.

        Raises:
            SetupError: There is none and none can be had, or npm's registry cannot be reached.
        """
        with self._lock():
            try:
                node = self._find_node()
                dashboard.install(self.root, node, with_tools=True)
            except dashboard.BuildFailed as reason:
                raise SetupError(str(reason)) from reason
        return node

    def _build_dashboard(self) -> None:
        """Build the page; without it everything else works, so that a failure stops nobody but CI."""
        if dashboard.is_current(self.root):
            return
        try:
            node = self._find_node()
            say("building the dashboard (some seconds, when its sources changed)")
            dashboard.build(self.root, node)
        except (SetupError, dashboard.BuildFailed) as reason:
            if os.environ.get("STEPSTREAM_REQUIRE_DASHBOARD"):
                raise SetupError(str(reason)) from reason
            say(f"the dashboard is not built, and the server says so at /: {reason}")

    def _find_node(self) -> dashboard.Node:
        node = dashboard.find_node(self._packages())
        if node is None:
            say("installing a Node for the dashboard's build (60 MB, once)")
            self._pip("install", "--require-hashes", f"--requirement={self.root}/requirements/node.txt")
            node = dashboard.find_node(self._packages())
        if node is None:
            message = f"{dashboard.NODE_REQUIREMENT} has no Node that runs here"
            raise SetupError(message)
        return node

    def _packages(self) -> Path:
        (packages,) = self.path.glob("lib/python3*/site-packages")
        return packages

    def _pip(self, *arguments: str, **variables: str) -> None:
        pip = (self.python, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")
        execute(*pip, *arguments, variables=variables)

    def _stamp(self, name: str) -> Path:
        return self.path / f"stepstream-{name}.stamp"

    def _is_current(self, name: str) -> bool:
        try:
            return self._stamp(name).read_text() == self._fingerprint(name)
        except OSError:
            return False

    def _fingerprint(self, name: str) -> str:
        """Digest what an installation depends on: pins, packaging, and where checkout and Python lie."""
        pyproject = tomllib.loads((self.root / "pyproject.toml").read_text())
        packaging = [pyproject["build-system"], pyproject["project"], pyproject["tool"]["hatch"]]
        places = [str(self.root), str(self.path), str(self.python.resolve())]
        digest = hashlib.sha256(json.dumps([places, packaging]).encode())
        for file in REQUIREMENTS[name]:
            digest.update((self.root / "requirements" / file).read_bytes())
        return digest.hexdigest()


def say(line: str) -> None:
    """Tell the person what is being done."""
    print(f"dev: {line}", file=sys.stderr, flush=True)


def execute(
    *command: str | Path, cwd: Path | None = None, stdin: str = "", variables: Mapping[str, str] | None = None
) -> None:
    """Run a command whose output matters only when it fails.

    Raises:
        SetupError: It could not be run or failed; the message ends with what it printed.
    """
    line = " ".join(str(word) for word in command)
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | dict(variables or {}),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        message = f"cannot run: {line}: {error.strerror}"
        raise SetupError(message) from error
    if result.returncode != 0:
        message = f"failed with exit code {result.returncode}: {line}\n{result.stdout.strip()}"
        raise SetupError(message)


def has_ensurepip() -> bool:
    """Whether this Python can put pip into an environment; Debian's cannot without a further package."""
    importlib.invalidate_caches()
    return importlib.util.find_spec("ensurepip") is not None


def install_debian_package(name: str) -> bool:
    """Install a package of Debian's where this is root on Debian; return whether it is there now."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"installing {name} with apt-get")
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-oDPkg::Lock::Timeout=120")
    try:
        update_package_lists(*apt)
        execute(*apt, "install", "--yes", "--no-install-recommends", name)
    except SetupError as failure:
        say(str(failure))
        return False
    return True


def update_package_lists(*apt: str) -> None:
    """Fetch package lists; a source that fails is no reason to stop, another may have the package."""
    try:
        execute(*apt, "update")
    except SetupError as failure:
        say(str(failure))


def download_pip_of_debian(directory: Path) -> Path:
    """Fetch pip from Debian's package of it, as any user: lists and cache of its own, nothing installed.

    Raises:
        SetupError: There is no apt-get, no network, or no such package.
    """
    if shutil.which("apt-get") is None:
        message = "there is no apt-get here to fetch pip with"
        raise SetupError(message)
    for name in ("lists/partial", "archives/partial"):
        (directory / name).mkdir(parents=True)
    apt = (
        "apt-get",
        "-qq",
        f"-oDir::State::Lists={directory}/lists",
        f"-oDir::Cache={directory}",
        "-oAPT::Sandbox::User=",
        "-oDebug::NoLocking=1",
    )
    update_package_lists(*apt)
    execute(*apt, "download", "python3-pip-whl", cwd=directory)
    (package,) = directory.glob("*.deb")
    execute("dpkg-deb", "--extract", package, directory / "unpacked")
    (wheel,) = directory.glob("unpacked/usr/share/python-wheels/pip-*.whl")
    return wheel
