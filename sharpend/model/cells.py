"""The folded grid in numpy: cells of 4 x 4 pixels, their neighbours, interpolation between them.

Here h x w is the grid, and the 16 values of a cell are its rows one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SIDE = 4
"""Side of a cell in pixels."""
CELL = SIDE * SIDE
COLOURS = 3
"""Channels of a network, also for gray pixels."""
_BEFORE = np.asarray([0.375, 0.125, 0.875, 0.625], np.float32)
"""Weight of the upper or left one of the two cells between whose centres a pixel is."""


def in_rows(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels whose rows are without gaps; copied at need."""
    is_dense = pixels.strides[1:] == (pixels.shape[2] * pixels.itemsize, pixels.itemsize)
    return pixels if is_dense else np.ascontiguousarray(pixels)


def cells_of(pixels: NDArray[Any]) -> NDArray[Any]:
    """Convert H x W x C to h x w x C x 16."""
    height, width, channels = pixels.shape
    apart = pixels.reshape(height // SIDE, SIDE, width // SIDE, SIDE, channels)
    return apart.transpose(0, 2, 4, 1, 3).reshape(height // SIDE, width // SIDE, channels, CELL)


def unfolded(cells: NDArray[Any]) -> NDArray[Any]:
    """Convert h x w x C x 16 back to H x W x C."""
    height, width, channels, _ = cells.shape
    apart = cells.reshape(height, width, channels, SIDE, SIDE).transpose(0, 3, 1, 4, 2)
    return apart.reshape(height * SIDE, width * SIDE, channels)


def total(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Sum arrays, one after the other."""
    made = parts[0].copy()
    for part in parts[1:]:
        made += part
    return made


def sum_of_nine(values: NDArray[Any]) -> NDArray[Any]:
    """Sum of 3 x 3 cells around each, none beyond the edge: h x w x C."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    tall = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(tall[:, :-2] + tall[:, 1:-1] + tall[:, 2:])


def extreme_of_nine(of: Any, values: NDArray[Any]) -> Floats:  # noqa: ANN401 - a ufunc
    """Extreme of 3 x 3 cells around each: h x w x C."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    tall = of(of(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(of(of(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:]), np.float32)


def interpolated(cells: Floats) -> Floats:
    """Interpolate values, h x w x C, between the centres of cells: h x w x C x 16."""
    tall = _between(cells, axis=0)  # (h, w, C, 4)
    full = _between(tall, axis=1)  # (h, w, C, 4, 4)
    return full.reshape(*cells.shape, CELL)


def _between(cells: Floats, *, axis: int) -> Floats:
    """Interpolate along one axis: a last axis of SIDE values is added."""
    size = cells.shape[axis]
    before, after = (
        np.take(cells, np.clip(np.arange(size) + step, 0, size - 1), axis=axis) for step in (-1, 1)
    )
    pairs = [(before, cells), (before, cells), (cells, after), (cells, after)]
    return np.stack(
        [
            one * weight + two * (np.float32(1) - weight)
            for (one, two), weight in zip(pairs, _BEFORE, strict=True)
        ],
        axis=-1,
    )
