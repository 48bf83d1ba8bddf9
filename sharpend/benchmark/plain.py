"""Plain codecs to compare with: Pillow, and imagecodecs where Pillow has no 16 bits."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image, JpegImagePlugin

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LEVEL = 3
"""Of deflate, as sharpend once used it."""


def decoded(data: bytes, *, bits: int) -> NDArray[Any]:
    """Decode a JPEG or a PNG, H x W x C or H x W.

    Args:
        data: the file.
        bits: of a sample; 16 of PNGs alone.
    """
    if bits > 8:  # noqa: PLR2004 - bits of a byte
        deep: NDArray[np.uint16] = imagecodecs.png_decode(data)
        return deep
    with Image.open(BytesIO(data)) as image:
        return np.array(image)


def in_colour(path: Path) -> NDArray[np.uint8]:
    """Decode an image to H x W x 3 of 8 bits, whatever it is."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def encoded(pixels: NDArray[Any], like: bytes) -> bytes:
    """Encode pixels in the format of a file, a JPEG with its tables and its subsampling."""
    if pixels.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(pixels, level=_LEVEL))
    buffer = BytesIO()
    with Image.open(BytesIO(like)) as source:
        options: dict[str, Any] = {"compress_level": _LEVEL}
        if isinstance(source, JpegImagePlugin.JpegImageFile):
            sampling = JpegImagePlugin.get_sampling(source)
            options = {"qtables": source.quantization, "subsampling": sampling}
        Image.fromarray(pixels).save(buffer, source.format, **options)
    return buffer.getvalue()
