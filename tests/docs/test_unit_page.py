"""The unit on the page about systemd is sound, and its command does what the unit asks of it.

systemd itself is not started: what it would forbid is forbidden by other means, as far as a cell goes.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.cell import BINARIES, Cell, why_not
from tests.support.server_page import Page

HARDENING = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
}
EXPOSURE_MAX = 2.0


@pytest.fixture(scope="module")
def text() -> str:
    """The unit, as it stands on the page."""
    return Page("run-under-systemd.md").file("stepstream.service")


@pytest.fixture(scope="module")
def unit(text: str) -> dict[str, str]:
    """What the unit says; of what it says more than once, all of it."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        if re.fullmatch(r"\[(Unit|Service|Install)\]|#.*|", line):
            continue
        name, separator, value = line.partition("=")
        assert separator, f"no setting: {line}"
        said[name] = f"{said[name]} {value}" if name in said else value
    return said


def test_the_unit_is_closed_and_ends_in_time(unit: dict[str, str]) -> None:
    """It gives nothing away that the server does not need, and leaves it the time to drain."""
    assert {name: unit.get(name) for name in HARDENING} == HARDENING
    assert unit["Restart"] == "on-failure"
    assert int(unit["TimeoutStopSec"]) > 10
    assert unit["User"] not in {"root", "0"}
    assert f"/var/lib/{unit['StateDirectory']}/" in unit["ExecStart"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_understands_the_unit(text: str, environment: dict[str, str], tmp_path: Path) -> None:
    """systemd has nothing to say against the unit, and calls it hardly exposed."""
    program = shutil.which("stepstream", path=environment["PATH"])
    file = tmp_path / "stepstream.service"
    file.write_text(text.replace(f"{BINARIES}/stepstream", str(program)))

    verified = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False, timeout=30
    )
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    exposure = re.search(r"Overall exposure level for \S+ ([0-9.]+)", rated.stdout)
    assert exposure is not None, rated.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, and it is not here")
@pytest.mark.skipif(why_not() is not None, reason=f"no cell can be made here: {why_not()}")
def test_the_command_of_the_unit_runs_confined(unit: dict[str, str], tmp_path: Path) -> None:
    """ExecStart serves with nothing but its state directory to write, and ends with 0 on SIGTERM."""
    state = tmp_path / "state"
    state.mkdir(mode=int(unit["StateDirectoryMode"], 8))
    writable = {state: f"/var/lib/{unit['StateDirectory']}"}
    argv = ["sh", "-c", f"umask {unit['UMask']}; exec {unit['ExecStart']}"]
    assert shlex.split(unit["ExecStart"])[0].startswith(BINARIES)
    with Cell(argv, tmp_path, user=998, writable=writable, variables={}) as cell:
        cell.wait_for("serving")
        answer = cell.run(
            ["sh", "-c", Page("run-under-systemd.md").command("Install", 1).text.splitlines()[-1]]
        )
        assert answer.stdout == '{"status":"ready"}'
        assert cell.status()["NoNewPrivs"] == "1"
        assert int(cell.status()["CapEff"], 16) == 0
        assert cell.stop(within_s=10) == 0

    files = [path for path in state.rglob("*") if path.is_file()]
    assert (state / "history.db") in files
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
