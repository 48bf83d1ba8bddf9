"""Front of networks: mean gain against milliseconds, one dot for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.figures import canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from trainer.evaluation.front import Point


def draw_front(points: Sequence[Point]) -> Figure:
    """Draw the methods, and a line through the models that none is both better and cheaper than.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    figure = canvas.blank(9, 5.5)
    axes = figure.subplots()
    for point in points:
        colour = canvas.ORANGE if point.is_mask else canvas.BLUE
        axes.plot(point.ms, point.gain_db, "s" if point.is_mask else "o", color=colour)
        axes.annotate(
            point.label,
            (point.ms, point.gain_db),
            xytext=(6, -4),
            textcoords="offset points",
            fontsize=10,
            color=canvas.INK,
        )
    front = undominated([point for point in points if not point.is_mask])
    axes.plot(
        [point.ms for point in front],
        [point.gain_db for point in front],
        "--",
        color=canvas.RULE,
        zorder=1,
    )
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.12)
    axes.set_xlabel("ms of one thread at 1920 x 1080, logarithmic", color=canvas.QUIET_INK)
    axes.set_ylabel("mean gain over 14 kinds of softness, dB", color=canvas.QUIET_INK)
    axes.set_facecolor(canvas.PAPER)
    axes.grid(visible=True, color=canvas.RULE, linewidth=0.7)
    figure.set_layout_engine("constrained")
    return figure


def undominated(points: Sequence[Point]) -> list[Point]:
    """Return the points that no cheaper one equals in gain, the cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.ms, -one.gain_db)):
        if not front or point.gain_db > front[-1].gain_db:
            front.append(point)
    return front
