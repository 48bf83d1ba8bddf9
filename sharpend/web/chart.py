"""Charts as SVG, drawn by the server: lines over time, and bars.

Owns geometry and the thinning of points. Colours are classes of the style sheet, so that a chart
follows the light or dark scheme; there is no style in the markup, which the page's policy forbids.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

WIDTH, HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 14, 28
COLUMNS = 240
"""Most points of a line: several of a series share one."""
_TICKS = 4
_RING = "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0"
_ALMOST = 1e-9
_LARGE = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """Range of time that a chart shows (wall clock)."""

    begin_s: float
    end_s: float
    label: str
    """Format of the times below the chart, as of strftime."""


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a chart."""

    kind: str
    """Class of the style sheet."""
    points: Sequence[tuple[float, float]]
    """Time (wall clock) and value, in the order of time."""
    has_gaps: bool = True
    """False draws it through times without points."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Position of values in a chart."""

    span: Span
    low: float
    high: float

    def x(self, at_s: float) -> float:
        """Return the position of a time."""
        share = (at_s - self.span.begin_s) / (self.span.end_s - self.span.begin_s)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return the position of a value; values out of range are at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def series(
    points: Iterable[Mapping[str, float | None]], key: str, span: Span
) -> list[tuple[float, float]]:
    """Choose the values of one key that are there, thinned to the mean of each column."""
    return _thinned(points, key, span, fmean)


def sums(
    points: Iterable[Mapping[str, float | None]], key: str, span: Span
) -> list[tuple[float, float]]:
    """Choose the values of one key, added up in each column."""
    return _thinned(points, key, span, sum)


def _thinned(
    points: Iterable[Mapping[str, float | None]],
    key: str,
    span: Span,
    combined: Callable[[list[float]], float],
) -> list[tuple[float, float]]:
    width_s = (span.end_s - span.begin_s) / COLUMNS
    columns: dict[int, list[float]] = {}
    for point in points:
        value, at_s = point.get(key), point["at"]
        if value is not None and at_s is not None and span.begin_s <= at_s <= span.end_s:
            columns.setdefault(int((at_s - span.begin_s) / width_s), []).append(value)
    return [
        (span.begin_s + (column + 0.5) * width_s, combined(values))
        for column, values in sorted(columns.items())
    ]


def lines(title: str, drawn: Sequence[Line], span: Span, low: float, high: float) -> Markup:
    """Draw lines; a gap of time is a gap of the line.

    Args:
        title: for people who do not see it.
        drawn: from back to front.
        span: range of time.
        low: value at the bottom.
        high: value at the top, above `low`.
    """
    scale = Scale(span, low, high)
    paths = (f'<path class="{one.kind}" d="{_path(one, scale)}"/>' for one in drawn if one.points)
    return _svg(title, scale, "".join(paths))


def bars(title: str, points: Sequence[tuple[float, float]], span: Span) -> Markup:
    """Draw a bar for each point, from 0 to the largest value; the values are whole numbers."""
    scale = Scale(span, 0.0, max([float(_TICKS), *(value for _, value in points)]))
    width = (WIDTH - _LEFT - _RIGHT) / COLUMNS
    foot = scale.y(0.0)
    drawn = "".join(
        f"M{scale.x(at_s) - width / 2:.1f} {foot:.1f}V{scale.y(value):.1f}h{width:.1f}V{foot:.1f}z"
        for at_s, value in points
        if value
    )
    return _svg(title, scale, f'<path class="bars" d="{drawn}"/>')


def _path(line: Line, scale: Scale) -> str:
    gap_s = 3 * (scale.span.end_s - scale.span.begin_s) / COLUMNS
    runs: list[list[tuple[float, float]]] = []
    for at_s, value in line.points:
        if not runs or (line.has_gaps and at_s - runs[-1][-1][0] > gap_s):
            runs.append([])
        runs[-1].append((at_s, value))
    return "".join(_run(one, scale) for one in runs)


def _run(points: Sequence[tuple[float, float]], scale: Scale) -> str:
    """Draw points without a gap; one alone is a ring, because a line of no length is not seen."""
    places = [f"{scale.x(at_s):.1f} {scale.y(value):.1f}" for at_s, value in points]
    return f"M{'L'.join(places)}" if len(places) > 1 else f"M{places[0]}{_RING}"


def _svg(title: str, scale: Scale, drawn: str) -> Markup:
    return Markup(  # noqa: S704 - numbers, own class names, and the title, which is escaped
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">'
        f"{''.join(_grid(scale))}{drawn}{''.join(_labels(scale))}</svg>"
    )


def _values(scale: Scale) -> Iterator[float]:
    """Iterate over the values that have a line of the grid: round ones, of even distance."""
    step = _round((scale.high - scale.low) / _TICKS)
    first, last = math.ceil(scale.low / step - _ALMOST), int(scale.high / step + _ALMOST)
    for number in range(first, last + 1):
        yield number * step


def _round(step: float) -> float:
    """Return the next larger round number: 1, 2 or 5 with zeros."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= step * (1 - _ALMOST))


def _number(value: float) -> str:
    """Format a value of the grid."""
    return f"{value:,.0f}".replace(",", "\u202f") if value >= _LARGE else f"{value:.4g}"


def _grid(scale: Scale) -> Iterator[str]:
    """Draw the lines behind all others."""
    for value in _values(scale):
        yield f'<path class="grid" d="M{_LEFT} {scale.y(value):.1f}H{WIDTH - _RIGHT}"/>'


def _labels(scale: Scale) -> Iterator[str]:
    """Write values beside the lines, and times below."""
    for value in _values(scale):
        at = f'x="{_LEFT - 8}" y="{scale.y(value):.1f}" dy=".35em" text-anchor="end"'
        yield f"<text {at}>{_number(value)}</text>"
    span = scale.span
    for tick, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        at_s = span.begin_s + (span.end_s - span.begin_s) * tick / _TICKS
        text = time.strftime(span.label, time.localtime(at_s))
        yield f'<text x="{scale.x(at_s):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'
