"""EXIF thumbnails: make a new one from the sharpened image."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sharpend.imaging.depth import eight_bits
from sharpend.imaging.filters import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample

_QUALITY = 75


def thumbnail(pixels: NDArray[Sample], old: bytes) -> bytes:
    """Make a JPEG thumbnail that fits into the size of an older one.

    Args:
        pixels: H x W x C uint8 or uint16, as stored: not turned.
        old: the JPEG whose place it takes.

    Raises:
        ValueError: the old one cannot be read.
    """
    try:
        with Image.open(BytesIO(old), formats=["JPEG"]) as image:
            most_wide, most_high = image.size
    except (OSError, SyntaxError) as error:
        raise ValueError("the embedded thumbnail cannot be read") from error
    height, width, _ = pixels.shape
    shrink = min(most_wide / width, most_high / height, 1)
    small = resize(
        eight_bits(pixels),
        height=max(1, round(height * shrink)),
        width=max(1, round(width * shrink)),
    )
    buffer = BytesIO()
    shown = small[..., 0] if small.shape[2] == 1 else small
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
