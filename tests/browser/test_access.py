"""Who may see the dashboard, in a browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect
from tests.browser.conftest import OpenPage
from tests.support.command_line import CommandLine, plain_environment
from tests.support.served_history import ServedHistory


def test_a_token_lets_a_person_in(tmp_path: Path, open_page: OpenPage) -> None:
    """Where tokens are required the page asks for one, keeps it from scripts, and lets the person out again."""
    line = CommandLine(tmp_path, plain_environment(tmp_path))
    secret = line("token", "create", "--scope", "read", "--db", "history.db").out.strip()
    with ServedHistory(tmp_path, ["--require-token"]) as server:
        page = open_page(server.url, expected=("401",))
        page.get_by_label("Token").fill("sst_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()

        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Nothing is recorded yet.")).to_be_visible()
        assert secret not in page.evaluate("document.cookie + JSON.stringify(localStorage)")

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.close()
    line.close()


def test_the_page_stands_below_a_path(tmp_path: Path, open_page: OpenPage) -> None:
    """Behind a proxy that keeps the path, every address of the page begins with it."""
    with ServedHistory(tmp_path, ["--root-path", "/obs"]) as server:
        page = open_page(f"{server.url}/obs/")
        expect(page.get_by_text("Nothing is recorded yet.")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("live")
        page.close()


def test_a_revoked_token_signs_the_person_out(tmp_path: Path, open_page: OpenPage) -> None:
    """Whose token is taken back while the page is open is asked for another, and sees nothing more."""
    line = CommandLine(tmp_path, plain_environment(tmp_path))
    made = line("token", "create", "--scope", "read", "--name", "ada", "--db", "history.db")
    with ServedHistory(tmp_path, ["--require-token"]) as server:
        page = open_page(server.url, expected=("401", "WebSocket"))
        page.get_by_label("Token").fill(made.out.strip())
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("status")).to_have_text("live")

        assert line("token", "revoke", "ada", "--db", "history.db").code == 0

        expect(page.get_by_label("Token")).to_be_visible(timeout=30_000)
        page.close()
    line.close()
