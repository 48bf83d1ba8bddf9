"""Power spectrum of an image: the mean power of its luma in rings of spatial frequency.

A blur by optics, motion or enlarging takes away power by a law of its own above some frequency
(its modulation transfer function), while the power of photographs falls evenly (Field 1987, J. Opt.
Soc. Am. A 4:2379). So neighbouring rings tell kinds of softness apart that have the same band
energies. Taken of a bounded number of tiles, evenly spread, so the cost does not grow with the
image.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sharpend.imaging.depth import white
from sharpend.model.cues import LUMA, RINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

    Floats = NDArray[np.float32]

TILE_PX = 32
MOST_TILES = 512
"""Tiles that are transformed of a large image: half a megapixel."""
LOWEST, HIGHEST = 0.03, 0.70
"""Outer edges of the rings, cycles per pixel; the corner of the spectrum lies at 0.71."""


def spectrum(pixels: NDArray[Depth], visible: NDArray[np.bool_] | None = None) -> tuple[float, ...]:
    """Compute the mean power of each ring.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 (gray) or 3 (RGB), sRGB-encoded, any size.
        visible: H x W, None where all is; tiles with hidden pixels do not count.

    Returns:
        RINGS powers of luma in [0, 1], the lowest frequency first: white noise has its variance in
        each of them. All zero where no tile is visible as a whole.
    """
    tiles = _tiles(pixels, visible)
    if not len(tiles):
        return (0.0,) * RINGS
    weights = np.array(LUMA if tiles.shape[3] > 1 else (1.0,), np.float32) / white(pixels.dtype)
    luma = np.ascontiguousarray(tiles, np.float32) @ weights
    luma -= luma.mean(axis=(1, 2), keepdims=True)
    found = torch.fft.rfft2(torch.from_numpy(luma * _window()))  # numpy's takes four times as long
    mean = found.abs().square_().mean(dim=0, dtype=torch.float64).numpy()
    mean /= np.square(_window(), dtype=np.float64).sum()
    return tuple((_rings() @ mean.ravel()).tolist())


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
def _rings() -> NDArray[np.float64]:
    """Weights of each value of `rfft2` in the mean of each ring: RINGS x (rows * columns)."""
    down, across = np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX)[None]
    frequency = np.hypot(down, across)
    edges = np.linspace(LOWEST, HIGHEST, RINGS + 1)
    ring = np.digitize(frequency, edges) - 1
    counted = np.full(frequency.shape, 2.0)  # rfft2 leaves out the mirrored half
    counted[:, [0, -1]] = 1.0
    weights = np.stack([(ring == number) * counted for number in range(RINGS)]).reshape(RINGS, -1)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights)
