"""Measurement of an image's cues, strip by strip; the energies are those of its cells.

Beside the mean over the image, the busiest and the calmest tiles are measured: see
`sharpend.model.cues`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.depth import Depth, white
from sharpend.imaging.enlarged import is_enlarged
from sharpend.model.bands import energies
from sharpend.model.cues import BANDS, FOLD_PX, REACH_PX, Cues
from sharpend.model.spectrum import spectrum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TILE_CELLS = 4
"""Side of the tiles of which structure and floor are made, in cells: 16 pixels."""
STRIP_PX = 1024
"""Rows measured at a time, a multiple of a tile's: bounds the memory."""
STRUCTURE_SHARE = 0.10
FLOOR_SHARE = 0.15
"""Shares of the tiles, by energy, that count as structure and as the noise floor."""
MAY_BE_ENLARGED = -1.3
"""Sharpness above which no enlargement by four was seen; sharper images need no closer look."""


def measure(pixels: NDArray[Depth], visible: NDArray[np.bool_] | None = None) -> Cues:
    """Measure an image's cues, strip by strip.

    Args:
        pixels: H x W x C uint8 or uint16, C 1 (gray) or 3 (RGB), sRGB-encoded, any size.
        visible: H x W, None where all is; hidden pixels and those in their reach do not count.

    Returns:
        Energies that are all zero where nothing is visible; `enlarged` is None.
    """
    tiles, weights = zip(*_strips(pixels, visible), strict=True)
    pooled = _pooled(torch.cat(tiles), torch.cat(weights))
    return replace(pooled, spectrum=spectrum(pixels, visible))


def tested_for_enlargement(
    cues: Cues, pixels: NDArray[Depth], visible: NDArray[np.bool_] | None
) -> Cues:
    """Return the cues of an image with `enlarged` set; `pixels` and `visible` as for `measure`.

    The test costs more than all other cues together.
    """
    if cues.sharpness > MAY_BE_ENLARGED:
        return replace(cues, enlarged=False)
    green = pixels[:, :, pixels.shape[2] // 2] * np.float32(255 / white(pixels.dtype))
    return replace(cues, enlarged=is_enlarged(green, visible))


def _strips(
    pixels: NDArray[Depth], visible: NDArray[np.bool_] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tile energies and weights of each strip, each computed with its surroundings."""
    for top in range(0, len(pixels), STRIP_PX):
        start, stop = max(top - REACH_PX, 0), min(top + STRIP_PX + REACH_PX, len(pixels))
        inside = slice((top - start) // FOLD_PX, (top - start + STRIP_PX) // FOLD_PX)
        cells = torch.from_numpy(energies(pixels[start:stop]))[:, inside]
        if visible is None:
            weights = torch.ones_like(cells[:1])
        else:
            weights = _visible_share(visible[start:stop])[:, inside]
        yield _tiles(cells, weights)


def _tiles(cells: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Energies of tiles, T x BANDS, and their weights, T, of cells, BANDS and 1 x h x w."""
    summed, counted = _tile_sums(cells * weights), _tile_sums(weights)
    return (summed / counted.clamp_min(1e-9)).flatten(1).T, counted.flatten()


def _visible_share(visible: NDArray[np.bool_]) -> Tensor:
    """1 for cells whose energies depend on visible pixels alone, else 0: 1 x H/4 x W/4."""
    reach = REACH_PX // FOLD_PX
    below, beside = (-size % FOLD_PX for size in visible.shape)
    hidden = torch.from_numpy(np.pad(~visible, ((0, below), (0, beside)), mode="edge")).float()
    hidden = F.max_pool2d(hidden[None], FOLD_PX)
    return 1 - F.max_pool2d(hidden, 2 * reach + 1, stride=1, padding=reach)


def _tile_sums(cells: Tensor) -> Tensor:
    """Sums over tiles of cells, those at the edge smaller: N x rows x columns."""
    below, beside = (-size % TILE_CELLS for size in cells.shape[-2:])
    return F.avg_pool2d(F.pad(cells, (0, beside, 0, below)), TILE_CELLS) * TILE_CELLS**2


def _pooled(tiles: Tensor, weights: Tensor) -> Cues:
    """Cues from tile energies (T x BANDS) and the number of cells in each (T)."""
    tiles, weights = tiles[weights > 0], weights[weights > 0].unsqueeze(1)
    if not len(tiles):
        nothing = (0.0,) * BANDS
        return Cues(nothing, nothing, nothing)
    order = tiles[:, :2].sum(dim=1).argsort()
    busiest = order[-max(1, round(len(order) * STRUCTURE_SHARE)) :]
    calmest = order[: max(1, round(len(order) * FLOOR_SHARE))]

    def mean(which: Tensor | slice) -> tuple[float, ...]:
        part = (tiles[which] * weights[which]).double().sum(dim=0) / weights[which].sum()
        return tuple(part.tolist())

    noise = tuple(torch.quantile(tiles, FLOOR_SHARE, dim=0).tolist())
    return Cues(mean(slice(None)), mean(busiest), mean(calmest), noise)
