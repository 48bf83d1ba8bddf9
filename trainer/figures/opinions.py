"""Plot of a study's results: MOS, DMOS and comparisons with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.evaluation.mos.tables import heading
from trainer.figures import canvas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Row = tuple[str, Mapping[str, Any]]
    """A label and an estimate."""

_A_ROW, _AROUND = 0.42, 1.5
"""Inches."""


def draw_scores(results: Mapping[str, Any]) -> Figure:
    """Draw the scores of conditions and pairs, the best at the top.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    panels = {
        "MOS, 1 to 5": [(one["condition"], one["mos"]) for one in results["conditions"]],
        "DMOS: 5 is as the original": [
            (one["condition"], one["dmos"]) for one in results["conditions"] if one["dmos"]
        ],
        "comparisons, -3 to 3": [
            (f"{one['condition']}\n over {one['compared_with']}", one["score"])
            for one in results["pairs"]
        ],
    }
    shown = {title: rows for title, rows in panels.items() if rows}
    most = max(len(rows) for rows in shown.values())
    figure = canvas.blank(4.6 * len(shown), _AROUND + _A_ROW * most)
    grid = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (title, rows) in zip(grid, shown.items(), strict=True):
        _draw(axes, title, rows)
    figure.suptitle(heading(results), x=0.01, ha="left", fontsize=13, color=canvas.INK)
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.08)
    return figure


def _draw(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    """One panel: a point with its interval in each row."""
    for at, (_, estimate) in enumerate(rows):
        mean, low, high = (estimate[part] for part in ("mean", "low", "high"))
        if low is not None:
            axes.plot([low, high], [at, at], color=canvas.BLUE, linewidth=2)
        axes.plot(mean, at, "o", color=canvas.BLUE, markersize=7)
        axes.annotate(
            f"{mean:.2f}", (mean, at), (0, 6), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.set_title(title, loc="left", fontsize=11, color=canvas.INK)
    axes.tick_params(labelsize=10, colors=canvas.QUIET_INK, length=0)
    axes.grid(visible=True, axis="x", color=canvas.RULE, linewidth=0.7)
    axes.set_facecolor(canvas.PAPER)
    axes.margins(x=0.12)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(canvas.RULE)
