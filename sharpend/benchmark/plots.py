"""Plots of a benchmark's tables: a bar for each row and a line for its range; needs matplotlib."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from sharpend.benchmark.figures import Figure
from sharpend.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.benchmark.figures import Table

_ROW_INCHES, _WIDTH_INCHES = 0.3, 8


def require_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    if not importlib.util.find_spec("matplotlib"):
        raise UnavailableError("--to: plots need matplotlib: pip install 'sharpend[bench]'")


def draw(table: Table, path: Path) -> None:
    """Draw the first column of a table as bars.

    Args:
        table: rows without a figure in that column are left out.
        path: of the PNG, replaced where it exists.
    """
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - an extra

    column = table.columns[0]
    bars = {row: cells.get(column) for row, cells in table.rows.items()}
    figures = {
        row: one if isinstance(one, Figure) else Figure(one, one, one)
        for row, one in bars.items()
        if isinstance(one, Figure | float)
    }
    canvas = Canvas((_WIDTH_INCHES, 1 + _ROW_INCHES * len(figures)), layout="constrained")
    axes = canvas.subplots()
    rows = list(reversed(figures))
    medians = [figures[row].median for row in rows]
    below = [figures[row].median - figures[row].low for row in rows]
    above = [figures[row].high - figures[row].median for row in rows]
    axes.barh(rows, medians, xerr=[below, above], color="steelblue", ecolor="black")
    axes.set(title=table.title, xlabel=column, xlim=(0, None))
    canvas.savefig(path)
