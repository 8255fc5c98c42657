"""One measured figure beside its bar, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """A measured value.

    Attributes:
        what: What was measured.
        values: One value a run.
        unit: Their unit.
        bar: What was promised; None where the figure only explains another.
        at_most: Whether the bar is an upper bound.
    """

    what: str
    values: tuple[float, ...]
    unit: str
    bar: float | None = None
    at_most: bool = True

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.values)

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def as_json(self) -> dict[str, object]:
        """The figure as plain data."""
        return {
            "what": self.what,
            "median": self.value,
            "runs": list(self.values),
            "unit": self.unit,
            "bar": self.bar,
            "at_most": self.at_most,
            "holds": self.holds,
        }


def merged(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The figures of several runs of one benchmark, run by run side by side."""
    return [
        Figure(first.what, tuple(run[i].value for run in runs), first.unit, first.bar, first.at_most)
        for i, first in enumerate(runs[0])
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: Sequence[Figure]) -> Table:
    """The figures as a table for people."""
    grid = Table(title="stepstream: figures and bars", title_justify="left")
    for name, justify in (
        ("what", "left"),
        ("median", "right"),
        ("min - max", "right"),
        ("bar", "right"),
        ("", "left"),
    ):
        grid.add_column(name, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        sign = "<=" if figure.at_most else ">="
        bar = "" if figure.bar is None else f"{sign} {figure.bar:g}"
        verdict = {True: "[green]holds[/]", False: "[red]MISSED[/]", None: ""}[figure.holds]
        spread = f"{min(figure.values):.4g} - {max(figure.values):.4g}"
        grid.add_row(figure.what, f"{figure.value:.4g} {figure.unit}", spread, bar, verdict)
    return grid
