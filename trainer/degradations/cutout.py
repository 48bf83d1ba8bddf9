"""Cut-outs: images of which alpha hides a part, as the daemon gives them to a model.

A lossy encoder sees the colours that a program left in hidden places, and its ring reaches into
what is visible; what is hidden is then filled as the daemon fills it (`imaging.transparency`). The
target of hidden places is the fill itself.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from sharpend.imaging.picture import Frame
from sharpend.imaging.transparency import fill
from trainer.degradations.mixture import chance, residual_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.degradations.mixture import Degraded, Pixels

_ENCODERS = (None, "WEBP", "AVIF", "JPEG")
"""JPEG stands for HEIC and JPEG XL, which Pillow does not write."""
_SHARES = (0.3, 0.3, 0.2, 0.2)
_LEAST_SHARE = 0.1
"""Share of the pixels of either kind, visible and hidden."""
_MOST_SHAPES = 12
_SMALLEST_PX, _LARGEST_PX = 15, 200
_CORNERS = 9


def cut_out(example: Degraded, generator: np.random.Generator) -> Degraded:
    """Hide a part of an example.

    Args:
        example: input and target, H x W x 3 uint8.
        generator: of every choice.

    Returns:
        The input after a lossy encoder and the fill, with the same missing detail where it is
        visible; the example as it is where less than a tenth would be visible or hidden.
    """
    visible = _shapes(example.input.shape[:2], generator)
    if not _LEAST_SHARE < visible.mean() < 1 - _LEAST_SHARE:
        return example
    seen = visible[..., np.newaxis]
    stored = np.where(seen, example.input, _hidden(example.input, generator))
    coded = _coded(stored.astype(np.uint8), generator)
    filled = fill(Frame(coded, visible.astype(np.uint8) * np.uint8(255))).pixels
    given = filled.astype(np.uint8, copy=False)
    target = np.where(seen, residual_target(given, example.target, example.input), given)
    return replace(example, input=given, target=target, visible=visible)


def _shapes(size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw ellipses and polygons, H x W; they are what is visible, or what is hidden."""
    height, width = size
    sheet = Image.new("1", (width, height))
    canvas = ImageDraw.Draw(sheet)
    for _ in range(int(generator.integers(1, _MOST_SHAPES + 1))):
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        largest_px = min(_LARGEST_PX, min(size) / 2)
        radius = float(np.exp(generator.uniform(np.log(_SMALLEST_PX), np.log(largest_px))))
        across, down = radius * generator.uniform(0.5, 1, 2)
        if chance(generator, 0.5):
            canvas.ellipse((x - across, y - down, x + across, y + down), fill=1)
            continue
        angles = np.sort(generator.uniform(0, 2 * np.pi, _CORNERS))
        far = radius * generator.uniform(0.3, 1, _CORNERS)
        corners = zip(x + far * np.cos(angles), y + far * np.sin(angles), strict=True)
        canvas.polygon([(float(right), float(below)) for right, below in corners], fill=1)
    drawn = np.asarray(sheet)
    return drawn if chance(generator, 0.5) else ~drawn


def _hidden(pixels: Pixels, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the colours that a program leaves where alpha is 0: black mostly, white, any, noise."""
    if chance(generator, 0.5):
        return np.zeros(3, np.uint8)
    if chance(generator, 0.4):
        return np.full(3, 255, np.uint8)
    if chance(generator, 0.5):
        return generator.integers(0, 256, 3, np.uint8)
    return generator.integers(0, 256, pixels.shape, np.uint8)


def _coded(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Encode and decode by one of the lossy encoders, or by none."""
    encoder = generator.choice(len(_ENCODERS), p=_SHARES)
    if _ENCODERS[encoder] is None:
        return pixels
    file = BytesIO()
    Image.fromarray(pixels).save(file, _ENCODERS[encoder], quality=int(generator.integers(50, 96)))
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
