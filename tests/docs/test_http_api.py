"""The reference of the HTTP API has every route, as the application says it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def test_the_table_of_routes_is_the_applications(root: Path) -> None:
    """The page's table is what tools/http_reference.py makes of the OpenAPI document."""
    sys.path.insert(0, str(root / "tools"))
    try:
        tool = import_module("http_reference")
    finally:
        sys.path.remove(str(root / "tools"))
    text = (root / "docs/reference/http-api.md").read_text("utf-8")

    assert tool.renewed(text) == text
