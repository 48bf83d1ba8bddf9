"""Tiling without seams: windows with halos, whose cores equal one untiled pass.

Each tile is computed inside a window that reaches as far around it as its pixels depend on their
surroundings (the halo): the model's receptive field, and what is done with its output. At the
image's border the halo is cut off, as without tiles. Windows are on the folded grid, so every
convolution sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.model.networks import GRID_PX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

SMALLEST_TILE_PX = 128
Span = tuple[int, int]
"""Half-open range along one axis."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, half open: rows top..bottom, columns left..right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in a H x W x C array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: Box) -> Box:
        """The same rectangle in the coordinates of a box around it."""
        return Box(
            self.top - other.top,
            self.left - other.left,
            self.bottom - other.top,
            self.right - other.left,
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """Compute `window`, keep `core`."""

    window: Box
    core: Box


def plan_tiles(
    height: int, width: int, *, tile_px: int, halo_px: int, alike: bool = False
) -> Iterator[Tile]:
    """Cover an image with tiles of about `tile_px` squared pixels, row by row.

    An image narrower than a tile gets longer tiles, and all are of one size, so that little is
    computed twice. A window at an edge reaches further inwards, so that none is smaller than a
    tile: convolution kernels of another kind, with another order of summation, are chosen for small
    inputs, and a last bit would differ.

    Args:
        height: height of the image, a multiple of GRID_PX.
        width: width of the image, a multiple of GRID_PX.
        tile_px: side of a square core, a multiple of GRID_PX.
        halo_px: how far a cell of the grid depends on its surroundings, a multiple of GRID_PX.
        alike: let windows at an edge reach so far inwards that all are of one size, for devices
            that prepare a shape once.

    Raises:
        ValueError: a size is not on the grid, or the tile is smaller than SMALLEST_TILE_PX.
    """
    if any(size % GRID_PX for size in (height, width, tile_px, halo_px)):
        raise ValueError(f"not multiples of {GRID_PX}: {height}, {width}, {tile_px}, {halo_px}")
    if tile_px < SMALLEST_TILE_PX:
        raise ValueError(f"a tile of {tile_px} pixels is smaller than {SMALLEST_TILE_PX}")
    tall, wide = _side(tile_px, across=width), _side(tile_px, across=height)
    for rows, window_rows in _spans(height, tall, halo_px, alike=alike):
        for columns, window_columns in _spans(width, wide, halo_px, alike=alike):
            yield Tile(_box(window_rows, window_columns), _box(rows, columns))


def _side(tile_px: int, *, across: int) -> int:
    """Length of a tile whose other side is at most `across`, at a constant area."""
    return tile_px * tile_px // min(tile_px, across) // GRID_PX * GRID_PX


def _spans(size: int, step: int, halo_px: int, *, alike: bool) -> Iterator[tuple[Span, Span]]:
    """Split an axis into cores of at most `step`, alike but for the last, each with its window."""
    cells = -(-size // GRID_PX)
    tiles = -(-size // step)
    step = max(-(-cells // tiles) * GRID_PX, SMALLEST_TILE_PX)
    least = step + min(tiles - 1, 2) * halo_px if alike else step
    for start in range(0, size, step):
        stop = min(start + step, size)
        low, high = max(start - halo_px, 0), min(stop + halo_px, size)
        yield (start, stop), (max(min(low, high - least), 0), min(max(high, low + least), size))


def _box(rows: Span, columns: Span) -> Box:
    return Box(rows[0], columns[0], rows[1], columns[1])


def pad_to_grid(pixels: NDArray[Depth]) -> NDArray[Depth]:
    """Reflect the bottom and right edges up to the next multiple of GRID_PX.

    Args:
        pixels: H x W x C uint8 or uint16, any size from 1 x 1 up; one pixel alone is repeated.
    """
    height, width = pixels.shape[:2]
    below, beside = -height % GRID_PX, -width % GRID_PX
    if not (below or beside):
        return pixels
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="reflect")
