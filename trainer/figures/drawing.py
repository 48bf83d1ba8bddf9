"""Elements of a diagram: images, boxes, texts and arrows.

Lengths are inches from the lower left corner; (x, y) is the middle of an element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trainer.figures import canvas
from trainer.figures.scene import outlined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from trainer.degradations.mixture import Pixels

THUMB = (2.6, 1.75)
"""Largest (width, height) of an image."""
BOX = (2.3, 1.35)
"""(width, height) of a box."""
PLUS = 0.15
"""Radius of a sum's circle."""
LINE = 0.27
"""From one line of text to the next."""
_RULE = 0.014
"""Width of the frame around a detail."""
_POINTS = 72
"""Points in an inch."""
_TITLE_PT, _TEXT_PT = 13, 11


class At(NamedTuple):
    """A position in inches."""

    x: float
    y: float


class Drawing:
    """A figure with coordinates in inches."""

    def __init__(self, width: float, height: float) -> None:
        self.figure: Figure = canvas.blank(width, height)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_autoscale_on(b=False)
        self._axes.set(xlim=(0, width), ylim=(0, height))

    def image(
        self,
        at: At,
        pixels: Pixels,
        texts: tuple[str, str],
        *,
        detail: tuple[slice, slice] | None = None,
        scale: float = 1.0,
    ) -> None:
        """Draw an image as large as a thumb allows, its title above and a line below.

        Args:
            at: its middle.
            pixels: H x W x 3 uint8.
            texts: above and below; these keep their place whatever `scale` is.
            detail: rows and columns to frame, and to show enlarged in the quarter across from it.
            scale: of its sides, to show that one image is smaller than another.
        """
        height, width = (side * scale for side in fitted(pixels))
        shown = pixels
        if detail:
            shown = outlined(pixels, detail, line_px=max(1, round(_RULE * pixels.shape[1] / width)))
        self._paste(shown, At(at.x - width / 2, at.y - height / 2), width, height)
        if detail:
            right, top = _away_from(detail, pixels)
            lower_left = At(at.x - width / 2 * (not right), at.y - height / 2 * (not top))
            self._paste(pixels[detail], lower_left, width / 2, height / 2)
            self._frame(lower_left, width / 2, height / 2)
        reach = fitted(pixels)[0] / 2 if scale == 1 else height / 2
        self.text(At(at.x, at.y + reach + 0.2), texts[0], title=True)
        self.text(At(at.x, at.y - reach - 0.2), texts[1])

    def _paste(self, pixels: Pixels, lower_left: At, width: float, height: float) -> None:
        right, top = lower_left.x + width, lower_left.y + height
        self._axes.imshow(
            pixels, extent=(lower_left.x, right, lower_left.y, top), aspect="auto", zorder=3
        )

    def _frame(self, lower_left: At, width: float, height: float) -> None:
        left, bottom = lower_left
        xs = (left, left + width, left + width, left)
        ys = (bottom, bottom, bottom + height, bottom + height)
        self._axes.fill(xs, ys, facecolor="none", edgecolor="white", linewidth=1.6, zorder=4)

    def box(self, at: At, title: str, lines: Sequence[str], colour: str) -> None:
        """Draw a box with a title and lines of text."""
        across, up = BOX[0] / 2, BOX[1] / 2
        self._axes.fill(
            (at.x - across, at.x + across, at.x + across, at.x - across),
            (at.y - up, at.y - up, at.y + up, at.y + up),
            facecolor="white",
            edgecolor=colour,
            linewidth=1.8,
            joinstyle="round",
            zorder=3,
        )
        top = at.y + LINE * len(lines) / 2
        self.text(At(at.x, top), title, title=True, colour=colour)
        for number, line in enumerate(lines, start=1):
            self.text(At(at.x, top - number * LINE), line)

    def plus(self, at: At) -> None:
        """Draw a sum: a plus in a circle whose radius is PLUS."""
        self._axes.plot(
            *at,
            "o",
            markersize=2 * PLUS * _POINTS,
            markerfacecolor="white",
            markeredgecolor=canvas.INK,
            markeredgewidth=1.5,
            zorder=3,
        )
        for xs, ys in (((-1, 1), (0, 0)), ((0, 0), (-1, 1))):
            self._axes.plot(
                [at.x + x * PLUS / 2 for x in xs],
                [at.y + y * PLUS / 2 for y in ys],
                color=canvas.INK,
                linewidth=1.8,
                zorder=4,
            )

    def text(
        self, at: At, text: str, *, title: bool = False, colour: str = "", left: bool = False
    ) -> None:
        """Draw text with its middle at a place, or with its left end there."""
        self._axes.text(
            *at,
            text,
            ha="left" if left else "center",
            va="center",
            fontsize=_TITLE_PT if title else _TEXT_PT,
            fontweight="bold" if title else "normal",
            color=colour or (canvas.INK if title else canvas.QUIET_INK),
            zorder=5,
        )

    def arrow(self, *points: At, colour: str = canvas.INK, dashed: bool = False) -> None:
        """Draw a line along points, with a head at the last."""
        style = "--" if dashed else "-"
        *body, last, head = points
        if body:
            xs, ys = zip(*body, last, strict=True)
            self._axes.plot(xs, ys, style, color=colour, linewidth=1.5, zorder=1)
        arrow = {"arrowstyle": "-|>,head_width=0.28,head_length=0.55", "linestyle": style}
        self._axes.annotate(
            "",
            xy=head,
            xytext=last,
            arrowprops={**arrow, "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 1},
            zorder=2,
        )


def _away_from(detail: tuple[slice, slice], pixels: Pixels) -> tuple[bool, bool]:
    """Quarter of the image opposite a detail: (is right, is top)."""
    rows, columns = detail
    height, width = pixels.shape[:2]
    return columns.start + columns.stop < width, rows.start + rows.stop > height


def fitted(pixels: Pixels) -> tuple[float, float]:
    """(height, width) in inches of an image that fills a thumb, aspect kept."""
    height, width = pixels.shape[:2]
    scale = min(THUMB[0] / width, THUMB[1] / height)
    return height * scale, width * scale
