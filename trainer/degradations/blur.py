"""Blurs: resizing down and up, Gaussian, defocus disk and motion line, in encoded or linear light.

Every function takes H x W x 3 uint8, sRGB-encoded, and returns the same shape; edges are mirrored.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from sharpend.imaging.filters import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels

    Kernel = NDArray[np.float32]

_PLAIN = {"bicubic": "bicubic", "bilinear": "bilinear", "lanczos": "bicubic", "box": "nearest"}
"""The closest kernels of torch, which do not antialias by default."""
_OVERSAMPLED = 8
_TOE, _LIGHT_OF_TOE = 0.04045, 0.0031308
"""Below these sRGB's curve is a line (IEC 61966-2-1)."""


def resized(
    pixels: Pixels,
    factor: float,
    *,
    down: str = "bicubic",
    up: str = "bicubic",
    antialias: bool = True,
) -> Pixels:
    """Reduce by a factor and enlarge to the old size, as web pages and messengers do.

    Args:
        pixels: the image.
        factor: of the reduction, 1 or more; the small image has whole pixels and 8 bits.
        down: kernel of the reduction, a key of `KERNELS`.
        up: kernel of the enlargement, a key of `KERNELS`.
        antialias: widen the kernel by the factor, as most software does.

    Source: the degradations of BSRGAN (Zhang et al. 2021, arXiv:2103.14006, section 3.2).
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
    if antialias:
        small = resize(pixels, height=rows, width=columns, kernel=down)
    else:
        small = _subsampled(pixels, (rows, columns), _PLAIN[down])
    return resize(small, height=height, width=width, kernel=up)


def _subsampled(pixels: Pixels, size: tuple[int, int], kernel: str) -> Pixels:
    """A reduction without antialiasing: fine detail aliases to coarse detail."""
    small = F.interpolate(_planes(pixels), size=size, mode=kernel)
    return _rounded(small)


def gaussian(pixels: Pixels, sigma: float, *, linear: bool = False) -> Pixels:
    """Blur by a Gaussian of `sigma` pixels, as optics, scanners and antialiasing filters do."""
    return _filtered(pixels, bell(sigma), linear=linear)


def defocus(pixels: Pixels, radius: float, *, linear: bool = False) -> Pixels:
    """Blur by a disk of `radius` pixels, the image of a point out of focus (Potmesil 1981)."""
    return _filtered(pixels, [disk(radius)], linear=linear)


def motion(pixels: Pixels, length: float, angle: float, *, linear: bool = False) -> Pixels:
    """Blur along a line of `length` pixels at `angle` radians: uniform camera motion."""
    return _filtered(pixels, [line(length, angle)], linear=linear)


def bell(sigma: float) -> list[Kernel]:
    """Both lines of a separable Gaussian kernel."""
    radius = max(1, math.ceil(3 * sigma))
    places = np.arange(-radius, radius + 1, dtype=np.float32)
    weights = np.exp(-(places**2) / (2 * sigma**2))
    weights /= weights.sum()
    return [weights[None], weights[:, None]]


def disk(radius: float) -> Kernel:
    """Kernel of a disk, each pixel weighted by its covered area."""
    reach = math.ceil(radius + 0.5)
    side = (2 * reach + 1) * _OVERSAMPLED
    places = (np.arange(side) - (side - 1) / 2) / _OVERSAMPLED
    inside = places[:, None] ** 2 + places[None] ** 2 <= radius**2
    cells = inside.reshape(2 * reach + 1, _OVERSAMPLED, 2 * reach + 1, _OVERSAMPLED)
    kernel = cells.sum(axis=(1, 3)).astype(np.float32)
    normed: Kernel = kernel / kernel.sum()
    return normed


def line(length: float, angle: float) -> Kernel:
    """Kernel of a line, its points distributed by bilinear weights."""
    reach = math.ceil(length / 2 + 0.5)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    half = (length - 1) / 2
    for along in np.linspace(-half, half, max(2, int(length * _OVERSAMPLED))):
        y, x = reach + along * math.sin(angle), reach + along * math.cos(angle)
        top, left = int(y), int(x)
        down, right = y - top, x - left
        kernel[top, left] += (1 - down) * (1 - right)
        kernel[top, min(left + 1, 2 * reach)] += (1 - down) * right
        kernel[min(top + 1, 2 * reach), left] += down * (1 - right)
        kernel[min(top + 1, 2 * reach), min(left + 1, 2 * reach)] += down * right
    normed: Kernel = kernel / kernel.sum()
    return normed


def decoded(values: torch.Tensor) -> torch.Tensor:
    """sRGB-encoded values in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(values <= _TOE, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: torch.Tensor) -> torch.Tensor:
    """Linear light in [0, 1] to sRGB-encoded values (IEC 61966-2-1)."""
    powered = 1.055 * light.clamp_min(1e-9) ** (1 / 2.4) - 0.055
    return torch.where(light <= _LIGHT_OF_TOE, light * 12.92, powered)


def _filtered(pixels: Pixels, kernels: list[Kernel], *, linear: bool) -> Pixels:
    """Filter by odd-sided kernels, one after the other, rounded once."""
    if linear:
        return exposed(filtered(light(pixels), kernels))
    return _rounded(filtered(_planes(pixels), kernels))


def filtered(planes: torch.Tensor, kernels: list[Kernel]) -> torch.Tensor:
    """Filter N x 1 x H x W by odd-sided kernels, one after the other."""
    for kernel in kernels:
        above, beside = kernel.shape[0] // 2, kernel.shape[1] // 2
        padded = F.pad(planes, (beside, beside, above, above), mode="reflect")
        planes = F.conv2d(padded, torch.from_numpy(kernel)[None, None])
    return planes


def light(pixels: Pixels) -> torch.Tensor:
    """Convert to linear light, 3 x 1 x H x W float32 in [0, 1], one channel an image."""
    return decoded(_planes(pixels))


def exposed(light: torch.Tensor) -> Pixels:
    """Convert linear light, 3 x 1 x H x W, to pixels; more than 1 is clipped."""
    return _rounded(encoded(light))


def _planes(pixels: Pixels) -> torch.Tensor:
    """Convert to 3 x 1 x H x W float32 in [0, 1], one channel an image."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).unsqueeze(1).float().div_(255)


def _rounded(planes: torch.Tensor) -> Pixels:
    rounded = planes.clamp(0, 1).mul(255).round_().to(torch.uint8)
    return np.ascontiguousarray(rounded.squeeze(1).permute(1, 2, 0).numpy())
