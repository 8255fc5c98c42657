"""The dashboard beside a command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import urllib3
from tests.support.nursery import ROOT, child_environment


def test_the_demo_serves_its_page_until_it_is_interrupted(tmp_path: Path) -> None:
    """With --page the address is told before the first step, the page stays, and Ctrl+C ends both with 0."""
    command = [sys.executable, "-m", "stepstream", "demo", "--page", "--speed", "50"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=child_environment() | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        said = ""
        while "until Ctrl+C" not in said:
            line = demo.stderr.readline()
            assert line, said
            said += line
        url = re.findall(r"http://127\.0\.0\.1:\d+/", said)[0]
        listed = urllib3.request("GET", f"{url}api/v1/episodes").json()["items"]
        assert [each["episode"]["status"] for each in listed] == ["completed"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
        assert said.index("live in a browser") < said.index("accepted")


def test_serve_says_when_it_can_open_no_browser(tmp_path: Path) -> None:
    """Where no window can be shown --open says so, and the server serves all the same."""
    command = [sys.executable, "-m", "stepstream", "serve", "--open", "--port", "0", "--db", "history.db"]
    environment = child_environment() | {"PYTHONPATH": str(ROOT / "src")}
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        served, warned = server.stderr.readline(), server.stderr.readline()
        server.send_signal(signal.SIGTERM)

        assert server.wait(30) == 0
    assert served.startswith("serving history.db at http://127.0.0.1:")
    assert "no browser can be opened from here" in warned
