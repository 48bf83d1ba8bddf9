"""Bit depth: 8 or 16 bits or floating point per channel, and conversion to 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sample = np.uint8 | np.uint16 | np.float32
"""The dtypes of samples: full range, 0 to 255, 0 to 65535, or 0 to 1 with some beyond."""
Depth = TypeVar("Depth", bound=Sample)
"""uint8, uint16 or float32: what comes back has the depth of what went in."""


def white(dtype: np.dtype[Any]) -> int:
    """Return the value of white: 255 at 8 bit, 65535 at 16, 1 in floating point.

    Raises:
        TypeError: neither uint8, uint16 nor float32.
    """
    if dtype == np.float32:
        return 1
    if dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels are uint8, uint16 or float32, not {dtype}")
    return int(np.iinfo(dtype).max)


def eight_bits(pixels: NDArray[Sample]) -> NDArray[np.uint8]:
    """Convert pixels to 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    if pixels.dtype == np.float32:
        return np.asarray(np.rint(within(pixels) * 255), np.uint8)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def within(pixels: NDArray[Depth]) -> NDArray[Depth]:
    """Clamp floating point pixels to black and white; whole numbers are within them."""
    return pixels.clip(0, 1) if pixels.dtype == np.float32 else pixels


def keep_beyond(changed: NDArray[Depth], pixels: NDArray[Depth]) -> None:
    """Restore, in place, the floating point values of `pixels` that are below black or above white.

    They are lights and colours that no model has learned; whole numbers have none.
    """
    if pixels.dtype == np.float32:
        np.copyto(changed, pixels, where=(pixels < 0) | (pixels > 1))


def widened(values: NDArray[Sample], bits: int) -> NDArray[np.uint16]:
    """Scale samples of so many bits, up to 16, to 16 bits."""
    most = (1 << bits) - 1
    scaled = (values.astype(np.uint32) * white(np.dtype(np.uint16)) + most // 2) // most
    return scaled.astype(np.uint16)


def narrowed(values: NDArray[Sample], bits: int) -> NDArray[np.uint16]:
    """Scale samples of 16 bits to fewer, rounded; exact where `widened` made them."""
    most = white(np.dtype(np.uint16))
    scaled = (values.astype(np.uint32) * ((1 << bits) - 1) + most // 2) // most
    return scaled.astype(np.uint16)


def straight(pixels: NDArray[Sample], alpha: NDArray[Sample]) -> NDArray[Sample]:
    """Divide premultiplied colours, H x W x C, by alpha, H x W."""
    most = white(pixels.dtype)
    divided = pixels.astype(np.float64) * most / np.maximum(alpha, 1)[..., None]
    return np.minimum(divided, most).round().astype(pixels.dtype)


def three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert H x W x 1 to H x W x 3 by repeating gray; RGB stays."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
