"""usage: ./dev COMMAND [ARGUMENT...]

  demo [ARG...]     the main job on real work (stepstream demo)
  test [ARG...]     all tests, or what the arguments tell pytest
  check             format, lint, types, import layers, tidiness
  format            bring the code into the format that check wants
  bench [ARG...]    the speed bars: a table and JSON
  soak [ARG...]     hours under load
  run CMD [ARG...]  any command inside the environment
  lock              pin the newest requirements that are a week old (needs uv)
  help              this text

The environment is made and updated when a command needs it: in .venv, or where STEPSTREAM_VENV says.
STEPSTREAM_PYTHON names the Python it is made with, STEPSTREAM_TEST_WORKERS=N runs tests in N processes.
"""  # noqa: D415

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import dashboard
from environment import Environment, SetupError, execute, install_debian_package, say

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium-headless-shell", "chromium")
ENVIRONMENT = Environment(ROOT, Path(os.environ.get("STEPSTREAM_VENV") or ROOT / ".venv").resolve())


def demo(arguments: list[str]) -> NoReturn:
    """Run the demo; its hints name a command that is there to be pasted."""
    ENVIRONMENT.require("runtime")
    os.environ.setdefault("STEPSTREAM_PROGRAM", os.path.relpath(ENVIRONMENT.path / "bin" / "stepstream"))
    ENVIRONMENT.become("stepstream", "demo", *arguments)


def test(arguments: list[str]) -> NoReturn:
    """Run pytest, whose summary is the last line."""
    ENVIRONMENT.require("dev")
    if shutil.which("strace") is None and not install_debian_package("strace"):
        say("no strace here (as root: apt-get install strace): tests that inject faults with it are skipped")
    if not any(map(shutil.which, BROWSERS)) and not install_debian_package(BROWSERS[0]):
        say(f"no browser here (as root: apt-get install {BROWSERS[0]}): tests of the dashboard are skipped")
    try:
        ENVIRONMENT.dashboard_node()
    except SetupError as reason:
        say(f"what checks the dashboard for accessibility is not here: {reason}")
    # One process by default: the fault tests start many of their own and measure how long they wait.
    workers = os.environ.get("STEPSTREAM_TEST_WORKERS", "0")
    os.chdir(ROOT)
    ENVIRONMENT.become("python", "-m", "pytest", f"--numprocesses={workers}", *arguments)


def check(arguments: list[str]) -> int:
    """Run every check, also after one has failed; return 1 if any did."""
    refuse(arguments)
    ENVIRONMENT.require("dev")
    commands = (
        ("ruff", "format", "--check", "--quiet", "."),
        ("ruff", "check", "--quiet", "."),
        ("mypy", "--no-error-summary"),
        ("lint-imports", "--no-logo"),
        ("python", "-m", "pytest", "--quiet", "tests/tidy"),
    )
    failed = []
    for command in commands:
        say(" ".join(command))
        if ENVIRONMENT.run(*command) != 0:
            failed.append(" ".join(command))
    failed += check_dashboard()
    say("check failed: " + "; ".join(failed) if failed else "check passed")
    return 1 if failed else 0


def check_dashboard() -> list[str]:
    """Types, lint and unit tests of the dashboard; returns what failed."""
    try:
        node = ENVIRONMENT.dashboard_node()
    except SetupError as reason:
        say(f"the dashboard is not checked, what checks it is not here: {reason}")
        return ["dashboard"] if os.environ.get("STEPSTREAM_REQUIRE_DASHBOARD") else []
    failed = []
    for script, *options in (
        ("typescript/bin/tsc", "--noEmit"),
        ("oxlint/bin/oxlint", "--deny-warnings", "src", "tests"),
        ("vitest/vitest.mjs", "run", "--silent"),
    ):
        name = script.split("/")[0]
        say(f"{name} (dashboard)")
        command = [str(node.program), f"node_modules/{script}", *options]
        if subprocess.run(command, cwd=ROOT / dashboard.SOURCE, check=False).returncode != 0:
            failed.append(name)
    return failed


def format_code(arguments: list[str]) -> int:
    """Format and apply the linter's safe repairs."""
    refuse(arguments)
    ENVIRONMENT.require("dev")
    return ENVIRONMENT.run("ruff", "check", "--fix", ".") | ENVIRONMENT.run("ruff", "format", ".")


def bench(arguments: list[str]) -> NoReturn:
    """Run the benchmarks."""
    ENVIRONMENT.require("dev")
    os.chdir(ROOT)
    ENVIRONMENT.become("python", "-m", "benchmarks", *arguments)


def soak(arguments: list[str]) -> NoReturn:
    """Run the soak."""
    ENVIRONMENT.require("dev")
    os.chdir(ROOT)
    ENVIRONMENT.become("python", "-m", "benchmarks.soak", *arguments)


def run(arguments: list[str]) -> NoReturn:
    """Run any command with the environment first on the path."""
    if not arguments:
        message = "run needs a command, as in: ./dev run python -m pdb"
        raise SetupError(message)
    ENVIRONMENT.require("dev")
    ENVIRONMENT.become(*arguments)


def lock(arguments: list[str]) -> int:
    """Write requirements/*.txt afresh: pinned, hashed, a week old at least, no address of an index."""
    refuse(arguments)
    a_week_ago = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=7)
    pin = (
        *("uv", "pip", "compile", "--upgrade", "--universal", "--python-version=3.11", "--generate-hashes"),
        *("--no-emit-index-url", "--custom-compile-command=./dev lock", f"--exclude-newer={a_week_ago}"),
    )
    build_requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    runtime, build, dev = (f"requirements/{name}.txt" for name in ("runtime", "build", "dev"))
    same = ("-c", runtime, "-c", build)
    execute(*pin, "-o", runtime, "pyproject.toml", cwd=ROOT)
    execute(*pin, "-o", build, "-", cwd=ROOT, stdin="\n".join(build_requirements))
    execute(*pin, "-o", dev, "pyproject.toml", "--extra=arrow", "--group=dev", *same, cwd=ROOT)
    execute(*pin, "-o", "requirements/node.txt", "--group=node", cwd=ROOT)
    return 0


def show_help(arguments: list[str]) -> int:
    """Print the commands."""
    refuse(arguments)
    print(__doc__.strip())
    return 0


def refuse(arguments: list[str]) -> None:
    """Refuse arguments of a command that takes none."""
    if arguments:
        message = f"this command takes no arguments, got: {' '.join(arguments)}"
        raise SetupError(message)


COMMANDS = {
    "demo": demo,
    "test": test,
    "check": check,
    "format": format_code,
    "bench": bench,
    "soak": soak,
    "run": run,
    "lock": lock,
    "help": show_help,
    "--help": show_help,
    "-h": show_help,
}


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
