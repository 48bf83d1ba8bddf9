"""Agreement samples of a student, measured as the daemon measures them.

Owns the kinds of softness that are measured (cells of the matrix), the ways in which a student is
damaged, and the measurement of healthy and damaged students on images of each kind. The teacher
sharpens each crop once. Noise and angles of a cell are the same for every image here, so a sample
depends on its crop alone.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend.errors import UsageError
from sharpend.model.precision import place
from sharpend.task import OVERSHOOT
from trainer.evaluation.matrix.cells import SHARP, SOFT, X4, degraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sharpend.agreement.opinion import SecondOpinion
    from sharpend.attempt import AgreementSample
    from sharpend.model.device import Placement
    from sharpend.model.weights import Weights
    from trainer.degradations.mixture import Pixels

    Softening = Callable[[Pixels], Pixels]
    Student = Callable[[Pixels], Pixels]
    """Sharpens an image as the daemon would, at the strength that is measured."""
    StudentSamples = dict[str, dict[str, list[AgreementSample]]]
    """By student, then by kind, in the order of the images."""

HEALTHY, HALVED, DEAD = "healthy", "halved output", "dead output"
NOISES = (0.1, 0.3)
KINDS = (*SOFT, SHARP)
"""Cells over which photo models are measured."""
X4_KINDS = (X4, "bic2", "g1", "g2", SHARP)
"""Cells over which models of the x4 family are measured."""


def softenings(names: Iterable[str]) -> dict[str, Softening]:
    """The kinds of these names, in this order.

    Raises:
        UsageError: a name is unknown.
    """
    found: dict[str, Softening] = {name: partial(degraded, name, name="") for name in names}
    for name in found:
        if name not in KINDS:
            raise UsageError(f"unknown kind of softness {name}; known are {', '.join(KINDS)}")
    return found


def pieces(image: Pixels, side_px: int) -> Iterator[Pixels]:
    """Cut an image into equal pieces with sides as close to `side_px` as possible."""
    parts = (max(1, round(size / side_px)) for size in image.shape[:2])
    down, across = parts
    for band in np.array_split(image, down, axis=0):
        yield from np.array_split(band, across, axis=1)


def with_noise(student: Weights, share: float, *, seed: int = 0) -> Weights:
    """The student with Gaussian noise on its weights.

    Args:
        student: stays as it is.
        share: of each tensor's own standard deviation.
        seed: of the noise.
    """
    chance = torch.Generator().manual_seed(seed)
    network = copy.deepcopy(student.network)
    for tensor in network.state_dict().values():
        noise = torch.randn(tensor.shape, generator=chance)
        tensor.add_(noise * tensor.std(correction=0) * share)
    network.eval().requires_grad_(requires_grad=False)
    return replace(student, network=network)


def halved(pixels: Pixels, sharpened: Pixels) -> Pixels:
    """The mean of input and output: half of the added detail."""
    between = (pixels.astype(np.float64) + sharpened.astype(np.float64)) / 2
    return np.rint(between).astype(pixels.dtype)


def damaged(
    student: Weights, placement: Placement, *, wrong: Iterable[Weights] = (), strength: float = 1.0
) -> dict[str, Student]:
    """Damaged students that run a network: noise on the weights, or the wrong model.

    Args:
        student: the healthy one.
        placement: where they run.
        wrong: other models that may take its place.
        strength: 0..1.
    """
    broken = {f"weights + {share:.0%} noise": with_noise(student, share) for share in NOISES}
    broken |= {f"wrong model: {other.card.name}": other for other in wrong}
    return {name: student_of(network, placement, strength) for name, network in broken.items()}


def student_of(student: Weights, placement: Placement, strength: float = 1.0) -> Student:
    """The student as the daemon runs it, at one strength."""
    sharpener = place(student, placement)
    return lambda pixels: sharpener.sharpen(pixels, strength=strength)


def measure_samples(  # noqa: PLR0913 - each is a choice of the command line
    student: Student,
    opinion: SecondOpinion,
    originals: Iterable[Pixels],
    kinds: Mapping[str, Softening],
    *,
    crop_px: int,
    others: Mapping[str, Student] | None = None,
    strength: float = 1.0,
) -> StudentSamples:
    """Measure the samples that the daemon would get on these images, softened in each way.

    Args:
        student: the healthy one.
        opinion: its teacher; the crop is chosen by the code of the daemon.
        originals: sharp images that were not trained on, H x W x 3 uint8.
        kinds: functions that soften them.
        crop_px: side of the crop, `agreement.crop_px` in the daemon's settings.
        others: damaged ones, by name.
        strength: 0..1, that `student` and `others` run with, for the teacher.

    Returns:
        Samples of the healthy student, of `others`, of half the healthy one's output and of none.
        Images with a side below SSIM's window are left out.
    """
    runs = {HEALTHY: student, **(others or {})}
    found: StudentSamples = {name: {kind: [] for kind in kinds} for name in (*runs, HALVED, DEAD)}
    for original in originals:
        for kind, soften in kinds.items():
            soft = np.ascontiguousarray(soften(original))
            taught = opinion.taught(soft, crop_px=crop_px, strength=strength, overshoot=OVERSHOOT)
            if taught is None:
                continue
            made = {name: run(soft) for name, run in runs.items()}
            made |= {HALVED: halved(soft, made[HEALTHY]), DEAD: soft}
            for name, sharpened in made.items():
                found[name][kind].append(taught.compared(soft, sharpened))
    return found
