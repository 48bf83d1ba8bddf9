"""Front of networks: what each model gains over the kinds of softness, and what it costs on a CPU.

The gain is that of a matrix (`trainer evaluate --matrix`). The cost is processor time of one thread
for an image of 1920 x 1080, from pixels to pixels, so that other load on the machine counts little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sharpend.benchmark.images import HD_PX, photograph
from sharpend.model.device import Placement
from sharpend.model.precision import timed
from sharpend.model.trial import BFLOAT16, INT8, OPENVINO, TORCH
from trainer.evaluation.matrix.comparison import BEST_MASK, NOOP, SINGLE_MASKS
from trainer.evaluation.unsharp import Unsharp
from trainer.training.models import open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trainer.degradations.mixture import Pixels

    Sharpens = Callable[[Pixels], object]


@dataclass(frozen=True, slots=True)
class Point:
    """One method: its label, milliseconds of one thread, and mean gain in dB."""

    label: str
    ms: float
    gain_db: float
    is_mask: bool


def points_of(matrix: Mapping[str, Any], models: Mapping[str, str]) -> list[Point]:
    """Measure the cost of the models of a matrix, and of its unsharp masks.

    Args:
        matrix: matrix.json; models run in int8 where it was measured in int8, else in bfloat16.
        models: by row, each as `open_model` takes it; rows that the matrix lacks are left out.

    Raises:
        UnavailableError: a model cannot be opened, or not in int8.
    """
    precision = INT8 if matrix["machine"]["precision"] == INT8 else BFLOAT16
    runtime = OPENVINO if precision == INT8 else TORCH
    placement = Placement("cpu", precision, threads=1, runtime=runtime)
    labels = {row: row if precision == BFLOAT16 else f"{row}, {precision}" for row in models}
    sharpens: dict[str, Sharpens] = {
        row: open_model(model, placement).sharpen_degraded
        for row, model in models.items()
        if row in matrix["rows"]
    }
    masks = {row: _of_mask(mask) for row, mask in SINGLE_MASKS.items()}
    best = {BEST_MASK: _of_mask(Unsharp(1.0, 100))}
    return [
        Point(labels.get(row, row), _milliseconds(run), _gain(matrix, row), row not in models)
        for row, run in {**masks, **best, **sharpens}.items()
        if _gain(matrix, row) > _gain(matrix, NOOP)
    ]


def _of_mask(mask: Unsharp) -> Sharpens:
    return lambda pixels: mask(pixels, pixels)


def _gain(matrix: Mapping[str, Any], row: str) -> float:
    return float(matrix["rows"][row]["soft"]["psnr_gain"])


def _milliseconds(sharpens: Sharpens) -> float:
    pixels = photograph(*HD_PX)
    sharpens(pixels)
    return timed(torch.device("cpu"), lambda: sharpens(pixels))[0]


def table_of(points: Sequence[Point]) -> str:
    """Write the points as a Markdown table, the cheapest first."""
    rows = [
        f"| {one.label} | {one.ms:.0f} | {one.gain_db:+.2f} |"
        for one in sorted(points, key=lambda point: point.ms)
    ]
    return "\n".join(["| | ms | mean gain, dB |", "|---|---|---|", *rows])
