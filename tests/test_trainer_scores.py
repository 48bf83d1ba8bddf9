"""Scores are those of the references, and intervals are those of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sharpend.imaging.filters import degrade
from sharpend.imaging.tensors import to_tensor
from tests.conftest import photograph
from trainer.evaluation.scores import SMALLEST_PX, estimate_mean, estimate_ratio, luma, score


def test_scores_are_those_of_scikit_image() -> None:
    """RGB at data range 1; Y is BT.601 studio range without a border of four pixels."""
    original = photograph(61, 74)
    output = degrade(original)
    made = score(output, original)
    expected = peak_signal_noise_ratio(original, output)  # type: ignore[no-untyped-call]
    assert made.psnr == pytest.approx(expected, abs=1e-3)
    ours, theirs = (rgb2ycbcr(p)[4:-4, 4:-4, 0] for p in (output, original))
    expected = peak_signal_noise_ratio(theirs, ours, data_range=255)  # type: ignore[no-untyped-call]
    assert made.psnr_y == pytest.approx(expected, abs=1e-3)
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        ours,
        theirs,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    assert made.ssim_y == pytest.approx(full[5:-5, 5:-5].mean(), abs=2e-5)


def test_luma_is_that_of_scikit_image() -> None:
    """Every colour's Y, black at 16 and white at 235, not rounded, the border left out."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    pixels[4, 4:6] = [[0, 0, 0], [255, 255, 255]]
    found = luma(to_tensor(pixels)) * 255
    expected = torch.from_numpy(rgb2ycbcr(pixels)[4:-4, 4:-4, 0]).float()
    torch.testing.assert_close(found[0, 0], expected, atol=1e-3, rtol=0)
    assert found[0, 0, 0, :2].tolist() == pytest.approx([16, 235])


def test_the_colour_shift_is_of_the_channel_that_moved_most() -> None:
    """Means over the image: up here and down there is no shift, and the sign does not matter."""
    degraded = np.full((20, 30, 3), 100, np.uint8)
    output = degraded.copy()
    output[:10, :, 0] += 40
    output[10:, :, 0] -= 40
    output[:, :3, 1] += 5
    output[:, :6, 2] -= 5
    assert score(output, degraded, degraded=degraded).shift == pytest.approx(1)
    assert score(output, degraded).shift is None


def test_a_picture_equals_itself() -> None:
    """Doing everything right is 1 and infinitely many decibels."""
    original = photograph(SMALLEST_PX, 161)
    made = score(original, original, taught=original)
    assert (made.ssim, made.ssim_y, made.agreement) == (1, 1, 1)
    assert made.psnr == made.psnr_y == float("inf")
    assert made.ms_ssim is None


def test_five_scales_need_large_pictures() -> None:
    """MS-SSIM is there from 161 pixels a side on."""
    original = photograph(161, 161)
    measured = score(degrade(original), original).ms_ssim
    assert measured is not None
    assert score(degrade(original), original).ssim < measured < 1
    assert score(original[1:], original[1:]).ms_ssim is None


def test_agreement_is_to_the_teacher() -> None:
    """It does not look at the original."""
    original, taught = photograph(30, 40), photograph(30, 40, seed=1)
    made = score(taught, original, taught=taught)
    assert made.agreement == 1
    assert made.ssim < 0.9


@pytest.mark.parametrize(("output", "original"), [((30, 40), (30, 41)), ((18, 40), (18, 40))])
def test_what_cannot_be_compared_is_refused(
    output: tuple[int, int], original: tuple[int, int]
) -> None:
    """Another shape, or a side that leaves SSIM's window no room inside the border."""
    with pytest.raises(ValueError, match="pixels"):
        score(photograph(*output), photograph(*original))


@pytest.mark.slow  # scipy.stats alone takes a second to import
def test_the_interval_is_that_of_scipy() -> None:
    """The percentile bootstrap of a mean, up to the chance of drawing."""
    from scipy import stats  # noqa: PLC0415 - see above

    values = np.random.default_rng(3).gamma(2, 1, 24)
    found = estimate_mean(values)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, abs=0.03)
    assert found.high == pytest.approx(expected.high, abs=0.03)


def test_the_interval_of_two_values_is_known() -> None:
    """Both are drawn twice in a quarter of the cases each, so the ends are the values."""
    found = estimate_mean(np.array([1.0, 3.0]))
    assert (found.low, found.mean, found.high) == (1, 2, 3)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=12),
    st.integers(-1000, 1000),
    st.integers(1, 8),
)
def test_intervals_move_with_their_values(values: list[int], by: int, times: int) -> None:
    """Shifting and scaling values does the same to mean and ends, which are among the values."""
    column = np.array(values, np.float64)
    found, moved = estimate_mean(column), estimate_mean(column * times + by)
    assert min(values) <= found.low <= found.mean <= found.high <= max(values)
    for end in ("mean", "low", "high"):
        assert getattr(moved, end) == pytest.approx(getattr(found, end) * times + by, abs=1e-6)


def test_one_picture_says_nothing_of_others() -> None:
    """There is a mean, and no interval."""
    found = estimate_mean(np.array([0.5]))
    assert found.mean == 0.5
    assert np.isnan([found.low, found.high]).all()


def test_infinite_values_stay_infinite() -> None:
    """The PSNR of equal images spoils the mean, not the program."""
    found = estimate_mean(np.array([30.0, np.inf, 32.0]))
    assert (found.mean, found.high) == (np.inf, np.inf)
    assert found.low == pytest.approx(30, abs=1.4)


def test_ratios_are_of_paired_means() -> None:
    """Half of every gain is half of all gains, whichever images are drawn; 0/0 is no number."""
    gains = np.random.default_rng(0).random(10)
    found = estimate_ratio(gains / 2, gains)
    assert (found.low, found.mean, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(estimate_ratio(np.zeros(4), np.zeros(4)).mean)


def test_paired_gains_are_surer_than_scores() -> None:
    """Where every image gains the same, the gain is certain however unlike the images are."""
    before = np.random.default_rng(0).random(6)
    gain, scores = estimate_mean(before + 0.03 - before), estimate_mean(before)
    assert gain.high - gain.low == pytest.approx(0)
    assert scores.high - scores.low > 0.1
