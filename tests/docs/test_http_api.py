"""What is written from the OpenAPI document is what the application says: the reference, and types."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def tool(root: Path, name: str) -> ModuleType:
    """A tool of the checkout."""
    sys.path.insert(0, str(root / "tools"))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(root / "tools"))


def test_the_types_of_the_dashboard_are_the_applications(root: Path) -> None:
    """dashboard/src/api/schema.ts is what tools/dashboard_types.py makes of the OpenAPI document."""
    types = tool(root, "dashboard_types")

    assert types.types(types.document()) == (root / "dashboard/src/api/schema.ts").read_text("utf-8")


def test_the_table_of_routes_is_the_applications(root: Path) -> None:
    """The page's table is what tools/http_reference.py makes of the OpenAPI document."""
    text = (root / "docs/reference/http-api.md").read_text("utf-8")

    assert tool(root, "http_reference").renewed(text) == text
