"""One episode, in a browser: its steps, live."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.browser.conftest import OpenPage
from tests.support.served_history import ServedHistory

from stepstream import ObservabilityProvider, Thought


def of_table(page: Page) -> tuple[int, int]:
    """How many rows the table has in all, and how many of them are drawn."""
    table = page.get_by_role("table", name="Steps")
    return int(table.get_attribute("aria-rowcount") or 0) - 1, table.get_by_role("row").count() - 1


def test_steps_come_as_they_are_logged(fresh: ServedHistory, open_page: OpenPage) -> None:
    """The view follows a running episode, and shows a call before it ends."""
    with ObservabilityProvider(fresh.database, committer="none") as provider:
        with provider.episode("Live", agent="planner", role="planner") as episode:
            assert provider.flush(timeout_s=20)
            page = open_page(f"{fresh.url}/episodes/{episode.id}?tab=table")
            episode.log_event(Thought(text="Start from the load case."))
            expect(
                page.get_by_role("table", name="Steps")
                .get_by_role("row")
                .filter(has_text="Start from the load case.")
            ).to_be_visible()
            with episode.tool_call("simulate", {"thickness_mm": 4.0}) as call:
                expect(
                    page.get_by_role("table", name="Steps").get_by_role("row").filter(has_text="simulate(")
                ).to_be_visible()
                call.observe({"max_stress_mpa": 180.0})
            expect(
                page.get_by_role("table", name="Steps")
                .get_by_role("row")
                .filter(has_text="max_stress_mpa: 180")
            ).to_be_visible()
        expect(page.locator(".episode-header")).to_contain_text("completed")


def test_a_server_that_is_killed_leaves_no_gap(fresh: ServedHistory, open_page: OpenPage) -> None:
    """The page says that it is away, comes back by itself, and then has every step once."""
    steps = 120
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode("Killed beside it") as episode,
    ):
        assert provider.flush(timeout_s=20)
        page = open_page(f"{fresh.url}/episodes/{episode.id}?tab=table", expected=("ERR_", "WebSocket"))
        expect(page.get_by_role("status")).to_have_text("live")
        for number in range(steps):
            episode.log_event(Thought(text=f"thought number {number}"))
            if number == steps // 3:
                assert provider.flush(timeout_s=20)
                fresh.kill()
                expect(page.get_by_role("status")).to_contain_text("reconnecting")
            if number == 2 * steps // 3:
                fresh.start()
        expect(
            page.get_by_role("table", name="Steps")
            .get_by_role("row")
            .filter(has_text=f"thought number {steps - 1}")
        ).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("live")
        assert of_table(page)[0] == steps + 1
        seen = set()
        page.keyboard.press("g")
        for place in range(steps):
            page.keyboard.press("j") if place else None
            seen.add(page.locator(".step-row.chosen").inner_text().split("\n")[-1])
        assert {f"thought number {number}" for number in range(steps - 1)} <= seen


def test_scrolling_up_pauses(fresh: ServedHistory, open_page: OpenPage) -> None:
    """Whoever scrolls up stays there; the pill counts what came, errors apart, and leads to the end."""
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode("Long") as episode,
    ):
        for number in range(400):
            episode.log_event(Thought(text=f"thought {number}"))
        assert provider.flush(timeout_s=20)
        page = open_page(f"{fresh.url}/episodes/{episode.id}?tab=table")
        expect(page.get_by_text("thought 399", exact=True)).to_be_visible()
        page.get_by_role("rowgroup", name="Steps").hover()
        page.mouse.wheel(0, -4_000)
        expect(page.get_by_text("thought 399", exact=True)).to_have_count(0)
        first = page.get_by_role("table", name="Steps").get_by_role("row").nth(20).inner_text()

        episode.log_event(Thought(text="a new one"))
        try:
            with episode.tool_call("fail", {}):
                raise ValueError("no such plate")
        except ValueError:
            pass

        pill = page.get_by_role("button", name="3 new, 1 error")
        expect(pill).to_be_visible()
        assert page.get_by_role("table", name="Steps").get_by_role("row").nth(20).inner_text() == first
        pill.click()
        expect(
            page.get_by_role("table", name="Steps").get_by_role("row").filter(has_text="no such plate")
        ).to_be_visible()


def test_a_filter_works_while_tailing(fresh: ServedHistory, open_page: OpenPage) -> None:
    """With a filter on, only what passes is shown, of what is stored and of what comes."""
    with (
        ObservabilityProvider(fresh.database, committer="none") as provider,
        provider.episode("Filtered") as episode,
    ):
        episode.log_event(Thought(text="before"))
        with episode.tool_call("measure", {"at": 1}):
            pass
        assert provider.flush(timeout_s=20)
        page = open_page(f"{fresh.url}/episodes/{episode.id}?tab=table&filter=kind:thought")
        expect(page.get_by_role("status")).to_have_text("live")
        with episode.tool_call("measure", {"at": 2}):
            pass
        episode.log_event(Thought(text="after"))
        expect(page.get_by_text("after", exact=True)).to_be_visible()
        assert of_table(page) == (2, 2)


def test_errors_are_walked_by_keys(demo: ServedHistory, open_page: OpenPage) -> None:
    """e goes from error to error, and the details show the exception."""
    page = open_page(demo.url)
    page.get_by_role("row").filter(has_text="bracket-14").click()
    expect(page.get_by_role("heading", name="Design bracket-14")).to_be_visible()
    expect(page.get_by_text("S355J2").first).to_be_visible()

    page.keyboard.press("e")
    details = page.get_by_role("complementary", name="Step")
    expect(details).to_contain_text("StockThicknessMissing")
    page.keyboard.press("e")
    expect(details).to_contain_text("PlateTooNarrow")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)


def test_eight_tabs_are_all_live(fresh: ServedHistory, open_page: OpenPage) -> None:
    """A browser with eight tabs on different episodes hears all of them, and can still ask."""
    with ObservabilityProvider(fresh.database, committer="none") as provider:
        episodes = [provider.episode(f"Tab {number}").__enter__() for number in range(8)]
        assert provider.flush(timeout_s=20)
        first = open_page(f"{fresh.url}/episodes/{episodes[0].id}?tab=table")
        pages = [first] + [
            open_page(f"{fresh.url}/episodes/{episode.id}?tab=table", context=first.context)
            for episode in episodes[1:]
        ]
        for number, episode in enumerate(episodes):
            episode.log_event(Thought(text=f"for tab {number}"))
        for number, page in enumerate(pages):
            expect(page.get_by_text(f"for tab {number}", exact=True)).to_be_visible()
        assert first.evaluate(f"fetch('{fresh.url}/api/v1/health').then((answer) => answer.status)") == 200
        for episode in episodes:
            episode.__exit__(None, None, None)
