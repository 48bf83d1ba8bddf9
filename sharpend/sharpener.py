"""Pixels in, sharper pixels out: one network applied to a whole picture, tile by tile.

Works from pixels to pixels of the same depth, so that a picture of any size needs memory for itself
twice and for one tile. Nothing but the sharpness changes: what a network adds has no mean of its
own, stays near what the input holds around it, and is nothing where the picture is flat. What is
transparent stays as it is, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.tensors import to_pixels, to_tensor
from sharpend.job import OVERSHOOT
from sharpend.model.balance import REACH_PX, balance
from sharpend.model.cues import measure
from sharpend.model.overshoot import bound
from sharpend.model.runtime import Placement, Runtime
from sharpend.model.tiling import SMALLEST_TILE_PX, pad_to_grid, plan_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth
    from sharpend.model.cues import Cues
    from sharpend.model.weights import Weights


class Sharpener:
    """A network with its card, placed on a device."""

    def __init__(self, weights: Weights, placement: Placement) -> None:
        self.card = weights.card
        self.digest = weights.digest
        self.runtime = Runtime(weights.network, placement)
        self._specialist = (
            None if weights.specialist is None else Runtime(weights.specialist, placement)
        )

    def warm_up(self) -> None:
        """Run once, so that the first picture does not pay for what is set up lazily."""
        self.sharpen(np.zeros((SMALLEST_TILE_PX, SMALLEST_TILE_PX, 3), np.uint8))

    def sharpen(
        self,
        pixels: NDArray[Depth],
        *,
        strength: float = 1.0,
        overshoot: int = OVERSHOOT,
        cues: Cues | None = None,
    ) -> NDArray[Depth]:
        """Sharpen a picture of any size from 1 x 1 up.

        Where nothing is added the values return exactly. In float32 the sums on the way move a
        value by less than 0.02 of a level of 16 bits; bfloat16 concerns only what is added.

        Args:
            pixels: H x W x C uint8 or uint16, C 1 (gray) or 3 (RGB), sRGB-encoded.
            strength: 0..1, scales what the network adds; 0 returns the same values, and the
                network does not run.
            overshoot: 0..255, levels of 8 bit by which a channel may leave its values around a
                pixel; see `sharpend.model.overshoot.bound`.
            cues: of the whole image, where these pixels are a part of it or some of them are
                hidden; None measures these pixels if the network has use for that.

        Returns:
            The same shape and dtype.

        Raises:
            TransientError: the device has no memory even for the smallest tile.
        """
        if strength == 0:
            return pixels.copy()
        if cues is None and self.runtime.cued:
            cues = measure(pixels)
        runtime = self.runtime_for(cues)
        while True:
            try:
                return self._sharpen(pixels, runtime, strength, overshoot, cues)
            except MemoryError:
                runtime.shrink_tile()

    def runtime_for(self, cues: Cues | None) -> Runtime:
        """The network for an image: the specialist for one that was enlarged by four."""
        if cues is not None and cues.enlarged and self._specialist is not None:
            return self._specialist
        return self.runtime

    @property
    def halo_px(self) -> int:
        """How far from a cell of the folded grid the input can make a difference to it."""
        runtimes = [one for one in (self.runtime, self._specialist) if one is not None]
        return max(one.halo_px for one in runtimes) + REACH_PX

    def _sharpen(
        self,
        pixels: NDArray[Depth],
        runtime: Runtime,
        strength: float,
        overshoot: int,
        cues: Cues | None,
    ) -> NDArray[Depth]:
        height, width = pixels.shape[:2]
        padded = pad_to_grid(pixels)
        sharpened = np.empty_like(padded)
        halo_px = runtime.halo_px + REACH_PX
        for tile in plan_tiles(*padded.shape[:2], tile_px=runtime.tile_px, halo_px=halo_px):
            window = self._window(padded[tile.window.slices], runtime, strength, overshoot, cues)
            sharpened[tile.core.slices] = window[tile.core.within(tile.window).slices]
        return sharpened[:height, :width]

    @staticmethod
    def _window(
        pixels: NDArray[Depth],
        runtime: Runtime,
        strength: float,
        overshoot: int,
        cues: Cues | None,
    ) -> NDArray[Depth]:
        """One window whole; what lies within the halo of its inner edges is not to be used."""
        picture = to_tensor(pixels)
        result = picture.add(runtime.detail(picture, cues), alpha=strength).clamp_(0, 1)
        balance(result, picture)
        sharpened = to_pixels(result, channels=pixels.shape[2], dtype=pixels.dtype)
        bound(sharpened, pixels, levels=overshoot)
        return sharpened


def keep_transparent(
    sharpened: NDArray[Depth], pixels: NDArray[Depth], alpha: NDArray[Depth] | None
) -> NDArray[Depth]:
    """Put the original values back where alpha (H x W) is 0: unseen, but tools read them."""
    if alpha is None:
        return sharpened
    return np.where(alpha[:, :, None] == 0, pixels, sharpened)
