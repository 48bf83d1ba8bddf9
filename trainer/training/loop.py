"""The training loop, for students and teachers.

A teacher without labels is the same run without teacher terms in the loss. Every random choice of
step n derives from (seed, n), so a run resumed from a checkpoint is equal to one that was not
interrupted: on a CPU, with a budget in steps, to the last bit.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

import torch

from sharpend.errors import UsageError
from sharpend.model.ssim import compute_ssim, psnr
from trainer.training.architectures import folded
from trainer.training.batches import centre_batch
from trainer.training.checkpoint import BEST, LAST, Checkpoint, read_checkpoint
from trainer.training.crops import Crops
from trainer.training.learner import Learner
from trainer.training.losses import training_loss
from trainer.training.precision import trains_in_bfloat16
from trainer.training.progress import Progress
from trainer.training.signals import TrainingStoppedError, catch_stop_signals
from trainer.training.step import inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from trainer.training.batches import Batch
    from trainer.training.dataset import Example
    from trainer.training.distributed import ProcessGroup
    from trainer.training.losses import LossWeights
    from trainer.training.recipe import Recipe, Schedule
    from trainer.training.signals import StopRequest


MOST_DB = 100.0
"""PSNR of an image equal to its target: infinity has no mean."""


def train(
    recipe: Recipe,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    folder: Path,
    group: ProcessGroup,
) -> Checkpoint:
    """Train until the budget is spent, if there is one; return the best checkpoint by validation.

    Args:
        recipe: what to train; a checkpoint of it already in `folder` is resumed.
        examples: images to cut crops from.
        held_out: images whose middle crops validate.
        folder: receives last.safetensors, best.safetensors, record.jsonl and curves.
        group: the processes that train together, each with the same arguments.

    Raises:
        UsageError: an image is smaller than its crops, or `folder` holds another run.
        TrainingStoppedError: SIGTERM or SIGINT came; last.safetensors holds the state.
    """
    plan, device, mine = recipe.schedule, group.device, group.share(recipe.data.batch)
    _check_sizes(recipe, examples, held_out)
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(recipe, folder, device)
    crops = centre_batch(held_out, size=recipe.data.validation_px).to(device)
    drawn = Crops(recipe, examples, mine, device)
    first = partial(drawn.batch, state.step)
    bfloat16 = trains_in_bfloat16(recipe, state.network, first, folder, group)
    learner = Learner(state, group.wrapped(state.network), bfloat16=bfloat16)
    shown = Progress(folder, recipe.name, since=state.step, is_leader=group.is_leader)
    with catch_stop_signals() as stop, shown as progress:
        started = time.monotonic() - state.seconds
        if not plan.has_budget and group.is_leader:
            _judge(state, {}, crops, folder, progress)
        while (spent := group.broadcast(budget_spent(plan, state.step, state.seconds))) < 1:
            rate = learning_rate(plan, state.step, spent)
            loss = learner.learn(drawn.batch(state.step), rate)
            state.step += 1
            state.seconds = time.monotonic() - started
            done = budget_spent(plan, state.step, state.seconds)
            progress.stepped(min(1.0, done))
            if group.is_leader and (state.step % plan.validate_every == 0 or done >= 1):
                _judge(state, {"loss": loss.item()}, crops, folder, progress)
            _stop_if_asked(stop, group, state, folder)
    return read_checkpoint(folder / BEST, device)


def _stop_if_asked(stop: StopRequest, group: ProcessGroup, state: Checkpoint, folder: Path) -> None:
    """End every process of the group after the same step; the leader writes the state."""
    if signal_number := int(group.broadcast(stop.signal_number)):
        if group.is_leader:
            state.keep(folder)
        raise TrainingStoppedError(signal_number, state.step)


def _judge(
    state: Checkpoint, values: dict[str, float], crops: Batch, folder: Path, progress: Progress
) -> None:
    """Validate a step, record its scores beside other values of it, and write a checkpoint."""
    recipe = state.recipe
    network = folded(state.averaged, recipe.network)
    scores = validate(network, crops, recipe.loss, cued=recipe.network.cued)
    _check_finite(scores, state.step)
    progress.validated(state.step, {**values, "minutes": state.seconds / 60, **scores})
    state.judge(folder, scores)


def budget_spent(plan: Schedule, step: int, seconds: float) -> float:
    """The used share of the budget, 0..1 and beyond; without a budget it is used."""
    if not plan.has_budget:
        return 1.0
    return step / plan.steps if plan.steps else seconds / (60 * plan.minutes)


def learning_rate(plan: Schedule, step: int, spent: float) -> float:
    """Linear warm-up, then constant or half a cosine over the whole budget."""
    peak = plan.learning_rate
    if step < plan.warm_up:
        return peak * (step + 1) / plan.warm_up
    if plan.shape == "constant":
        return peak
    return 1e-6 + (peak - 1e-6) * (1 + math.cos(math.pi * min(1.0, spent))) / 2


@torch.no_grad()
def validate(
    network: nn.Module, crops: Batch, weights: LossWeights, *, cued: bool = False
) -> dict[str, float]:
    """Loss, PSNR (dB) and SSIM to the target, agreement with the teacher, means over crops.

    Args:
        network: with its branches folded.
        crops: of the held-out images.
        weights: of the loss.
        cued: the network takes the energies as well.
    """
    parts = zip(*(torch.split(one, 4) for one in inputs(cued, crops)), strict=True)
    outputs = torch.cat([network(*part).clamp(0, 1) for part in parts])
    target = crops.target
    scores = {
        "validation_loss": training_loss(outputs, target, crops.taught, weights),
        "psnr": psnr(outputs, target).clamp_max(MOST_DB).mean(),
        "ssim": compute_ssim(outputs, target).mean(),
    }
    if crops.taught is not None:
        scores["agreement"] = compute_ssim(outputs, crops.taught).mean()
    return {key: value.item() for key, value in scores.items()}


def _check_finite(scores: dict[str, float], step: int) -> None:
    if not math.isfinite(scores["validation_loss"]):
        raise UsageError(
            f"the loss is {scores['validation_loss']} at step {step}: "
            "lower schedule.learning_rate, or start again with another seed"
        )


def _check_sizes(recipe: Recipe, examples: Sequence[Example], held_out: Sequence[Example]) -> None:
    for key, images, side in (
        ("data.crop_px", examples, recipe.data.crop_px),
        ("data.validation_px", held_out, recipe.data.validation_px),
    ):
        smallest = min(min(example.target.shape[:2]) for example in images)
        if smallest < side:
            raise UsageError(f"{key} is {side}, but an image has a side of {smallest} pixels")


def _start(recipe: Recipe, folder: Path, device: torch.device) -> Checkpoint:
    """The last checkpoint of this run, or a fresh one."""
    if (folder / LAST).is_file():
        return read_checkpoint(folder / LAST, device, recipe=recipe)
    return Checkpoint.fresh(recipe, device)
