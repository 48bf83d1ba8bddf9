"""Crop selection: find the most detailed window of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth


def most_detailed(pixels: NDArray[Depth], *, height: int, width: int) -> tuple[slice, slice]:
    """Find the window of an image with the strongest edges, for a crop that shows differences.

    Args:
        pixels: H x W x 3 or H x W x 1 uint8 or uint16.
        height: of the window, in pixels; the image's where that is smaller.
        width: likewise.

    Returns:
        Slices of rows and columns; windows lie on a grid of half their size.
    """
    light = pixels.astype(np.float32).mean(axis=2)
    edges = np.zeros_like(light)
    edges[:, 1:] += np.abs(np.diff(light, axis=1))
    edges[1:] += np.abs(np.diff(light, axis=0))
    windows = [
        (slice(top, top + height), slice(left, left + width))
        for top in _starts(light.shape[0], height)
        for left in _starts(light.shape[1], width)
    ]
    return max(windows, key=lambda window: float(edges[window].sum()))


def _starts(length: int, window: int) -> list[int]:
    last = max(0, length - window)
    return [*range(0, last, max(1, window // 2)), last]
