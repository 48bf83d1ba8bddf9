"""Figures and tables of a benchmark: median, range, ratio within rounds, Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """Repeated measurement of one quantity."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Summarise values; at least one."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])

    def __str__(self) -> str:
        if self.low == self.high:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(self.low)} to {_number(self.high)})"


Cell: TypeAlias = "Figure | float | str | None"


@dataclass(frozen=True, slots=True)
class Table:
    """Result of a section."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, dict[str, Cell]]
    """Cells by row and column; what was not measured is absent."""
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Format the table with its title and notes."""
        lines = [f"## {self.title}", ""]
        lines += ["| |" + "".join(f" {column} |" for column in self.columns)]
        lines += ["|---|" + "---|" * len(self.columns)]
        for name, cells in self.rows.items():
            lines.append(f"| {name} |" + "".join(f" {_text(cells.get(c))} |" for c in self.columns))
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])


def ratio(seconds: Mapping[str, Sequence[float]], row: str, *, against: str) -> Figure:
    """Compare two speeds: how many times as fast `row` is, from the rounds that both were in."""
    pairs = zip(seconds[row], seconds[against], strict=False)
    return Figure.of(other / own for own, other in pairs)


def _text(cell: Cell) -> str:
    return "" if cell is None else _number(cell) if isinstance(cell, float) else str(cell)


def _number(value: float) -> str:
    """Format three significant digits without an exponent."""
    if abs(value) >= 100 or value == int(value):  # noqa: PLR2004 - three digits before the point
        return f"{value:.0f}"
    return f"{value:.3g}"
