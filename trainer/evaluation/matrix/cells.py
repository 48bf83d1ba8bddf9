"""Kinds of softness on which models are measured: one seeded degradation per cell of the matrix.

Owns the names of the cells and which of them count as soft. Blurs work on encoded values; JPEG is
4:2:0; noise is white. Evaluation and the calibration of the agreement's alarm use the same cells.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from trainer.degradations import blur, camera

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.degradations.mixture import Pixels

    Degrade = Callable[[Pixels, np.random.Generator], Pixels]

MOTION_PX = 5
SHARP, SHARP_JPEG, SHARP_NOISY, NOISY = "sharp", "sharp+q75", "sharp+n5", "g1+n5"
X4 = "bic4"
"""The degradation that the x4 models undo."""


def _resized(pixels: Pixels, _: np.random.Generator, *, factor: float) -> Pixels:
    return blur.resized(pixels, factor)


def _gaussian(pixels: Pixels, _: np.random.Generator, *, sigma: float) -> Pixels:
    return blur.gaussian(pixels, sigma)


def _defocused(pixels: Pixels, _: np.random.Generator, *, radius: float) -> Pixels:
    return blur.defocus(pixels, radius)


def _moved(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    return blur.motion(pixels, MOTION_PX, generator.uniform(0, np.pi))


def _resized_jpeg(pixels: Pixels, _: np.random.Generator) -> Pixels:
    return camera.jpeg(blur.resized(pixels, 2), 75)


def _noisy(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    return camera.noisy(blur.gaussian(pixels, 1), 5, generator)


def _noisy_jpeg(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    return camera.jpeg(camera.noisy(blur.gaussian(pixels, 1), 3, generator), 88)


SOFT: Mapping[str, Degrade] = {
    **{f"bic{factor:g}": partial(_resized, factor=factor) for factor in (1.5, 2, 3, 4)},
    **{f"g{sigma:g}": partial(_gaussian, sigma=sigma) for sigma in (0.7, 1, 1.5, 2, 3)},
    **{f"disk{radius:g}": partial(_defocused, radius=radius) for radius in (1.5, 3)},
    "mot5": _moved,
    "x2+q75": _resized_jpeg,
    "g1+n3+q88": _noisy_jpeg,
}
"""The fourteen soft cells: bicubic reduction and enlargement by a factor (bic), Gaussian of a sigma
(g), disk of a radius, a line of five pixels (mot), then noise of a sigma (n) and JPEG (q)."""

CELLS: Mapping[str, Degrade] = {
    **SOFT,
    SHARP: lambda pixels, _: pixels,
    SHARP_JPEG: lambda pixels, _: camera.jpeg(pixels, 75),
    SHARP_NOISY: lambda pixels, generator: camera.noisy(pixels, 5, generator),
    NOISY: _noisy,
}
"""Every cell: the soft ones, sharp originals with and without JPEG and noise, a noisy soft one."""
NOT_SOFT = (SHARP, SHARP_JPEG, SHARP_NOISY)


def degraded(cell: str, pixels: Pixels, *, name: str) -> Pixels:
    """Degrade an original to a cell; depends on cell, pixels and name alone.

    Args:
        cell: a key of CELLS.
        pixels: the original, H x W x 3 uint8.
        name: of the image; with the cell it seeds noise and angles.
    """
    seed = [crc32(text.encode("utf-8", "surrogateescape")) for text in (name, cell)]
    return CELLS[cell](pixels, np.random.default_rng(seed))
