"""The list of episodes, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import OpenPage
from tests.support.served_history import ServedHistory

from stepstream import ObservabilityProvider, Thought


def test_every_episode_has_its_row(demo: ServedHistory, open_page: OpenPage) -> None:
    """The latest to start stands first, with its status, how it ended and its figures."""
    page = open_page(demo.url)

    rows = page.get_by_role("table", name="Episodes").get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("Design bracket-3")
    expect(rows.nth(3)).to_contain_text("completed")
    expect(rows.nth(3)).to_contain_text("accepted")
    expect(rows.nth(3)).to_contain_text("107")


def test_an_empty_history_says_how_to_fill_it(fresh: ServedHistory, open_page: OpenPage) -> None:
    """Before anything is recorded the page shows the command and the lines that record."""
    page = open_page(fresh.url)

    expect(page.get_by_text("Nothing is recorded yet.")).to_be_visible()
    expect(page.get_by_text("stepstream demo")).to_be_visible()


def test_an_episode_appears_with_its_first_step(fresh: ServedHistory, open_page: OpenPage) -> None:
    """While the page is open a new episode comes into it, runs, and ends, with no reload."""
    page = open_page(fresh.url)
    expect(page.get_by_text("Nothing is recorded yet.")).to_be_visible()

    with ObservabilityProvider(fresh.database, committer="none") as provider:
        with provider.episode("Weld the frame", agent="welder", role="engineer") as episode:
            row = page.get_by_role("row").filter(has_text="Weld the frame")
            expect(row).to_contain_text("running")
            with episode.tool_call("measure", {"seam": 4}):
                expect(row).to_contain_text("measure")
        expect(row).to_contain_text("completed")


def test_a_filter_is_in_the_address(demo: ServedHistory, open_page: OpenPage) -> None:
    """What is typed narrows the list and stands in the URL; whoever opens that URL sees the same."""
    page = open_page(demo.url)
    expect(page.get_by_role("table", name="Episodes").get_by_role("row")).to_have_count(4)
    page.keyboard.press("/")
    page.keyboard.type("problem:bracket-9")
    page.keyboard.press("Enter")

    rows = page.get_by_role("table", name="Episodes").get_by_role("row")
    expect(rows).to_have_count(2)
    assert page.url == f"{demo.url}/?filter=problem%3Abracket-9"
    again = open_page(page.url)
    expect(again.get_by_role("table", name="Episodes").get_by_role("row")).to_have_count(2)


def test_a_wrong_filter_shows_where(demo: ServedHistory, open_page: OpenPage) -> None:
    """The place that cannot be read is underlined, and the server's reason stands beside it."""
    page = open_page(f"{demo.url}/?filter=status:running+errors%3Ebig", expected=("400",))

    expect(page.get_by_role("search").get_by_role("alert")).to_contain_text("big")
    assert page.get_by_role("textbox", name="Filter episodes").get_attribute("aria-invalid") == "true"


def test_a_facet_narrows_the_list(demo: ServedHistory, open_page: OpenPage) -> None:
    """A press on a value adds it to the filter, another press takes it back."""
    page = open_page(demo.url)
    facet = page.get_by_role("complementary", name="Facets").get_by_role("button", name="bracket-14")
    rows = page.get_by_role("table", name="Episodes").get_by_role("row")

    facet.click()
    expect(rows).to_have_count(2)
    facet.click()
    expect(rows).to_have_count(4)


def test_the_list_is_walked_by_keys(demo: ServedHistory, open_page: OpenPage) -> None:
    """j chooses the next row and Enter opens its episode."""
    page = open_page(demo.url)
    expect(page.get_by_role("row")).to_have_count(4)

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[aria-selected=true]")).to_contain_text("bracket-9")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Design bracket-9")).to_be_visible()


def test_rows_stay_where_the_pointer_is(fresh: ServedHistory, open_page: OpenPage) -> None:
    """While the pointer is on the list what is new waits behind a pill, and comes when it is pressed."""
    with ObservabilityProvider(fresh.database, committer="none") as provider:
        with provider.episode("First") as episode:
            episode.log_event(Thought(text="I was here before."))
        page = open_page(fresh.url)
        page.get_by_role("row").filter(has_text="First").hover()

        with provider.episode("Second"):
            pill = page.get_by_role("button", name="1 new")
            expect(pill).to_be_visible()
            expect(page.get_by_role("row").nth(1)).to_contain_text("First")
            pill.click()
            expect(page.get_by_role("row").nth(1)).to_contain_text("Second")


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "javascript:alert(1)", "a\u202eb"])
def test_recorded_text_stays_text(fresh: ServedHistory, open_page: OpenPage, text: str) -> None:
    """A name that is markup is shown as what was recorded, and does nothing."""
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode(text, agent=text, tags=(text,)),
    ):
        page = open_page(fresh.url)

        expect(page.get_by_role("row").nth(1)).to_contain_text(text)
        assert page.locator("main img").count() == 0
