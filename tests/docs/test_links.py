"""The pages lead somewhere: every link between them holds, and every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

_FENCED = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def links_of(text: str) -> list[str]:
    """Where a page's links lead, those to other sites left out."""
    prose = _CODE.sub("", _FENCED.sub("", text))
    return [target for target in _LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    anchors = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        anchors.add(words.replace(" ", "-"))
    return anchors


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in links_of(page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            wrong.append(link)
    return wrong


def test_every_link_between_pages_leads_somewhere(pages: list[Path], root: Path) -> None:
    """A relative link names a file that is there, and a heading that is in it."""
    wrong = [f"{page.relative_to(root)}: {link}" for page in pages if page.exists() for link in broken(page)]

    assert not wrong


def test_every_page_can_be_reached(root: Path) -> None:
    """Who begins at the README comes to every page of the docs by following links."""
    seen: set[Path] = set()
    waiting = [root / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [
            (page.parent / link.partition("#")[0]).resolve() for link in links_of(page.read_text("utf-8"))
        ]

    assert set((root / "docs").rglob("*.md")) - seen == set()


def test_pages_named_in_the_code_are_there(root: Path) -> None:
    """A page that a message or a comment of the package sends a person to is there."""
    named = {
        name
        for path in (root / "src").rglob("*.py")
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))
    }

    assert {name for name in named if not (root / name).exists()} == set()


def test_files_named_on_the_pages_are_there(pages: list[Path], root: Path) -> None:
    """A file of the checkout that a page names in code is there."""
    wrong = []
    for page in pages:
        text = page.read_text("utf-8")
        names = set(re.findall(r"\b((?:src|tests|tools|benchmarks|docs)/[\w/.-]+\.(?:py|md|sql))\b", text))
        if page.name == "ARCHITECTURE.md":
            names |= {
                f"src/stepstream/{name}"
                for name in re.findall(r"`([\w/]+\.(?:py|sql))`", text)
                if "/" in name
            }
        # What a comparison says of another project is in that project.
        theirs = {name for name in names if name.startswith("src/phoenix/")}
        wrong += [
            f"{page.relative_to(root)}: {name}" for name in names - theirs if not (root / name).exists()
        ]

    assert wrong == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """Missing files and missing headings are found, and what only looks like a link is none."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: `x`\n[gone](gone.md) [here](page.md#a-heading-x) [nowhere](#nowhere)\n"
        "[site](https://example.org) `[code](code.md)`\n```\n[fenced](fenced.md)\n```\n"
    )

    assert broken(page) == ["gone.md", "#nowhere"]
