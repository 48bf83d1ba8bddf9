"""The report's degradation, at the image's own size and word for word."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from sharpend.imaging.filters import degrade, resize
from trainer.degradations.reduction import LITERAL_LARGE, LITERAL_SMALL, get_transform, shrunk


def noise(height: int, width: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Pixels without any pattern."""
    chance = np.random.default_rng(height * 1009 + width)
    return chance.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 46), (64, 64)])
def test_default_pair_keeps_size_and_original(size: tuple[int, int]) -> None:
    """The degraded image has the original's shape; the original is passed through as it is."""
    pixels = noise(*size)
    degraded, original = get_transform()(pixels)
    assert original is pixels
    assert np.array_equal(degraded, degrade(pixels, factor=4))


def test_factor_decides_how_soft() -> None:
    """Twice the factor loses more."""
    pixels = noise(64, 64)
    lost = [np.abs(get_transform(factor=f)(pixels)[0] - pixels.astype(int)).mean() for f in (2, 4)]
    assert 0 < lost[0] < lost[1]


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 46)])
def test_shrunk_is_the_picture_in_between(size: tuple[int, int]) -> None:
    """Enlarging it gives the degraded image, so labels made from it are on the same grid."""
    pixels = noise(*size)
    enlarged = resize(shrunk(pixels), height=size[0], width=size[1])
    assert np.array_equal(enlarged, degrade(pixels))


def test_transforms_can_be_sent_to_loading_processes() -> None:
    """Both transforms pickle, as a DataLoader's spawned workers need."""
    for transform in (get_transform(), get_transform(literal=True)):
        assert callable(pickle.loads(pickle.dumps(transform)))  # noqa: S301 - our own bytes


@pytest.mark.slow
def test_literal_pair_is_the_reports_and_torchvision_is_pillow() -> None:
    """Down to 270 x 480, up to 1080 x 1920: torchvision's PIL resize equals our resizer's."""
    pytest.importorskip("torchvision")
    pixels = noise(300, 200)
    degraded, original = get_transform(literal=True)(pixels)
    small = resize(pixels, height=LITERAL_SMALL[0], width=LITERAL_SMALL[1])
    large: Any = {"height": LITERAL_LARGE[0], "width": LITERAL_LARGE[1]}
    assert original.shape == degraded.shape == (1080, 1920, 3)
    assert np.array_equal(original, resize(pixels, **large))
    assert np.array_equal(degraded, resize(small, **large))
