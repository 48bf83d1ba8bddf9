"""Brightness and colour preservation: remove the local mean of what the model adds.

A model is trained to add detail, yet its output shifts the mean by a fraction of a level over an
image, more on images that are sharp already. The shift is removed locally, where it arises.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.model.networks import GRID_PX

if TYPE_CHECKING:
    from torch import Tensor

_REACH = 4
"""Cells to each side. Fewer would take fine detail for a shift, and cost fidelity."""
REACH_PX = (_REACH + 1) * GRID_PX
"""Reach of the means around a cell; a tile's halo grows by this."""


def balance(sharpened: Tensor, picture: Tensor) -> None:
    """Subtract the local mean of the difference between sharpened image and input.

    The mean is over 9 x 9 cells of the folded grid, 36 x 36 pixels, of each channel; between the
    centres of cells it is interpolated, for steps would cost fidelity. At the image's edges the
    cells are mirrored, so that each counts alike in the sum over all places, and the mean of the
    whole image becomes that of the input.

    Args:
        sharpened: B x 3 x H x W float32 in [0, 1], H and W multiples of GRID_PX. Clamped before:
            what clipping takes from bright edges must come back around them. Changed in place,
            and afterwards not inside of [0, 1] everywhere.
        picture: the input, same shape.
    """
    shift = _local_mean(_cell_sums(sharpened - picture))
    sharpened.sub_(F.interpolate(shift, scale_factor=GRID_PX, mode="bilinear"))


def _cell_sums(change: Tensor) -> Tensor:
    """Sum over each cell, B x 3 x H/4 x W/4, in an order that depends on no size."""
    rows = reduce(torch.add, (change[..., row::GRID_PX, :] for row in range(GRID_PX)))
    return reduce(torch.add, (rows[..., column::GRID_PX] for column in range(GRID_PX)))


def _local_mean(sums: Tensor) -> Tensor:
    """Mean over pixels of the cells around each cell, those beyond the edge mirrored."""
    height, width = sums.shape[-2:]
    side = 2 * _REACH + 1
    mirrored = sums.index_select(-2, _mirrored(height)).index_select(-1, _mirrored(width))
    tall = reduce(torch.add, (mirrored[..., row : row + height, :] for row in range(side)))
    square = reduce(torch.add, (tall[..., column : column + width] for column in range(side)))
    return square / (side * GRID_PX) ** 2


def _mirrored(size: int) -> Tensor:
    """Index of the cell at each place from _REACH before the edge to _REACH behind the other."""
    return torch.from_numpy(np.pad(np.arange(size), _REACH, mode="symmetric"))
