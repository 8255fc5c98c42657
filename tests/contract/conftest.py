"""What the uses of the contract share: a directory to run in, and what was recorded there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepstream.sdk.open_providers import close_providers


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to run in, without anybody's environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("STEPSTREAM_DB", "STEPSTREAM_CONTEXT", "STEPSTREAM_COMMITTER", "STEPSTREAM_STRICT"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    close_providers()
