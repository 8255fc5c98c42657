"""``stepstream export``: steps into a file that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import (
    FilterArgument,
    HistoryOption,
    JsonOption,
    open_history,
    place_of,
    refuse_own_files,
    shown_path,
)
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.cli.output import Output
    from stepstream.export.selection import Progress, Selection
    from stepstream.reading.history import History

    Writer = Callable[[History, Selection, IO[bytes], Progress], int]


def export(
    filter: FilterArgument = "",
    jsonl: Annotated[str, typer.Option("--jsonl", metavar="FILE", help="JSON lines; - for stdout.")] = "",
    parquet: Annotated[str, typer.Option("--parquet", metavar="FILE", help="Parquet, with pyarrow.")] = "",
    episode: Annotated[str, typer.Option("--episode", metavar="ID", help="Only this episode.")] = "",
    as_json: JsonOption = False,
    db: HistoryOption = None,
) -> None:
    """Write steps to a file of JSON lines or Parquet."""
    from stepstream.cli.output import Output
    from stepstream.export.jsonl import write_jsonl
    from stepstream.export.parquet import check_parquet, write_parquet
    from stepstream.export.selection import Selection

    if bool(jsonl) == bool(parquet):
        raise CommandFailed("say where to: --jsonl FILE or --parquet FILE", ExitCode.USAGE)
    output = Output()
    place = place_of(db)
    if parquet:
        check_parquet()
    with open_history(place, output) as history:
        selection = Selection(history.episode(episode).id if episode else None, filter or None)
        if jsonl == "-":
            _to_stdout(history, selection, output)
            return
        target = Path(jsonl or parquet).expanduser()
        refuse_own_files(target, place)
        count = _to_file(history, selection, write_jsonl if jsonl else write_parquet, target, output)
    size = target.stat().st_size
    if as_json:
        output.json({"path": str(target.resolve()), "steps": count, "bytes": size})
    else:
        _tell(target, count, size, output)


def _to_stdout(history: History, selection: Selection, output: Output) -> None:
    from stepstream.export.jsonl import write_jsonl
    from stepstream.export.selection import pages

    if output.is_terminal:
        for page in pages(history, selection):
            for step in page:
                output.json_line(step)
        return
    sys.stdout.flush()
    write_jsonl(history, selection, sys.stdout.buffer, lambda _count, _cursor: None)
    sys.stdout.buffer.flush()


def _to_file(history: History, selection: Selection, write: Writer, target: Path, output: Output) -> int:
    from stepstream.cli.progress import Progress
    from stepstream.export.whole_file import whole_file

    end = history.last_cursor()
    with (
        Progress(output, f"exporting to {shown_path(target)}", end, "steps") as progress,
        whole_file(target) as hidden,
        hidden.open("xb") as file,
    ):
        return write(history, selection, file, progress.at)


def _tell(target: Path, count: int, size: int, output: Output) -> None:
    from stepstream.cli.figures import bytes_held, counted

    output.say(f"{counted(count, 'step')}, {bytes_held(size)}: {shown_path(target)}")
