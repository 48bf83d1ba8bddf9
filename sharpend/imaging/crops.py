"""Crop selection: find the most detailed window of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

_EVERY_ROW_PX = 4_000_000
"""Pixels up to which every row is measured; of larger images, about so many pixels are."""
_FEWEST_ROWS = 32
"""Rows of a window that are measured at least, where it has so many."""
_STRIP_PX = 1 << 19
"""Pixels measured at once, which bounds the memory."""
_SUMS: Mapping[int, type[Any]] = {1: np.int16, 2: np.int32, 4: np.float64}
"""Types that hold the sum of the channels exactly, by the bytes of a sample."""


def most_detailed(pixels: NDArray[Depth], *, height: int, width: int) -> tuple[slice, slice]:
    """Find the window of an image with the strongest edges, for a crop that shows differences.

    Edges are differences to the pixel on the left and to the one above. Of images above 4
    megapixels only every n-th row is measured, at least 32 of each window, and means are compared.

    Args:
        pixels: H x W x 3 or H x W x 1 uint8, uint16 or float32.
        height: of the window, in pixels; the image's where that is smaller.
        width: likewise.

    Returns:
        Slices of rows and columns; windows lie on a grid of half their size.
    """
    rows, columns = pixels.shape[:2]
    tops, lefts = window_starts(rows, height), window_starts(columns, width)
    ends = [min(left + width, columns) for left in lefts]
    step = min(max(1, rows * columns // _EVERY_ROW_PX), max(1, height // _FEWEST_ROWS))
    borders = np.unique([*lefts, *ends])
    sums = _sums(pixels, step, borders)
    before, behind = np.searchsorted(borders, lefts), np.searchsorted(borders, ends)
    means = []
    for top in tops:
        measured = sums[-(-top // step) : -(-(top + height) // step)]
        across = np.append(0, measured.sum(axis=0).cumsum())
        means.append((across[behind] - across[before]) / len(measured))
    down, right = np.unravel_index(np.argmax(means), (len(tops), len(lefts)))
    top, left = tops[down], lefts[right]
    return slice(top, top + height), slice(left, left + width)


def _sums(pixels: NDArray[Depth], step: int, borders: NDArray[Any]) -> NDArray[Any]:
    """Sum the edges of every `step`-th row between neighbouring borders."""
    rows, columns = pixels.shape[:2]
    kind = _SUMS[pixels.itemsize]
    total = np.float64 if kind is np.float64 else np.int64
    found = []
    count = step * max(1, _STRIP_PX // columns)
    for start in range(0, rows, count):
        numbers = np.arange(start, min(start + count, rows), step)
        here = _light(pixels[numbers], kind)
        edges = np.abs(here - _light(pixels[np.maximum(numbers - 1, 0)], kind))
        edges[:, 1:] += np.abs(np.diff(here, axis=1))
        found.append(np.add.reduceat(edges, borders[:-1], axis=1, dtype=total))
    return np.concatenate(found)


def _light(pixels: NDArray[Depth], kind: type[Any]) -> NDArray[Any]:
    """Sum the channels."""
    light: NDArray[Any] = pixels[..., 0].astype(kind)
    for channel in range(1, pixels.shape[2]):
        light += pixels[..., channel]
    return light


def window_starts(length: int, window: int) -> list[int]:
    """Begins of windows along a side: half a window apart, the last one at the end."""
    last = max(0, length - window)
    return [*range(0, last, max(1, window // 2)), last]
