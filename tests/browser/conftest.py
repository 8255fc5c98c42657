"""A real browser before a real server: what the tests of the dashboard share.

Every page of these tests is watched: an error in its console or something that its content security policy
refused fails the test that met it.

Playwright runs an event loop in the thread that uses it, for as long as the browser is open. These tests run in
a thread of their own, so that others of the same process can run loops meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.support.command_line import CommandLine, plain_environment
from tests.support.served_history import ServedHistory

from stepstream.server.page import BUILT

_PROGRAM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# WebGL without a graphics card, and the same pixels on every machine.
_ARGUMENTS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
_WATCH = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => {
  refused.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
"""

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say why, where there is no browser or nothing to show in it."""
    if _PROGRAM is None:
        reason = "there is no Chromium here (Debian: apt-get install chromium-headless-shell)"
    elif not (BUILT / "index.html").is_file():
        reason = "the dashboard is not built"
    else:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason))


_thread = ThreadPoolExecutor(1, "browser")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run a test where the browser is used."""
    wanted = signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    _thread.submit(pyfuncitem.obj, **arguments).result()
    return True


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    playwright = _thread.submit(sync_playwright().start).result()
    launch = partial(playwright.chromium.launch, executable_path=_PROGRAM, args=_ARGUMENTS)
    running = _thread.submit(launch).result()
    yield running
    _thread.submit(running.close).result()
    _thread.submit(playwright.stop).result()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, and sees to it that nothing went wrong on any of them."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(
        url: str,
        *,
        theme: str = "light",
        expected: tuple[str, ...] = (),
        context: BrowserContext | None = None,
        width: int = 1280,
    ) -> Page:
        if context is None:
            context = browser.new_context(
                viewport={"width": width, "height": 800},
                color_scheme=theme,  # type: ignore[arg-type]
                reduced_motion="reduce",
                locale="en-GB",
                timezone_id="UTC",
            )
            contexts.append(context)
        page = context.new_page()

        def note(text: str) -> None:
            if not any(each in text for each in expected):
                errors.append(text)

        page.on("console", lambda said: note(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.add_init_script(_WATCH)
        page.goto(url)
        return page

    yield opened
    refused = _thread.submit(_closed, contexts).result()
    assert errors == []
    assert refused == []


def _closed(contexts: list[BrowserContext]) -> list[str]:
    """Close what was opened; returns what policies refused there."""
    refused = [each for context in contexts for page in context.pages for each in page.evaluate("refused")]
    for context in contexts:
        context.close()
    return refused


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHistory]:
    """A server of three episodes of the demo; to be looked at only."""
    directory = tmp_path_factory.mktemp("demo")
    line = CommandLine(directory, plain_environment(tmp_path_factory.mktemp("bytecode")))
    for problem in ("14", "9", "3"):
        done = line("demo", "--quiet", "--problem", problem, "--db", "history.db")
        assert done.code == 0, done.err
    with ServedHistory(directory) as running:
        yield running
    line.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ServedHistory]:
    """A server of a history that is empty yet."""
    with ServedHistory(tmp_path) as running:
        yield running
