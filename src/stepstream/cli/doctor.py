"""``stepstream doctor``: is everything around a history as it should be, and if not, which command helps?

Around a server, it is what lies on this machine that is looked at, and whether the server takes it.
"""

from __future__ import annotations

import typer

from stepstream.cli.access import DatabaseOption, JsonOption, database_path, server_address
from stepstream.cli.failure import ExitCode


def doctor(as_json: JsonOption = False, db: DatabaseOption = None) -> None:
    """Check everything around a history and name what mends it.

    Ends with code 1 when a check fails.
    """
    from stepstream.cli.examination import Level, examine
    from stepstream.cli.output import Ink, Output, Span, bold, dim
    from stepstream.cli.server_examination import examine_server
    from stepstream.cli.untrusted import one_line

    inks = {Level.OK: ("✓", Ink.GREEN), Level.WARN: ("!", Ink.YELLOW), Level.FAIL: ("✗", Ink.ERROR)}
    output = Output()
    address = server_address(db)
    checks = list(examine(database_path(db)) if address is None else examine_server(address))
    failed = any(check.level is Level.FAIL for check in checks)
    if as_json:
        output.json({"is_sound": not failed, "checks": [dict(check._asdict()) for check in checks]})
    else:
        name_columns = max(len(check.name) for check in checks)
        for check in checks:
            glyph, ink = inks[check.level]
            name = f"{check.name:<{name_columns}}"
            output.line(
                Span(f"{glyph} {check.level.value:<4}", ink),
                Span("  "),
                bold(name) if check.level is not Level.OK else Span(name),
                Span("  "),
                Span(one_line(check.seen)),
            )
            if check.fix:
                output.line(Span(" " * (name_columns + 10)), dim("→ "), one_line(check.fix))
    if failed:
        raise typer.Exit(ExitCode.FAILED)
