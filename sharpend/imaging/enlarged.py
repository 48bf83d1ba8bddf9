"""Detect images that are a bicubic enlargement by four of a smaller one.

Such an image holds no more detail than its small original, and specialist models undo exactly this
degradation. Other images are as soft for other reasons; the test is whether a small
image exists that gives this one when enlarged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTOR = 4
WHITE = 255
STEPS = 5
"""Corrections of the small image; by then what can converge has."""
STEP = 1.5
"""Of what a correction moves: larger than 1, for the reduction blurs it; measured."""
MOST_LEVELS = 0.38
"""Difference that rounding to 8 bits leaves in a channel, root mean square; JPEG leaves more."""
REACH_PX = 8
"""Distance from a hidden pixel up to which it is blended in: two pixels of the small image."""
FALLS_TO = 0.5
"""Share of the difference that is left after one correction at most; others keep 0.6 and more."""


def is_enlarged(channel: NDArray[np.float32], visible: NDArray[np.bool_] | None = None) -> bool:
    """Return whether an image is a bicubic enlargement by four, neither compressed nor changed.

    Solves for the small image by iterative back-projection (Irani and Peleg 1991), with early exit
    for images that do not fit, which are nearly all.

    Args:
        channel: H x W float32 in levels of 255, one channel: a sum of several rounds otherwise.
        visible: H x W; hidden pixels and those near them are not judged. None where all are.
    """
    # What an enlargement overshot is cut off where it is black or white: these pixels say nothing.
    judged = (channel > 0) & (channel < WHITE)
    inside = np.ones_like(judged) if visible is None else _far_inside(visible)
    judged &= inside
    shown = max(1, int(inside.sum()))
    large = Image.fromarray(channel)
    small = _resized(large, [max(1, round(side / FACTOR)) for side in large.size])

    def difference() -> NDArray[np.float32]:
        return np.where(judged, channel - np.asarray(_resized(small, large.size)), 0)

    left = difference()
    first = before = _rms(left, shown)
    for step in range(STEPS):
        moved = np.asarray(_resized(Image.fromarray(left), small.size)) * STEP
        small = Image.fromarray(np.asarray(small) + moved)
        left = difference()
        after = _rms(left, shown)
        if step == 0 and after > FALLS_TO * before:
            return False
        before = after
    return before <= MOST_LEVELS and before < FALLS_TO * first


def _resized(image: Image.Image, size: list[int] | tuple[int, int]) -> Image.Image:
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def _far_inside(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the squares of REACH_PX that are visible, as are the eight around."""
    shares = Image.fromarray(visible.astype(np.uint8) * WHITE).reduce(REACH_PX)
    least = np.asarray(shares.filter(ImageFilter.MinFilter(3)))
    inside: NDArray[np.bool_] = np.repeat(np.repeat(least == WHITE, REACH_PX, 0), REACH_PX, 1)
    return inside[: visible.shape[0], : visible.shape[1]]


def _rms(values: NDArray[np.float32], count: int) -> float:
    """Root of the mean square over so many pixels; the others are 0."""
    return float(np.sqrt(np.square(values, dtype=np.float64).sum() / count))
