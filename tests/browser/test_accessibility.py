"""WCAG 2.2 AA, by axe, on every view in both themes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import expect
from tests.browser.conftest import OpenPage
from tests.support.served_history import ServedHistory

AXE = Path(__file__).resolve().parents[2] / "dashboard/node_modules/axe-core/axe.min.js"
VIEWS = {
    "episodes": "/",
    "no episode": "/?filter=name:nothing",
    "table": "/episodes/{episode}?tab=table",
    "step of a table": "/episodes/{episode}?tab=table&step=13",
    "transcript": "/episodes/{episode}",
    "step of a transcript": "/episodes/{episode}?step=21",
    "waterfall": "/episodes/{episode}?tab=waterfall",
    "graph": "/episodes/{episode}?tab=graph",
    "plots": "/episodes/{episode}?tab=plots",
    "search": "/search?q=bracket",
    "metrics": "/statistics?since=-1h",
    "system": "/system",
    "compare": "/compare?a={episode}&b={other}",
}
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.mark.skipif(not AXE.is_file(), reason="axe is not here: npm's registry could not be reached")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(demo: ServedHistory, open_page: OpenPage, view: str, theme: str) -> None:
    """No view breaks a rule that a program can check."""
    listed = urllib3.request("GET", f"{demo.url}/api/v1/episodes").json()["items"]
    path = VIEWS[view].format(episode=listed[-1]["episode"]["id"], other=listed[0]["episode"]["id"])
    page = open_page(demo.url + path, theme=theme)
    expect(page.get_by_role("status").first).to_have_text(re.compile("live|connected"))
    expect(page.get_by_role("main")).to_be_visible()
    page.wait_for_timeout(500)

    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(_RULES)}}})")["violations"]

    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []
