"""Every example of the README and the docs is run, in a directory of its own, with real providers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs import run_page as runner

ROOT = Path(__file__).resolve().parents[2]
MEASUREMENTS = sorted(path.stem for path in (ROOT / "benchmarks/decisions").glob("[a-z]*.py"))

RunPage = Callable[[Path], "subprocess.CompletedProcess[str]"]


PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if any(map(runner.is_run, runner.blocks_of(page.read_text("utf-8"))))
]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path, run_page: RunPage) -> None:
    """Every example runs as it stands on the page, and prints what the page says it prints."""
    done = run_page(page)

    assert done.returncode == 0, done.stdout


def test_every_code_block_says_what_it_is() -> None:
    """A block that could be an example is run, or says why it is not."""
    silent = [
        f"{page.relative_to(ROOT)}:{block.line}: {block.language or 'no language'}"
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for block in runner.blocks_of(page.read_text("utf-8"))
        if block.language in {"bash", "shell", "console", "py", "pycon"}
    ]

    assert not silent, f"call them sh, python or text: {silent}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nraise ValueError('wrong')\n```\n", "ValueError: wrong"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "prints\n1"),
        ("```sh\nfalse\n```\n", "ends with 1"),
        ("```sh\necho one; echo two\n```\n```text\none\n```\n", "prints\none\ntwo"),
    ],
    ids=["raises", "prints something else", "fails", "prints more"],
)
def test_an_example_can_fail(text: str, said: str, tmp_path: Path, run_page: RunPage) -> None:
    """An example that raises, fails or prints something else than the page shows is found out."""
    page = tmp_path / "page.md"
    page.write_text(text)

    done = run_page(page)

    assert done.returncode == 1
    assert said in done.stdout


def test_an_example_can_hold(tmp_path: Path, run_page: RunPage) -> None:
    """Files are made, blocks share names and directory, and … stands for anything that is printed."""
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: word.txt -->\n```text\nhello\n```\n\n"
        "```python\nword = open('word.txt').read()\n```\n\n"
        "```python\nprint(word, 17)\n```\n\n```text\nhello\n …\n```\n\n"
        "```sh\ncat word.txt\n```\n```text\nhe…o\n```\n\n"
        "<!-- not run: it would -->\n```sh\nfalse\n```\n"
    )

    done = run_page(page)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("script", MEASUREMENTS)
def test_the_measurements_of_decisions_run(script: str, environment: dict[str, str]) -> None:
    """A figure in a decision record can be measured again with the script it names."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.decisions.{script}", "64"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1
