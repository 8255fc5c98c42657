"""Histories to stream, each a real database in a directory of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.reading.history import History


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[HistoryBuilder]:
    building = HistoryBuilder(tmp_path / "history.db")
    yield building
    building.close()


@pytest.fixture
def history(builder: HistoryBuilder) -> Iterator[History]:
    """The same, to read."""
    builder.commit()
    with History.open(builder.path) as opened:
        yield opened
