"""Luma and its Gaussian blurs in numpy, equal to the compiled ones bit for bit.

Every operation on float32 is rounded by itself, in the order of `_packing.c`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.model.cues import REACH_PX, SIGMAS_PX, gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_NARROW_PX = 4
"""Radius of the finest blur's kernel: its weights further out are below 1e-15."""


def weighted(values: NDArray[Any], weights: tuple[float, ...]) -> Floats:
    """Sum the channels of H x C x W or h x w x C x 16, times their weights, one after the other."""
    axis = values.ndim - 2
    channels = np.moveaxis(values, axis, 0).astype(np.float32)
    made: Floats = channels[0] * np.float32(weights[0])
    for channel, weight in zip(channels[1:], weights[1:], strict=False):
        made = made + channel * np.float32(weight)
    return made


@cache
def blur_taps() -> Floats:
    """Weights of each blur of `SIGMAS_PX` from its middle on, BANDS x (REACH_PX + 1)."""
    taps = np.stack([gaussian(sigma)[REACH_PX:] for sigma in SIGMAS_PX]).astype(np.float32)
    taps[0, _NARROW_PX + 1 :] = 0
    return taps


def blurred(lines: Sequence[Floats], taps: Floats) -> Floats:
    """Blur across 2 * REACH_PX + 1 lines, in the compiled passes' order."""
    made: Floats = lines[REACH_PX] * taps[0]
    for at in range(1, REACH_PX + 1):
        if taps[at]:
            made += (lines[REACH_PX - at] + lines[REACH_PX + at]) * taps[at]
    return made
