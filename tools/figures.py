"""Writes measured figures into the documents: ``python tools/figures.py FIGURES.json``.

The file is what ``./dev bench --json FIGURES.json`` writes. A figure belongs into every table cell that ends
with ``<!-- figure: NAME -->``; it is the median, with the lowest and the highest run behind it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[1]
_THREE_DIGITS = 100
PLACE = re.compile(r"\| [^|]*?(?P<mark><!-- figure: (?P<name>[^|]*?) -->)")


def documents() -> list[Path]:
    """The documents that may name figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Measured(TypedDict):
    """What of a figure is shown."""

    what: str
    median: float
    runs: list[float]
    unit: str


def shown(figure: Measured) -> str:
    """The median of a figure with its unit, and its range."""
    low, median, high = map(number, (min(figure["runs"]), figure["median"], max(figure["runs"])))
    return f"{median} {figure['unit']} ({low} to {high})"


def number(value: float) -> str:
    """Three digits, or as many as stand before the point."""
    return f"{value:,.0f}" if abs(value) >= _THREE_DIGITS else f"{value:.3g}"


def main() -> int:
    """Write the figures; says what was not measured."""
    if not sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    figures: list[Measured] = json.loads(Path(sys.argv[1]).read_text())["figures"]
    measured = {figure["what"]: figure for figure in figures}
    missing: set[str] = set()
    for document in documents():
        text = document.read_text()

        def filled(match: re.Match[str]) -> str:
            if match["name"] not in measured:
                missing.add(match["name"])
                return match[0]
            return f"| {shown(measured[match['name']])} {match['mark']}"

        written = PLACE.sub(filled, text)
        if written != text:
            document.write_text(written)
    for name in sorted(missing):
        print(f"{name}: not in {sys.argv[1]}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
