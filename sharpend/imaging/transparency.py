"""Transparency: colours that a model is given where alpha hides them, and the way back.

Owns the rule of what is hidden, the fill of hidden places, and associated alpha. What a program
leaves under alpha 0, mostly black, is content to a model: it would sharpen the edge to it, a ring
around every cut-out. Filled on the whole image, before any tile is cut, so that every tile holds
what the whole image holds; the fill depends on no stored colour of a hidden place. Where a lossy
encoder saw the stored ones, the edge to them rings in what is visible: `FilledFrame.calmed`.

Source: push-pull interpolation, Gortler et al. 1996, "The Lumigraph", section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.depth import Depth, Sample, white

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sharpend.imaging.picture import Frame

VISIBLE_SHARE = 8
"""Pixels whose alpha is below an eighth of the image's highest count as hidden. Less than that of
their colour shows, and it is hardly known: a colour that was multiplied by alpha at 8 bits comes
back within four levels at an eighth, and within 127 at alpha 1."""
RING_PX = 10
"""Distance from a hidden place within which a lossy encoder's ring is strong enough that a model
adds more than 2 levels of 8 bits to it, though transforms and prediction reach further: chosen at
flat subjects in WebP, AVIF, HEIC and JPEG XL (`tests/test_transparency.py`)."""
RING_LEVELS = 10
"""Levels of 8 bits that a model may add to such a ring beyond those 2, likewise."""
CALM_LEVELS = 0.2
"""A mean of what is added, beyond the ring's reach, from which an image counts as no flat one."""


@dataclass(frozen=True, slots=True)
class FilledFrame:
    """Colours of a frame with the hidden ones replaced by those nearby."""

    pixels: NDArray[Sample]
    """H x W x C, not multiplied by alpha, the frame's dtype; the frame's own array where nothing
    is hidden."""
    visible: NDArray[np.bool_] | None
    """H x W, False where it is hidden; None where nothing is."""

    def stored(self, frame: Frame, sharpened: NDArray[Sample], *, is_lossy: bool = False) -> Frame:
        """Put sharpened colours back into the frame.

        Args:
            frame: the one that these colours are of.
            sharpened: the shape and dtype of `pixels`.
            is_lossy: its encoder changes colours. Then those under alpha 0 are the filled ones: an
                edge to the stored ones would ring into what is visible.

        Returns:
            The frame with new values where a visible pixel changed, multiplied by alpha if it is
            premultiplied. All other values are the stored ones, bit for bit, but see `is_lossy`.
        """
        if frame.alpha is None or (self.visible is None and not frame.premultiplied):
            return frame.with_pixels(sharpened)
        changed = sharpened != self.pixels
        if self.visible is not None:
            changed &= self.visible[:, :, np.newaxis]
        if frame.premultiplied:
            sharpened = _multiplied(sharpened, frame.alpha)
        pixels = np.where(changed, sharpened, frame.pixels)
        if is_lossy:
            hidden = frame.alpha == 0
            pixels[hidden] = self.pixels[hidden]
        return frame.with_pixels(pixels)

    def calmed(self, sharpened: NDArray[Depth]) -> NDArray[Depth]:
        """Leave the ring of the input's own lossy coding as it is, where the subject is flat.

        Within RING_PX of a hidden place, up to RING_LEVELS are taken from what was added: all of
        them where nothing is added beyond, none where CALM_LEVELS are. Beyond is twice as far,
        where the subject is: colours of halved resolution and the filters of JPEG XL bleed past
        RING_PX, and what is added to that is no content. Detail keeps the rest, and a subject
        that is nowhere further from a hidden place keeps all, as nothing tells a ring.

        Args:
            sharpened: H x W x C, the shape and dtype of `pixels`.
        """
        if self.visible is None:
            return sharpened
        near = _widened(~self.visible)
        if near.all():
            return sharpened
        wider = _widened(near)
        beyond = ~near if wider.all() else ~wider
        most = _ring_levels(self._added(sharpened), beyond) * (white(sharpened.dtype) / 255)
        near &= most > 0
        kept, before = sharpened[near].astype(np.float32), self.pixels[near]
        kept -= (kept - before).clip(-most[near, np.newaxis], most[near, np.newaxis])
        calm = sharpened.copy()
        calm[near] = kept if calm.dtype == np.float32 else np.rint(kept)
        return calm

    def _added(self, sharpened: NDArray[Sample]) -> NDArray[np.float32]:
        """Compute what was added, H x W, in levels of 8 bits, mean of the channels."""
        added = np.zeros(sharpened.shape[:2], np.float32)
        for channel in range(sharpened.shape[2]):
            added += abs(sharpened[..., channel].astype(np.float32) - self.pixels[..., channel])
        return added * np.float32(255 / white(sharpened.dtype) / sharpened.shape[2])


def fill(frame: Frame) -> FilledFrame:
    """Replace the colours that alpha hides, and divide premultiplied ones by alpha.

    A hidden pixel takes the mean of the visible ones in the smallest square around it that holds
    any, interpolated between squares: an area of one colour is continued in exactly this colour.
    Of a frame without a visible pixel the colours stay as they are.
    """
    if frame.alpha is None:
        return FilledFrame(frame.pixels, None)
    visible = (frame.alpha >= float(frame.alpha.max()) / VISIBLE_SHARE) & (frame.alpha > 0)
    pixels = _divided(frame.pixels, frame.alpha) if frame.premultiplied else frame.pixels
    if visible.all():
        return FilledFrame(pixels, None)
    return FilledFrame(_filled(pixels, visible) if visible.any() else pixels, visible)


def most_changed(before: Frame, after: Frame) -> float:
    """Compute the largest change of a visible colour between two states, in levels of 8 bits.

    Args:
        before: a frame, straight alpha.
        after: the same with other colours, of the same shape and dtype.
    """
    one, other = before.pixels, after.pixels
    change = (np.maximum(one, other) - np.minimum(one, other)).max(axis=2)
    seen = change if before.alpha is None else change[before.alpha > 0]
    return float(seen.max(initial=0)) * 255 / white(one.dtype)


def keeps_bound(pixels: NDArray[Sample], alpha: NDArray[Sample]) -> bool:
    """Return whether colours can be premultiplied: none is above alpha.

    A level of 8 bits more is allowed, for programs round in different ways.
    """
    level = alpha.dtype.type(white(alpha.dtype) / 255)
    room = np.minimum(alpha, alpha.dtype.type(white(alpha.dtype)) - level) + level
    return bool((pixels <= room[:, :, np.newaxis]).all())


def _ring_levels(added: NDArray[np.float32], counts: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the levels that may be a ring, H x W, from the mean added where that counts."""
    sums, known = (
        F.avg_pool2d(_plane(each), RING_PX, ceil_mode=True, divisor_override=1)
        for each in (np.where(counts, added, 0), counts)
    )
    calm = (1 - _spread(sums, known) / CALM_LEVELS).clamp_min(0) * RING_LEVELS
    levels = F.interpolate(calm, scale_factor=RING_PX, mode="bilinear")[0, 0].numpy()
    height, width = added.shape
    return np.asarray(levels[:height, :width])


def _widened(hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add every place within RING_PX, along rows and columns."""
    across, size = _plane(hidden), 2 * RING_PX + 1
    for kernel in ((size, 1), (1, size)):
        across = F.max_pool2d(across, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return np.asarray(across[0, 0].numpy() > 0)


def _divided(pixels: NDArray[Depth], alpha: NDArray[Depth]) -> NDArray[Depth]:
    """Divide colours by alpha, whole numbers rounded; one above alpha becomes white."""
    if pixels.dtype == np.float32:
        part = alpha[:, :, np.newaxis]
        return np.divide(pixels, part, out=np.zeros_like(pixels), where=part > 0).clip(0, 1)
    limit, by = white(pixels.dtype), np.maximum(alpha, 1).astype(np.uint32)
    straight = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        values = pixels[:, :, channel].astype(np.uint32) * limit
        straight[:, :, channel] = np.minimum((values + by // 2) // by, limit)
    return straight


def _multiplied(pixels: NDArray[Depth], alpha: NDArray[Depth]) -> NDArray[Depth]:
    """Multiply colours by alpha, whole numbers rounded: none is above alpha."""
    if pixels.dtype == np.float32:
        return np.asarray(pixels * alpha[:, :, np.newaxis], pixels.dtype)
    limit = white(pixels.dtype)
    stored = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        values = pixels[:, :, channel].astype(np.uint32) * alpha
        stored[:, :, channel] = (values + limit // 2) // limit
    return stored


def _filled(pixels: NDArray[Depth], visible: NDArray[np.bool_]) -> NDArray[Depth]:
    """Fill hidden places channel by channel, which bounds the memory."""
    filled, hidden = pixels.copy(), ~visible
    counts = _pooled(_plane(visible))
    for channel in range(pixels.shape[2]):
        sums = _pooled(_plane(np.where(visible, pixels[:, :, channel], 0)))
        around = _doubled(_spread(sums, counts), *hidden.shape)[0, 0].numpy()
        close = around[hidden]
        filled[:, :, channel][hidden] = close if pixels.dtype == np.float32 else np.rint(close)
    return filled


def _plane(values: NDArray[np.generic]) -> Tensor:
    """H x W values as 1 x 1 x H x W float32."""
    return torch.from_numpy(values.astype(np.float32))[None, None]


def _spread(sums: Tensor, counts: Tensor) -> Tensor:
    """Compute the mean of each place, and where nothing counts, that of wider squares."""
    mean, known = sums / counts.clamp_min(1), counts > 0
    if bool(known.all()):
        return mean
    wider = _spread(_pooled(mean), _pooled(known.float()))
    return torch.where(known, mean, _doubled(wider, *mean.shape[-2:]))


def _pooled(values: Tensor) -> Tensor:
    """Halve the size: sums over overlapping squares of 4 x 4, at the edge over what exists.

    Squares of 2 x 2 would show their grid, to which a model adds a tenth more on smooth areas.
    """
    return F.avg_pool2d(values, 4, stride=2, padding=1, ceil_mode=True, divisor_override=1)


def _doubled(values: Tensor, height: int, width: int) -> Tensor:
    """Interpolate to twice the size, cut to height and width."""
    return F.interpolate(values, scale_factor=2, mode="bilinear")[..., :height, :width]
