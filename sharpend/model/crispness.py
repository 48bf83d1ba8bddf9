"""Crispness: an additional unsharp mask of three luma bands that does not amplify noise.

Three bands of luma, each amplified where it exceeds the image's own noise; their sum is bounded by
the local range of the input, beyond which the model alone may go. It is added to all channels
alike, so no hue changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.model.cues import FAINT, FOLD_PX, LUMA, band_kernels, folded_luma
from sharpend.model.cues import REACH_PX as BANDS_REACH_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sharpend.model.packing import Added, Packed

GAINS = (1.2, 1.08, 0.6)
"""Of the bands, from the finest on, at crispness 1."""
AROUND_PX = 4
"""Radius of the square, 9 x 9 pixels, over which energy and range are taken."""
NOISE_TIMES = 3
"""Local energy, in multiples of the noise floor's, up to which a gate is shut."""
LEAST_NOISE = FAINT / NOISE_TIMES
"""Energy of a noise floor at the least: what rounding to 8 bits leaves is never amplified."""
MARGIN = 3 / 255
"""Margin by which the mask may bring a pixel beyond the range of the input's luma around it."""
REACH_PX = BANDS_REACH_PX + AROUND_PX
"""Reach of the mask, a multiple of FOLD_PX; a tile's halo grows by this."""


def crispen(
    packed: Packed,
    added: Added | None,
    strength: float,
    *,
    amount: float,
    noise: Sequence[float],
) -> Added:
    """Add the mask to the detail that a model adds; flat areas stay exactly unchanged.

    The local mean is removed once here, and once more by `Packed.finish`: the mask clips far more
    than a model, so that one pass leaves a shift.

    Args:
        packed: the window, its sides multiples of FOLD_PX, sRGB-encoded.
        added: by the model; None for nothing.
        strength: scales it.
        amount: 0..1, of the mask.
        noise: energies of the bands at the noise floor of the whole image, `Cues.noise`.

    Returns:
        The sum of both; its strength is 1.
    """
    packed = packed.in_colour()
    change = packed.change(added, strength)
    given, gray = (
        torch.from_numpy(packed.plane(each, LUMA))[None, None] for each in (0 * change, change)
    )
    mask = F.pixel_unshuffle(_mask(given, gray, amount, noise), FOLD_PX)[0].mul_(packed.white)
    both = packed.balanced(change + mask.permute(1, 2, 0).numpy()[:, :, None])
    return both if added is None else replace(both, overshoot=added.overshoot)


def _mask(given: Tensor, gray: Tensor, amount: float, noise: Sequence[float]) -> Tensor:
    """Compute the mask of luma, 1 x 1 x H x W.

    Args:
        given: luma of the input, 1 x 1 x H x W in [0, 1].
        gray: luma after the model, same shape; the mask is made of it.
        amount: see `crispen`.
        noise: likewise.
    """
    folded = folded_luma(gray)
    wanted = gray.clone()
    for kernel, gain, floor in zip(band_kernels(), GAINS, noise, strict=True):
        band = F.pixel_shuffle(F.conv2d(folded, kernel), FOLD_PX)
        wanted.addcmul_(band, _gate(band, max(floor, LEAST_NOISE)), value=gain * amount)
    _bound(wanted, given, gray)
    return wanted.sub_(gray)


def _gate(band: Tensor, floor: float) -> Tensor:
    """Signal above noise of each pixel: 0 up to a few times the floor, towards 1 above.

    Args:
        band: 1 x 1 x H x W.
        floor: energy of the noise, more than 0.
    """
    energy = _around(torch.add, band.square()).div_((2 * AROUND_PX + 1) ** 2)
    return (
        energy.clamp_min_(floor).reciprocal_().mul_(-NOISE_TIMES * floor).add_(1).relu_().square_()
    )


def _bound(wanted: Tensor, given: Tensor, gray: Tensor) -> None:
    """Clamp luma, in place, to the input's range around each pixel, widened by the margin.

    Where the model went beyond that range, its own value is the bound.
    """
    highest, lowest = (_around(join, given) for join in (torch.maximum, torch.minimum))
    torch.minimum(wanted, torch.maximum(highest.add_(MARGIN), gray), out=wanted)
    torch.maximum(wanted, torch.minimum(lowest.sub_(MARGIN), gray), out=wanted)


def _around(join: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> Tensor:
    """Sum, or extreme, of 9 x 9 pixels around each, the edge repeated.

    Doubles the span three times and adds one, in an order that depends on no size.
    """
    values = F.pad(values, (AROUND_PX,) * 4, mode="replicate")
    for dim in (-1, -2):
        joined = values
        for span in (1, 2, 4):
            length = joined.shape[dim] - span
            joined = join(joined.narrow(dim, 0, length), joined.narrow(dim, span, length))
        length = values.shape[dim] - 2 * AROUND_PX
        values = join(joined.narrow(dim, 0, length), values.narrow(dim, 2 * AROUND_PX, length))
    return values
