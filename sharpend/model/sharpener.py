"""Sharpener: apply a model to a whole image, tile by tile.

Works from pixels to pixels of the same depth, so that an image of any size needs memory for itself
twice and for one tile. Nothing but the sharpness changes: the mean brightness stays, values stay
near those around them in the input, and flat areas stay flat. What is hidden by alpha was replaced
before, on the whole image: `sharpend.imaging.transparency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.depth import keep_beyond
from sharpend.model import crispness as crisp
from sharpend.model.cues import out_of_distribution
from sharpend.model.device import PlacedModel, Placement
from sharpend.model.leastgain import with_least_gain
from sharpend.model.measuring import measure, tested_for_enlargement
from sharpend.model.networks import GRID_PX
from sharpend.model.packing import REACH_PX, Packed
from sharpend.model.tiling import SMALLEST_TILE_PX, pad_to_grid, plan_tiles
from sharpend.model.trial import OPENVINO
from sharpend.task import OVERSHOOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth
    from sharpend.model.cues import Cues
    from sharpend.model.trial import Trial
    from sharpend.model.weights import Weights


CRISP_REACH_PX = crisp.REACH_PX + REACH_PX
"""Growth of the halo by crispness: its mask, and a second balance."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Parameters for each window of one image; see `Sharpener.sharpen`."""

    runtime: PlacedModel
    strength: float
    overshoot: int
    crispness: float
    cues: Cues | None


class Sharpener:
    """A model with its card, placed on a device.

    `trial` is what chose the precision, None where it was given: `sharpend.model.precision.place`.
    """

    def __init__(self, weights: Weights, placement: Placement, trial: Trial | None = None) -> None:
        self.card = weights.card
        self.trial = trial
        self.digest = weights.digest
        self.runtime = PlacedModel(weights.network, placement)
        self._specialist = (
            None if weights.specialist is None else PlacedModel(weights.specialist, placement)
        )

    def warm_up(self) -> None:
        """Run once, so that the first image does not pay for lazy initialisation.

        OpenVINO compiles for the shape of an image, so nothing could be done for the first one.
        """
        if self.runtime.name != OPENVINO:
            self.sharpen(np.zeros((SMALLEST_TILE_PX, SMALLEST_TILE_PX, 3), np.uint8))

    def sharpen(
        self,
        pixels: NDArray[Depth],
        *,
        strength: float = 1.0,
        overshoot: int = OVERSHOOT,
        crispness: float = 0.0,
        cues: Cues | None = None,
    ) -> NDArray[Depth]:
        """Sharpen an image of any size from 1 x 1 up.

        Where nothing is added the values return exactly. In float32 the sums on the way move a
        value by less than 0.02 of a level of 16 bits; bfloat16 concerns only what is added.

        Args:
            pixels: H x W x C uint8, uint16 or float32, C 1 (gray) or 3 (RGB), sRGB-encoded, not
                multiplied by alpha; all of them influence their neighbours.
            strength: 0..2, scales what the model adds; at 0 it does not run. A model with cues adds
                less to patterns unlike photographs (`sharpend.model.cues.out_of_distribution`).
            overshoot: 0..255, levels of 8 bit by which a channel may leave its values around a
                pixel; see `sharpend.model.packing.Packed.finish`.
            crispness: 0..1, how much of a mask is laid over the model's result; see
                `sharpend.model.crispness`.
            cues: of the whole image, by `measured`, where these pixels are a part of it or some of
                them are hidden; None measures these pixels if model or crispness have use for that.

        Returns:
            The same shape and dtype; the same values where strength and crispness are 0.

        Raises:
            TransientError: the device has no memory even for the smallest tile.
        """
        if cues is None and (crispness or (strength and self.runtime.cued)):
            cues = self.measured(pixels)
        runtime = self.runtime_for(cues)
        if runtime.cued and cues is not None:
            strength *= 1 - float(out_of_distribution(cues.tensor()))
        if not (strength or crispness):
            return pixels.copy()
        how = _Parameters(runtime, strength, overshoot, crispness, cues)
        while True:
            try:
                return self._sharpen(pixels, how)
            except MemoryError:
                how.runtime.shrink_tile()

    def measured(
        self,
        pixels: NDArray[Depth],
        visible: NDArray[np.bool_] | None = None,
        cues: Cues | None = None,
    ) -> Cues:
        """Measure all cues of a whole image that this model can use.

        Args:
            pixels: as `sharpen` takes them.
            visible: H x W; what is hidden counts for nothing. None where all is visible.
            cues: of the same image, for another model; they are completed.
        """
        if cues is None:
            cues = measure(pixels, visible)
        if self._specialist is None or cues.enlarged is not None:
            return cues
        return tested_for_enlargement(cues, pixels, visible)

    def runtime_for(self, cues: Cues | None) -> PlacedModel:
        """Choose the model for an image: the specialist for one that was enlarged by four."""
        if self._specialist is not None and cues is not None and cues.enlarged:
            return self._specialist
        return self.runtime

    @property
    def halo_px(self) -> int:
        """Distance from a cell of the folded grid beyond which input cannot change it.

        Without crispness; with it, by CRISP_REACH_PX more.
        """
        runtimes = [one for one in (self.runtime, self._specialist) if one is not None]
        return max(one.halo_px for one in runtimes) + REACH_PX

    def _sharpen(self, pixels: NDArray[Depth], how: _Parameters) -> NDArray[Depth]:
        height, width = pixels.shape[:2]
        padded = pad_to_grid(pixels)
        sharpened = np.empty(padded.shape, padded.dtype)  # dense, also for a strided input
        halo_px = how.runtime.halo_px + REACH_PX + (CRISP_REACH_PX if how.crispness else 0)
        size, runtime = padded.shape[:2], how.runtime
        for tile in plan_tiles(
            *size, tile_px=runtime.tile_px, halo_px=halo_px, alike=runtime.alike
        ):
            inner = tile.core.within(tile.window)
            at = inner.top // GRID_PX, inner.left // GRID_PX
            _sharpen_window(padded[tile.window.slices], how, sharpened[tile.core.slices], at)
        keep_beyond(sharpened, padded)
        return sharpened[:height, :width]


def _sharpen_window(
    pixels: NDArray[Depth], how: _Parameters, out: NDArray[Depth], at: tuple[int, int]
) -> None:
    """Sharpen the part of one window that `out` has; none of it within the halo of inner edges.

    Args:
        pixels: the window, H x W x C.
        how: parameters of the image.
        out: gets the part.
        at: row and column of its first cell in the window.
    """
    packed = Packed(pixels)
    added = how.runtime.added(packed, how.cues) if how.strength else None
    if added is not None and how.cues is not None:
        added = with_least_gain(added, how.cues)
    strength = how.strength
    if how.crispness and how.cues is not None:
        added = crisp.crispen(packed, added, strength, amount=how.crispness, noise=how.cues.noise)
        strength = 1.0
    if added is not None:
        packed.finish(added, out, at, strength=strength, overshoot=how.overshoot)


def keep_hidden(
    sharpened: NDArray[Depth], pixels: NDArray[Depth], visible: NDArray[np.bool_] | None
) -> NDArray[Depth]:
    """Restore the values of pixels where they are not visible (H x W); None: all are."""
    if visible is None:
        return sharpened
    return np.where(visible[:, :, None], sharpened, pixels)
