"""Figures of harm and of real photographs on patterns whose answers are known by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import photograph
from trainer.degradations import camera
from trainer.evaluation.matrix import harm
from trainer.evaluation.matrix.real_harm import RealFigures, box_mean, real_figures
from trainer.evaluation.scores import HIGHEST_DB, decibels, squared_error

if TYPE_CHECKING:
    from trainer.degradations.mixture import Pixels


def unchanged(pixels: Pixels) -> Pixels:
    """Nothing done."""
    return pixels


def rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    """Values as 8 bits."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def contrast(pixels: Pixels, *, gain: float) -> Pixels:
    """Every channel stretched about its mean."""
    mean = pixels.mean(axis=(0, 1))
    return rounded(mean + gain * (pixels - mean))


def three_tap_mask(pixels: Pixels) -> Pixels:
    """Half the difference to the mean of three in a row: overshoots a step by a sixth of it."""
    padded = np.pad(pixels.astype(np.float64), ((0, 0), (1, 1), (0, 0)), mode="edge")
    mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return rounded(pixels + (pixels - mean) / 2)


def test_nothing_done_amplifies_nothing() -> None:
    """Ratios are one, overshoot is zero."""
    assert set(harm.noise_ratios(unchanged).values()) == {1.0}
    assert set(harm.overshoots(unchanged).values()) == {0.0}
    assert len(harm.noise_ratios(unchanged)) == 9


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_a_filter_of_a_gain_amplifies_noise_by_it(gain: float) -> None:
    """Rounding to whole levels costs a few per cent at the faintest noise only."""
    ratios = harm.noise_ratios(lambda pixels: contrast(pixels, gain=gain))
    assert ratios["128/10"] == pytest.approx(gain, rel=0.01)
    assert ratios["200/5"] == pytest.approx(gain, rel=0.02)


def test_a_mask_overshoots_a_step_by_its_formula() -> None:
    """Half of the difference to the mean of three is a sixth of the step; blurring lessens it."""
    shares = harm.overshoots(three_tap_mask)
    assert shares["0"] == pytest.approx(100 / 6, abs=1)
    assert list(shares) == ["0", "0.7", "1", "1.5", "2"]
    assert shares["0"] > shares["0.7"] > shares["2"]


def test_blocks_stand_out_by_the_step_between_them() -> None:
    """Flat blocks of 8 x 8 pixels that differ by ten levels; halves and doubles with contrast."""
    board = (np.indices((64, 48)) // 8).sum(axis=0) % 2
    blocks = np.repeat((100 + 10 * board)[..., None], 3, axis=2).astype(np.uint8)
    assert harm.block_excess(blocks) == pytest.approx(10, abs=1e-3)
    doubled = contrast(blocks, gain=2.0)
    assert harm.block_excess(doubled) / harm.block_excess(blocks) == pytest.approx(2, abs=0.01)
    assert harm.block_excess(np.full((32, 32, 3), 7, np.uint8)) == 0


def test_compression_leaves_blocks() -> None:
    """A strongly compressed photograph has them, the photograph itself does not."""
    original = camera.sharpened(photograph(96, 96), 2.0, 10)
    excess = harm.block_excess(camera.jpeg(original, 20))
    assert excess > harm.block_excess(original) + 1


def test_passes_follow_each_other() -> None:
    """Each pass works on the result of the one before."""
    results = harm.repeat_passes(lambda pixels: pixels + 1, np.zeros((2, 2, 3), np.uint8), times=3)
    assert [int(one.max()) for one in results] == [1, 2, 3]


def test_an_image_against_itself() -> None:
    """Slope and noise are the input's, nothing overshoots."""
    pixels = photograph(64, 80)
    assert real_figures(pixels, pixels) == RealFigures(slope=1.0, noise=1.0, overshoot=0.0)


def test_contrast_raises_slope_and_noise_alike() -> None:
    """By its gain, but for rounding and the constant that keeps noiseless images finite."""
    pixels = photograph(64, 80)
    found = real_figures(pixels, contrast(pixels, gain=1.2))
    assert found.slope == pytest.approx(1.2, rel=0.03)
    assert found.noise == pytest.approx(1.2, rel=0.05)


def test_overshoot_is_counted_beyond_the_range_around() -> None:
    """A step whose bright side is raised by nine levels next to the edge alone."""
    step = np.full((64, 64, 3), 60, np.uint8)
    step[:, 32:] = 160
    made = step.copy()
    made[:, 32:34] = 169
    assert real_figures(step, made).overshoot == pytest.approx(9, abs=1e-3)


def test_sizes_must_fit() -> None:
    """Another shape, or too small an image, is refused."""
    with pytest.raises(ValueError, match="cannot compare"):
        real_figures(photograph(64, 64), photograph(64, 72))
    with pytest.raises(ValueError, match="cannot compare"):
        real_figures(photograph(16, 64), photograph(16, 64))


def test_a_box_is_the_mean_around() -> None:
    """One bright pixel spreads evenly."""
    plane = np.zeros((7, 7))
    plane[3, 3] = 9
    assert box_mean(plane, 1)[2:5, 2:5] == pytest.approx(1)
    assert box_mean(plane, 1).sum() == pytest.approx(9)


def test_decibels_of_one_level() -> None:
    """48.13 dB, and equal images count as 100."""
    pixels = photograph(16, 16)
    assert decibels(pixels, pixels) == HIGHEST_DB
    assert decibels(pixels, pixels + 1) == pytest.approx(48.1308, abs=1e-3)
    assert squared_error(pixels, pixels + 1) == pixels.size
