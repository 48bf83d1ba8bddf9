"""Pixels in, sharper pixels out: one network applied to a whole picture, tile by tile.

Works from uint8 to uint8 so that a picture of any size needs memory for itself twice and for one
tile. What is transparent stays as it is, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_pixels, to_tensor
from sharpend.model.runtime import Placement, Runtime
from sharpend.model.tiling import SMALLEST_TILE_PX, pad_to_grid, plan_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.model.weights import Weights


class Sharpener:
    """A network with its card, placed on a device."""

    def __init__(self, weights: Weights, placement: Placement) -> None:
        self.card = weights.card
        self.digest = weights.digest
        self.runtime = Runtime(weights.network, placement)

    def warm_up(self) -> None:
        """Run once, so that the first picture does not pay for what is set up lazily."""
        self.sharpen(np.zeros((SMALLEST_TILE_PX, SMALLEST_TILE_PX, 3), np.uint8))

    def sharpen(self, pixels: NDArray[np.uint8], *, strength: float = 1.0) -> NDArray[np.uint8]:
        """Sharpen a picture of any size from 1 x 1 up.

        Args:
            pixels: H x W x C uint8, C 1 (gray) or 3 (RGB), sRGB-encoded.
            strength: 0..1, scales what the network adds; 0 returns the same values.

        Returns:
            The same shape, uint8.

        Raises:
            TransientError: the device has no memory even for the smallest tile.
        """
        while True:
            try:
                return self._sharpen(pixels, strength=strength)
            except MemoryError:
                self.runtime.shrink_tile()

    def _sharpen(self, pixels: NDArray[np.uint8], *, strength: float) -> NDArray[np.uint8]:
        height, width, channels = pixels.shape
        padded = pad_to_grid(pixels)
        sharpened = np.empty_like(padded)
        tile_px, halo_px = self.runtime.tile_px, self.runtime.halo_px
        for tile in plan_tiles(*padded.shape[:2], tile_px=tile_px, halo_px=halo_px):
            window = to_tensor(padded[tile.window.slices])
            result = window.add_(self.runtime.detail(window), alpha=strength)
            kept = result[(..., *tile.core.within(tile.window).slices)]
            sharpened[tile.core.slices] = to_pixels(kept, channels=channels)
        return sharpened[:height, :width]


def keep_transparent(
    sharpened: NDArray[np.uint8], pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Put the original values back where alpha (H x W uint8) is 0: unseen, but tools read them."""
    if alpha is None:
        return sharpened
    return np.where(alpha[:, :, None] == 0, pixels, sharpened)
