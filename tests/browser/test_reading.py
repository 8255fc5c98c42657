"""What an episode holds, as a person reads it in a browser: answers, failures and files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import OpenPage
from tests.support.served_history import ServedHistory

from stepstream import ObservabilityProvider, Observation, Thought

_BLANK_BYTES_MAX = 5_000


def step_of(page: Page, demo: ServedHistory, words: str) -> None:
    """Open the first step of the demo's first episode that a filter finds."""
    page.get_by_role("row").filter(has_text="bracket-14").click()
    page.get_by_role("textbox", name="Filter steps").fill(words)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("filter="))
    expect(page.get_by_role("tabpanel")).to_contain_text(".stl")


def test_a_mesh_is_drawn(demo: ServedHistory, open_page: OpenPage) -> None:
    """An STL that was attached is shown as a solid, with its dimensions and its triangles."""
    page = open_page(demo.url)
    step_of(page, demo, "kind:artifact")
    page.keyboard.press("j")
    details = page.get_by_role("complementary", name="Step")
    show = details.get_by_role("button", name="show", exact=True)
    canvas = details.locator("canvas")
    expect(show.or_(canvas).first).to_be_visible()
    if canvas.count() == 0:
        show.first.click()

    expect(details).to_contain_text("triangles", timeout=20_000)
    expect(canvas).to_be_visible()
    page.wait_for_timeout(300)
    # What is all of one colour is packed to almost nothing.
    assert len(canvas.screenshot()) > _BLANK_BYTES_MAX


def test_a_traceback_unfolds(demo: ServedHistory, open_page: OpenPage) -> None:
    """A failure shows its own frames; what lies in libraries unfolds by a press."""
    page = open_page(demo.url)
    page.get_by_role("row").filter(has_text="bracket-14").click()
    expect(page.get_by_text("S355J2").first).to_be_visible()
    page.keyboard.press("e")
    details = page.get_by_role("complementary", name="Step")
    expect(details).to_contain_text("StockThicknessMissing")
    expect(details).to_contain_text("_check_plate")
    assert "watched.py" not in details.inner_text()

    details.get_by_role("button", name="library frame").click()

    expect(details).to_contain_text("watched.py")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "[press](javascript:alert(1)) ![x](http://192.0.2.1/x.png)",
        "<style>body{display:none}</style><iframe src=//192.0.2.1></iframe>",
    ],
)
def test_markdown_of_agents_is_harmless(fresh: ServedHistory, open_page: OpenPage, text: str) -> None:
    """Whatever an agent writes is shown, and neither runs, nor loads anything, nor leads to a script."""
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode("Untrusted") as episode,
    ):
        episode.log_event(Thought(text=f"**before** {text} after"))
        episode.log_event(Observation(result={"html": text}))
        assert provider.flush(timeout_s=20)
        page = open_page(f"{fresh.url}/episodes/{episode.id}?step=1")
        expect(page.get_by_text("before", exact=True).first).to_be_visible()

        for selector in ("main script", "main iframe", "main style", "main img", "main a[href^=javascript]"):
            assert page.locator(selector).count() == 0, selector


def test_a_log_has_its_colours(fresh: ServedHistory, open_page: OpenPage, tmp_path: Path) -> None:
    """A log with escape sequences is shown coloured, and none of them is left."""
    log = tmp_path / "solver.log"
    log.write_text("step 1\n\x1b[31mstep 2 diverged\x1b[0m\n")
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode("Logs") as episode,
    ):
        episode.attach(log)
        assert provider.flush(timeout_s=20)
        page = open_page(f"{fresh.url}/episodes/{episode.id}?step=1")
        details = page.get_by_role("complementary", name="Step")
        show = details.get_by_role("button", name="show", exact=True)
        if show.count():
            show.first.click()

        expect(details.locator("span", has_text="step 2 diverged").last).to_be_visible()
        assert "\x1b" not in details.inner_text()
        assert "[31m" not in details.inner_text()
