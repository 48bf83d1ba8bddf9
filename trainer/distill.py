"""The training loop, for students and for teachers alike; it reads top to bottom.

A teacher is the same run without teacher terms in the loss. Every random choice of step n derives
from (seed, n), so a run resumed from a checkpoint continues as if it had never stopped.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend.errors import UsageError
from sharpend.model.networks import NETWORKS, SharpeningNetwork
from sharpend.model.ssim import compute_ssim, psnr
from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.dataset import Example, centre_batch, random_batch
from trainer.losses import LossWeights, training_loss

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that decides a training, recorded in its checkpoints and in the weights' card."""

    kind: str
    """`student` or `teacher`."""
    channels: int
    blocks: int
    steps: int
    batch: int = 8
    crop_px: int = 128
    """Side of the square crops, full resolution."""
    learning_rate: float = 1e-3
    """Adam's peak rate, after `warm_up` steps, then a cosine to 1e-6."""
    warm_up: int = 200
    ema: float = 0.999
    """Decay of the moving average whose weights are validated and exported."""
    clip: float = 0.5
    """Largest norm of the gradient."""
    validate_every: int = 250
    validation_px: int = 256
    seed: int = 0
    precision: str = "float32"
    """Autocast of the network's forward pass; losses are float32 always."""
    loss: LossWeights = field(default_factory=LossWeights)


def learning_rate(run: Run, step: int) -> float:
    """Linear warm-up, then half a cosine (SGDR, arXiv:1608.03983, without restarts)."""
    if step < run.warm_up:
        return run.learning_rate * (step + 1) / run.warm_up
    progress = min(1.0, (step - run.warm_up) / max(1, run.steps - run.warm_up))
    return 1e-6 + (run.learning_rate - 1e-6) * (1 + math.cos(math.pi * progress)) / 2


def train(
    run: Run,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    folder: Path,
    *,
    device: torch.device,
) -> Checkpoint:
    """Train to the last step and return the best checkpoint by validation PSNR.

    Args:
        run: what to train; a checkpoint already in `folder` is resumed.
        examples: pictures to cut crops from.
        held_out: pictures whose middle crops validate.
        folder: receives last.safetensors, best.safetensors and record.jsonl.
        device: where to train.

    Raises:
        UsageError: a picture is smaller than its crops, or `folder` holds another run.
    """
    _check_sizes(run, examples, held_out)
    state = _start(run, folder, device)
    network, adam = state.network, state.adam
    held_out_crops = [crop.to(device) for crop in centre_batch(held_out, size=run.validation_px)]
    started = time.monotonic()
    for step in range(state.step, run.steps):
        batch = random_batch(
            examples,
            size=run.crop_px,
            count=run.batch,
            generator=np.random.default_rng([run.seed, step]),
        )
        degraded, target, *taught = (layer.to(device) for layer in batch)  # (B, 3, crop, crop)
        with torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
            output = network(degraded)
        loss = training_loss(output, target, taught[0] if taught else None, run.loss)
        _set_rate(adam, learning_rate(run, step))
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), run.clip)
        adam.step()
        _average(state.averaged, network, decay=min(run.ema, (1 + step) / (10 + step)))
        state.step = step + 1
        if state.step % run.validate_every == 0 or state.step == run.steps:
            scores = validate(state.averaged, held_out_crops)
            took = {"minutes": (time.monotonic() - started) / 60}
            _record(folder, step=state.step, loss=loss.item(), **took, **scores)
            state.keep(folder, scores)
    return read_checkpoint(folder / "best.safetensors", device)


def _check_sizes(run: Run, examples: Sequence[Example], held_out: Sequence[Example]) -> None:
    for what, pictures, side in (
        ("crop_px", examples, run.crop_px),
        ("validation_px", held_out, run.validation_px),
    ):
        smallest = min(min(example.target.shape[:2]) for example in pictures)
        if smallest < side:
            raise UsageError(f"{what} is {side}, but a picture has a side of {smallest} pixels")


def _start(run: Run, folder: Path, device: torch.device) -> Checkpoint:
    """The last checkpoint of this run, or fresh networks."""
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.safetensors"
    if last.is_file():
        return read_checkpoint(last, device, run=asdict(run))
    torch.manual_seed(run.seed)
    network = NETWORKS[run.kind](run.channels, run.blocks)
    return Checkpoint.fresh(asdict(run), network, device)


def _set_rate(adam: torch.optim.Adam, rate: float) -> None:
    for group in adam.param_groups:
        group["lr"] = rate


@torch.no_grad()
def _average(averaged: SharpeningNetwork, network: SharpeningNetwork, *, decay: float) -> None:
    """Move the exponential moving average one step towards the network."""
    for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


@torch.no_grad()
def validate(network: SharpeningNetwork, crops: Sequence[Tensor]) -> dict[str, float]:
    """PSNR (dB) and SSIM to the target, agreement with the teacher, each a mean over crops."""
    degraded, target, *taught = crops
    outputs = torch.cat([network(one).clamp(0, 1) for one in torch.split(degraded, 4)])
    scores = {
        "psnr": psnr(outputs, target).mean().item(),
        "ssim": compute_ssim(outputs, target).mean().item(),
    }
    for label in taught:
        scores["agreement"] = compute_ssim(outputs, label).mean().item()
    return scores


def _record(folder: Path, **values: float) -> None:
    """Append one line to the run's record and show it."""
    line = json.dumps({key: round(value, 5) for key, value in values.items()})
    print(line, flush=True)
    with (folder / "record.jsonl").open("a") as file:
        file.write(line + "\n")
