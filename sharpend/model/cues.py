"""Softness cues: band energies of luma, as `sharpend.model.measuring` takes them of an image.

A model of a few convolutions cannot infer how soft an image is, so it gets these numbers as input.
They are measured once, before the image is cut into tiles, so that every tile is sharpened alike.
Each band gives three values: the mean over the image, that of the most detailed tenth of its
blocks, and that of the smoothest (the noise floor), because grain would otherwise count as
sharpness. The power in rings of spatial frequency (`sharpend.model.spectrum`) tells kinds of blur
apart, that in sectors of rings motion, which blurs along one direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLD_PX = 4
"""Side of the cells in which bands are computed: the models' own grid."""
SIGMAS_PX = (0.6, 1.2, 2.4)
"""The Gaussian blurs that bound the bands; the first band is all below 0.6 pixels."""
BANDS = len(SIGMAS_PX)
REACH_PX = 8
"""Radius of the widest blur's kernel: a multiple of FOLD_PX of at least three sigmas."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of the channels, of BT.601."""
RINGS = 12
"""Rings of spatial frequency whose power is measured (`sharpend.model.spectrum`)."""
WIDE_RINGS = 4
DIRECTIONS = 4
"""Wide rings, and sectors of each: frequencies along rows, a diagonal, columns, a diagonal."""
POWERS = RINGS + WIDE_RINGS * DIRECTIONS
MEASURED = POWERS + 3 * BANDS
"""Numbers measured of an image: power of its rings and sectors, and three energies each of the
whole, its structure and its floor."""
CUES = 6 + RINGS - 1 + (WIDE_RINGS - 1) * DIRECTIONS
"""Numbers that a model is given, made of the measured ones by `cues_of`."""
FAINT = (0.4 / 255) ** 2
"""Energy that rounding to 8 bits leaves in any image; lower values are rounding noise."""
FAINT_POWER = (0.25 / 255) ** 2
"""Likewise the power of a ring: three quarters of the variance of rounding to 8 bits."""
_LEAST = (-0.9, -1.8, -1.4, -1.0, -1.9, -0.4)
_MOST = (2.1, 1.9, 1.2, 2.5, 3.0, 1.4)
_STEEPNESS = (-3.2, 5.0)
"""Bounds of the cues of energies and of the falls: the range of the images that models are trained
with. Patterns and drawings may lie beyond, where a model has learned nothing."""
_BEYOND_FROM, _BEYOND_TO = 3.0, 8.0
"""Distance of a fall from these bounds at which the strength of a model begins to fade, and at
which nothing is left. Photographs of any blur, compression or enlargement, random modules as of a
QR code and halftones are no further away than the first, gratings of up to 16 pixels than the
second."""
_FALLS = (2.06, 1.50, 1.29, 1.10, 0.95, 0.72, 0.49, 0.43, 0.67, 0.25, 0.12)
_SPREADS = (0.81, 0.82, 0.77, 0.67, 0.65, 0.58, 0.49, 0.36, 0.67, 0.31, 0.22)
"""Mean and standard deviation of the fall of log power from ring to ring, in the photo mixture."""
_SECTOR_SPREAD = 0.5
"""Likewise of the difference between a sector's fall and the mean of all directions."""
_MOST_BEYOND = 5.0
"""Bound of that difference; motion by five pixels reaches it."""


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
    spectrum: tuple[float, ...] = (0.0,) * POWERS
    """Power of each ring of spatial frequency, the lowest first, then of each sector of each wide
    ring."""
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
        return torch.tensor([[*self.spectrum, *self.whole, *self.structure, *self.floor]])


def cues_of(measured: Tensor) -> Tensor:
    """Turn energies into a model's cues, each about -1 to 1.

    Args:
        measured: B x MEASURED energies.

    Returns:
        B x CUES: logarithms of neighbouring bands' ratios over the whole image and over its
        structure less the noise floor, of the finest band's level, and of the floor's; then the
        falls of log power from ring to ring; then, for each direction, how much more than on the
        mean of all directions it falls from wide ring to wide ring.
    """
    rings, sectors, energies = measured.tensor_split((RINGS, POWERS), dim=1)
    whole, structure, floor = torch.log(_above_floor(energies) + FAINT).unbind(dim=1)
    bands = [
        whole[:, 0] - whole[:, 1] + 1,
        whole[:, 1] - whole[:, 2] + 0.5,
        (whole[:, 0] + 9) / 3,
        structure[:, 0] - structure[:, 1] + 1,
        structure[:, 1] - structure[:, 2] + 0.5,
        (floor[:, 0] + 12) / 3,
    ]
    least, most, *_ = _constants(measured.device, measured.dtype)
    bounded = torch.stack(bands, dim=1).clamp(least, most)
    falls = _standard_falls(rings).clamp(*_STEEPNESS)
    return torch.cat([bounded, falls, _directions(sectors)], dim=1)


def out_of_distribution(measured: Tensor) -> Tensor:
    """Compute how far an image's spectrum lies outside of what models are trained with.

    Bounded cues are those of some photograph, but not of this image: a grating or chequerboard has
    power in few rings, and a model that takes it for a soft photograph turns it round.

    Args:
        measured: B x MEASURED energies.

    Returns:
        B numbers: 0 inside and near the bounds of the falls from ring to ring, 1 far beyond. The
        highest ring does not count: libjxl dithers there what it decodes to 8 bits.
    """
    falls = _standard_falls(measured[:, :RINGS])[:, :-1]
    beyond = (falls - falls.clamp(*_STEEPNESS)).abs().amax(dim=1)
    return ((beyond - _BEYOND_FROM) / (_BEYOND_TO - _BEYOND_FROM)).clamp(0, 1)


def _above_floor(energies: Tensor) -> Tensor:
    """B x 3 x BANDS: whole, structure less floor, floor."""
    whole, structure, floor = energies.reshape(-1, 3, BANDS).unbind(dim=1)
    return torch.stack([whole, (structure - floor).clamp_min(0), floor], dim=1)


def _standard_falls(power: Tensor) -> Tensor:
    """Falls of log power from ring to ring, standardised: B x (RINGS - 1)."""
    level = torch.log(power + FAINT_POWER)
    falls = level[:, :-1] - level[:, 1:]
    *_, means, spreads = _constants(power.device, power.dtype)
    return (falls - means) / spreads


def _directions(power: Tensor) -> Tensor:
    """Falls of each direction less their mean: B x ((WIDE_RINGS - 1) * DIRECTIONS)."""
    level = torch.log(power + FAINT_POWER).reshape(-1, WIDE_RINGS, DIRECTIONS)
    falls = level[:, :-1] - level[:, 1:]
    beyond = (falls - falls.mean(dim=2, keepdim=True)) / _SECTOR_SPREAD
    return beyond.clamp(-_MOST_BEYOND, _MOST_BEYOND).flatten(1)


def turned(measured: Tensor, turns: Tensor) -> Tensor:
    """Return the numbers that turned images would have.

    Args:
        measured: B x MEASURED.
        turns: B integers 0..7: quarter turns counter-clockwise, plus 4 where the result is then
            flipped from left to right.
    """
    return measured.gather(1, _places_turned(turns.device)[turns])


@cache
def _places_turned(device: torch.device) -> Tensor:
    """Place of each number of a turned image among those of the image: 8 x MEASURED."""
    places = torch.arange(MEASURED).repeat(8, 1)
    directions = torch.arange(DIRECTIONS)
    for turn, row in enumerate(places):
        way = -1 if turn >= 4 else 1  # noqa: PLR2004 - four turns, then the same flipped
        order = (way * directions + turn % 2 * DIRECTIONS // 2) % DIRECTIONS
        row[RINGS:POWERS] = row[RINGS:POWERS].view(WIDE_RINGS, DIRECTIONS)[:, order].flatten()
    return places.to(device)


@cache
def _constants(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Keep bounds, means and spreads on a device: a captured graph cannot copy them to it."""
    with torch.inference_mode(mode=False):
        return tuple(
            torch.tensor(each, device=device, dtype=dtype)
            for each in (_LEAST, _MOST, _FALLS, _SPREADS)
        )


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


def gaussian(sigma_px: float) -> NDArray[np.float64]:
    """Compute the weights of a blur along a line, 2 * REACH_PX + 1, their sum 1."""
    places = np.arange(-REACH_PX, REACH_PX + 1)
    line = np.exp(-(places**2) / (2 * sigma_px**2))
    return np.asarray(line / line.sum())


@cache
def band_kernels() -> Tensor:
    """Convolutions from folded luma to each band, BANDS x 16 x 16 x 5 x 5 float32.

    The first 16 are pixels of the result's cell, the second those of the input's. A band is the
    difference of two Gaussian blurs (Burt and Adelson 1983, without the reduction); on the folded
    grid it costs a few per cent of a model.
    """
    with torch.inference_mode(mode=False):  # kept: a training may take them after an inference
        lines = [torch.from_numpy(gaussian(sigma)) for sigma in SIGMAS_PX]
        impulse = torch.zeros(2 * REACH_PX + 1, 2 * REACH_PX + 1, dtype=torch.float64)
        impulse[REACH_PX, REACH_PX] = 1
        blurs = [impulse, *(torch.outer(line, line) for line in lines)]
        bands = torch.stack([fine - coarse for fine, coarse in pairwise(blurs)])
        return _on_folded_grid(bands).float()


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
