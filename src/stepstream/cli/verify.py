"""``stepstream verify``: is everything there, and is it what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import HistoryOption, JsonOption, open_history, pasted, place_of
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from stepstream.cli.access import Place
    from stepstream.cli.output import Output
    from stepstream.reading.verification import Verification

_SHOWN_MAX = 50


def verify(
    episode: Annotated[str, typer.Argument(metavar="ID", help="Only this episode.", show_default=False)] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also every payload, every artifact and the file itself.")
    ] = False,
    as_json: JsonOption = False,
    db: HistoryOption = None,
) -> None:
    """Check that nothing is missing and all is what it says.

    Ends with code 1 when something is wrong or known to be lost.
    """
    from stepstream.cli.output import Output
    from stepstream.errors import NotOpen

    output = Output()
    place = place_of(db)
    with open_history(place, output) as history:
        try:
            verification = history.verify(episode or None, deep=deep)
        except NotOpen as error:
            raise CommandFailed(str(error), ExitCode.USAGE) from None
    if as_json:
        output.json({"is_whole": verification.is_whole, **verification.model_dump(mode="json")})
    else:
        _show(verification, place, output)
    if not verification.is_whole:
        raise typer.Exit(ExitCode.FAILED)


def _show(verification: Verification, place: Place, output: Output) -> None:
    from stepstream.cli.figures import counted
    from stepstream.cli.output import Block, Ink, Span, bold, dim, red
    from stepstream.cli.summary import loss_text
    from stepstream.cli.untrusted import one_line

    checked = [counted(verification.steps, "step"), counted(verification.episodes, "episode")]
    checked.append(counted(len(verification.recorders), "recorder"))
    if verification.deep:
        checked += [counted(verification.payloads, "payload"), counted(verification.artifacts, "artifact")]
    if verification.is_whole:
        output.line(Span("✓ ", Ink.GREEN), bold("whole"), dim(f"  {' · '.join(checked)}"))
        if not verification.deep and isinstance(place, Path):
            output.say(f"every payload and artifact too: {pasted('verify --deep', place)}")
        return
    wrong = [counted(verification.findings_count, "finding")] if verification.findings_count else []
    lost = [counted(len(verification.losses), "loss", "losses")] if verification.losses else []
    output.line(Span("✗ ", Ink.ERROR), red(", ".join(wrong + lost)), dim(f"  {' · '.join(checked)}"))
    for finding in verification.findings[:_SHOWN_MAX]:
        where = ", ".join(
            filter(
                None, (finding.episode_id, f"cursor {finding.cursor}" if finding.cursor is not None else "")
            )
        )
        output.line(red(f"  {finding.kind.value.replace('_', ' ')}  "), dim(where))
        output.show([Block(finding.detail, "    ")])
    if verification.findings_count > _SHOWN_MAX:
        output.line(dim(f"  and {verification.findings_count - _SHOWN_MAX:,} more; all with --json"))
    for report in verification.losses[:_SHOWN_MAX]:
        output.line(red("  steps lost  "), dim(f"{report.episode_id}, cursor {report.cursor}"))
        output.line(f"    {one_line(loss_text(report.loss))}")
    for advice in _advice(verification, place):
        output.say(advice)


def _advice(verification: Verification, database: Place) -> list[str]:
    """Which command helps with what was found."""
    from stepstream.cli.access import shell_path, shown_path
    from stepstream.reading.verification import FindingKind

    if not isinstance(database, Path):
        return ["look deeper where the server runs, with: stepstream verify --deep"]
    found = {finding.kind for finding in verification.findings}
    advice = []
    if FindingKind.FILE_DAMAGED in found or FindingKind.CONTENT_DAMAGED in found:
        advice.append(f"before anything else keep a copy: cp -a {shell_path(database)}* SOMEWHERE_SAFE/")
    if FindingKind.ARTIFACT_MISSING in found or FindingKind.ARTIFACT_CHANGED in found:
        advice.append(f"artifacts belong beside the database, in {shown_path(database)}-artifacts")
    if verification.losses:
        advice.append(f"why steps were lost, and whether more will be: {pasted('doctor', database)}")
    if verification.findings and not verification.deep:
        advice.append(f"look deeper with: {pasted('verify --deep', database)}")
    return advice
