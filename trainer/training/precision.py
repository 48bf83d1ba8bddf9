"""Precision of a training by measurement, by the rule that chooses the daemon's.

Decided once in a run, by its leader, and noted in its folder: a resumed run must do the same
arithmetic.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from sharpend.files.atomic import replacing
from sharpend.model.precision import DOES_NOT_RUN, timed
from sharpend.model.ssim import compute_ssim
from sharpend.model.trial import AUTO, BFLOAT16, TORCH, Form, Trial
from trainer.training.progress import print_values
from trainer.training.step import gradients

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from trainer.training.batches import Batch
    from trainer.training.distributed import ProcessGroup
    from trainer.training.recipe import Recipe

NOTE = "precision.json"
"""File name in the folder of a run."""


def trains_in_bfloat16(
    recipe: Recipe,
    network: nn.Module,
    cut: Callable[[], Batch],
    folder: Path,
    group: ProcessGroup,
) -> bool:
    """Choose whether forward passes run in bfloat16: as set in the recipe, or by a trial.

    Args:
        recipe: its schedule names the precision, or `auto`.
        network: before the group wraps it; a copy of it is tried.
        cut: makes a batch of the run's own crops, this process's share, on its device.
        folder: of the run; the choice is noted there, and taken from there.
        group: its leader measures.
    """
    wanted = recipe.schedule.precision
    if wanted != AUTO:
        return wanted == BFLOAT16
    chosen = group.is_leader and _noted_or_tried(recipe, network, cut, folder) == BFLOAT16
    return bool(group.broadcast(chosen))


def _noted_or_tried(
    recipe: Recipe, network: nn.Module, cut: Callable[[], Batch], folder: Path
) -> str:
    path = folder / NOTE
    if path.is_file():
        return str(json.loads(path.read_text())["precision"])
    trial = _tried(recipe, copy.deepcopy(network), cut())
    chosen = trial.chosen(AUTO, AUTO).precision
    with replacing(path) as file:
        file.write(json.dumps({"precision": chosen, "because": str(trial)}).encode())
    print_values({"precision": chosen, "because": str(trial)})
    return chosen


def _tried(recipe: Recipe, network: nn.Module, batch: Batch) -> Trial:
    """Measure steps up to the gradients in both precisions; the outputs must be alike."""

    def step(*, bfloat16: bool) -> Tensor:
        network.zero_grad(set_to_none=True)
        return gradients(recipe, network, batch, bfloat16=bfloat16)[0]

    exact = step(bfloat16=False)
    try:
        likeness = compute_ssim(step(bfloat16=True).float().clamp(0, 1), exact.clamp(0, 1))
    except DOES_NOT_RUN:
        return Trial("", None, (Form(TORCH, BFLOAT16),))
    runs = (lambda: step(bfloat16=False)), (lambda: step(bfloat16=True))
    float32_ms, bfloat16_ms = timed(batch.degraded.device, *runs)
    tried = Form(TORCH, BFLOAT16, bfloat16_ms, float(likeness.min().item()))
    return Trial("", float32_ms, (tried,))
