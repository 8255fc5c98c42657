"""Which stepstream this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    RELEASE = version("stepstream")
except PackageNotFoundError:
    RELEASE = "0+source"
