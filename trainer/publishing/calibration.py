"""Calibration for int8: the ranges of what enters the convolutions of a model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import nn

from sharpend.errors import UsageError
from sharpend.imaging.crops import most_detailed
from sharpend.model.measuring import measure
from sharpend.model.packing import Packed
from sharpend.model.tiling import pad_to_grid
from trainer.publishing.weights_card import kinds_for
from trainer.training.dataset import read_image
from trainer.training.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from sharpend.model.cues import Cues
    from sharpend.model.networks import SharpeningNetwork
    from sharpend.model.weights import Card
    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.agreement.samples import Softening

CROP_PX = 384
"""Side of the crop of each image: its most detailed one, where the features are largest."""
IMAGES = 32
"""Images that are measured, spread evenly over those of the training."""
EVERY = 97
"""One in so many values is kept, which bounds the memory."""
SHARES = tuple(0.97**power for power in range(100))
"""Ranges that are tried, as shares of the largest value."""
STEPS, SIGNED_STEPS = 255, 127
DIGITS = 4


def ranges_of(
    network: SharpeningNetwork, card: Card, paths: Sequence[Path], count: int = IMAGES
) -> tuple[float, ...]:
    """Find the ranges of a model, for its card: see `activation_ranges`.

    Args:
        network: in float32 on the CPU.
        card: decides the kinds of softness; for a model of one factor, its own reduction alone.
        paths: training images, of which `count` are measured.
        count: number of images.
    """
    chosen = paths[:: max(1, len(paths) // count)][:count]
    shown = with_progress(chosen, what="images", total=len(chosen))
    kinds = kinds_for(card)
    if card.undoes_factor is not None:  # sharper images enlarge the features of such a model
        kinds = dict([next(iter(kinds.items()))])
    return activation_ranges(network, (read_image(path) for path in shown), kinds)


def activation_ranges(
    network: SharpeningNetwork, originals: Iterable[Pixels], kinds: Mapping[str, Softening]
) -> tuple[float, ...]:
    """Find the range of what enters each convolution, in their order.

    It is the one whose rounding and clipping to 8 bit together lose the least, as a mean of
    absolute differences. A range up to the largest value would leave most values too few steps;
    so would the mean of squares, which a few large values decide. Only what enters the last one is
    judged by squares: clipped there, the detail of edges would be missing in the image.

    Args:
        network: in float32 on the CPU.
        originals: sharp images that it was trained on, H x W x 3 uint8.
        kinds: functions that soften them; a crop of each image in each kind is measured.

    Raises:
        UsageError: there are no images.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    entered: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, given: tuple[Tensor]) -> None:
        entered[layer].append(given[0].flatten()[::EVERY].clone())

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_pre_hook(note).remove)
        for original in originals:
            crop = original[most_detailed(original, height=CROP_PX, width=CROP_PX)]
            for soften in kinds.values():
                _run(network, pad_to_grid(soften(crop)))
    if not all(entered.values()):
        raise UsageError("--data: no images to calibrate with")
    *others, last = (torch.cat(values) for values in entered.values())
    ranges = [*map(_least_loss, others), _least_loss(last, power=2)]
    return tuple(float(f"{one:.{DIGITS}g}") for one in ranges)


def _least_loss(values: Tensor, power: int = 1) -> float:
    """Find the range in which rounding to 8 bit loses the least, by this power of differences."""
    steps = SIGNED_STEPS if values.min() < 0 else STEPS
    magnitudes = values.abs()
    largest = magnitudes.max().item()

    def loss(end: float) -> float:
        step = end / steps
        rounded = (magnitudes / step).round().clamp(max=steps) * step
        return (rounded - magnitudes).abs().pow(power).mean().item()

    return min((largest * share for share in SHARES), key=loss)


@torch.inference_mode()
def _run(network: SharpeningNetwork, pixels: Pixels) -> None:
    """Run a model on pixels, for its hooks."""
    cues: Cues = measure(pixels)
    packed = Packed(pixels)
    network.added(
        packed.folded(torch.float32, less_mean=network.bias_free),
        cues.tensor(),
        network.trunk,
    )
