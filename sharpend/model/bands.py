"""Bands of an image: their energy in each cell of the folded grid, as cues are made of.

The energy of a band (`sharpend.model.cues.band_kernels`) is sampled at one pixel of each row of a
cell, each in another column. Its blurs are made one direction after the other, in one order of
additions: the compiled pass (`_packing.c`) and numpy give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging.depth import white, within
from sharpend.model.blurs import blur_taps, blurred, weighted
from sharpend.model.cells import SIDE, in_rows
from sharpend.model.cues import BANDS, LUMA, REACH_PX
from sharpend.model.passes import COMPILED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

    Floats = NDArray[np.float32]

_SAMPLED = ((0, 1), (1, 3), (2, 0), (3, 2))
"""Pixels of a cell at which energies are sampled: each row and column of the cell once."""


def energies(pixels: NDArray[Depth]) -> Floats:
    """Compute the mean square of each band in each cell.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 (gray) or 3 (RGB), sRGB-encoded, any size;
            the edge is repeated.

    Returns:
        BANDS x h x w of luma in [0, 1], h and w the sides in cells, rounded up.
    """
    height, width, channels = pixels.shape
    made = np.zeros((BANDS, -(-height // SIDE), -(-width // SIDE)), np.float32)
    top = white(pixels.dtype)
    weights = tuple(one / top for one in (LUMA if channels > 1 else (1.0, 0.0, 0.0)))
    if COMPILED is not None and pixels.dtype != np.float32:
        COMPILED.bands(in_rows(pixels), weights, blur_taps(), made)
    else:
        _bands(within(pixels), weights, made)
    return made


def _bands(pixels: NDArray[Any], weights: tuple[float, ...], made: Floats) -> None:
    """Add up the energies in numpy, as the compiled pass does."""
    rows, columns = made.shape[1:]
    gray = weighted(pixels.transpose(0, 2, 1), weights)
    below, beside = (-size % SIDE + REACH_PX for size in gray.shape)
    gray = np.pad(gray, ((REACH_PX, below), (REACH_PX, beside)), mode="edge")
    for row, column in _SAMPLED:
        lines = [gray[at::SIDE][:rows] for at in range(row, row + 2 * REACH_PX + 1)]
        finer = lines[REACH_PX][:, REACH_PX + column :: SIDE][:, :columns]
        for band, taps in enumerate(blur_taps()):
            tall = blurred(lines, taps)
            across = range(column, column + 2 * REACH_PX + 1)
            coarser = blurred([tall[:, at::SIDE][:, :columns] for at in across], taps)
            made[band] += (finer - coarser) ** 2
            finer = coarser
    made *= np.float32(1 / SIDE)
