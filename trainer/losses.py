"""What training minimises: the report's MSE + SSIM against the teacher, plus the target.

All terms are computed in float32 with autocast off, on pictures in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.model.ssim import compute_ssim

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each term counts; a weight of zero is not computed."""

    target_l1: float = 1.0
    """Mean absolute difference to the original (EDSR, arXiv:1707.02921, section 3.3)."""
    target_ssim: float = 0.0
    """1 - SSIM to the original."""
    teacher_mse: float = 0.0
    """Mean squared difference to the teacher's picture: the report's first term."""
    teacher_ssim: float = 0.0
    """1 - SSIM to the teacher's picture: the report's second term."""


TEACHER_WEIGHTS = LossWeights()
STUDENT_WEIGHTS = LossWeights(target_l1=1.0, teacher_mse=10.0, teacher_ssim=0.05)
"""MSE between sharp pictures is near 1e-3 where L1 is near 2e-2 and 1 - SSIM near 5e-2."""


def training_loss(
    output: Tensor, target: Tensor, taught: Tensor | None, weights: LossWeights
) -> Tensor:
    """The weighted sum of the terms, a scalar.

    Args:
        output: the network's pictures, B x 3 x H x W, in [0, 1] up to overshoot.
        target: the originals, same shape.
        taught: the teacher's pictures, same shape; needed by the teacher terms.
        weights: of the terms.

    Raises:
        ValueError: a teacher term is weighted but there are no labels.
    """
    output = output.float()
    loss = weights.target_l1 * (output - target).abs().mean()
    if weights.target_ssim:
        loss = (
            loss + weights.target_ssim * (1 - compute_ssim(output, target, nonnegative=True)).mean()
        )
    if not (weights.teacher_mse or weights.teacher_ssim):
        return loss
    if taught is None:
        raise ValueError(
            "the loss weights a teacher, but the examples carry no labels: run `trainer label`"
        )
    loss = loss + weights.teacher_mse * (output - taught).square().mean()
    return loss + weights.teacher_ssim * (1 - compute_ssim(output, taught, nonnegative=True)).mean()
