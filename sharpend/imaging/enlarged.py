"""Detect images that are a bicubic enlargement by four of a smaller one.

Such an image holds no more detail than its small original, and specialist models undo exactly this
degradation. Other images are as soft for other reasons; the test is whether a small
image exists that gives this one when enlarged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from sharpend.imaging.backprojection import FACTOR, fit_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHITE = 255
STEPS = 5
"""Corrections of the small image; by then what can converge has."""
MOST_LEVELS = 0.38
"""Difference that rounding to 8 bits leaves in a channel, root mean square; JPEG leaves more."""
REACH_PX = 8
"""Distance from a hidden pixel up to which it is blended in: two pixels of the small image."""
FALLS_TO = 0.5
"""Share of the difference that is left after one correction at most; others keep 0.6 and more."""
PART_PX = 256
"""Side of the part that is judged first."""
SPARSE = 8
"""One in so many rows tells which part that is."""
EDGE_PX = 16
"""At the edge of a part the small image depends on pixels outside."""
FEWEST_LEVELS = 1.0
"""Difference below which rounding rules what is left."""
REFUTED_BY = 0.6
"""As `FALLS_TO`, of a part: of images that fit at most 0.38 is left there, others keep 0.66 and
more (25 photographs, also enlarged by two and three and blurred)."""


def is_enlarged(channel: NDArray[np.float32], visible: NDArray[np.bool_] | None = None) -> bool:
    """Return whether an image is a bicubic enlargement by four, neither compressed nor changed.

    Solves for the small image by back-projection, with early exit for images that do not fit, which
    are nearly all.

    Args:
        channel: H x W float32 in levels of 255, one channel: a sum of several rounds otherwise.
        visible: H x W; hidden pixels and those near them are not judged. None where all are.
    """
    # What an enlargement overshot is cut off where it is black or white: these pixels say nothing.
    judged = (channel > 0) & (channel < WHITE)
    inside = np.ones_like(judged) if visible is None else _far_inside(visible)
    judged &= inside
    if _is_refuted(channel, judged):
        return False
    shown = max(1, int(inside.sum()))
    fit = fit_of(channel, judged)
    first = fit.difference(shown)
    for _ in range(STEPS):  # each leaves less
        fit.correct()
        left = fit.difference(shown)
        if left >= FALLS_TO * first:
            return False
        if left <= MOST_LEVELS:
            return True
    return False


def _is_refuted(channel: NDArray[np.float32], judged: NDArray[np.bool_]) -> bool:
    """Return whether the most detailed part alone shows that an image does not fit.

    Says nothing on images whose sides are no multiples of four: the pixels of the small image lie
    elsewhere in their parts than in the whole.
    """
    if max(channel.shape) <= PART_PX or any(side % FACTOR for side in channel.shape):
        return False
    part = _busiest(channel)
    inside = np.zeros_like(judged[part])
    inside[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    inside &= judged[part]
    fit = fit_of(channel[part], inside)
    shown = max(1, int(inside.sum()))
    before = fit.difference(shown)
    fit.correct()
    return before >= FEWEST_LEVELS and fit.difference(shown) > REFUTED_BY * before


def _busiest(channel: NDArray[np.float32]) -> tuple[slice, slice]:
    """Find the part with the strongest edges, by some of its rows."""
    edges = np.abs(np.diff(channel[::SPARSE], axis=1))
    tops, lefts = (range(0, max(1, side - PART_PX + 1), PART_PX) for side in channel.shape)
    parts = [(slice(y, y + PART_PX), slice(x, x + PART_PX)) for y in tops for x in lefts]
    rows = PART_PX // SPARSE
    return max(
        parts,
        key=lambda part: float(edges[part[0].start // SPARSE :][:rows, part[1]].sum()),
    )


def _far_inside(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the squares of REACH_PX that are visible, as are the eight around."""
    shares = Image.fromarray(visible.astype(np.uint8) * WHITE).reduce(REACH_PX)
    least = np.asarray(shares.filter(ImageFilter.MinFilter(3)))
    inside: NDArray[np.bool_] = np.repeat(np.repeat(least == WHITE, REACH_PX, 0), REACH_PX, 1)
    return inside[: visible.shape[0], : visible.shape[1]]
