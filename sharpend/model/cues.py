"""Softness cues: band energies of luma, measured over the whole image.

A model of a few convolutions cannot infer how soft an image is, so it gets these numbers as input.
They are measured once, before the image is cut into tiles, so that every tile is sharpened alike.
Beside the mean over the image stand the structure (the busiest tenth of its tiles) and the noise
floor (the calmest), because grain would otherwise pass for sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.depth import Depth, white, within
from sharpend.imaging.enlarged import is_enlarged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FOLD_PX = 4
"""Side of the cells in which bands are computed: the models' own grid."""
SIGMAS_PX = (0.6, 1.2, 2.4)
"""The Gaussian blurs between which the bands lie; the first band is all below 0.6 pixels."""
BANDS = len(SIGMAS_PX)
REACH_PX = 8
"""Radius of the widest blur's kernel: a multiple of FOLD_PX of at least three sigmas."""
MEASURED = 3 * BANDS
"""Numbers measured of an image: three energies each of the whole, its structure and its floor."""
CUES = 6
"""Numbers that a model is given, made of the measured ones by `cues_of`."""
TILE_CELLS = 4
"""Side of the tiles of which structure and floor are made, in cells: 16 pixels."""
STRIP_PX = 1024
"""Rows measured at a time, a multiple of a tile's: bounds the memory."""
STRUCTURE_SHARE = 0.10
FLOOR_SHARE = 0.15
"""Shares of the tiles, by energy, that count as structure and as the noise floor."""
FAINT = (0.4 / 255) ** 2
"""Energy that rounding to 8 bits leaves in any image; lower values are rounding noise."""
MAY_BE_ENLARGED = -1.3
"""Sharpness above which no enlargement by four was seen; sharper images need no closer look."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of the channels, of BT.601."""
_SAMPLED = ((0, 1), (1, 3), (2, 0), (3, 2))
"""Pixels of a cell at which energies are sampled: each row and column of the cell once."""


@dataclass(frozen=True, slots=True)
class Cues:
    """Band energies of one image: mean squares of luma in [0, 1], from the finest band on."""

    whole: tuple[float, ...]
    """Over all visible pixels."""
    structure: tuple[float, ...]
    """Over the busiest tenth of the tiles."""
    floor: tuple[float, ...]
    """Over the calmest tiles: what noise and compression leave there."""
    noise: tuple[float, ...] = (0.0,) * BANDS
    """Of each band by itself: the energy that FLOOR_SHARE of the tiles do not exceed."""
    enlarged: bool | None = None
    """True if the image is exactly a bicubic enlargement by four; None if that was not tested."""

    @property
    def sharpness(self) -> float:
        """Logarithm of the finest band's energy over the next one's.

        About -1 to +0.4 in sharp photographs, -1.3 after a reduction by two, -1.8 by four; grain
        raises it. It does not depend on brightness or contrast above the faintest.
        """
        fine, middle = (energy + FAINT * 1e-3 for energy in self.whole[:2])
        return float(np.log(fine / middle))

    @property
    def judged(self) -> float | None:
        """Sharpness, or None if it cannot be measured, as in an even area."""
        return self.sharpness if max(self.whole[:2]) > FAINT * 1e-3 else None

    def tensor(self) -> Tensor:
        """Convert the measured numbers to a 1 x MEASURED float32 tensor."""
        return torch.tensor([[*self.whole, *self.structure, *self.floor]])


def measure(pixels: NDArray[Depth], visible: NDArray[np.bool_] | None = None) -> Cues:
    """Measure an image's cues, strip by strip.

    Args:
        pixels: H x W x C uint8 or uint16, C 1 (gray) or 3 (RGB), sRGB-encoded, any size.
        visible: H x W, None where all is; hidden pixels and those in their reach do not count.

    Returns:
        Energies that are all zero where nothing is visible; `enlarged` is None.
    """
    energies, weights = zip(*_strips(pixels, visible), strict=True)
    return _pooled(torch.cat(energies), torch.cat(weights))


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


def cues_of(measured: Tensor) -> Tensor:
    """Turn energies into a model's cues, each about -1 to 1.

    Args:
        measured: B x MEASURED energies.

    Returns:
        B x CUES: logarithms of neighbouring bands' ratios over the whole image and over its
        structure less the noise floor, of the finest band's level, and of the floor's.
    """
    whole, structure, floor = torch.log(_above_floor(measured) + FAINT).unbind(dim=1)
    return torch.stack(
        [
            whole[:, 0] - whole[:, 1] + 1,
            whole[:, 1] - whole[:, 2] + 0.5,
            (whole[:, 0] + 9) / 3,
            structure[:, 0] - structure[:, 1] + 1,
            structure[:, 1] - structure[:, 2] + 0.5,
            (floor[:, 0] + 12) / 3,
        ],
        dim=1,
    )


def _above_floor(measured: Tensor) -> Tensor:
    """B x 3 x BANDS: whole, structure less floor, floor."""
    whole, structure, floor = measured.reshape(-1, 3, BANDS).unbind(dim=1)
    return torch.stack([whole, (structure - floor).clamp_min(0), floor], dim=1)


def luma(picture: Tensor) -> Tensor:
    """BT.601 luma of B x 3 x H x W: B x 1 x H x W."""
    red, green, blue = picture.unbind(dim=1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]).unsqueeze(1)


def folded_luma(gray: Tensor) -> Tensor:
    """Luma on the folded grid with its edge repeated as far as the bands reach.

    Args:
        gray: B x 1 x H x W, H and W multiples of FOLD_PX.

    Returns:
        B x 16 x (H/4 + 4) x (W/4 + 4): what a convolution by `band_kernels` takes.
    """
    padded = F.pad(gray, (REACH_PX,) * 4, mode="replicate")
    return F.pixel_unshuffle(padded, FOLD_PX)


@cache
def band_kernels() -> Tensor:
    """Convolutions from folded luma to each band, BANDS x 16 x 16 x 5 x 5 float32.

    The first 16 are pixels of the result's cell, the second those of the input's. A band is the
    difference of two Gaussian blurs (Burt and Adelson 1983, without the reduction); on the folded
    grid it costs a few per cent of a model.
    """
    impulse = torch.zeros(2 * REACH_PX + 1, 2 * REACH_PX + 1, dtype=torch.float64)
    impulse[REACH_PX, REACH_PX] = 1
    blurs = [impulse, *(torch.outer(line, line) for line in map(_gaussian, SIGMAS_PX))]
    bands = torch.stack([fine - coarse for fine, coarse in pairwise(blurs)])
    return _on_folded_grid(bands).float()


def _gaussian(sigma: float) -> Tensor:
    places = torch.arange(-REACH_PX, REACH_PX + 1, dtype=torch.float64)
    line = torch.exp(-(places**2) / (2 * sigma**2))
    return line / line.sum()


def _on_folded_grid(filters: Tensor) -> Tensor:
    """N x 17 x 17 filters of pixels as N x 16 x 16 x 5 x 5 filters of cells."""
    cells = REACH_PX // FOLD_PX
    side = FOLD_PX * (2 * cells + 1)  # pixels under a kernel of cells
    pixels = FOLD_PX**2
    folded = filters.new_zeros(len(filters), pixels, pixels, 2 * cells + 1, 2 * cells + 1)
    size = 2 * REACH_PX + 1
    for to in range(pixels):
        top, left = divmod(to, FOLD_PX)
        spread = filters.new_zeros(len(filters), side, side)
        spread[:, top : top + size, left : left + size] = filters
        folded[:, to] = F.pixel_unshuffle(spread.unsqueeze(1), FOLD_PX)
    return folded


@cache
def _sampling_kernels() -> Tensor:
    """The rows of `band_kernels` for the sampled pixels, band by band: 12 x 16 x 5 x 5."""
    sampled = [row * FOLD_PX + column for row, column in _SAMPLED]
    return band_kernels()[:, sampled].flatten(0, 1).contiguous()


def _strips(
    pixels: NDArray[Depth], visible: NDArray[np.bool_] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tile energies and weights of each strip, each computed with its surroundings."""
    for top in range(0, len(pixels), STRIP_PX):
        start, stop = max(top - REACH_PX, 0), min(top + STRIP_PX + REACH_PX, len(pixels))
        rows = slice(start, stop)
        gray = torch.from_numpy(_padded(_gray(within(pixels[rows]))))[None, None]
        shown = None
        if visible is not None:
            shown = torch.from_numpy(_padded(visible[rows].astype(np.float32)))
        inside = slice((top - start) // FOLD_PX, (top - start + STRIP_PX) // FOLD_PX)
        yield _tiles(gray, shown, inside)


def _padded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """H x W values with the lower and right edges repeated up to whole cells."""
    below, beside = (-size % FOLD_PX for size in values.shape)
    return np.pad(values, ((0, below), (0, beside)), mode="edge")


def _gray(pixels: NDArray[Depth]) -> NDArray[np.float32]:
    """Luma in [0, 1] of H x W x C pixels."""
    scale = np.float32(1 / white(pixels.dtype))
    if pixels.shape[2] == 1:
        return pixels[:, :, 0].astype(np.float32) * scale
    weights = np.asarray(LUMA, np.float32) * scale
    return pixels.astype(np.float32) @ weights


def _tiles(
    picture: Tensor, visible: Tensor | None, rows: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Energies of tiles, T x BANDS, and their weights, T.

    Args:
        picture: 1 x 3 or 1 x 1 x H x W in [0, 1].
        visible: H x W, 0 where it is transparent; None where all is opaque.
        rows: the cells' rows that count; those around are only seen.
    """
    gray = picture if picture.shape[1] == 1 else luma(picture)
    bands = F.conv2d(folded_luma(gray), _sampling_kernels()).square_()
    cells = bands.reshape(BANDS, len(_SAMPLED), *bands.shape[-2:]).mean(dim=1)[:, rows]
    weight = torch.ones_like(cells[:1]) if visible is None else _seen(visible)[:, rows]
    summed, counted = _tile_sums(cells * weight), _tile_sums(weight)
    return (summed / counted.clamp_min(1e-9)).flatten(1).T, counted.flatten()


def _seen(visible: Tensor) -> Tensor:
    """1 for cells whose energies depend on visible pixels alone, else 0: 1 x H/4 x W/4."""
    reach = REACH_PX // FOLD_PX
    hidden = F.max_pool2d(1 - visible[None], FOLD_PX)
    return 1 - F.max_pool2d(hidden, 2 * reach + 1, stride=1, padding=reach)


def _tile_sums(cells: Tensor) -> Tensor:
    """Sums over tiles of cells, those at the edge smaller: N x rows x columns."""
    below, beside = (-size % TILE_CELLS for size in cells.shape[-2:])
    return F.avg_pool2d(F.pad(cells, (0, beside, 0, below)), TILE_CELLS) * TILE_CELLS**2


def _pooled(tiles: Tensor, weights: Tensor) -> Cues:
    """Cues from tile energies (T x BANDS) and the cells that each stands for (T)."""
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
