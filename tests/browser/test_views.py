"""The views beside the episode, in a browser: search, metrics, system, comparison and the palette."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.browser.conftest import OpenPage
from tests.support.served_history import ServedHistory


def test_a_search_leads_to_the_step(demo: ServedHistory, open_page: OpenPage) -> None:
    """Words are found as they are typed and marked; Enter opens the step in its episode."""
    page = open_page(f"{demo.url}/search")
    page.get_by_role("searchbox").or_(page.get_by_role("textbox")).first.fill("cracks")
    expect(page.locator("mark").first).to_have_text("cracks")

    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")

    expect(page.get_by_role("complementary", name="Step")).to_contain_text("cracks")
    assert "step=" in page.url


def test_metrics_tell_what_each_tool_did(demo: ServedHistory, open_page: OpenPage) -> None:
    """Every tool has its calls, errors and times."""
    page = open_page(f"{demo.url}/statistics?since=-1h")

    expect(page.get_by_role("row").filter(has_text="make_geometry")).to_contain_text("7 · 18 %")


def test_the_system_says_how_it_stands(demo: ServedHistory, open_page: OpenPage) -> None:
    """An operator sees at a glance that all is well, and that the committer works."""
    page = open_page(f"{demo.url}/system")

    expect(page.get_by_text("all is well")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("committing")


def test_two_episodes_are_marked_and_compared(demo: ServedHistory, open_page: OpenPage) -> None:
    """x marks the chosen episode; of two the first difference is shown, and a step opens in its episode."""
    page = open_page(demo.url)
    expect(page.get_by_role("row")).to_have_count(4)
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.get_by_role("link", name="Compare").or_(page.get_by_role("button", name="Compare")).first.click()

    expect(page.get_by_text("Here they part")).to_be_visible()
    page.locator("a", has_text=re.compile(r"^#\d+$")).first.click()
    expect(page.get_by_role("complementary", name="Step")).to_be_visible()


def test_the_palette_goes_anywhere(demo: ServedHistory, open_page: OpenPage) -> None:
    """Ctrl+K, a few letters and Enter lead to a view; so does the name of an episode."""
    page = open_page(demo.url)
    expect(page.get_by_role("row")).to_have_count(4)

    page.keyboard.press("Control+k")
    page.keyboard.type("sys")
    page.keyboard.press("Enter")
    expect(page.get_by_text("all is well")).to_be_visible()

    page.keyboard.press("Control+k")
    page.keyboard.type("bracket-9")
    page.get_by_role("option", name="Design bracket-9").first.click()
    expect(page.get_by_role("heading", name="Design bracket-9")).to_be_visible()


def test_the_keys_are_shown(demo: ServedHistory, open_page: OpenPage) -> None:
    """? shows them, and Escape takes them away."""
    page = open_page(demo.url)
    expect(page.get_by_role("row")).to_have_count(4)

    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next, previous error")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
