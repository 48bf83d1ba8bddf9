"""Colours as a palette of at most 256, exactly where there are no more: for GIF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_COLORS = 256


def paletted(
    colors: NDArray[np.uint8], visible: NDArray[np.bool_]
) -> tuple[Image.Image, int | None]:
    """An image of palette indices, and the index that is transparent.

    Args:
        colors: H x W x 3 uint8.
        visible: H x W; where it is False, the result is transparent.
    """
    most = _MOST_COLORS - (not visible.all())
    indices, table = _indexed(colors, visible, most)
    transparent = None
    if not visible.all():
        transparent = len(table)
        indices = np.where(visible, indices, transparent)
        table = np.vstack([table, np.zeros((1, 3), np.uint8)])
    height, width = indices.shape
    image = Image.frombytes("P", (width, height), indices.astype(np.uint8).tobytes())
    image.putpalette(table.tobytes())
    return image, transparent


def _indexed(
    colors: NDArray[np.uint8], visible: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.integer], NDArray[np.uint8]]:
    """Palette indices and a table of at most `most` colours, chosen by the visible ones."""
    packed = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    unique = np.unique(packed[visible])
    if len(unique) == 0:
        return np.zeros(packed.shape, np.intp), np.empty((0, 3), np.uint8)
    packed = np.where(visible, packed, unique[0])
    if len(unique) <= most:
        table = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=1)
        return np.searchsorted(unique, packed), table.astype(np.uint8)
    filled = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=2).astype(np.uint8)
    reduced = Image.fromarray(filled).quantize(most, dither=Image.Dither.NONE)
    table = np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3)[:most]
    return np.asarray(reduced), table
