"""The best unsharp mask of each cell of the matrix: an upper bound for unsharp masks.

Tries twenty masks. The best has the highest mean PSNR over middle crops of the measured images
themselves, so it is an upper bound for masks in its cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluation.matrix.cells import CELLS, SOFT, degraded
from trainer.evaluation.scores import decibels
from trainer.evaluation.unsharp import Unsharp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trainer.degradations.mixture import Pixels

MASKS = tuple(
    Unsharp(radius, percent)
    for radius in (0.7, 1.0, 1.5, 2.0, 3.0)
    for percent in (30, 60, 100, 150)
)
CROP_PX = 256


@dataclass(frozen=True, slots=True)
class CellMasks:
    """Result of a search over MASKS.

    Attributes:
        by_cell: the best mask of each cell.
        single: the best one for the mean of the soft cells.
    """

    by_cell: Mapping[str, Unsharp]
    single: Unsharp

    def __call__(self, pixels: Pixels, cell: str) -> Pixels:
        """Sharpen by the mask of the cell."""
        return self.by_cell[cell](pixels, pixels)


def search_cell_masks(originals: Iterable[tuple[str, Pixels]]) -> CellMasks:
    """Try every mask on every cell of middle crops.

    Args:
        originals: names and sharp images, H x W x 3 uint8; at least one.
    """
    scores = {cell: np.zeros(len(MASKS)) for cell in CELLS}
    for name, original in originals:
        crop = middle(original, CROP_PX)
        for cell, sums in scores.items():
            soft = degraded(cell, crop, name=name)
            sums += [decibels(mask(soft, soft), crop) for mask in MASKS]
    best = {cell: MASKS[int(np.argmax(sums))] for cell, sums in scores.items()}
    over_soft = np.sum([scores[cell] for cell in SOFT], axis=0)
    return CellMasks(best, MASKS[int(np.argmax(over_soft))])


def middle(pixels: Pixels, side: int) -> Pixels:
    """The middle of an image, at most `side` pixels each way, on a multiple of eight pixels.

    So the grid of JPEG blocks is that of the whole image.
    """
    top, left = (max(0, size - side) // 2 // 8 * 8 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
