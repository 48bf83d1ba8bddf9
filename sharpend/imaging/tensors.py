"""Pixels to tensors and back: the only place that knows both layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Scale pixels to a network's input.

    Args:
        pixels: H x W x C uint8, C 1 or 3, sRGB-encoded, full range.

    Returns:
        1 x 3 x H x W float32 on the CPU, in [0, 1]; still sRGB-encoded, not linear light. Gray
        is repeated over the three channels.
    """
    channels_first = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    return channels_first.expand(3, -1, -1).unsqueeze(0).float().div_(255)


def to_pixels(tensor: Tensor, *, channels: int) -> NDArray[np.uint8]:
    """Round a network's output to pixels.

    Args:
        tensor: 1 x 3 x H x W floating point; clamped to [0, 1].
        channels: 3, or 1 for the mean of the three channels (gray pictures).

    Returns:
        H x W x channels uint8; `to_pixels(to_tensor(p))` is p.
    """
    values = tensor[0].float()
    if channels == 1:
        values = values.mean(dim=0, keepdim=True)
    rounded = values.clamp(0, 1).mul(255).round_().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())
