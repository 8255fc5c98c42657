"""What the fault tests share: a nursery of real processes, and how long to go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

SOAK = os.environ.get("STEPSTREAM_SOAK") == "1"


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where processes are started; whatever still lives at the end is killed."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def rounds() -> int:
    """How many times over the usual a test is repeated; STEPSTREAM_SOAK=1 asks for many."""
    return 20 if SOAK else 1
