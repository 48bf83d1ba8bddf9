"""Image filters on 8-bit pixels: resize, unsharp mask, Gaussian blur, degradation, JPEG round trip.

Owns every resize in the project: Pillow's bicubic antialiases and other libraries' defaults do
not, which is worth more than 1 dB, so no other module resizes. Works on 8-bit pixels only.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray


KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
"""Pillow's resizing kernels, all of which antialias when they reduce."""


def degrade(pixels: NDArray[np.uint8], *, factor: int = 4) -> NDArray[np.uint8]:
    """Blur an image as the report does: shrink it bicubically, and enlarge it again.

    Args:
        pixels: H x W x 3, H x W x 1 or H x W uint8.
        factor: how much smaller the image is in between, at least one pixel; 8 bits there too.

    Returns:
        The same shape, uint8.

    Source: the MATLAB-style bicubic x4 degradation of super-resolution benchmarks (Timofte et al.,
    NTIRE 2017), here followed by the same kernel upwards.
    """
    height, width = pixels.shape[:2]
    small = resize(
        pixels, height=max(1, round(height / factor)), width=max(1, round(width / factor))
    )
    return resize(small, height=height, width=width)


def resize(
    pixels: NDArray[np.uint8], *, height: int, width: int, kernel: str = "bicubic"
) -> NDArray[np.uint8]:
    """Resize with one of Pillow's antialiasing kernels, bicubic (a = -0.5; Keys, 1981) by default.

    Args:
        pixels: H x W x 3, H x W x 1 or H x W uint8.
        height: of the result, in pixels.
        width: of the result, in pixels.
        kernel: a key of KERNELS.

    Returns:
        The same number of dimensions and channels, uint8.
    """
    resized = _image(pixels).resize((width, height), KERNELS[kernel])
    return _like(pixels, resized)


def unsharp_mask(
    pixels: NDArray[np.uint8], *, radius: float = 2, percent: int = 150, threshold: int = 0
) -> NDArray[np.uint8]:
    """Sharpen with an unsharp mask: add the difference to a Gaussian blur. The baseline to beat.

    Args:
        pixels: H x W x 3, H x W x 1 or H x W uint8.
        radius: of the blur, in pixels.
        percent: of the difference that is added.
        threshold: the smallest difference, 0..255, that is added at all.

    Returns:
        The same shape, uint8.

    Source: Pillow's `ImageFilter.UnsharpMask`, whose defaults are radius 2 and 150 per cent.
    """
    mask = ImageFilter.UnsharpMask(radius=radius, percent=percent, threshold=threshold)
    return _like(pixels, _image(pixels).filter(mask))


def blur(pixels: NDArray[np.uint8], *, sigma: float) -> NDArray[np.uint8]:
    """Blur by a Gaussian of `sigma` pixels, as Pillow approximates it by box filters.

    Args:
        pixels: H x W x 3, H x W x 1 or H x W uint8.
        sigma: its standard deviation in pixels.

    Returns:
        The same shape, uint8.
    """
    return _like(pixels, _image(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def recompress(
    pixels: NDArray[np.uint8], *, quality: int, subsampling: int = 2
) -> NDArray[np.uint8]:
    """Encode as JPEG and decode again.

    Args:
        pixels: H x W x 3 uint8.
        quality: of libjpeg's scale, 1..100.
        subsampling: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0.

    Returns:
        The same shape, uint8.
    """
    file = io.BytesIO()
    _image(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as decoded:
        return np.array(decoded.convert("RGB"))


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    flat = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return Image.fromarray(np.ascontiguousarray(flat))


def _like(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Convert an image to an array with as many dimensions as `pixels` has."""
    values = np.array(image)
    return values[..., np.newaxis] if values.ndim < pixels.ndim else values
