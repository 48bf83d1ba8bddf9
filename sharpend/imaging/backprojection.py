"""Search for a small image that gives an image when Pillow enlarges it by four, bicubically.

Iterative back-projection (Irani and Peleg 1991): what the small image does not give is reduced and
added to it. Compiled code (`_backprojection.c`) takes each step in one pass, where a C compiler was
at installation and the sides are multiples of four; else Pillow does. Both differ by rounding
alone, by less than 1e-5 levels root mean square.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from sharpend.imaging.compiled import compiled

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FACTOR = 4
STEP = 1.5
"""Of what a correction moves: larger than 1, for the reduction blurs it; measured."""
COMPILED = compiled("sharpend.imaging._backprojection")
_NEAR = 2
"""Small pixels to each side that a large pixel depends on; large ones, times FACTOR, likewise."""


class Fit(Protocol):
    """A small image that comes closer to the wanted one with each correction."""

    def difference(self, count: int) -> float:
        """Root mean square, over so many pixels, of what the small image does not give yet."""

    def correct(self) -> None:
        """Add to the small image what it does not give yet."""


def fit_of(channel: Floats, judged: NDArray[np.bool_]) -> Fit:
    """Begin with the image reduced by four.

    Args:
        channel: H x W float32, the image.
        judged: H x W, the pixels that count.
    """
    if COMPILED is not None and not any(side % FACTOR for side in channel.shape):
        return CompiledFit(channel, judged, COMPILED)
    return PlainFit(channel, judged)


class PlainFit:
    """By Pillow, for images of any size; see `fit_of`."""

    def __init__(self, channel: Floats, judged: NDArray[np.bool_]) -> None:
        self._channel, self._judged = channel, judged
        large = Image.fromarray(channel)
        self._size = large.size
        self._small = _resized(large, [max(1, round(side / FACTOR)) for side in large.size])
        self._residual = self._missing()

    def difference(self, count: int) -> float:
        """As `Fit.difference`."""
        return float(np.sqrt(np.square(self._residual, dtype=np.float64).sum() / count))

    def correct(self) -> None:
        """As `Fit.correct`."""
        moved = np.asarray(_resized(Image.fromarray(self._residual), self._small.size)) * STEP
        self._small = Image.fromarray(np.asarray(self._small) + moved)
        self._residual = self._missing()

    def _missing(self) -> Floats:
        given = np.asarray(_resized(self._small, self._size))
        return np.where(self._judged, self._channel - given, 0)


def _resized(image: Image.Image, size: list[int] | tuple[int, int]) -> Image.Image:
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


class CompiledFit:
    """By compiled code, for sides that are multiples of four; see `fit_of`."""

    def __init__(self, channel: Floats, judged: NDArray[np.bool_], code: ModuleType) -> None:
        self._channel, self._code = np.ascontiguousarray(channel), code
        self._size = channel.shape[0] // FACTOR, channel.shape[1] // FACTOR
        self._up = tuple(map(enlarging, self._size))
        self._down = tuple(map(reducing, self._size))
        self._small = np.zeros(self._size, np.float32)
        self._judged = np.ones_like(judged)
        self._small, _ = self._missing()  # of nothing all is missing
        self._judged = np.ascontiguousarray(judged)
        self._reduced, self._squares = self._missing()

    def difference(self, count: int) -> float:
        """As `Fit.difference`."""
        return float((self._squares / count) ** 0.5)

    def correct(self) -> None:
        """As `Fit.correct`."""
        self._small = self._small + self._reduced * np.float32(STEP)
        self._reduced, self._squares = self._missing()

    def _missing(self) -> tuple[Floats, float]:
        """Reduce what is missing, and sum its squares."""
        made = np.empty(self._size, np.float32)
        squares: float = self._code.missing(
            self._channel, self._judged, self._small, self._up, self._down, made, self._size
        )
        return made, squares


@lru_cache(maxsize=8)
def enlarging(count: int) -> Floats:
    """Weights along a side of so many small pixels, count x 5 x FACTOR.

    For each, of itself and its neighbours, in each of the large pixels within it.
    """
    places = np.arange(count)[:, None, None] + np.arange(-_NEAR, _NEAR + 1)[None, :, None]
    centres = np.arange(count)[:, None, None] + (np.arange(FACTOR) + 0.5) / FACTOR
    return _normalised(_cubic(places + 0.5 - centres), places, count, axis=1)


@lru_cache(maxsize=8)
def reducing(count: int) -> Floats:
    """Weights along a side of so many small pixels, count x 16: of the large ones around each."""
    reach = _NEAR * FACTOR
    places = np.arange(count)[:, None] * FACTOR + np.arange(-reach, reach) + FACTOR // 2
    centres = (np.arange(count)[:, None] + 0.5) * FACTOR
    return _normalised(_cubic((places + 0.5 - centres) / FACTOR), places, count * FACTOR, axis=1)


def _normalised(
    weights: NDArray[np.float64], places: NDArray[np.int_], count: int, *, axis: int
) -> Floats:
    """Leave out places beyond the edges, and let the weights of each pixel add up to one."""
    inside = np.where((places >= 0) & (places < count), weights, 0)
    return np.ascontiguousarray(inside / inside.sum(axis=axis, keepdims=True), np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pillow's bicubic kernel: Keys 1981, equation 15 (a = -0.5)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < _NEAR, far, 0))
