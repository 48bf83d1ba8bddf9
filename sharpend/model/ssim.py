"""SSIM, MS-SSIM (through pytorch-msssim) and PSNR, in float32 with data range 1.0.

SSIM in other terms misleads: it reads 1.17 for a true 0.996 in bfloat16, 1.0 for anything in uint8,
and 0.99999 for anything with a data range of 255; none of these can pass through here. It is
computed here, twice to five times as fast as by the library: all that has to be blurred is blurred
at once, channels last, and no gradient is made of the target.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from pytorch_msssim import ms_ssim as _ms_ssim
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WINDOW_PX = 11
"""Side of the Gaussian window, valid positions only (Wang et al. 2004, eq. 13)."""
SIGMA_PX = 1.5
"""Sigma of the window."""
_C1, _C2 = 0.01**2, 0.03**2
"""Constants of luminance and contrast, for values from 0 to 1: as above, section III.B."""
MS_SMALLEST_PX = (WINDOW_PX - 1) * 2**4 + 1
"""Least side for MS-SSIM: halved four times, and still as large as the window."""


def compute_ssim(output: Tensor, target: Tensor, *, nonnegative: bool = False) -> Tensor:
    """Compute structural similarity of each image, the mean over its channels.

    Args:
        output: B x C x H x W floating point in [0, 1], H and W at least WINDOW_PX.
        target: the same shape.
        nonnegative: clip the contrast-structure term at zero, for use as a loss.

    Returns:
        B float32 values, at most 1; differentiable by the output.

    Raises:
        TypeError: not floating point.
        ValueError: shapes differ, or a side is smaller than the window.
    """

    def measure(output: Tensor, target: Tensor) -> Tensor:
        channels = _ssim(output, target.detach())
        return (F.relu(channels) if nonnegative else channels).mean(dim=1)

    return _in_float32(measure, output, target, smallest_px=WINDOW_PX)


def compute_ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """Compute multi-scale structural similarity of each image, the mean over its channels.

    Args:
        output: B x C x H x W floating point in [0, 1], H and W at least MS_SMALLEST_PX.
        target: the same shape.

    Returns:
        B float32 values, at most 1.

    Raises:
        TypeError: not floating point.
        ValueError: shapes differ, or a side is smaller than MS_SMALLEST_PX.

    Source: Wang, Simoncelli and Bovik 2003, five scales with their weights.
    """

    def measure(output: Tensor, target: Tensor) -> Tensor:
        window = _window(output.device).repeat(output.shape[1], 1, 1, 1)
        made: Tensor = _ms_ssim(output, target, data_range=1.0, win=window, size_average=False)
        return made

    return _in_float32(measure, output, target, smallest_px=MS_SMALLEST_PX)


def _ssim(output: Tensor, target: Tensor) -> Tensor:
    """SSIM of each image and channel: B x C."""
    mean, square, product = _blurred(output, output * output, output * target)
    target_mean, target_square = _blurred(target, target * target)
    both, one, other = mean * target_mean, mean * mean, target_mean * target_mean
    likeness = (2 * both + _C1) * (2 * (product - both) + _C2)
    most = (one + other + _C1) * ((square - one) + (target_square - other) + _C2)
    return (likeness / most).mean(dim=(2, 3))


def _blurred(*planes: Tensor) -> Sequence[Tensor]:
    """Blur tensors of one shape by the window, each channel by itself."""
    together = torch.cat(planes, dim=1).contiguous(memory_format=torch.channels_last)
    channels = together.shape[1]
    line = _window(together.device)
    for shape in ((WINDOW_PX, 1), (1, WINDOW_PX)):
        kernel = line.view(1, 1, *shape).expand(channels, 1, *shape)
        together = F.conv2d(together, kernel, groups=channels)
    return together.chunk(len(planes), dim=1)


@cache
def _window(device: torch.device) -> Tensor:
    """Compute the Gaussian weights along a line, their sum 1, on the device.

    Kept there: no step that is captured as a CUDA graph can copy them to it.
    """
    with torch.inference_mode(mode=False):  # one of inference mode cannot take part in training
        places = torch.arange(WINDOW_PX, dtype=torch.float32) - WINDOW_PX // 2
        weights = torch.exp(-places.square() / (2 * SIGMA_PX**2))
        return (weights / weights.sum()).to(device)


def _in_float32(
    measure: Callable[[Tensor, Tensor], Tensor], output: Tensor, target: Tensor, *, smallest_px: int
) -> Tensor:
    """Compute one value per image; refuse what has none, or would get a wrong one."""
    if not (output.is_floating_point() and target.is_floating_point()):
        raise TypeError(f"SSIM needs floating point in [0, 1], not {output.dtype}, {target.dtype}")
    if output.shape != target.shape or min(output.shape[-2:]) < smallest_px:
        raise ValueError(
            f"SSIM needs two equal shapes of at least {smallest_px} pixels a side, "
            f"not {tuple(output.shape)} and {tuple(target.shape)}"
        )
    with torch.autocast(output.device.type, enabled=False):
        return measure(output.float(), target.float())


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Compute PSNR in dB of each image in [0, 1], shape (B,); equal images give inf."""
    mse = (output.float() - target.float()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mse)
