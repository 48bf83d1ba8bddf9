"""The bound on overshoot is the one that its words describe, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.imaging.depth import white
from sharpend.model.overshoot import bound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth

SIZES = [(4, 4), (4, 24), (20, 28), (36, 12)]


def noise(
    dtype: type[Depth], shape: tuple[int, int, int], lowest: int, highest: int
) -> NDArray[Depth]:
    """Pixels without any pattern between two values."""
    return np.random.default_rng(highest).integers(lowest, highest + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("levels", [0, 1, 12, 48, 254, 255])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_it_is_the_clip_to_the_window(
    height: int, width: int, levels: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    """Clipped between minimum less `levels` and maximum plus `levels` of 3 x 3 cells of 4 x 4."""
    top = white(np.dtype(dtype))
    pixels = noise(dtype, (height, width, 3), top // 3, top // 2)
    sharpened = noise(dtype, (height, width, 3), 0, top)
    expected = np.empty_like(sharpened)
    for row, column in np.ndindex(height, width):
        around = np.s_[max(row // 4 - 1, 0) * 4 : row // 4 * 4 + 8]
        beside = np.s_[max(column // 4 - 1, 0) * 4 : column // 4 * 4 + 8]
        window = pixels[around, beside].astype(int)
        margin = levels * top // 255
        lowest, highest = window.min(axis=(0, 1)) - margin, window.max(axis=(0, 1)) + margin
        expected[row, column] = np.clip(sharpened[row, column].astype(int), lowest, highest)
    bound(sharpened, pixels, levels=levels)
    assert np.array_equal(sharpened, expected)


def test_what_the_input_holds_is_always_allowed() -> None:
    """At no level is the input itself changed."""
    pixels = noise(np.uint8, (40, 40, 3), 0, 255)
    bounded = pixels.copy()
    bound(bounded, pixels, levels=0)
    assert np.array_equal(bounded, pixels)
