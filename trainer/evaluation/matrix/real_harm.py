"""Figures of real photographs, which have no sharp original: output against input.

Owns three definitions, all on BT.601 luma in levels of 8 bit: the slope of edges, the noise of flat
parts, and the overshoot at edges. Edges and flat parts are chosen in the input alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_tensor
from sharpend.model.cues import luma

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels

    Plane = NDArray[np.float64]

STRONGEST = 0.99
"""Quantile of the gradient of the smoothed input above which a pixel is at an edge."""
CALMEST = 0.10
"""Quantile of the tiles' deviations up to which a tile is flat."""
TILE_PX = 16
REACH_PX = 4
"""Radius of the window that gives the allowed range of an output: 9 x 9 pixels."""
HIGH_OVERSHOOT = 0.95
_FAINT = 0.05
"""Levels added to both deviations, so that rounding does not count where an input has no noise."""
SMALLEST_PX = 32


@dataclass(frozen=True, slots=True)
class RealFigures:
    """Figures of one output against its input.

    Attributes:
        slope: mean gradient at the input's strongest 1 % of edge pixels, over the input's there.
        noise: deviation from the local mean in the flattest tenth of tiles, over the input's.
        overshoot: levels by which the output leaves the input's range within 9 x 9 pixels at those
            edge pixels, 95th percentile.
    """

    slope: float
    noise: float
    overshoot: float


def real_figures(before: Pixels, after: Pixels) -> RealFigures:
    """Compare an output with its input.

    Args:
        before: the input, H x W x 3 uint8, at least SMALLEST_PX a side.
        after: the output, same shape.

    Raises:
        ValueError: shapes differ, or a side is too small.
    """
    if before.shape != after.shape or min(before.shape[:2]) < SMALLEST_PX:
        raise ValueError(f"cannot compare {after.shape} with {before.shape}")
    given, made = _gray(before), _gray(after)
    strength = _gradient(box_mean(given, 1))
    edges = strength >= np.quantile(strength, STRONGEST)
    return RealFigures(
        slope=float(_gradient(made)[edges].mean() / max(_gradient(given)[edges].mean(), _FAINT)),
        noise=_noise_ratio(given, made),
        overshoot=float(np.quantile(_beyond(given, made)[edges], HIGH_OVERSHOOT)),
    )


def _gray(pixels: Pixels) -> Plane:
    return luma(to_tensor(pixels))[0, 0].double().mul(255).numpy()


def _gradient(plane: Plane) -> Plane:
    """Length of the gradient by central differences, levels a pixel."""
    down, across = np.gradient(plane)
    length: Plane = np.hypot(down, across)
    return length


def _noise_ratio(given: Plane, made: Plane) -> float:
    before, after = _tile_deviations(given), _tile_deviations(made)
    calm = before <= np.quantile(before, CALMEST)
    return float((after[calm].mean() + _FAINT) / (before[calm].mean() + _FAINT))


def _tile_deviations(plane: Plane) -> Plane:
    """Deviation of whole tiles, after the mean of 5 x 5 pixels is subtracted."""
    rows, columns = (side // TILE_PX for side in plane.shape)
    detail = (plane - box_mean(plane, 2))[: rows * TILE_PX, : columns * TILE_PX]
    deviations: Plane = detail.reshape(rows, TILE_PX, columns, TILE_PX).std(axis=(1, 3))
    return deviations


def _beyond(given: Plane, made: Plane) -> Plane:
    """Levels by which a pixel leaves the range of the input around it."""
    highest, lowest = _spread(np.maximum, given), _spread(np.minimum, given)
    beyond: Plane = np.maximum(np.maximum(made - highest, lowest - made), 0)
    return beyond


def box_mean(plane: Plane, radius: int) -> Plane:
    """The mean of the square of `radius` pixels around each pixel, edges repeated."""
    return _spread(np.add, plane, radius) / (2 * radius + 1) ** 2


def _spread(fold: Callable[..., Plane], plane: Plane, radius: int = REACH_PX) -> Plane:
    """Reduce the square around each pixel, one direction after the other."""
    places = range(2 * radius + 1)
    height, width = plane.shape
    padded = np.pad(plane, radius, mode="edge")
    rows = reduce(fold, (padded[at : at + height] for at in places))
    return reduce(fold, (rows[:, at : at + width] for at in places))
