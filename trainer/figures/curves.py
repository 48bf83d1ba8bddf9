"""Curves of runs: validation scores over steps and over minutes."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from trainer.figures import canvas
from trainer.training.record import SPANS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trainer.training.record import Record

MEASURES = {
    "psnr": ("PSNR to the original, dB", "{:.2f} dB"),
    "ssim": ("SSIM to the original", "{:.4f}"),
    "agreement": ("SSIM to the teacher", "{:.4f}"),
}
"""Key of the record: title of its row, and how one value is written."""
_FEW_DECADES = 1000
"""Largest ratio of last to first value for three ticks a decade; beyond it there is one."""


def draw_curves(records: Sequence[Record]) -> Figure:
    """Draw each measure that any run has as a row: over steps at the left, minutes at the right.

    Both axes of time are logarithmic, so that the effect of twice the training can be read off. A
    dot marks the best value of each run, which the legend gives.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    measures = [key for key in MEASURES if any(record.points("step", key)[0] for record in records)]
    figure = canvas.blank(11, 1.0 + 2.9 * len(measures))
    grid = figure.subplots(len(measures), 2, sharex="col", sharey="row", squeeze=False)
    for axes_of_row, measure in zip(grid, measures, strict=True):
        for axes, span in zip(axes_of_row, SPANS, strict=True):
            for record, colour in zip(records, itertools.cycle(canvas.LINES), strict=False):
                _draw(axes, record, (span, measure), colour)
        axes_of_row[0].set_title(MEASURES[measure][0], loc="left", fontsize=12, color=canvas.INK)
        axes_of_row[0].legend(loc="lower right", frameon=False, fontsize=10)
    for axes in grid.flat:
        _dress(axes)
    for axes, label in zip(grid[-1], ("steps, logarithmic", "minutes, logarithmic"), strict=True):
        axes.set_xlabel(label, fontsize=11, color=canvas.QUIET_INK)
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.12)
    return figure


def _draw(axes: Axes, record: Record, what: tuple[str, str], colour: str) -> None:
    """One curve, and a dot where it is highest."""
    abscissas, ordinates = record.points(*what)
    if not ordinates:
        return
    best = ordinates.index(max(ordinates))
    label = MEASURES[what[1]][1].format(ordinates[best])
    axes.plot(
        abscissas, ordinates, color=colour, linewidth=1.8, label=f"{record.name}, best {label}"
    )
    axes.plot(abscissas[best], ordinates[best], "o", color=colour, markersize=5)


def _dress(axes: Axes) -> None:
    """A logarithmic abscissa with plain numbers, faint rules, no box."""
    axes.set_xscale("log")
    ticks = list(_ticks(*axes.get_xlim()))
    axes.set_xticks(ticks, [f"{tick:,.9g}" for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(labelsize=10, colors=canvas.QUIET_INK, length=3)
    axes.grid(visible=True, color=canvas.RULE, linewidth=0.7)
    axes.set_facecolor(canvas.PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(canvas.RULE)


def _ticks(low: float, high: float) -> Iterator[float]:
    """Round numbers on a logarithmic axis."""
    digits = (1, 2, 5) if high / low <= _FEW_DECADES else (1,)
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high))):
        for digit in digits:
            if low <= digit * 10.0**exponent <= high:
                yield digit * 10.0**exponent
