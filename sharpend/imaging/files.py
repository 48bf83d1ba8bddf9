"""Image files by path: read and write pixels alone, for trainer, demo and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.codec import decode, encode
from sharpend.imaging.depth import eight_bits, three_channels
from sharpend.imaging.picture import Picture

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

_MAX_PIXELS = 1_000_000_000
_MAX_BYTES = 4_000_000_000


def save_png(pixels: NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write pixels as a PNG file.

    Args:
        pixels: H x W x 3 or H x W x 1 uint8.
        path: the file; replaced where it exists, not atomically.
    """
    with open(path, "wb") as file:
        encode(Picture.still(pixels), file)


def load_rgb(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image of any supported format.

    Returns:
        H x W x 3 uint8, as stored (no orientation applied); gray is repeated, alpha left out, 16
        bits are rounded to 8.

    Raises:
        ImageRefusedError: not an image that `codec.decode` takes.
    """
    with open(path, "rb") as file:
        picture = decode(file, max_pixels=_MAX_PIXELS, max_bytes=_MAX_BYTES)
    return three_channels(eight_bits(picture.pixels))
