"""What the tests of the schemas share: a registry that forgets what a test has defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stepstream.schemas import payload

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Kinds and upcasts of a test are gone after it."""
    kinds, upcasts = dict(payload._registry), dict(payload._upcasts)
    yield
    payload._registry.clear()
    payload._registry.update(kinds)
    payload._upcasts.clear()
    payload._upcasts.update(upcasts)
