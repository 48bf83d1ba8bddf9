"""Search for the best unsharp mask, a fair baseline for models.

Owns the grid and the criterion: the highest mean SSIM to the originals, over middle crops of
training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import UsageError
from sharpend.imaging.filters import unsharp_mask
from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import WINDOW_PX, compute_ssim
from trainer.degradations.reduction import get_transform
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from trainer.degradations.mixture import Pixels

RADII = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
PERCENTS = (10, 20, 30, 45, 60, 80, 100, 125, 150, 200)
IMAGES = 24
CROP_PX = 256


@dataclass(frozen=True, slots=True)
class Unsharp:
    """Radius in pixels and amount in per cent; Pillow's own defaults are 2 and 150."""

    radius: float = 2.0
    percent: int = 150

    def __call__(self, _: Pixels, degraded: Pixels) -> Pixels:
        """Sharpen the degraded image; has the signature of a method."""
        return unsharp_mask(degraded, radius=self.radius, percent=self.percent)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of a search.

    Attributes:
        best: the mask.
        ssim: of it, the mean over the crops.
        degraded_ssim: of doing nothing, on the same crops.
        images: how many crops.
    """

    best: Unsharp
    ssim: float
    degraded_ssim: float
    images: int


def search_mask(
    images: Sequence[Path],
    *,
    radii: Sequence[float] = RADII,
    percents: Sequence[int] = PERCENTS,
) -> SearchResult:
    """Try the whole grid on middle crops of at most IMAGES images, evenly spread.

    Args:
        images: the training side of a split, never the evaluated images.
        radii: of the grid, pixels.
        percents: of the grid.

    Raises:
        InputMissingError, ImageRefusedError: an image cannot be read.
        UsageError: all of them are smaller than SSIM's window.
    """
    step = max(1, len(images) // IMAGES)
    crops = list(middle_crops(images[::step][:IMAGES]))
    if not crops:
        raise UsageError("no training image is large enough to choose an unsharp mask")
    masks = [Unsharp(radius, percent) for radius in radii for percent in percents]
    scores = [_mean_ssim(crops, mask) for mask in masks]
    best = int(np.argmax(scores))
    nothing = _mean_ssim(crops, Unsharp(percent=0))
    return SearchResult(masks[best], scores[best], nothing, len(crops))


def middle_crops(images: Iterable[Path]) -> Iterable[tuple[Pixels, Pixels]]:
    """(degraded, original) crops, each degraded as a whole image; too small ones are left out."""
    transform = get_transform()
    for path in images:
        degraded, original = transform(read_image(path))
        window = tuple(
            slice(max(0, side - CROP_PX) // 2, max(0, side - CROP_PX) // 2 + CROP_PX)
            for side in original.shape[:2]
        )
        if min(original.shape[:2]) >= WINDOW_PX:
            yield degraded[window], original[window]


def _mean_ssim(crops: Sequence[tuple[Pixels, Pixels]], mask: Unsharp) -> float:
    values = [
        compute_ssim(to_tensor(mask(degraded, degraded)), to_tensor(original)).item()
        for degraded, original in crops
    ]
    return float(np.mean(values))
