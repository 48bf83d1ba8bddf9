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

    from sharpend.imaging.backprojection import Fit

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
"""Side of the parts that are judged first; the most detailed of them comes first."""
SPARSE = 8
"""One in so many rows tells which part that is."""
EDGE_PX = 16
"""Width of the edge of a part that is not judged, for its small image depends on pixels outside."""
PART_STEPS = 3
"""Corrections of a part; what is left after STEPS of them is bounded."""
REFUTED_FROM = 1.2 * MOST_LEVELS**2
"""Mean square in the whole image from which on a bound of it counts: parts are solved for apart
from what is around them, and at an image's edge a correction is no descent by the gradient."""
HOPELESS_BELOW = 1.5
"""Times REFUTED_FROM; where less is left in the parts, most of the image would have to be seen."""
_INNER = slice(EDGE_PX, -EDGE_PX), slice(EDGE_PX, -EDGE_PX)


def is_enlarged(channel: NDArray[np.float32], visible: NDArray[np.bool_] | None = None) -> bool:
    """Return whether an image is a bicubic enlargement by four, neither compressed nor changed.

    Solves for the small image by back-projection, with early exit for images that do not fit, which
    are nearly all.

    Args:
        channel: H x W float32 in levels of 255, one channel: a sum of several rounds otherwise.
        visible: H x W; hidden pixels and those near them are not judged. None where all are.
    """
    inside = None if visible is None else _far_inside(visible)
    shown = channel.size if inside is None else max(1, int(inside.sum()))
    if _is_refuted(channel, inside, shown):
        return False
    fit = fit_of(channel, _judged(channel, inside))
    first = left = fit.difference(shown)
    for step in range(1, STEPS + 1):
        before, left = left, _corrected(fit, shown)
        if left >= FALLS_TO * first:
            return False
        if left <= MOST_LEVELS:
            return True
        if _least_square(before, left, STEPS - step) > REFUTED_FROM:
            return False
    return False


def _judged(channel: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Find the pixels inside that say something.

    Black and white ones do not: what an enlargement overshot is cut off there.
    """
    judged: NDArray[np.bool_] = (channel > 0) & (channel < WHITE)
    return judged if inside is None else judged & inside


def _corrected(fit: Fit, count: int) -> float:
    """Correct once, and return the difference that is left."""
    fit.correct()
    return fit.difference(count)


def _least_square(before: float, left: float, corrections: int) -> float:
    """Bound the mean square that so many more corrections leave.

    Corrections descend by its gradient, so each takes away less than the one before.

    Args:
        before: difference before the last correction.
        left: difference after it.
        corrections: how many more.
    """
    return left**2 - corrections * (before**2 - left**2)


def _is_refuted(channel: NDArray[np.float32], inside: NDArray[np.bool_] | None, shown: int) -> bool:
    """Return whether in some parts alone is left more than may be in the whole image.

    Says nothing on images whose sides are no multiples of four: the pixels of the small image lie
    elsewhere in their parts than in the whole.
    """
    if min(channel.shape) < PART_PX or any(side % FACTOR for side in channel.shape):
        return False
    squares, count = 0.0, 0
    for part in _parts(channel):
        judged = np.zeros((PART_PX, PART_PX), np.bool_)
        within = None if inside is None else inside[part]
        judged[_INNER] = _judged(channel[part], within)[_INNER]
        squares += _left_in(fit_of(channel[part], judged))
        count += int(judged.sum())
        if squares > REFUTED_FROM * shown:
            return True
        if squares <= HOPELESS_BELOW * REFUTED_FROM * count:
            return False
    return False


def _left_in(fit: Fit) -> float:
    """Bound the sum of squares that STEPS corrections leave in a part."""
    before = left = fit.difference(1)
    for _ in range(PART_STEPS):
        before, left = left, _corrected(fit, 1)
    return max(0.0, _least_square(before, left, STEPS - PART_STEPS))


def _parts(channel: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Cut parts whose inner ones do not overlap; those with the strongest edges come first.

    Some of the rows tell which these are.
    """
    edges = np.abs(np.diff(channel[::SPARSE], axis=1))
    tops, lefts = (range(0, side - PART_PX + 1, PART_PX - 2 * EDGE_PX) for side in channel.shape)
    parts = [(slice(y, y + PART_PX), slice(x, x + PART_PX)) for y in tops for x in lefts]
    rows = PART_PX // SPARSE
    return sorted(
        parts,
        key=lambda part: -float(edges[part[0].start // SPARSE :][:rows, part[1]].sum()),
    )


def _far_inside(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the squares of REACH_PX that are visible, as are the eight around."""
    shares = Image.fromarray(visible.astype(np.uint8) * WHITE).reduce(REACH_PX)
    least = np.asarray(shares.filter(ImageFilter.MinFilter(3)))
    inside: NDArray[np.bool_] = np.repeat(np.repeat(least == WHITE, REACH_PX, 0), REACH_PX, 1)
    return inside[: visible.shape[0], : visible.shape[1]]
