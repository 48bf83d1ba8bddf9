"""Packing: the one pass from pixels to what a network takes, and the one back.

A network sees an image on the folded grid, channels last, in its own precision. What it adds stays
there until it is added to the pixels, less its local mean, bounded, and rounded once.

The local mean is removed because a model is trained to add detail, yet its output shifts the mean
by a fraction of a level over an image, more on images that are sharp already. It is taken over 9 x
9 cells, 36 x 36 pixels, of what clipping leaves, of each channel; between the centres of cells it
is interpolated, for steps would cost fidelity. The bound, against halos, is the range of the input
in the pixel's cell and the eight around, 12 x 12 pixels, widened by a margin.

The passes are compiled (`_packing.c`) where a C compiler was at installation; else numpy computes
the same values (`sharpend.model.plain_packing`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sharpend.imaging.depth import white, within
from sharpend.model import plain_packing as plain
from sharpend.model.blurs import blur_taps, weighted
from sharpend.model.cells import CELL, COLOURS, SIDE, cells_of, in_rows, interpolated, unfolded
from sharpend.model.cues import LUMA
from sharpend.model.passes import COMPILED

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray
    from torch import Tensor

    Cells = NDArray[np.float32] | None
    Change = tuple[NDArray[Any], Cells, Cells, Cells, float]
    """Arguments of the passes: detail, its gate, mask, its gate, scale."""

REACH_PX = (plain.REACH + 1) * SIDE
"""Reach of the means around a cell; a tile's halo grows by this."""


@dataclass(frozen=True, slots=True)
class Added:
    """Addition to pixels on the folded grid, before strength and clamping."""

    detail: Tensor
    """1 x 48 x h x w float32 or bfloat16, in [-1, 1]."""
    gains: tuple[float, ...] = ()
    """Of each band of an adaptive mask; none without one."""
    floor: float = 0.0
    """Mean square of the mask at which its gate is half open."""
    calm: float = 0.0
    """Squared range of 3 x 3 cells, of white 1, at which the detail's gate is half open; 0 for no
    gate."""
    overshoot: int = 255
    """Levels of 8 bit by which a channel may leave its values around a pixel at the most."""

    def cpu(self) -> Added:
        """Return the same on the CPU."""
        return replace(self, detail=self.detail.cpu())


class Packed:
    """Pixels of one window, on their way to a network and back.

    Args:
        pixels: H x W x C uint8, uint16 or float32, C 1 or 3, H and W multiples of GRID_PX, however
            they are in memory. Floating point values are clamped to [0, 1].
        passes: the module of the passes; None for the compiled ones where they can be used.
    """

    def __init__(self, pixels: NDArray[Any], passes: ModuleType | None = None) -> None:
        compiled = None if pixels.dtype == np.float32 else COMPILED
        self._passes: ModuleType = passes or compiled or plain
        self.pixels = in_rows(within(pixels))
        self.white = white(pixels.dtype)
        height, width, channels = pixels.shape
        self.size = (height // SIDE, width // SIDE)
        shape = (*self.size, channels)
        self._sums = np.empty(shape, np.int32)
        kind = np.float32 if pixels.dtype == np.float32 else np.uint16
        self._lowest, self._highest = np.empty(shape, kind), np.empty(shape, kind)
        self._passes.survey(self.pixels, self._sums, self._lowest, self._highest)

    def folded(self, precision: torch.dtype, *, less_mean: bool) -> Tensor:
        """Convert to a network's input.

        Args:
            precision: float32 or bfloat16.
            less_mean: subtract from each colour its mean over 3 x 3 cells, inside the image.

        Returns:
            1 x 48 x h x w, channels last: 16 values of each colour, as `pixel_unshuffle` has them.
        """
        is_half = precision == torch.bfloat16
        made = np.empty((*self.size, COLOURS, CELL), np.uint16 if is_half else np.float32)
        self._passes.pack(self.pixels, self._sums if less_mean else None, made)
        tensor = torch.from_numpy(made.view(np.int16) if is_half else made)
        if is_half:
            tensor = tensor.view(torch.bfloat16)
        return tensor.reshape(1, *self.size, -1).permute(0, 3, 1, 2)

    def _scaled(self, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        if self.pixels.shape[2] == 1:
            weights = (1.0, 0.0, 0.0)
        red, green, blue = weights
        return red / self.white, green / self.white, blue / self.white

    def finish(
        self,
        added: Added,
        out: NDArray[Any],
        at: tuple[int, int],
        *,
        strength: float,
        overshoot: int,
    ) -> None:
        """Add to the pixels, less the local mean, bounded and rounded.

        The bound acts on whole numbers before rounding, so that a tile equals the whole.

        Args:
            added: what a network adds.
            out: a part of the result, dtype and channels of the pixels, in whole cells.
            at: row and column of its first cell in the window.
            strength: scales what is added.
            overshoot: 0..255, levels of 8 bit by which a pixel may leave the range around it; at 16
                bit each is 257. 255 allows everything; the network may allow less.
        """
        levels = min(overshoot, added.overshoot)
        margin = self._lowest.dtype.type(levels * self.white / 255).item()
        change = self._change(added, strength * self.white)
        means = self._means(change)
        self._passes.finish(
            self.pixels, *change, means, self._lowest, self._highest, margin, out, at
        )

    def change(self, added: Added | None, strength: float) -> NDArray[np.float32]:
        """Compute what is added to each pixel in its own range, h x w x C x 16.

        Added to the pixels it stays between black and white; None is nothing.
        """
        cells = cells_of(self.pixels)
        if added is None:
            return np.zeros(cells.shape, np.float32)
        return plain.change_of(cells, *self._change(added, strength * self.white))

    def in_colour(self) -> Packed:
        """Return the same with gray repeated over three channels."""
        return (
            self
            if self.pixels.shape[2] == COLOURS
            else Packed(np.repeat(self.pixels, COLOURS, axis=2))
        )

    def plane(
        self, change: NDArray[np.float32], weights: tuple[float, float, float]
    ) -> NDArray[np.float32]:
        """Compute luma of the pixels with a change, H x W in [0, 1].

        Args:
            change: as `change` gives it.
            weights: of the three channels; they add up to one.
        """
        values = cells_of(self.pixels).astype(np.float32) + change
        gray = weighted(values, self._scaled(weights))
        return np.ascontiguousarray(unfolded(gray[:, :, None])[:, :, 0])

    def balanced(self, change: NDArray[np.float32]) -> Added:
        """Keep a change between black and white, and subtract its local mean.

        Returns:
            As if a network added it, with a strength of 1.
        """
        inside = self._as_added(plain.kept(change, cells_of(self.pixels)))
        means = self._means(self._change(inside, self.white))
        return self._as_added(self.change(inside, 1.0) - interpolated(means))

    def _as_added(self, change: NDArray[np.float32]) -> Added:
        tensor = torch.from_numpy(change / np.float32(self.white)).reshape(1, *self.size, -1)
        return Added(tensor.permute(0, 3, 1, 2))

    def _change(self, added: Added, scale: float) -> Change:
        detail = added.detail.permute(0, 2, 3, 1).contiguous()
        if detail.dtype == torch.bfloat16:
            bits: NDArray[Any] = detail.view(torch.int16).numpy().view(np.uint16)
        else:
            bits = detail.numpy()
        calm = None
        if added.calm > 0:
            calm = plain.calm_gates(self._lowest, self._highest, self.white, added.calm)
        if not added.gains:
            return bits, calm, None, None, scale
        mask, gate = np.empty((*self.size, CELL), np.float32), np.empty(self.size, np.float32)
        self._passes.mask(self.pixels, self._scaled(LUMA), blur_taps(), added.gains, mask)
        self._passes.gates(mask, self.size, added.floor, gate)
        return bits, calm, mask, gate, scale

    def _means(self, change: Change) -> NDArray[np.float32]:
        """Local means of a change, h x w x C, in levels of the pixels."""
        sums, made = np.empty_like(self._sums), np.empty(self._sums.shape, np.float32)
        self._passes.sum(self.pixels, *change, sums)
        around = (2 * plain.REACH + 1) ** 2 * CELL
        scale = 1 / (around * plain.steps_per_level(self.pixels.dtype))
        self._passes.means(sums, sums.shape, scale, made)
        return made
