"""Pixels to tensors and back: every value of 8 and of 16 bits, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sharpend.imaging.tensors import to_pixels, to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVERY_VALUE: list[NDArray[Any]] = [
    np.arange(256, dtype=np.uint8).reshape(16, 16, 1),
    np.arange(65536, dtype=np.uint16).reshape(256, 256, 1),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("values", EVERY_VALUE, ids=["8 bit", "16 bit"])
def test_every_value_returns(values: NDArray[Any], channels: int) -> None:
    """There and back is the identity, for gray and for colours."""
    pixels = np.concatenate([values, values[::-1], values[:, ::-1]], axis=2)[..., :channels]
    returned = to_pixels(to_tensor(pixels), channels=channels, dtype=pixels.dtype)
    assert returned.dtype == pixels.dtype
    assert np.array_equal(returned, pixels)


def test_sixteen_bits_are_the_same_light_as_eight() -> None:
    """257 v at 16 bit is the very number that v is at 8, and no value is off by much."""
    shallow, deep = EVERY_VALUE
    assert torch.equal(to_tensor(shallow), to_tensor(shallow.astype(np.uint16) * 257))
    exact = deep[..., 0].astype(np.float64) / 65535
    assert abs(to_tensor(deep)[0, 0].numpy() - exact).max() * 65535 < 0.002


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float64])
def test_other_depths_are_refused(dtype: type[Any]) -> None:
    """No scale is guessed."""
    pixels = np.zeros((4, 4, 3), dtype)
    with pytest.raises(TypeError, match="uint8, uint16 or float32"):
        to_tensor(pixels)
    with pytest.raises(TypeError, match="uint8, uint16 or float32"):
        to_pixels(torch.zeros(1, 3, 4, 4), channels=3, dtype=pixels.dtype)
