"""SSIM, MS-SSIM and PSNR through pytorch-msssim, in float32 with data range 1.0.

The library reads 1.17 for a true 0.996 in bfloat16, 1.0 for anything in uint8, and 0.99999 for
anything with its default data range of 255; none of these can pass through here.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from pytorch_msssim import ms_ssim as _ms_ssim
from pytorch_msssim import ssim as _ssim
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_PX = 11
"""Side of the Gaussian window, valid positions only (Wang et al. 2004, eq. 13)."""
SIGMA_PX = 1.5
"""Sigma of the window."""
MS_SMALLEST_PX = (WINDOW_PX - 1) * 2**4 + 1
"""Least side for MS-SSIM: halved four times, and still as large as the window."""


def compute_ssim(output: Tensor, target: Tensor, *, nonnegative: bool = False) -> Tensor:
    """Compute structural similarity of each image, the mean over its channels.

    Args:
        output: B x C x H x W floating point in [0, 1], H and W at least WINDOW_PX.
        target: the same shape.
        nonnegative: clip the contrast-structure term at zero, for use as a loss.

    Returns:
        B float32 values, at most 1; differentiable.

    Raises:
        TypeError: not floating point.
        ValueError: shapes differ, or a side is smaller than the window.
    """
    measure = partial(_ssim, nonnegative_ssim=nonnegative)
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
    return _in_float32(_ms_ssim, output, target, smallest_px=MS_SMALLEST_PX)


def _in_float32(
    measure: Callable[..., Tensor], output: Tensor, target: Tensor, *, smallest_px: int
) -> Tensor:
    """Compute one value per image; refuse sizes that the library would get silently wrong."""
    if not (output.is_floating_point() and target.is_floating_point()):
        raise TypeError(f"SSIM needs floating point in [0, 1], not {output.dtype}, {target.dtype}")
    if output.shape != target.shape or min(output.shape[-2:]) < smallest_px:
        raise ValueError(
            f"SSIM needs two equal shapes of at least {smallest_px} pixels a side, "
            f"not {tuple(output.shape)} and {tuple(target.shape)}"
        )
    with torch.autocast(output.device.type, enabled=False):
        window = _window(output.shape[1], output.device)
        images = (_laid_out(image.float()) for image in (output, target))
        return measure(*images, data_range=1.0, win=window, size_average=False)


def _laid_out(images: Tensor) -> Tensor:
    """Convert to channels-last memory on a CPU: the library's filters run several times as fast."""
    if images.device.type != "cpu":
        return images
    return images.contiguous(memory_format=torch.channels_last)


@cache
def _window(channels: int, device: torch.device) -> Tensor:
    """The Gaussian window of one row, C x 1 x 1 x WINDOW_PX float32, on the device.

    The library makes it anew in every call and copies it to the device, which no step that is
    captured as a CUDA graph can do.
    """
    # A tensor that is made in inference mode cannot take part in training.
    with torch.inference_mode(mode=False):
        distance = torch.arange(WINDOW_PX, dtype=torch.float32) - WINDOW_PX // 2
        weights = torch.exp(-(distance**2) / (2 * SIGMA_PX**2))
        return (weights / weights.sum()).repeat(channels, 1, 1, 1).to(device)


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Compute PSNR in dB of each image in [0, 1], shape (B,); equal images give inf."""
    mse = (output.float() - target.float()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mse)
