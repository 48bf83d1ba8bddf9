"""Bit depth: 8 or 16 bits per channel, and conversion to 8."""

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
    """Return the largest value of a channel: 255 at 8 bit, 65535 at 16.

    Raises:
        TypeError: neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels are uint8 or uint16, not {dtype}")
    return int(np.iinfo(dtype).max)


def eight_bits(pixels: NDArray[Sample]) -> NDArray[np.uint8]:
    """Convert pixels to 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert H x W x 1 to H x W x 3 by repeating gray; RGB stays."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
