"""Harm of a sharpening method: amplified noise, JPEG blocks, overshoot at edges.

Defines test patterns and figures for any function from pixels to pixels. All figures are ratios or
shares, so that the no-op scores 1 (noise, blocks) or 0 (overshoot).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_tensor
from sharpend.model.cues import luma
from trainer.degradations import blur, camera

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels, Sharpen

NOISE_LEVELS, NOISE_SIGMAS = (60, 128, 200), (2, 5, 10)
NOISE_PX = 128
BLOCK_PX = 8
STEP_LEVELS = (40, 130, 190)
STEP_SIGMAS_PX = (0.0, 0.7, 1.0, 1.5, 2.0)
STEP_PX = 64
_GRID_PX = 4
"""Steps are placed at each offset to the networks' grid."""


def noise_ratios(sharpen: Sharpen) -> dict[str, float]:
    """Amplification of white noise on flat gray.

    Returns:
        `level/sigma` to the deviation of the output over that of the input, both within channels.
    """
    return {
        f"{level}/{sigma}": _noise_ratio(sharpen, level, sigma)
        for level, sigma in product(NOISE_LEVELS, NOISE_SIGMAS)
    }


def _noise_ratio(sharpen: Sharpen, level: int, sigma: int) -> float:
    flat = np.full((NOISE_PX, NOISE_PX, 3), level, np.uint8)
    noisy = camera.noisy(flat, sigma, np.random.default_rng([level, sigma]))
    return _deviation(sharpen(noisy)) / _deviation(noisy)


def _deviation(pixels: Pixels) -> float:
    return float(np.sqrt(pixels.var(axis=(0, 1), dtype=np.float64).mean()))


def block_excess(pixels: Pixels) -> float:
    """Excess of the steps of luma at the edges of 8 x 8 blocks over all others, in levels.

    Args:
        pixels: H x W x 3 uint8, above 8 pixels a side, its upper left corner is the corner of a
            block.

    Returns:
        The mean absolute difference of neighbours across the edges of blocks less that of all other
        neighbours, the mean of both directions; near 0 where there are no blocks.
    """
    gray = luma(to_tensor(pixels))[0, 0].mul(255).numpy()
    return (_excess_along(gray) + _excess_along(gray.T)) / 2


def _excess_along(gray: NDArray[np.float32]) -> float:
    steps = np.abs(np.diff(gray, axis=0)).mean(axis=1, dtype=np.float64)
    at_edges = np.arange(1, len(steps) + 1) % BLOCK_PX == 0
    return float(steps[at_edges].mean() - steps[~at_edges].mean())


def overshoots(sharpen: Sharpen) -> dict[str, float]:
    """Overshoot at the edge of a step of gray, in per cent of the step.

    Steps of STEP_LEVELS about middle gray, blurred by a Gaussian. The figure is how far the output
    leaves the levels on either side, the largest over heights and four places on the grid.

    Returns:
        Sigma of the blur in pixels to per cent.
    """
    return {
        f"{sigma:g}": max(
            100 * _overshoot(sharpen, height, sigma, place) / height
            for height, place in product(STEP_LEVELS, range(_GRID_PX))
        )
        for sigma in STEP_SIGMAS_PX
    }


def _overshoot(sharpen: Sharpen, height: int, sigma: float, place: int) -> float:
    """Overshoot in levels."""
    dark, bright = 128 - height // 2, 128 - height // 2 + height
    step = np.full((STEP_PX, STEP_PX, 3), dark, np.uint8)
    step[:, STEP_PX // 2 + place :] = bright
    output = sharpen(blur.gaussian(step, sigma) if sigma else step).astype(np.int16)
    return float(max(output.max() - bright, dark - output.min(), 0))


def repeat_passes(sharpen: Sharpen, pixels: Pixels, *, times: int) -> list[Pixels]:
    """Sharpen an image several times and return the result of each pass."""
    results: list[Pixels] = []
    for _ in range(times):
        pixels = sharpen(pixels)
        results.append(pixels)
    return results
