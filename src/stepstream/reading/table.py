"""Steps as Arrow record batches, for pandas, polars, DuckDB and anything else that reads Arrow.

Knows the columns. pyarrow is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.errors import MissingExtra
from stepstream.schemas.identity import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa  # type: ignore[import-untyped]

    from stepstream.reading.rows import Rows, StepRow
    from stepstream.schemas.step import Step

Column = list[int] | list[str] | list[str | None] | list[bool]


def arrow_schema() -> pa.Schema:
    """The columns of every batch; payloads are whole, as JSON.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and optional
    except ImportError as error:
        raise MissingExtra("reading steps as Arrow", "arrow") from error
    moment = pa.timestamp("ns", tz="UTC")
    return pa.schema(
        [
            pa.field("cursor", pa.int64(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("episode_id", pa.string(), nullable=False),
            pa.field("sequence", pa.int64(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
            pa.field("occurred_at", moment, nullable=False),
            pa.field("recorded_at", moment, nullable=False),
            pa.field("agent", pa.string()),
            pa.field("role", pa.string()),
            pa.field("parent_id", pa.string()),
            pa.field("closes", pa.string()),
            pa.field("after_end", pa.bool_(), nullable=False),
            pa.field("payload", pa.string(), nullable=False),
        ]
    )


def columns(rows: Rows, page: Sequence[StepRow]) -> list[Column]:
    """A page of rows as the columns of a batch.

    Raises:
        Corrupt: A pooled value is missing.
    """
    return [
        [row[0] for row in page],
        [id_text(row[1]) for row in page],
        [rows.episode_id(row[2]) for row in page],
        [row[3] for row in page],
        [row[4] for row in page],
        [row[5] for row in page],
        [row[6] for row in page],
        [row[7] for row in page],
        [row[8] for row in page],
        [row[9] for row in page],
        [None if row[10] is None else id_text(row[10]) for row in page],
        [None if row[11] is None else id_text(row[11]) for row in page],
        [row[13] == 1 for row in page],
        [rows.payload_json(row) for row in page],
    ]


def step_columns(steps: Sequence[Step]) -> list[Column]:
    """The same of steps at hand."""
    return [
        [step.cursor for step in steps],
        [step.id for step in steps],
        [step.episode_id for step in steps],
        [step.sequence for step in steps],
        [step.kind for step in steps],
        [step.schema_version for step in steps],
        [step.occurred_at for step in steps],
        [step.recorded_at for step in steps],
        [step.agent for step in steps],
        [step.role for step in steps],
        [step.parent_id for step in steps],
        [step.closes for step in steps],
        [step.after_end for step in steps],
        [step.payload.encoded().decode() for step in steps],
    ]


def record_batches(schema: pa.Schema, pages: Iterator[list[Column]]) -> pa.RecordBatchReader:
    """A reader of record batches; nothing is read before it is asked for."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and optional

    def batches() -> Iterator[pa.RecordBatch]:
        for page in pages:
            arrays = [pa.array(column, field.type) for column, field in zip(page, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
