"""Steps as a Parquet file: the columns of ``History.arrow``, with payloads as JSON."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from stepstream.errors import MissingExtra

if TYPE_CHECKING:
    from stepstream.export.selection import Progress, Selection
    from stepstream.reading.history import History

_COMPRESSION = "zstd"


def check_parquet() -> None:
    """Say what is missing before anything is written.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - heavy, and optional
    except ImportError as error:
        raise MissingExtra("writing Parquet", "arrow") from error


def write_parquet(history: History, selection: Selection, file: IO[bytes], progress: Progress) -> int:
    """Write the selected steps in the order of their cursors.

    Returns:
        How many there are.

    Raises:
        MissingExtra: pyarrow is not installed.
        StoreError: A step cannot be read.
        OSError: The file cannot be written.
    """
    check_parquet()
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - as above

    count = 0
    batches = history.arrow(episode=selection.episode, filter=selection.filter)
    with ParquetWriter(file, batches.schema, compression=_COMPRESSION) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
            progress(count, batch.column("cursor")[-1].as_py())
    return count
