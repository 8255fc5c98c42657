"""A table for people: aligned columns, no lines, cut to the terminal's width where there is one.

Knows widths. Must not know what stands in the cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stepstream.cli.output import Ink, Span
from stepstream.cli.untrusted import columns, fit, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.cli.output import Line

_GAP = 2
_SHOWN_MAX = 2_000
_WIDTH_LEAST = 6


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: What stands above it.
        is_right: Whether its cells stand at its right edge, as figures do.
        width_min: How far it is cut when the line is too long, as long as there is another way; None for a
            column that is never cut.
        drop: Columns with a higher number are left out first; 0 is never left out.
    """

    title: str
    is_right: bool = False
    width_min: int | None = None
    drop: int = 0


Cell = Span | str


class Table:
    """Rows under titles."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[Span]] = []

    def add(self, *cells: Cell) -> None:
        """A row, one cell a column."""
        spans = (cell if isinstance(cell, Span) else Span(cell) for cell in cells)
        self._rows.append([Span(one_line(text, _SHOWN_MAX), ink) for text, ink in spans])

    def lines(self, width: int | None, *, titled: bool = True) -> list[Line]:
        """The table as lines of at most so many columns; None cuts nothing."""
        natural = [
            max([columns(column.title), *(columns(row[place].text) for row in self._rows)])
            for place, column in enumerate(self._columns)
        ]
        widths = dict(enumerate(natural)) if width is None else self._fitted(natural, width)
        titles = [[Span(column.title, Ink.DIM) for column in self._columns]] if titled else []
        return [self._line(row, widths) for row in (*titles, *self._rows)]

    def _fitted(self, natural: list[int], width: int) -> dict[int, int]:
        """The columns that fit into a line, with their widths.

        The widest are cut as far as they may be, then columns are left out, and only then the rest is cut on.
        """
        kept = list(range(len(natural)))
        while True:
            widths = {place: natural[place] for place in kept}
            excess = sum(widths.values()) + _GAP * (len(kept) - 1) - width
            droppable = [place for place in kept if self._columns[place].drop]
            while excess > 0 and (room := self._room(widths, cut_more=not droppable)):
                widths[max(room, key=widths.__getitem__)] -= 1
                excess -= 1
            if excess <= 0 or not droppable:
                return widths
            kept.remove(max(droppable, key=lambda place: self._columns[place].drop))

    def _room(self, widths: dict[int, int], *, cut_more: bool) -> list[int]:
        """The columns that may still be cut."""
        room = []
        for place, width in widths.items():
            least = self._columns[place].width_min
            if least is not None and width > (min(least, _WIDTH_LEAST) if cut_more else least):
                room.append(place)
        return room

    def _line(self, row: Sequence[Span], widths: dict[int, int]) -> Line:
        spans: list[Span] = []
        for place, width in widths.items():
            text, ink = row[place]
            text = fit(text, width)
            blank = Span(" " * (width - columns(text)))
            cell = [blank, Span(text, ink)] if self._columns[place].is_right else [Span(text, ink), blank]
            spans += [*cell, Span(" " * _GAP)]
        return _trimmed(spans)


def _trimmed(spans: list[Span]) -> Line:
    """Without blanks at the end of the line."""
    while spans and not spans[-1].text.strip():
        spans.pop()
    return tuple(spans)
