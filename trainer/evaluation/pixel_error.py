"""Squared error and PSNR of pixels in 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import psnr

if TYPE_CHECKING:
    from trainer.degradations.mixture import Pixels

HIGHEST_DB = 100.0
"""PSNR of equal images in means, in place of infinity."""


def squared_error(one: Pixels, other: Pixels) -> float:
    """The sum of squared differences, levels squared; both uint8 of one shape."""
    return float(np.square(one.astype(np.int32) - other).sum(dtype=np.int64))


def decibels(one: Pixels, other: Pixels) -> float:
    """PSNR over all channels, dB, at most HIGHEST_DB."""
    return min(HIGHEST_DB, psnr(to_tensor(one), to_tensor(other)).item())
