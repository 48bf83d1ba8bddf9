"""Conditioning layers on softness cues: feature scales (FiLM) and an adaptive unsharp mask.

Neither has a bias where pixels pass, so a flat image stays flat; both are the same for every tile
of an image, because the cues are the whole image's.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.model.cues import (
    BANDS,
    CUES,
    FAINT,
    FOLD_PX,
    REACH_PX,
    band_kernels,
    folded_luma,
    luma,
)
from sharpend.model.folding import sum_of_nine

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = 24
"""Width of the small fully connected layers between the cues and what they decide."""
MASK_CELLS = REACH_PX // FOLD_PX + 2
"""Radius of the adaptive mask in cells: its kernel, the mean of the gate, its interpolation."""
FLOOR_TIMES = 4.0
"""Local energy, in multiples of the noise floor's, at which the gate is half open."""
RANGE_TIMES = 150.0
"""Squared range of 3 x 3 cells, in multiples of the noise floor's energy in the two finest bands,
at which the gate of the trunk's detail is half open. Over cells, not within one, because an edge
may be between two."""
START_GAIN = 0.1
"""Initial value of training; at zero the gate would be closed and no gradient flow."""
RATE = 4.0
"""Scales the outputs of the small layers, and with them their learning rate under Adam."""
_TINY = 1e-10
"""Energy that passes for none: a thousandth of a level of 255, squared."""


class FeatureScales(nn.Module):
    """Scales of a trunk's features, one for each channel at each place (FiLM, arXiv:1709.07871).

    There is no shift: bias-free features stay bias-free.
    """

    def __init__(self, channels: int, *, places: int) -> None:
        super().__init__()
        self.places = places
        self.hidden = nn.Linear(CUES, HIDDEN)
        self.out = nn.Linear(HIDDEN, places * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, cues: Tensor) -> Sequence[Tensor]:
        """Map B x CUES to a B x C x 1 x 1 scale for each place, about 1."""
        scales: Tensor = 1 + RATE * self.out(F.relu(self.hidden(cues)))
        return scales[:, :, None, None].chunk(self.places, dim=1)


class AdaptiveMask(nn.Module):
    """An unsharp mask of three luma bands, whose gains follow the cues.

    Where the local energy is no more than the noise floor's, a gate closes, so that the noise of
    calm parts is not amplified.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(CUES, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.gains = nn.Linear(HIDDEN, BANDS)
        nn.init.zeros_(self.gains.weight)
        nn.init.constant_(self.gains.bias, START_GAIN / RATE)

    def forward(self, picture: Tensor, cues: Tensor, measured: Tensor) -> Tensor:
        """Compute the mask that is added to the image.

        Args:
            picture: B x 3 x H x W float32 in [0, 1], sides multiples of the folded grid's.
            cues: B x CUES.
            measured: B x MEASURED energies, of which the last BANDS are the noise floor's.

        Returns:
            B x 1 x H x W in the dtype of the gains, to be added to each channel.
        """
        with torch.autocast(picture.device.type, enabled=False):
            folded = folded_luma(luma(picture.to(self.gains.weight.dtype)))
            gains, floor = self.decide(cues, measured)
            mask = _filtered(folded, gains)
            gate = F.interpolate(_gate(mask, floor), scale_factor=FOLD_PX, mode="bilinear")
            return F.pixel_shuffle(mask, FOLD_PX) * gate

    def decide(self, cues: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gains of the bands, and the energy at which the gate is half open.

        Args:
            cues: B x CUES.
            measured: as for `forward`.

        Returns:
            B x BANDS and B.
        """
        gains = RATE * self.gains(F.relu(self.second(F.relu(self.first(cues)))))
        floor = (gains.square() * (FLOOR_TIMES * measured[:, -BANDS:] + _TINY)).sum(dim=1)
        return gains, floor


def calm_range(measured: Tensor) -> Tensor:
    """Compute the squared range of 3 x 3 cells at which the trunk's gate is half open.

    Args:
        measured: B x MEASURED energies, of which the last BANDS are the noise floor's.

    Returns:
        B; 0 where the floor is no more than rounding to 8 bits leaves: there is no gate.
    """
    return RANGE_TIMES * (measured[:, -BANDS:][:, :2] - FAINT).clamp_min(0).sum(dim=1)


def calm_gate(picture: Tensor, measured: Tensor) -> Tensor:
    """Compute the gate of the trunk's detail, so that noise of calm parts is not amplified.

    Args:
        picture: B x C x H x W in [0, 1], sides multiples of the folded grid's.
        measured: as for `calm_range`.

    Returns:
        B x 1 x H/4 x W/4, 0..1, as `sharpend.model.plain_packing.calm_gates` makes it.
    """
    highest, lowest = (
        F.max_pool2d(F.max_pool2d(each, FOLD_PX), 3, stride=1, padding=1)
        for each in (picture, -picture)
    )
    energy = (highest + lowest).square().mean(dim=1, keepdim=True).square()
    floor = calm_range(measured)[:, None, None, None]
    gate = energy / (energy + floor.square()).clamp_min(1e-30)
    return torch.where(floor > 0, gate, torch.ones_like(gate))


def _filtered(folded: Tensor, gains: Tensor) -> Tensor:
    """Sum the bands times their gains.

    Args:
        folded: B x 16 x h x w, as `folded_luma` makes it.
        gains: B x BANDS.
    """
    kernels = _kernels(gains.device, gains.dtype)
    bands = F.conv2d(folded, kernels.flatten(0, 1))
    bands = bands.reshape(len(gains), BANDS, -1, *bands.shape[-2:])
    return torch.einsum("bn,bnohw->bohw", gains, bands)


@cache
def _kernels(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Keep the kernels of the bands on a device: a captured graph cannot copy them to it."""
    with torch.inference_mode(mode=False):
        return band_kernels().to(device, dtype)


def _gate(mask: Tensor, floor: Tensor) -> Tensor:
    """Signal above noise of each cell, 0..1: B x 1 x H/4 x W/4."""
    energy = sum_of_nine(mask.square().mean(dim=1, keepdim=True))
    energy = energy / sum_of_nine(torch.ones_like(energy[:1]))
    return energy / (energy + floor[:, None, None, None]).clamp_min(1e-30)
