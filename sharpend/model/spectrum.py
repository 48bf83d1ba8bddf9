"""Power spectrum of an image: the mean power of its luma in rings and sectors of frequency.

A blur by optics, motion or enlarging takes away power by a law of its own above some frequency
(its modulation transfer function), while the power of photographs falls evenly (Field 1987, J. Opt.
Soc. Am. A 4:2379). So neighbouring rings tell kinds of softness apart that have the same band
energies. Motion takes power away in one direction alone, so wider rings are measured by direction,
too. Taken of a bounded number of tiles, evenly spread, so the cost does not grow with the
image.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sharpend.imaging.depth import white
from sharpend.model.cues import DIRECTIONS, LUMA, POWERS, RINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

    Floats = NDArray[np.float32]

TILE_PX = 32
MOST_TILES = 512
"""Tiles that are transformed of a large image: half a megapixel."""
LOWEST, HIGHEST = 0.03, 0.70
"""Outer edges of the rings, cycles per pixel; the corner of the spectrum lies at 0.71."""
WIDE_EDGES = (0.05, 0.12, 0.20, 0.30, 0.50)
"""Edges of the rings that are divided into sectors: two hold the first zero of a motion by five
pixels and its side lobes."""


def spectrum(pixels: NDArray[Depth], visible: NDArray[np.bool_] | None = None) -> tuple[float, ...]:
    """Compute the mean power of each ring, and of each sector of each wide ring.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 (gray) or 3 (RGB), sRGB-encoded, any size.
        visible: H x W, None where all is; tiles with hidden pixels do not count.

    Returns:
        POWERS powers of luma in [0, 1], the lowest frequency first: white noise has its variance in
        each of them. All zero where no tile is visible as a whole.
    """
    tiles = _tiles(pixels, visible)
    if not len(tiles):
        return (0.0,) * POWERS
    weights = np.array(LUMA if tiles.shape[3] > 1 else (1.0,), np.float32) / white(pixels.dtype)
    luma = np.ascontiguousarray(tiles, np.float32) @ weights
    luma -= luma.mean(axis=(1, 2), keepdims=True)
    found = torch.fft.rfft2(torch.from_numpy(luma * _window()))  # numpy's takes four times as long
    real, imaginary = torch.view_as_real(found).square_().unbind(dim=3)  # `abs` takes roots
    mean = (real + imaginary).mean(dim=0, dtype=torch.float64).numpy()
    mean /= np.square(_window(), dtype=np.float64).sum()
    return tuple((_parts() @ mean.ravel()).tolist())


def _tiles(pixels: NDArray[Depth], visible: NDArray[np.bool_] | None) -> NDArray[Depth]:
    """Cut tiles, evenly spread: N x TILE_PX x TILE_PX x C; a smaller image repeats its edge."""
    below, beside = (max(0, TILE_PX - size) for size in pixels.shape[:2])
    if below or beside:
        pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
    in_tiles = _cut(pixels)
    if visible is None:
        rows, columns = np.indices(in_tiles.shape[:2]).reshape(2, -1)
    else:
        seen = _cut(np.pad(visible, ((0, below), (0, beside)), mode="edge")[:, :, None])
        rows, columns = np.nonzero(seen.all(axis=(2, 3, 4)))
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST_TILES)).round().astype(int)
    tiles: NDArray[Depth] = in_tiles[rows[chosen], columns[chosen]]
    return tiles


def _cut(layer: NDArray[Any]) -> NDArray[Any]:
    """View whole tiles: rows x columns x TILE_PX x TILE_PX x C."""
    rows, columns = (size // TILE_PX for size in layer.shape[:2])
    layer = layer[: rows * TILE_PX, : columns * TILE_PX]
    tiles: NDArray[Any] = layer.reshape(rows, TILE_PX, columns, TILE_PX, -1).swapaxes(1, 2)
    return tiles


@cache
def _window() -> Floats:
    """Hann's window of a tile: its sides do not appear as edges (Harris 1978, Proc. IEEE 66:51)."""
    line = np.hanning(TILE_PX + 1)[:-1]
    return np.outer(line, line).astype(np.float32)


@cache
def _parts() -> NDArray[np.float64]:
    """Weights of each value of `rfft2` in the mean of each part: POWERS x (rows * columns)."""
    down, across = np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX)[None]
    frequency = np.hypot(down, across)
    ring = np.digitize(frequency, np.linspace(LOWEST, HIGHEST, RINGS + 1)) - 1
    wide_ring = np.digitize(frequency, WIDE_EDGES) - 1
    angle = np.arctan2(down + 0 * across, across + 0 * down)  # a line at pi / 2 is one at -pi / 2
    direction = np.rint(angle / (np.pi / DIRECTIONS)).astype(int) % DIRECTIONS
    parts = [ring == number for number in range(RINGS)]
    for number in range(len(WIDE_EDGES) - 1):
        parts += [(wide_ring == number) & (direction == each) for each in range(DIRECTIONS)]
    counted = np.full(frequency.shape, 2.0)  # rfft2 leaves out the mirrored half
    counted[:, [0, -1]] = 1.0
    weights = (np.stack(parts) * counted).reshape(POWERS, -1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
