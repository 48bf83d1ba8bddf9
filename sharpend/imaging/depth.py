"""How many values a channel has: 256 or 65536, and nothing else goes through a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sample = np.uint8 | np.uint16
"""The dtypes of samples: full range, 0 to 255 or 0 to 65535."""
Depth = TypeVar("Depth", bound=Sample)
"""uint8 or uint16: what comes back has the depth of what went in."""


def white(dtype: np.dtype[Any]) -> int:
    """The largest value of a channel: 255 at 8 bit, 65535 at 16.

    Raises:
        TypeError: neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels are uint8 or uint16, not {dtype}")
    return int(np.iinfo(dtype).max)


def eight_bits(pixels: NDArray[Sample]) -> NDArray[np.uint8]:
    """The same pixels in 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H x W x 3 of H x W x 3 or H x W x 1: gray repeated."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
