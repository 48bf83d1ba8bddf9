"""Real photographs by every method: figures without a reference, and crops."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import UsageError
from sharpend.imaging.crops import most_detailed
from sharpend.model.measuring import measure
from trainer.evaluation.matrix.real_harm import SMALLEST_PX, real_figures
from trainer.evaluation.scores import decibels
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.matrix.comparison import CellMethod

INPUT, CELL = "input", "real"
CROP_PX = 256


@dataclass(frozen=True, slots=True)
class RealImage:
    """Figures and crops of one photograph.

    Attributes:
        name: of its file.
        cue: its sharpness.
        rows: slope, noise, overshoot and distance to the input in dB, by method.
        crops: INPUT and each method at the place with most detail.
    """

    name: str
    cue: float
    rows: Mapping[str, Mapping[str, float]]
    crops: Mapping[str, Pixels]


def measure_real(path: Path, methods: Mapping[str, CellMethod]) -> RealImage:
    """Run every method on a whole photograph.

    Raises:
        InputMissingError, ImageRefusedError: it cannot be read.
        UsageError: a side is too short.
    """
    given = read_image(path)
    if min(given.shape[:2]) < SMALLEST_PX:
        raise UsageError(f"{path}: a side is shorter than {SMALLEST_PX} pixels")
    window = most_detailed(given, height=CROP_PX, width=CROP_PX)
    rows: dict[str, Mapping[str, float]] = {}
    crops = {INPUT: given[window].copy()}
    for row, method in methods.items():
        output = method(given, CELL)
        figures = asdict(real_figures(given, output))
        rows[row] = {**figures, "distance": decibels(output, given)}
        crops[row] = output[window].copy()
    return RealImage(path.name, measure(given).sharpness, rows, crops)


def over_images(images: Sequence[RealImage], row: str) -> dict[str, Any]:
    """A method's figures over all photographs: means, and the worst of each."""
    slope, noise, overshoot, distance = (
        np.array([image.rows[row][figure] for image in images])
        for figure in ("slope", "noise", "overshoot", "distance")
    )
    return {
        "slope_mean": float(slope.mean()),
        "slope_least": float(slope.min()),
        "slope_largest": float(slope.max()),
        "noise_worst": float(noise.max()),
        "overshoot_worst": float(overshoot.max()),
        "distance_mean": float(distance.mean()),
        "distance_worst": float(distance.min()),
    }
