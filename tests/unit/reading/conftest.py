"""Histories to read, each a real database in a directory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.reading.history import History


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def builder(database: Path) -> Iterator[HistoryBuilder]:
    building = HistoryBuilder(database)
    yield building
    building.close()


@pytest.fixture
def open_history(builder: HistoryBuilder) -> Iterator[Callable[[], History]]:
    """Commit what was built and open it for reading."""
    opened: list[History] = []

    def commit_and_open() -> History:
        builder.commit()
        opened.append(History.open(builder.path))
        return opened[-1]

    yield commit_and_open
    for history in opened:
        history.close()
