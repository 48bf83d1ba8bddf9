"""Reference of what is done to pixels around a network, in torch and numpy on whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.depth import Depth, white
from sharpend.imaging.tensors import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sharpend.model.cues import Cues
    from sharpend.model.networks import SharpeningNetwork


def sharpened(
    network: SharpeningNetwork,
    pixels: NDArray[Depth],
    cues: Cues | None = None,
    *,
    strength: float = 1.0,
    overshoot: int = 48,
) -> NDArray[Depth]:
    """Sharpen an image whose sides are multiples of four, step by step on the full grid."""
    picture = to_tensor(pixels)
    with torch.inference_mode():
        detail = network.detail(picture, None if cues is None else cues.tensor())
    result = (picture + strength * detail).clamp_(0, 1)
    balance(result, picture)
    levels = result[0].permute(1, 2, 0).numpy() * white(pixels.dtype)
    if pixels.shape[2] == 1:
        levels = levels.mean(axis=2, keepdims=True)
    made: NDArray[Depth] = np.rint(levels.clip(0, white(pixels.dtype))).astype(pixels.dtype)
    bound(made, pixels, levels=overshoot)
    return made


def balance(result: Tensor, picture: Tensor) -> None:
    """Subtract the mean over 9 x 9 cells of the difference, those beyond the edge mirrored."""
    means = F.avg_pool2d(result - picture, 4)
    height, width = means.shape[-2:]
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(size), 4, mode="symmetric")) for size in (height, width)
    )
    around = F.avg_pool2d(means.index_select(-2, rows).index_select(-1, columns), 9, stride=1)
    result.sub_(F.interpolate(around, scale_factor=4, mode="bilinear"))


def bound(made: NDArray[Any], pixels: NDArray[Any], *, levels: int) -> None:
    """Clamp to the range of 3 x 3 cells of 4 x 4 pixels, widened by levels of 8 bit, in place."""
    top = white(pixels.dtype)
    margin = levels * top // 255
    for row, column in np.ndindex(made.shape[0] // 4, made.shape[1] // 4):
        window = pixels[max(row - 1, 0) * 4 : row * 4 + 8, max(column - 1, 0) * 4 : column * 4 + 8]
        lowest = window.min(axis=(0, 1)).astype(int) - margin
        highest = window.max(axis=(0, 1)).astype(int) + margin
        cell = np.s_[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
        made[cell] = made[cell].astype(int).clip(lowest, highest)
