"""The degradation, the resizer and the baseline, against known answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sharpend.imaging.filters import degrade, resize, unsharp_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = [(40, 64, 3), (40, 64, 1), (40, 64), (1, 1, 3), (3, 2, 1), (37, 53)]


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Any pixels of this shape."""
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_degrade_keeps_shape_and_flat_pictures(shape: tuple[int, ...]) -> None:
    """The shape stays whatever it is; where there is no detail, nothing changes."""
    result = degrade(noise(shape))
    assert (result.shape, result.dtype.name) == (shape, "uint8")
    flat = np.full(shape, 77, np.uint8)
    assert np.array_equal(degrade(flat), flat)


def test_degrade_is_pillows_bicubic_down_and_up() -> None:
    """The report's degradation: 8 bits in between, sizes rounded."""
    pixels = noise((42, 61, 3))
    small = Image.fromarray(pixels).resize((15, 10), Image.Resampling.BICUBIC)
    expected = np.asarray(small.resize((61, 42), Image.Resampling.BICUBIC))
    assert np.array_equal(degrade(pixels), expected)


def test_degrade_takes_detail_away_by_factor() -> None:
    """The larger the factor, the less is left; factor 1 changes nothing."""
    pixels = noise((64, 64, 3))
    left = [float(degrade(pixels, factor=factor).std()) for factor in (1, 2, 4, 8)]
    assert left == sorted(left, reverse=True)
    assert np.array_equal(degrade(pixels, factor=1), pixels)


def test_resize_says_height_first_and_antialiases() -> None:
    """Height and width are not swapped; fine noise shrinks to its mean."""
    shrunk = resize(noise((256, 128, 3)), height=8, width=4)
    assert shrunk.shape == (8, 4, 3)
    assert np.abs(shrunk.astype(float) - 127.5).max() < 25


@pytest.mark.parametrize("shape", SHAPES)
def test_unsharp_mask_is_pillows(shape: tuple[int, ...]) -> None:
    """The baseline is Pillow's filter with its defaults."""
    pixels = noise(shape)
    flat = pixels[..., 0] if shape[2:] == (1,) else pixels
    expected = Image.fromarray(flat).filter(ImageFilter.UnsharpMask(2, 150, 0))
    assert np.array_equal(unsharp_mask(pixels), np.asarray(expected).reshape(shape))
