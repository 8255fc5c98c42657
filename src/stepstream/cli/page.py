"""The dashboard beside a command: a server of its own for as long as the command runs, and a browser on it.

Knows processes and browsers. Must not know what is recorded meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_END_WITHIN_S = 10.0


@contextmanager
def page_beside(database: Path) -> Iterator[str | None]:
    """Serve a history until the block ends; gives the page's address, None where it cannot be served.

    Args:
        database: The history.
    """
    command = [sys.executable, "-m", "stepstream", "serve", "--json", "--port", "0", "--db", str(database)]
    # Of a group of its own: Ctrl+C ends the command, and the command ends its server.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as server:
        try:
            yield _address(server)
        finally:
            server.terminate()
            try:
                server.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                server.kill()


def show_in_browser(url: str) -> bool:
    """Open a browser's window, where windows can be shown; tells whether one was asked to open."""
    is_graphical = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not is_graphical:
        # A browser of the terminal would take the terminal from the command.
        return False
    import webbrowser

    return webbrowser.open(url)


def _address(server: subprocess.Popen[str]) -> str | None:
    said = "" if server.stdout is None else server.stdout.readline()
    return str(json.loads(said)["url"]) if said else None
