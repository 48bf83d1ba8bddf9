"""Losses of training: the report's MSE + SSIM against the teacher, and further terms.

All terms are computed in float32 with autocast off, on images in [0, 1]. Natural values of one
term are about 1e-3 for MSE, 2e-2 for L1 and FFT, 5e-2 to 2e-1 for 1 - SSIM, -3.5 for log MSE.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from sharpend.model.ssim import compute_ssim

if TYPE_CHECKING:
    from torch import Tensor


KNEE = 0.02
"""Transition of Charbonnier's loss from quadratic to linear: about five levels of 255."""
LEAST_MSE = 3e-5
"""Squared difference of 45 dB, below which images count as equal in the logarithm."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the terms; a term of weight zero is not computed."""

    target_l1: float = 0.0
    """Mean absolute difference to the original (EDSR, arXiv:1707.02921, section 3.3)."""
    target_mse: float = 0.0
    """Mean squared difference to the original."""
    target_ssim: float = 0.0
    """1 - SSIM to the original (Wang et al. 2004)."""
    target_log_mse: float = 0.0
    """Mean over the images of log10 of their squared difference to the original: PSNR as a loss
    (NAFNet, arXiv:2204.04676), so that slight softness weighs as much as heavy one."""
    target_fft: float = 0.0
    """Mean absolute difference of Fourier coefficients (MIMO-UNet, arXiv:2108.05054, eq. 9)."""
    target_charbonnier: float = 0.0
    """Smooth L1 to the original (Charbonnier 1994; LapSRN, arXiv:1704.03915, eq. 4)."""
    teacher_l1: float = 0.0
    """Mean absolute difference to the teacher's image."""
    teacher_charbonnier: float = 0.0
    """Smooth L1 to the teacher's image."""
    teacher_mse: float = 0.0
    """Mean squared difference to the teacher's image: the report's first term."""
    teacher_ssim: float = 0.0
    """1 - SSIM to the teacher's image: the report's second term."""
    teacher_log_mse: float = 0.0
    """As `target_log_mse`, of the difference to the teacher's image."""

    @property
    def needs_teacher(self) -> bool:
        """True if a term compares with the teacher."""
        names = (one.name for one in fields(self))
        return any(getattr(self, name) for name in names if name.startswith("teacher_"))


def training_loss(
    output: Tensor, target: Tensor, taught: Tensor | None, weights: LossWeights
) -> Tensor:
    """The weighted sum of the terms, a scalar.

    Args:
        output: the network's images, B x 3 x H x W, in [0, 1] up to overshoot.
        target: the originals, same shape.
        taught: the teacher's images, same shape; needed by the teacher terms.
        weights: of the terms.

    Raises:
        ValueError: a teacher term is weighted but there are no labels.
    """
    if weights.needs_teacher and taught is None:
        raise ValueError("a teacher term has a weight, but the examples have no labels")
    output = output.float()
    terms = [
        (weights.target_l1, absolute, target),
        (weights.target_mse, squared, target),
        (weights.target_ssim, structural, target),
        (weights.target_log_mse, log_squared, target),
        (weights.target_fft, spectral, target),
        (weights.target_charbonnier, charbonnier, target),
        (weights.teacher_l1, absolute, taught),
        (weights.teacher_charbonnier, charbonnier, taught),
        (weights.teacher_mse, squared, taught),
        (weights.teacher_ssim, structural, taught),
        (weights.teacher_log_mse, log_squared, taught),
    ]
    loss = output.new_zeros(())
    for weight, term, reference in terms:
        if weight and reference is not None:
            loss = loss + weight * term(output, reference)
    return loss


def absolute(output: Tensor, reference: Tensor) -> Tensor:
    """L1: the mean absolute difference."""
    return (output - reference).abs().mean()


def charbonnier(output: Tensor, reference: Tensor) -> Tensor:
    """Smooth L1, quadratic below KNEE: small differences do not favour doing nothing."""
    return (((output - reference).square() + KNEE**2).sqrt() - KNEE).mean()


def squared(output: Tensor, reference: Tensor) -> Tensor:
    """MSE: the mean squared difference."""
    return (output - reference).square().mean()


def log_squared(output: Tensor, reference: Tensor) -> Tensor:
    """Mean over images of log10(MSE + LEAST_MSE): a tenth of the negative PSNR, in dB."""
    error = (output - reference).square().mean(dim=(1, 2, 3))
    return (error + LEAST_MSE).log10().mean()


def structural(output: Tensor, reference: Tensor) -> Tensor:
    """1 - SSIM, its contrast-structure term clipped at zero."""
    # As channels of one image: the same mean over all of them, and filtered faster.
    stacked = (images.flatten(0, 1).unsqueeze(0) for images in (output, reference))
    return 1 - compute_ssim(*stacked, nonnegative=True).squeeze(0)


def spectral(output: Tensor, reference: Tensor) -> Tensor:
    """L1 of the real and imaginary parts of the orthonormal Fourier transform."""
    with torch.autocast(output.device.type, enabled=False):
        spectrum = torch.fft.rfft2((output - reference).float(), norm="ortho")
        return torch.view_as_real(spectrum).abs().mean()
