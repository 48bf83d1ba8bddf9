"""Passes over the pixels of one window in numpy, equal to the compiled ones bit for bit.

They are used where no C compiler was at installation, and for floating point pixels. Each fills the
arrays that it is given. Sums are of whole numbers and every other operation is rounded by itself,
so that neither order nor size can show. In all of them h x w is the grid of cells of 4 x 4 pixels,
and the 16 values of a cell are its rows one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging.depth import white
from sharpend.model.blurs import blurred, weighted
from sharpend.model.cells import (
    CELL,
    COLOURS,
    SIDE,
    cells_of,
    extreme_of_nine,
    interpolated,
    sum_of_nine,
    total,
    unfolded,
)
from sharpend.model.cues import REACH_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Levels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
    Floats = NDArray[np.float32]

REACH = 4
"""Cells to each side of a local mean. Fewer would take fine detail for a shift, and cost
fidelity."""
STEPS = 2**20
"""Steps of a change from black to white in which it is summed: 1296 of them fit into 32 bits."""
FLOAT_LEVELS = 2**22
"""Levels that floating point pixels are rounded to for the network alone."""


def survey(
    pixels: Levels,
    sums: NDArray[np.int32],
    lowest: NDArray[np.generic],
    highest: NDArray[np.generic],
) -> None:
    """Compute sum, minimum and maximum of each cell, h x w x C.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 or 3, H and W multiples of SIDE; floating
            point in [0, 1].
        sums: of levels: 0..white, or 0..FLOAT_LEVELS of floating point pixels.
        lowest: result, minimum of each cell and channel, dtype of the pixels.
        highest: result, maximum of each cell and channel, dtype of the pixels.
    """
    cells = cells_of(pixels)
    sums[...] = _levels(cells).sum(axis=-1, dtype=np.int32)
    lowest[...] = cells.min(axis=-1)
    highest[...] = cells.max(axis=-1)


def pack(
    pixels: Levels, sums: NDArray[np.int32] | None, folded: Floats | NDArray[np.uint16]
) -> None:
    """Convert pixels to what a network takes: in [0, 1], less their local mean.

    The mean is over 3 x 3 cells, inside the image: zero where the surroundings are flat.

    Args:
        pixels: as for `survey`.
        sums: of the cells; None leaves the mean inside.
        folded: h x w x 3 x 16 float32, or uint16 for the bits of bfloat16; gray is repeated.
    """
    levels = _levels(cells_of(pixels))
    top = FLOAT_LEVELS if pixels.dtype == np.float32 else white(pixels.dtype)
    if sums is None:
        made = levels.astype(np.float32) * np.float32(1 / top)
    else:
        count = (sum_of_nine(np.ones_like(sums[..., :1])) * CELL)[..., None]
        less = count * levels - sum_of_nine(sums)[..., None]
        made = less.astype(np.float32) * (1 / (count * float(top))).astype(np.float32)
    folded[...] = _half(made) if folded.dtype == np.uint16 else made


def mask(
    pixels: Levels,
    weights: tuple[float, ...],
    taps: Floats,
    gains: tuple[float, ...],
    made: Floats,
) -> None:
    """Compute a mask of bands of luma: what is between two blurs, times a gain, summed.

    Args:
        pixels: as for `survey`; the edge is repeated.
        weights: of each channel in luma; of gray the first counts.
        taps: of each blur, as `sharpend.model.blurs.blur_taps` gives them.
        gains: of each band, the finest first.
        made: h x w x 16.
    """
    finer = gray = weighted(pixels.transpose(0, 2, 1), weights)
    height, width = gray.shape
    padded = np.pad(gray, REACH_PX, mode="edge")
    lines = [padded[at : at + height] for at in range(2 * REACH_PX + 1)]
    bands = []
    for each, gain in zip(taps, gains, strict=True):
        tall = blurred(lines, each)
        coarser = blurred([tall[:, at : at + width] for at in range(2 * REACH_PX + 1)], each)
        bands.append((finer - coarser) * np.float32(gain))
        finer = coarser
    made[...] = cells_of(total(bands)[..., None])[:, :, 0]


def gates(mask: Floats, size: tuple[int, int], floor: float, gate: Floats) -> None:
    """Compute the share of signal above noise of each cell, 0..1, from 3 x 3 cells.

    Args:
        mask: h x w x 16, the signal.
        size: h and w.
        floor: mean square at which a gate is half open.
        gate: h x w.
    """
    squares = (mask * mask).reshape(*size, CELL)
    for half in (8, 4, 2, 1):
        squares = squares[..., :half] + squares[..., half:]
    counts = sum_of_nine(np.ones_like(squares)) * np.float32(CELL)
    energy = sum_of_nine(squares) / counts
    whole = np.maximum(energy + np.float32(floor), np.float32(1e-30))
    gate[...] = (energy / whole)[..., 0]


def calm_gates(lowest: NDArray[Any], highest: NDArray[Any], top: float, floor: float) -> Floats:
    """Compute the share of signal above noise of each cell, 0..1, by the range of 3 x 3 cells.

    Args:
        lowest: minimum of each cell, h x w x C, from `survey`.
        highest: maximum of each cell, h x w x C, from `survey`.
        top: the pixels' white.
        floor: squared range, of white 1, mean of the channels, at which a gate is half open.

    Returns:
        h x w.
    """
    ranges = extreme_of_nine(np.maximum, highest) - extreme_of_nine(np.minimum, lowest)
    squares = (ranges * np.float32(1 / top)) ** 2
    energy = (total(list(np.moveaxis(squares, 2, 0))) * np.float32(1 / squares.shape[2])) ** 2
    return np.asarray(energy / np.maximum(energy + np.float32(floor**2), np.float32(1e-30)))


def sum(  # noqa: A001, PLR0913, PLR0917 - named and called as the compiled one
    pixels: Levels,
    detail: Floats | NDArray[np.uint16],
    calm: Floats | None,
    mask: Floats | None,
    gate: Floats | None,
    scale: float,
    sums: NDArray[np.int32],
) -> None:
    """Sum a change over each cell, in steps of which white has about STEPS.

    Args:
        pixels: as for `survey`.
        detail: h x w x 3 x 16 float32, or uint16 for the bits of bfloat16, what is added.
        calm: h x w, scales the detail of each cell; None for one.
        mask: h x w x 16, added to every channel, times `gate`; None for neither.
        gate: h x w, interpolated between the centres of the cells.
        scale: of detail and mask, to the range of the pixels.
        sums: h x w x C.
    """
    unit = np.float32(steps_per_level(pixels.dtype))
    change = change_of(cells_of(pixels), detail, calm, mask, gate, scale)
    sums[...] = np.rint(change * unit).astype(np.int32).sum(axis=-1, dtype=np.int32)


def means(sums: NDArray[np.int32], size: tuple[int, int, int], scale: float, made: Floats) -> None:
    """Compute the mean of 9 x 9 cells around each, those beyond the edge mirrored.

    Mirrored, so that each counts alike in the sum over all places.

    Args:
        sums: h x w x C.
        size: h, w and C.
        scale: of the sums of 81 cells.
        made: h x w x C.
    """
    height, width, _ = size
    mirrored = np.pad(sums, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="symmetric")
    side = range(2 * REACH + 1)
    tall = total([mirrored[row : row + height] for row in side])
    square = total([tall[:, column : column + width] for column in side])
    made[...] = square.astype(np.float32) * np.float32(scale)


def finish(  # noqa: D417, PLR0913, PLR0917 - called as the compiled one; the rest as for `sum`
    pixels: Levels,
    detail: Floats | NDArray[np.uint16],
    calm: Floats | None,
    mask: Floats | None,
    gate: Floats | None,
    scale: float,
    shifts: Floats,
    lowest: NDArray[Any],
    highest: NDArray[Any],
    margin: float,
    out: Levels,
    at: tuple[int, int],
) -> None:
    """Add a change less its local means to pixels, within bounds, and round once.

    Args:
        pixels: as for `survey`.
        shifts: h x w x C, the means, interpolated between the centres of the cells.
        lowest: minimum of each cell, h x w x C; an output pixel is at least the minimum of 3 x 3
            cells less the margin.
        highest: maximum of each cell, the upper limit in the same way.
        margin: 0..white.
        out: a part of the result, its dtype that of the pixels.
        at: row and column of the part's first cell.
    """
    cells = cells_of(pixels)
    change = change_of(cells, detail, calm, mask, gate, scale) - interpolated(shifts)
    top = np.float32(white(pixels.dtype))
    least = np.maximum(extreme_of_nine(np.minimum, lowest) - np.float32(margin), 0)[..., None]
    most = np.minimum(extreme_of_nine(np.maximum, highest) + np.float32(margin), top)[..., None]
    made = np.minimum(np.maximum(cells.astype(np.float32) + change, least), most)
    if pixels.dtype != np.float32:
        made = np.rint(made)
    height, width = (size // SIDE for size in out.shape[:2])
    part = made[at[0] :, at[1] :][:height, :width].astype(out.dtype)
    out[...] = unfolded(part)


def steps_per_level(dtype: np.dtype[Any]) -> int:
    """Return the steps of a sum in one level of pixels, of which white has one more in whole."""
    return STEPS // (white(dtype) + 1) if dtype != np.float32 else STEPS


def change_of(
    cells: NDArray[Any],
    detail: Floats | NDArray[np.uint16],
    calm: Floats | None,
    mask: Floats | None,
    gate: Floats | None,
    scale: float,
) -> Floats:
    """Compute the change of pixels in their own range, each kept within black and white.

    Args:
        cells: h x w x C x 16, the pixels.
        detail: as for `sum`.
        calm: as there.
        mask: as there.
        gate: as there.
        scale: as there.

    Returns:
        h x w x C x 16; of gray, the mean of the three channels' changes.
    """
    height, width, channels, _ = cells.shape
    if detail.dtype == np.uint16:
        detail = (detail.astype(np.uint32) << 16).view(np.float32)
    added = detail.reshape(height, width, COLOURS, CELL)
    if calm is not None:
        added = added * calm.reshape(height, width, 1, 1)
    if mask is not None and gate is not None:
        added = added + mask.reshape(height, width, 1, CELL) * interpolated(gate[..., None])
    change = kept(added * np.float32(scale), cells)
    if channels == COLOURS:
        return change
    mean = ((change[:, :, 0] + change[:, :, 1]) + change[:, :, 2]) * np.float32(1 / 3)
    return mean[:, :, None]


def kept(change: Floats, cells: NDArray[Any]) -> Floats:
    """Keep pixels with a change between black and white, both h x w x C x 16."""
    values = cells.astype(np.float32)
    top = np.float32(white(np.dtype(cells.dtype)))
    return np.asarray(np.minimum(np.maximum(change, -values), top - values), np.float32)


def _levels(values: NDArray[Any]) -> NDArray[np.int32]:
    """Whole numbers of pixels, of floating point ones rounded."""
    if values.dtype == np.float32:
        values = np.rint(values * np.float32(FLOAT_LEVELS))
    return values.astype(np.int32)


def _half(values: Floats) -> NDArray[np.uint16]:
    """Bits of bfloat16, rounded to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
