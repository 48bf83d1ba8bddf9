"""Scores of an image against another, and confidence intervals of means. Pure functions.

Owns the conventions: R, G and B together at data range 1, and Y as in the x4 literature. Refuses
images of different sizes, or smaller than a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import MS_SMALLEST_PX, WINDOW_PX, compute_ms_ssim, compute_ssim, psnr

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from trainer.degradations.mixture import Pixels

BORDER_PX = 4
"""Left out of Y on every side: the factor of the reduction (as in EDSR, arXiv:1707.02921, 4.1)."""
SMALLEST_PX = WINDOW_PX + 2 * BORDER_PX
"""Least side of an image that can be scored."""
_LUMA = (65.481, 128.553, 24.966)
"""Weights of R, G, B in [0, 1] for Y in 16..235 (ITU-R BT.601-7, 2.5), as MATLAB's rgb2ycbcr."""

HIGHEST_DB = 100.0
"""PSNR of equal images in means, in place of infinity."""
RESAMPLES = 10_000
LEVEL = 0.95
_SEED = 0
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one image against its original.

    Attributes:
        ssim: mean of R, G and B.
        psnr: of R, G and B together, dB; infinite for equal images.
        ms_ssim: on five scales; None where a side is too small for that.
        psnr_y: PSNR of Y without a border of four pixels, dB.
        ssim_y: SSIM of Y without a border of four pixels.
        agreement: SSIM to the teacher's image; None without a teacher.
        shift: largest change of the mean of R, G or B against the input, in levels of 8 bit; None
            without the input.
    """

    ssim: float
    psnr: float
    ms_ssim: float | None
    psnr_y: float
    ssim_y: float
    agreement: float | None = None
    shift: float | None = None


def score(
    output: Pixels,
    original: Pixels,
    *,
    taught: Pixels | None = None,
    degraded: Pixels | None = None,
) -> Score:
    """Score an image.

    Args:
        output: H x W x 3 uint8, H and W at least SMALLEST_PX.
        original: the same shape.
        taught: output of the teacher, the same shape.
        degraded: the input, the same shape.

    Raises:
        ValueError: shapes differ, or a side is too small.
    """
    if min(original.shape[:2]) < SMALLEST_PX:
        raise ValueError(f"an image of {original.shape[:2]} is smaller than {SMALLEST_PX} pixels")
    given, target = to_tensor(output), to_tensor(original)
    large = min(original.shape[:2]) >= MS_SMALLEST_PX
    return Score(
        ssim=compute_ssim(given, target).item(),
        psnr=psnr(given, target).item(),
        ms_ssim=compute_ms_ssim(given, target).item() if large else None,
        psnr_y=psnr(luma(given), luma(target)).item(),
        ssim_y=compute_ssim(luma(given), luma(target)).item(),
        agreement=None if taught is None else compute_ssim(given, to_tensor(taught)).item(),
        shift=None if degraded is None else colour_shift(output, degraded),
    )


def colour_shift(output: Pixels, given: Pixels) -> float:
    """The largest change of a channel's mean, in levels of 8 bit; both H x W x 3 uint8."""
    before, after = (pixels.mean(axis=(0, 1), dtype=np.float64) for pixels in (given, output))
    return float(abs(after - before).max())


def squared_error(one: Pixels, other: Pixels) -> float:
    """The sum of squared differences, levels squared; both uint8 of one shape."""
    return float(np.square(one.astype(np.int32) - other).sum(dtype=np.int64))


def decibels(one: Pixels, other: Pixels) -> float:
    """PSNR over all channels, dB, at most HIGHEST_DB."""
    return min(HIGHEST_DB, psnr(to_tensor(one), to_tensor(other)).item())


def luma(image: Tensor) -> Tensor:
    """Luma as the x4 literature compares it.

    Args:
        image: B x 3 x H x W in [0, 1], sRGB-encoded, H and W above twice BORDER_PX.

    Returns:
        B x 1 x (H - 8) x (W - 8): BT.601 Y, 16/255 for black to 235/255 for white, not rounded,
        without the border.
    """
    weights = image.new_tensor(_LUMA).view(1, 3, 1, 1)
    light = ((image * weights).sum(dim=1, keepdim=True) + 16) / 255
    return light[..., BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over a set's images, with its confidence interval over images.

    Attributes:
        mean: over the images.
        low: lower end of the 95 % interval; not a number where there is only one image.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def estimate_mean(values: NDArray[np.float64]) -> Estimate:
    """The mean of one value an image, with its bootstrap interval."""
    return estimate(values[:, None], lambda means: means[:, 0])


def estimate_ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> Estimate:
    """The ratio of two means of paired values, with its bootstrap interval."""

    def ratio(means: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return means[:, 0] / means[:, 1]

    return estimate(np.stack([over, under], axis=1), ratio)


def estimate(
    values: NDArray[np.float64],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Estimate:
    """Bootstrap a function of means over images (percentile method, Efron 1979).

    Args:
        values: N x K float64, one row an image. Which rows are drawn depends on N alone, so figures
            of one set are comparable.
        figure: R x K means to R values.

    Returns:
        The figure of all images, and the interval of it over RESAMPLES draws of N rows.
    """
    whole = float(figure(values.mean(axis=0, keepdims=True))[0])
    if len(values) < 2:  # noqa: PLR2004 - one image has no interval
        return Estimate(whole, float("nan"), float("nan"))
    chance = np.random.default_rng(_SEED)
    means = [
        values[chance.integers(0, len(values), (_AT_ONCE, len(values)))].mean(axis=1)
        for _ in range(RESAMPLES // _AT_ONCE)
    ]
    ends = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    # Take an observation, without interpolation: values may be infinite.
    low, high = np.percentile(figure(np.concatenate(means)), ends, method="closest_observation")
    return Estimate(whole, float(low), float(high))
