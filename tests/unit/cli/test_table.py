"""Tables: aligned, cut where the terminal ends, whole where there is none."""

from __future__ import annotations

from stepstream.cli.output import Line
from stepstream.cli.table import Column, Table
from stepstream.cli.untrusted import columns


def text(line: Line) -> str:
    """A line without its inks."""
    return "".join(span.text for span in line)


def example() -> Table:
    """Three columns, of which one may be cut and one left out."""
    table = Table(
        Column("NAME", width_min=8),
        Column("STEPS", is_right=True),
        Column("WHO", drop=1),
    )
    table.add("a bracket with a long name", "12", "planner")
    table.add("日本語", "1,234", "engineer")
    return table


def test_off_a_terminal_nothing_is_cut() -> None:
    """Without a width every cell is whole and every column begins at the same place."""
    title, first, second = map(text, example().lines(None))

    assert first == "a bracket with a long name     12  planner"
    assert title.index("WHO") == first.index("planner")
    assert columns(second.partition("engineer")[0]) == title.index("WHO")


def test_a_table_fits_its_width() -> None:
    """The longest column is cut first, and where that is not enough a column is left out."""
    for width in (60, 36, 30, 20):
        lines = example().lines(width)
        assert max(columns(text(line)) for line in lines) <= width
    assert "WHO" in text(example().lines(36)[0])
    assert "WHO" not in text(example().lines(20)[0])


def test_cells_are_one_line() -> None:
    """A line break or an escape in a cell breaks neither the row nor the terminal."""
    table = Table(Column("X"))
    table.add("a\nb\x1b[2J")

    assert [text(line) for line in table.lines(None)] == ["X", "a b␛[2J"]


def test_a_table_without_rows_is_its_titles() -> None:
    """A table nobody added to has a line of titles, or none where titles are not wanted."""
    table = Table(Column("X"))

    assert [text(line) for line in table.lines(10)] == ["X"]
    assert table.lines(10, titled=False) == []
