"""Conversion between pixel arrays and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend.imaging.depth import Depth, white

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def to_tensor(pixels: NDArray[Depth]) -> Tensor:
    """Scale pixels to a model's input.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 or 3, sRGB-encoded, full range.

    Returns:
        1 x 3 x H x W float32 on the CPU, in [0, 1]; still sRGB-encoded, not linear light. Gray
        is repeated over the three channels. A value of 16 bits is off by less than 0.002 of its
        level, and v at 8 bits is the very number that 257 v is at 16. Floating point values are
        clamped.

    Raises:
        TypeError: another dtype.
    """
    channels_first = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    repeated = channels_first.expand(3, -1, -1).unsqueeze(0)
    return repeated.to(torch.float32, copy=True).div_(white(pixels.dtype)).clamp_(0, 1)


def to_pixels(tensor: Tensor, *, channels: int, dtype: np.dtype[Depth]) -> NDArray[Depth]:
    """Round a model's output to pixels.

    Args:
        tensor: 1 x 3 x H x W floating point; clamped to [0, 1].
        channels: 3, or 1 for the mean of the three channels (gray images).
        dtype: uint8, uint16, or float32, which is not rounded.

    Returns:
        H x W x channels of this dtype; `to_pixels(to_tensor(p))` is p for every value of both.

    Raises:
        TypeError: another dtype.
    """
    values = tensor[0].float()
    if channels == 1:
        values = values.mean(dim=0, keepdim=True)
    if dtype == np.float32:
        return np.ascontiguousarray(values.clamp(0, 1).permute(1, 2, 0).cpu().numpy())
    rounded = values.clamp(0, 1).mul_(white(dtype)).round_()
    stored = rounded.to(torch.uint8 if dtype == np.uint8 else torch.uint16)
    return np.ascontiguousarray(stored.permute(1, 2, 0).cpu().numpy())
