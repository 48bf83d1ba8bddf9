"""Squared error and PSNR of pixels in 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainer.degradations.mixture import Pixels

HIGHEST_DB = 100.0
"""PSNR of equal images in means, in place of infinity."""


def squared_error(one: Pixels, other: Pixels) -> float:
    """The sum of squared differences, levels squared; both uint8 of one shape."""
    difference = (one.astype(np.int16) - other).ravel().astype(np.float64)
    return float(difference @ difference)


def decibels(one: Pixels, other: Pixels) -> float:
    """PSNR over all channels, dB, at most HIGHEST_DB."""
    mean = squared_error(one, other) / one.size
    return min(HIGHEST_DB, 10 * float(np.log10(255**2 / mean))) if mean else HIGHEST_DB
