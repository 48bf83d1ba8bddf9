"""Overshoot limit: clamp sharpened pixels to the local range of the input, against halos.

Works on whole numbers after rounding, so that a tile equals the whole to the last bit, and on a
sixteenth of them, so that it costs little.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.depth import Depth, white
from sharpend.model.networks import GRID_PX

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def bound(sharpened: NDArray[Depth], pixels: NDArray[Depth], *, levels: int) -> None:
    """Clamp a sharpened image to the local range of the input, in place, channel by channel.

    The window of a pixel is its cell of the folded grid, GRID_PX squared pixels, with the eight
    cells around, 12 x 12 pixels in all, inside the image only. A pixel stays between the
    window's minimum less `levels` and its maximum plus `levels`.

    Args:
        sharpened: H x W x C uint8, uint16 or float32, contiguous, H and W multiples of GRID_PX.
        pixels: the input, same shape and dtype.
        levels: 0..255, of 8 bit; at 16 bit each is 257. 255 allows everything.
    """
    limit = white(pixels.dtype)
    margin = np.asarray(levels * limit / 255, pixels.dtype)
    lowest, highest = _around(np.minimum, pixels), _around(np.maximum, pixels)
    lowest = np.maximum(lowest, margin) - margin
    highest = np.minimum(highest, limit - margin) + margin
    rows = sharpened.reshape(len(lowest), GRID_PX, -1)
    np.maximum(rows, _over_columns(lowest), out=rows)
    np.minimum(rows, _over_columns(highest), out=rows)


def _around(extreme: Callable[..., NDArray[Depth]], pixels: NDArray[Depth]) -> NDArray[Depth]:
    """Extreme of each cell and its neighbours, H/4 x W/4 x C; rows first: they are contiguous."""
    rows = reduce(extreme, (pixels[row::GRID_PX] for row in range(GRID_PX)))
    cells = reduce(extreme, (rows[:, column::GRID_PX] for column in range(GRID_PX)))
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)), mode="edge")
    tall = reduce(extreme, (padded[:-2], padded[1:-1], padded[2:]))
    return reduce(extreme, (tall[:, :-2], tall[:, 1:-1], tall[:, 2:]))


def _over_columns(cells: NDArray[Depth]) -> NDArray[Depth]:
    """Repeat each cell's value for its columns: H/4 x 1 x W C, to compare whole rows at once."""
    return np.repeat(cells, GRID_PX, axis=1).reshape(len(cells), 1, -1)
