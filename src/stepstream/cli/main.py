"""The command ``stepstream``: which commands there are.

``--version`` is answered before anything is imported; every command imports what it needs when it runs.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from stepstream.schemas.release import RELEASE

        print(f"stepstream {RELEASE}")  # noqa: T201 - the shortest way to stdout
        return
    from stepstream.cli.commands import app

    app(prog_name="stepstream")


if __name__ == "__main__":
    main()
