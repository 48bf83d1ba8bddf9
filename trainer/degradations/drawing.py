"""Drawings: text, lines and areas of even colour, on paper or on an image, as originals.

Photographs have few edges as steep and areas as even as those of scanned or exported documents, and
a network that was trained with photographs alone changes them.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from trainer.degradations.mixture import Pixels

    Colour = tuple[int, int, int]

_SHAPES = 8
"""Most shapes of each kind."""
_LINES = 12
"""Most lines of text."""


def drawing(pixels: Pixels, generator: np.random.Generator, *, on_image: float = 0.3) -> Pixels:
    """Draw text and shapes at random.

    Args:
        pixels: the image, H x W x 3 uint8.
        generator: of every choice.
        on_image: probability to draw on the image and not on a sheet of even colour.

    Returns:
        A drawing of the same shape.
    """
    height, width = pixels.shape[:2]
    if generator.random() < on_image:
        sheet = Image.fromarray(pixels)
    else:
        sheet = Image.new("RGB", (width, height), _paper(generator))
    canvas = ImageDraw.Draw(sheet)
    for _ in range(int(generator.integers(0, _SHAPES))):
        _shape(canvas, (width, height), generator)
    for _ in range(int(generator.integers(1, _LINES))):
        _line_of_text(canvas, (width, height), generator)
    return np.asarray(sheet)


def _paper(generator: np.random.Generator) -> Colour:
    """White or nearly so, black, or any colour."""
    kind = generator.random()
    if kind < 0.6:  # noqa: PLR2004 - shares of the three kinds
        return _gray(int(generator.integers(225, 256)))
    return _gray(int(generator.integers(0, 30))) if kind < 0.75 else _colour(generator)  # noqa: PLR2004


def _ink(generator: np.random.Generator) -> Colour:
    return _gray(int(generator.integers(0, 60))) if generator.random() < 0.5 else _colour(generator)  # noqa: PLR2004


def _gray(level: int) -> Colour:
    return level, level, level


def _colour(generator: np.random.Generator) -> Colour:
    red, green, blue = (int(level) for level in generator.integers(0, 256, 3))
    return red, green, blue


def _shape(
    canvas: ImageDraw.ImageDraw, size: tuple[int, int], generator: np.random.Generator
) -> None:
    """A line, a rectangle or an ellipse, filled or not."""
    left, right = sorted(generator.integers(0, size[0], 2).tolist())
    top, bottom = sorted(generator.integers(0, size[1], 2).tolist())
    ink, width = _ink(generator), int(generator.integers(1, 6))
    filled = ink if generator.random() < 0.4 else None  # noqa: PLR2004 - share of the filled
    match int(generator.integers(3)):
        case 0:
            canvas.line((left, top, right, bottom), fill=ink, width=width)
        case 1:
            canvas.rectangle((left, top, right, bottom), fill=filled, outline=ink, width=width)
        case _:
            canvas.ellipse((left, top, right, bottom), fill=filled, outline=ink, width=width)


def _line_of_text(
    canvas: ImageDraw.ImageDraw, size: tuple[int, int], generator: np.random.Generator
) -> None:
    """Random letters of 8 to 60 pixels; Pillow smooths their edges."""
    letters = generator.choice(list(string.ascii_letters + string.digits + "    "), 40)
    place = (int(generator.integers(-20, size[0] // 2)), int(generator.integers(0, size[1])))
    height_px = float(np.exp(generator.uniform(np.log(8), np.log(60))))
    font = ImageFont.load_default(height_px)
    canvas.text(place, "".join(letters), fill=_ink(generator), font=font)
