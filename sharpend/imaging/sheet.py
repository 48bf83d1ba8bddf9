"""Comparison sheets: lay out images side by side with titles and labels.

Owns the layout of such a sheet. Shows pixels as they are: whole, or enlarged by whole numbers
without smoothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sharpend.imaging.depth import three_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MARGIN = 28
_GAP = 18
_FONT_PX = 22
_SMALLEST_FONT_PX = 13
_PAPER = (250, 250, 248)
_INK = (28, 28, 30)
_QUIET_INK = (96, 96, 100)


@dataclass(frozen=True, slots=True)
class Panel:
    """One image of a sheet."""

    pixels: NDArray[np.uint8]
    """H x W x 3 or H x W x 1 uint8."""
    label: str = ""
    """The line under it, for example "sharpened  SSIM 0.893"."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Positions and sizes of columns and rows, in pixels."""

    widths: tuple[int, ...]
    heights: tuple[int, ...]
    top: int

    @property
    def size(self) -> tuple[int, int]:
        """Size of the whole sheet, as (width, height)."""
        return self.left(len(self.widths)) - _GAP + _MARGIN, self.row(len(self.heights)) + 4

    def left(self, column: int) -> int:
        return _MARGIN + sum(self.widths[:column]) + column * _GAP

    def row(self, row: int) -> int:
        return self.top + sum(self.heights[:row]) + row * (_line(_FONT_PX) + _GAP)


def labelled_sheet(
    titles: Sequence[str], rows: Sequence[Sequence[Panel]], *, heading: str = "", zoom: int = 1
) -> NDArray[np.uint8]:
    """Lay panels out in a table with a title over each column and a label under each panel.

    Args:
        titles: one for each column.
        rows: the panels, each row as long as `titles`; sizes may differ.
        heading: a line over it all, or nothing.
        zoom: how many times each pixel is repeated, so that details can be seen.

    Returns:
        H x W x 3 uint8.
    """
    panels = [[_enlarged(panel.pixels, zoom) for panel in row] for row in rows]
    grid = _Grid(
        widths=_column_widths(titles, rows, zoom),
        heights=tuple(max(image.height for image in row) for row in panels),
        top=_MARGIN + _line(_FONT_PX) + (_line(_FONT_PX) + _GAP if heading else 0),
    )
    sheet = Image.new("RGB", grid.size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    if heading:
        _write(draw, (_MARGIN, _MARGIN - 6), heading, grid.size[0] - 2 * _MARGIN)
    for column, title in enumerate(titles):
        place = (grid.left(column), grid.top - _line(_FONT_PX))
        _write(draw, place, title, grid.widths[column])
    for number, (images, row) in enumerate(zip(panels, rows, strict=True)):
        for column, (image, panel) in enumerate(zip(images, row, strict=True)):
            place = (grid.left(column), grid.row(number))
            sheet.paste(image, place)
            under = (place[0], place[1] + grid.heights[number] + 4)
            _write(draw, under, panel.label, grid.widths[column], _QUIET_INK)
    return np.array(sheet)


def _column_widths(
    titles: Sequence[str], rows: Sequence[Sequence[Panel]], zoom: int
) -> tuple[int, ...]:
    """Widths that fit each column's images, and its texts in the smallest font."""
    columns = zip(titles, *rows, strict=True)
    return tuple(
        max(
            _text_width(title, _SMALLEST_FONT_PX),
            *(panel.pixels.shape[1] * zoom for panel in panels),
            *(_text_width(panel.label, _SMALLEST_FONT_PX) for panel in panels),
        )
        for title, *panels in columns
    )


def _text_width(text: str, font_px: int) -> int:
    return math.ceil(ImageFont.load_default(font_px).getbbox(text)[2])


def _enlarged(pixels: NDArray[np.uint8], zoom: int) -> Image.Image:
    repeated = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return Image.fromarray(three_channels(repeated))


def _line(font_px: int) -> int:
    """Height of a line of text."""
    return font_px * 3 // 2


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    ink: tuple[int, int, int] = _INK,
) -> None:
    """Write one line in the largest font that fits into `width`."""
    size = _FONT_PX
    while size > _SMALLEST_FONT_PX and _text_width(text, size) > width:
        size -= 1
    draw.text(place, text, fill=ink, font=ImageFont.load_default(size))
