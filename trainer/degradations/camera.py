"""Steps of a camera after the lens: noise, noise reduction, sharpening, JPEG.

Every function takes H x W x 3 uint8, sRGB-encoded, and returns the same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging.filters import recompress, unsharp_mask
from trainer.degradations.blur import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels


_MIDDLE_GRAY = 128


def noisy(
    pixels: Pixels,
    sigma: float,
    generator: np.random.Generator,
    *,
    shot: float = 0.0,
    grain_px: float = 0.0,
) -> Pixels:
    """Add noise of a sensor or of film.

    Args:
        pixels: the image.
        sigma: standard deviation in levels of 255, at middle gray.
        generator: of the noise.
        shot: share of the variance that grows with the signal, 0..1; the rest is read noise
            (Poissonian-Gaussian: Foi et al. 2008).
        grain_px: sigma of the Gaussian that correlates neighbours, 0 for white noise: grain of
            film, or sensor noise after demosaicing.
    """
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    if grain_px:
        noise = _correlated(noise, grain_px)
    variance = (1 - shot) + shot * pixels.astype(np.float32) / _MIDDLE_GRAY
    return _clipped(pixels + np.float32(sigma) * np.sqrt(variance) * noise)


def _correlated(noise: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Blur noise to grain and keep its deviation."""
    reach = int(np.ceil(3 * sigma_px))
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-(places**2) / (2 * sigma_px**2)).astype(np.float32)
    for axis in (0, 1):
        turned = [
            weight * np.roll(noise, shift, axis)
            for shift, weight in zip(places, weights, strict=True)
        ]
        noise = np.sum(turned, axis=0)
    scaled: NDArray[np.float32] = noise / noise.std()
    return scaled


def denoised(pixels: Pixels, sigma: float) -> Pixels:
    """Reduce noise by coring: small differences to a blurred copy are removed, large ones stay.

    Args:
        pixels: the image.
        sigma: of the noise in levels of 255; differences up to about twice that shrink.

    Source: coring of the high band (Rossi 1978; Simoncelli and Adelson 1996), as cameras do it.
    """
    smooth = gaussian(pixels, 1.0).astype(np.float32)
    detail = pixels - smooth
    kept = detail**2 / (detail**2 + (1.5 * sigma) ** 2 + 1e-6)
    return _clipped(smooth + detail * kept)


def sharpened(pixels: Pixels, radius: float, percent: int, threshold: int = 0) -> Pixels:
    """Sharpen as cameras and editors do, by Pillow's unsharp mask."""
    return unsharp_mask(pixels, radius=radius, percent=percent, threshold=threshold)


def jpeg(pixels: Pixels, quality: int, *, subsampling: int = 2) -> Pixels:
    """Compress and decode, by the encoder that writes the daemon's outputs."""
    return recompress(pixels, quality=quality, subsampling=subsampling)


def _clipped(values: NDArray[np.floating[Any]]) -> Pixels:
    clipped: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped
