"""The dashboard in a browser: how soon a step is painted, an episode is open, and how smoothly it scrolls.

What is measured is what a person sees: a sampler in the page looks at every frame which step its list shows
last, and the step's own clock says when it was logged. The frame in which the sampler sees a step is the one
after it was put into the document, so that the figures hold the way to the glass.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.agent import thought
from benchmarks.figure import Figure, percentile
from benchmarks.served import Served
from stepstream import ObservabilityProvider
from stepstream.server.page import BUILT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

LOADED = 100_000
LARGE = 1_000_000
RATE, SECONDS = 1_000, 60
BURST_RATE, BURST_SECONDS = 5_000, 5
FRAMES = 180
PAINTS = 5
_WITHIN_MS = 120_000
_FILTER = "kind:thought"

# Looks at every frame: when it was, and the last sequence number and the count that the list shows.
_SAMPLER = """
window.frames_seen = [];
const look = (at) => {
  const rows = document.querySelectorAll(".step-table .step-row[aria-selected]");
  const last = rows.length ? Number(rows[rows.length - 1].firstElementChild.textContent) : -1;
  const count = Number(document.querySelector(".step-table")?.getAttribute("aria-rowcount") ?? 1) - 1;
  frames_seen.push([performance.timeOrigin + at, last, count]);
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# When rows and the strip of the whole episode were first to be seen, in ms since the page was asked for.
_OPENED = """
window.opened = null;
const seen = () => {
  const row = document.querySelector(".step-row[aria-selected]");
  const canvas = document.querySelector(".minimap canvas");
  const context = canvas?.width ? canvas.getContext("2d") : null;
  const strip = context?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
  if (!row || !strip.some((value) => value)) requestAnimationFrame(seen);
  else requestAnimationFrame(() => { opened = performance.now(); });
};
requestAnimationFrame(seen);
"""
_SCROLL = """
async (frames) => {
  const list = document.querySelector(".step-table .list");
  const gaps = [];
  let before = await new Promise(requestAnimationFrame);
  list.scrollTop = list.scrollHeight / 2;
  for (let frame = 0; frame < frames; frame += 1) {
    list.scrollTop += 300;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - before);
    before = now;
  }
  return gaps.slice(5);
}
"""


def run(place: Path) -> list[Figure]:
    """Measure the page; needs Chromium and the built dashboard."""
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None or not (BUILT / "index.html").is_file():
        raise RuntimeError("this needs Chromium and the built dashboard: ./dev test installs and builds them")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--force-color-profile=srgb"])
        return [
            *_first_paint(browser, place / "first"),
            *_live(browser, place / "live"),
            *_burst(browser, place / "burst"),
            *_opened(browser, place / "middle", LOADED, 0.7),
            *_opened(browser, place / "large", LARGE, 3, scrolls=True),
        ]


def _first_paint(browser: Browser, place: Path) -> Iterator[Figure]:
    with _recording(place, 100) as (served, episode, _):
        paints = []
        for _ in range(PAINTS):
            page = browser.new_context().new_page()
            page.goto(f"{served.url}/episodes/{episode}", wait_until="networkidle")
            paints.append(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            page.context.close()
    yield Figure("first contentful paint", (median(paints),), "ms", 300)
    yield Figure("initial JavaScript, gzipped", (_initial_bytes() / 1024,), "KiB", 150)


def _initial_bytes() -> int:
    manifest = json.loads((BUILT / "manifest.json").read_text("utf-8"))
    wanted = [name for name, entry in manifest.items() if entry.get("isEntry")]
    for name in wanted:
        wanted += [each for each in manifest[name].get("imports", ()) if each not in wanted]
    return sum((BUILT / f"{manifest[name]['file']}.gz").stat().st_size for name in wanted)


def _live(browser: Browser, place: Path) -> Iterator[Figure]:
    """A step that passes the filter, on its way to a list of a hundred thousand."""
    with _recording(place, LOADED) as (served, episode, agent):
        page = _table(browser, served, episode, _FILTER)
        _until(page, f"document.querySelector('.step-table')?.getAttribute('aria-rowcount') >= {LOADED}")
        frames = _watched(page, agent, f"{RATE} {SECONDS}")
        logged = _moments(served, episode, RATE * SECONDS)
    late = [at - logged[sequence] for at, sequence in _first_seen(frames, logged)]
    # All but the first, which is no thought.
    expected = LOADED - 1 + RATE * SECONDS
    span_s = (frames[-1][0] - frames[0][0]) / 1000
    yield Figure(f"log_event to the painted frame, {RATE:,}/s, p95", (percentile(late, 0.95),), "ms", 60)
    yield Figure("the same, p99", (percentile(late, 0.99),), "ms", 120)
    yield Figure("frames a second meanwhile", (len(frames) / span_s,), "fps", 55, at_most=False)
    yield Figure("steps lost or doubled on the page", (abs(frames[-1][2] - expected),), "steps", 0)


def _burst(browser: Browser, place: Path) -> Iterator[Figure]:
    with _recording(place, 1_000) as (served, episode, agent):
        page = _table(browser, served, episode, "")
        frames = _watched(page, agent, f"{BURST_RATE} {BURST_SECONDS}")
    gaps = [after[0] - before[0] for before, after in pairwise(frames)]
    yield Figure(f"longest freeze at {BURST_RATE:,} steps/s", (max(gaps),), "ms", 100)


def _opened(
    browser: Browser, place: Path, steps: int, bar: float, *, scrolls: bool = False
) -> Iterator[Figure]:
    with _recording(place, steps) as (served, episode, _):
        page = browser.new_context().new_page()
        page.add_init_script(_OPENED)
        page.goto(f"{served.url}/episodes/{episode}?tab=table")
        _until(page, "opened !== null")
        took = page.evaluate("opened") / 1000
        yield Figure(f"open an episode of {steps:,} steps", (took,), "s", bar)
        if scrolls:
            gaps = page.evaluate(_SCROLL, FRAMES)
            yield Figure(f"scroll {steps:,} rows", (1000 * len(gaps) / sum(gaps),), "fps", 58, at_most=False)
            yield Figure("worst frame of it", (max(gaps),), "ms", 50)
            cdp = page.context.new_cdp_session(page)
            cdp.send("Performance.enable")
            cdp.send("HeapProfiler.collectGarbage")
            metrics = {each["name"]: each["value"] for each in cdp.send("Performance.getMetrics")["metrics"]}
            yield Figure("heap of the page", (metrics["JSHeapUsedSize"] / 1e6,), "MB", 400)
        page.context.close()


@contextmanager
def _recording(place: Path, steps: int) -> Iterator[tuple[Served, str, subprocess.Popen[str]]]:
    """A server, an episode of so many steps, and the process that records it and can record more."""
    place.mkdir()
    database = place / "history.db"
    with Served(database) as served:
        command = [sys.executable, "-m", "benchmarks.page", str(database), str(steps)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
            if agent.stdout is None or agent.stdin is None:
                raise RuntimeError("the agent cannot be spoken to")
            episode = agent.stdout.readline().strip()
            yield served, episode, agent
            agent.stdin.close()
            agent.wait(60)


def _record() -> None:
    """Record an episode, then as many more steps and as fast as each line says: ``RATE SECONDS``."""
    database, steps = sys.argv[1], int(sys.argv[2])
    with (
        ObservabilityProvider(database, committer="none") as provider,
        provider.episode("watched", agent="planner", role="planner") as episode,
    ):
        for number in range(steps - 1):
            episode.log_event(thought())
            if number % 50_000 == 0:
                provider.flush(timeout_s=600)
        provider.flush(timeout_s=600)
        print(episode.id, flush=True)
        for line in sys.stdin:
            rate, seconds = (int(word) for word in line.split())
            began = time.monotonic()
            for number in range(rate * seconds):
                while (left := began + number / rate - time.monotonic()) > 0:
                    time.sleep(left)
                episode.log_event(thought())
            provider.flush(timeout_s=60)
            print("done", flush=True)


def _until(page: Page, condition: str) -> None:
    """Wait; not with Playwright's own way, which the page's policy refuses."""
    deadline = time.monotonic() + _WITHIN_MS / 1000
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the page never came so far: {condition}")
        page.wait_for_timeout(20)


def _table(browser: Browser, served: Served, episode: str, filter_text: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 860}).new_page()
    page.add_init_script(_SAMPLER)
    page.goto(f"{served.url}/episodes/{episode}?tab=table&filter={filter_text}")
    page.get_by_role("status").filter(has_text="live").wait_for(timeout=_WITHIN_MS)
    return page


def _watched(page: Page, agent: subprocess.Popen[str], order: str) -> list[tuple[float, int, int]]:
    """What the page showed at every frame while the agent logged."""
    if agent.stdin is None or agent.stdout is None:
        raise RuntimeError("the agent cannot be spoken to")
    page.evaluate("window.frames_seen = []")
    agent.stdin.write(f"{order}\n")
    agent.stdin.flush()
    agent.stdout.readline()
    # What was flushed is committed; the page has some frames left to show it.
    page.wait_for_timeout(500)
    frames = [tuple(frame) for frame in page.evaluate("frames_seen")]
    page.context.close()
    return frames


def _moments(served: Served, episode: str, steps: int) -> dict[int, float]:
    """When each of the last steps was logged, in ms since 1970."""
    url = f"{served.url}/api/v1/episodes/{episode}/steps"
    total = served.http.request("GET", f"{url}?limit=1").json()["steps"]
    moments: dict[int, float] = {}
    while len(moments) < steps:
        first = total - steps + len(moments)
        for step in served.http.request("GET", f"{url}?from={first}&limit=500").json()["items"]:
            moments[step["sequence"]] = step["occurred_at"] / 1e6
    return moments


def _first_seen(
    frames: list[tuple[float, int, int]], logged: dict[int, float]
) -> Iterator[tuple[float, int]]:
    """For every step that was logged, the first frame that showed it or one behind it."""
    waiting = iter(sorted(logged))
    sequence = next(waiting, None)
    for at, last, _ in frames:
        while sequence is not None and sequence <= last:
            yield at, sequence
            sequence = next(waiting, None)


if __name__ == "__main__":
    _record()
