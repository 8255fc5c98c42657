"""Steps as JSON lines, one whole Step a line, as ``Step.model_validate_json`` reads it back."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from stepstream.export.selection import pages

if TYPE_CHECKING:
    from stepstream.export.selection import Progress, Selection
    from stepstream.reading.history import History


def write_jsonl(history: History, selection: Selection, file: IO[bytes], progress: Progress) -> int:
    """Write the selected steps in the order of their cursors.

    Returns:
        How many there are.

    Raises:
        StoreError: A step cannot be read.
        OSError: The file cannot be written.
    """
    count = 0
    for page in pages(history, selection):
        file.write(b"".join(step.model_dump_json().encode() + b"\n" for step in page))
        count += len(page)
        progress(count, page[-1].cursor)
    return count
