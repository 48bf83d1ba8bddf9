"""Trends of the overview: agreement and throughput over a day or a year, as charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpend.agreement.alarm import NO_BETTER
from sharpend.daemon import history
from sharpend.web import chart
from sharpend.web.chart import Line, Span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

_LEAST_SSIM_RANGE = 0.05


class Trends:
    """Charts of one state directory; those of a minute are kept, because points come by the minute.

    Args:
        state_dir: of the daemon.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._kept: dict[bool, tuple[int, dict[str, Markup | None]]] = {}

    def read(self, *, year: bool, now_s: float) -> dict[str, Markup | None]:
        """Draw the charts of the history.

        Args:
            year: by the hour; else a day by the minute.
            now_s: wall clock in seconds.

        Returns:
            `ratio` (residual ratio), `ssim` and `images`; None where there is nothing to draw.
        """
        minute = int(now_s // history.MINUTE_S)
        kept = self._kept.get(year)
        if kept is None or kept[0] != minute:
            kept = self._kept[year] = (minute, self._drawn(year=year, now_s=now_s))
        return kept[1]

    def _drawn(self, *, year: bool, now_s: float) -> dict[str, Markup | None]:
        points = history.read(self._state_dir, hours=year, now_s=now_s)
        length_s, label = (history.YEAR_S, "%Y-%m-%d") if year else (history.DAY_S, "%H:%M")
        span = Span(now_s - length_s, now_s, label)
        return {
            "ratio": _ratio(points, span),
            "ssim": _ssim(points, span),
            "images": _images(points, span) if points else None,
        }


def _ratio(points: Sequence[dict[str, Any]], span: Span) -> Markup | None:
    """Draw the residual ratio, with the input itself (1 by definition) and its threshold."""
    student = chart.series(points, "residual_ratio", span)
    if not student:
        return None
    alarm = chart.series(points, "residual_above", span)
    noop = [(span.begin_s, NO_BETTER), (span.end_s, NO_BETTER)]
    top = max(value for _, value in [*student, *alarm, *noop]) * 1.1
    title = f"Residual ratio, now {student[-1][1]:.3f}; the input itself is 1"
    return chart.lines(
        title,
        [Line("noop", noop, has_gaps=False), Line("alarm", alarm), Line("student", student)],
        span,
        0.0,
        top,
    )


def _ssim(points: Sequence[dict[str, Any]], span: Span) -> Markup | None:
    """Draw SSIM to the teacher, of the student and of the input itself."""
    student = chart.series(points, "rolling", span)
    if not student:
        return None
    noop = chart.series(points, "noop_mean", span)
    alarm = chart.series(points, "alarm_below", span)
    low = min(value for _, value in [*student, *noop, *alarm])
    title = f"SSIM to the teacher, now {student[-1][1]:.4f}"
    return chart.lines(
        title,
        [Line("noop", noop), Line("alarm", alarm), Line("student", student)],
        span,
        max(0.0, min(low - 0.01, 1 - _LEAST_SSIM_RANGE)),
        1.0,
    )


def _images(points: Sequence[dict[str, Any]], span: Span) -> Markup:
    """Draw the number of images over time."""
    images = chart.sums(points, "images", span)
    total = sum(value for _, value in images)
    return chart.bars(f"Images finished over time, {total:.0f} in all", images, span)
