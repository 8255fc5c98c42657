"""The other half of a step: the one it closes, the one that closes it.

Knows the table of steps, of which ``History`` gives pages only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from stepstream.reading.database import Reader
from stepstream.reading.rows import STEP_COLUMNS
from stepstream.schemas.identity import id_bytes

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from stepstream.reading.rows import StepRow
    from stepstream.schemas.step import Step


class Neighbours:
    """Looks up steps of one history by the ids that other steps name."""

    def __init__(self, database: Path) -> None:
        """Open the history.

        Raises:
            FileNotFoundError: There is no such file.
            StoreError: It cannot be read.
        """
        self._reader = Reader(database)

    def opener(self, step: Step) -> Step | None:
        """The step that a step closes."""
        return None if step.closes is None else self._first("id = ?", step.closes)

    def closer(self, step: Step) -> Step | None:
        """The step that closes a step; the first one where there are several."""
        return self._first("closes = ? ORDER BY cursor LIMIT 1", step.id)

    def _first(self, condition: str, step_id: str) -> Step | None:
        sql = f"SELECT {STEP_COLUMNS} FROM step WHERE {condition}"  # noqa: S608 - one of the two above
        rows = cast("list[StepRow]", self._reader.select(sql, (id_bytes(step_id),)))
        return self._reader.rows.step(rows[0]) if rows else None

    def close(self) -> None:
        """Let go of the history."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
