"""What the tests of the spool share: a place with an empty spool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.rounds import Place

from stepstream.spool.directory import SpoolDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def spool(place: Place) -> Iterator[SpoolDirectory]:
    directory = SpoolDirectory(place.database)
    yield directory
    directory.close()
