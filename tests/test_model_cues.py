"""Softness cues: what is measured, over the whole image, and that it tells how soft it is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.filters import blur, degrade
from sharpend.model.bands import energies
from sharpend.model.cues import (
    BANDS,
    CUES,
    LUMA,
    MEASURED,
    REACH_PX,
    SIGMAS_PX,
    Cues,
    band_kernels,
    cues_of,
    folded_luma,
    out_of_distribution,
)
from sharpend.model.measuring import STRIP_PX, measure
from trainer.degradations.camera import jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@cache
def astronaut() -> NDArray[np.uint8]:
    """A sharp photograph, 512 x 512."""
    picture: NDArray[np.uint8] = data.astronaut()  # type: ignore[no-untyped-call]
    return picture


def close(one: Cues, other: Cues, *, within: float) -> bool:
    """Whether all energies agree within a relative difference."""
    return torch.allclose(one.tensor(), other.tensor(), rtol=within, atol=1e-12)


def test_bands_are_differences_of_gaussian_blurs() -> None:
    """On the folded grid they are what plain convolutions of pixels make."""
    gray = torch.rand(1, 1, 40, 52)
    last, expected = gray, []
    for sigma in SIGMAS_PX:
        places = torch.arange(-REACH_PX, REACH_PX + 1).float()
        line = torch.exp(-(places**2) / (2 * sigma**2))
        line /= line.sum()
        padded = F.pad(gray, (REACH_PX,) * 4, mode="replicate")
        blurred = F.conv2d(F.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))
        expected.append(last - blurred)
        last = blurred
    found = F.conv2d(folded_luma(gray), band_kernels().flatten(0, 1))
    for band in range(BANDS):
        unfolded = F.pixel_shuffle(found[:, 16 * band : 16 * (band + 1)], 4)
        torch.testing.assert_close(unfolded, expected[band], atol=1e-6, rtol=0)


def test_kernels_that_an_inference_made_can_be_trained_with() -> None:
    """Kept kernels are no tensors of the inference that asked for them first."""
    band_kernels.cache_clear()
    with torch.inference_mode():
        assert not band_kernels().is_inference()


def test_softer_images_have_lower_cues() -> None:
    """A photograph as it comes, reduced by two, by three, by four: always less in the fine band."""
    values = [
        measure(degrade(astronaut(), factor=factor)).sharpness
        if factor > 1
        else measure(astronaut()).sharpness
        for factor in (1, 2, 3, 4)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] > -1.0
    assert values[1] < -1.2
    assert values[3] < -1.6


def test_depth_gray_and_contrast_change_nothing() -> None:
    """16 bits tell what 8 bits do; a gray image of three equal channels what one channel does."""
    pixels = astronaut()
    assert close(measure(pixels), measure(pixels.astype(np.uint16) * 257), within=1e-5)
    gray = pixels[..., 1:2]
    assert close(measure(gray), measure(np.repeat(gray, 3, axis=2)), within=1e-5)
    faint = (pixels // 2 + 64).astype(np.uint8)
    assert abs(measure(faint).sharpness - measure(pixels).sharpness) < 0.05


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image taller than a strip is measured as if it were measured in one piece."""
    tall = np.tile(astronaut()[:, :200], (5, 1, 1))[: 2 * STRIP_PX + 137]
    in_strips = measure(tall)
    monkeypatch.setattr("sharpend.model.measuring.STRIP_PX", 4 * STRIP_PX)
    assert close(measure(tall), in_strips, within=1e-6)


def test_energies_of_cells_are_those_of_the_bands() -> None:
    """They are the mean square of each band at a pixel of each row, in each column once."""
    pixels = astronaut()[:96, 100:220]
    gray = torch.from_numpy(pixels / np.float32(255)) @ torch.tensor(LUMA)
    bands = F.conv2d(folded_luma(gray[None, None]), band_kernels().flatten(0, 1))
    at = [1, 4 + 3, 8 + 0, 12 + 2]
    expected = bands.reshape(BANDS, 16, *bands.shape[2:])[:, at].square().mean(dim=1)
    torch.testing.assert_close(torch.from_numpy(energies(pixels)), expected, atol=1e-8, rtol=1e-3)


def test_hidden_pixels_count_for_nothing() -> None:
    """Whatever lies under transparency, the visible part alone is measured."""
    rng = np.random.default_rng(0)
    pixels = astronaut().copy()
    visible = np.ones(pixels.shape[:2], bool)
    visible[:, :216] = False
    noisy = pixels.copy()
    noisy[:, :216] = rng.integers(0, 256, (512, 216, 3))
    assert measure(pixels, visible) == measure(noisy, visible)
    assert measure(noisy, visible) != measure(noisy)
    assert close(measure(pixels, visible), measure(pixels[:, 224:]), within=0.1)


def test_nothing_visible_measures_as_nothing() -> None:
    """A fully transparent image, a flat one, and an image of one pixel have no energy."""
    pixels = astronaut()[:40, :40]
    zero = (0.0,) * BANDS
    assert measure(pixels, np.zeros((40, 40), bool)) == Cues(zero, zero, zero)
    for flat in (np.full((33, 21, 3), 200, np.uint8), astronaut()[:1, :1]):
        assert measure(flat).tensor().max() < 1e-12


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 2), (2000, 1), (1, 900)])
def test_any_size_is_measured(shape: tuple[int, int]) -> None:
    """Images smaller than a tile or a cell count as one."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    measured = measure(pixels).tensor()
    assert torch.isfinite(measured).all()
    assert measured.max() > 0 or shape == (1, 1)


def test_noise_raises_the_floor() -> None:
    """Grain fools the plain ratio; the floor tells how much of it there is."""
    soft = degrade(astronaut(), factor=3)
    noise = np.random.default_rng(0).normal(0, 5, soft.shape)
    noisy = np.clip(np.rint(soft + noise), 0, 255).astype(np.uint8)
    clean, grainy = measure(soft), measure(noisy)
    assert grainy.sharpness > clean.sharpness + 1
    assert grainy.floor[0] > 20 * clean.floor[0]
    cues = cues_of(torch.cat([clean.tensor(), grainy.tensor()]))
    assert cues.shape == (2, CUES)
    of_structure = (cues[1, 3] - cues[0, 3]).item()
    of_the_whole = (cues[1, 0] - cues[0, 0]).item()
    assert of_structure < of_the_whole


def test_cues_beyond_those_of_photographs_are_bounded() -> None:
    """Measurements that no photograph has give a model the nearest ones that it knows."""
    wild = torch.tensor([[10.0 ** (-14 * (n % 2)) for n in range(MEASURED)]])
    assert cues_of(wild).abs().max() <= 5
    assert cues_of(torch.zeros(1, MEASURED)).abs().max() <= 5


@pytest.mark.parametrize(
    "softened",
    [
        lambda pixels: pixels,
        degrade,
        lambda pixels: blur(pixels, sigma=6.0),
        lambda pixels: jpeg(pixels, 15),
        lambda pixels: jpeg(blur(pixels, sigma=1.5), 30),
        lambda pixels: pixels[::4, ::4].repeat(4, axis=0).repeat(4, axis=1),
    ],
    ids=["sharp", "x4", "blurred", "JPEG", "blurred JPEG", "pixel art"],
)
def test_no_photograph_is_out_of_distribution(
    softened: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    """Blurred, compressed or enlarged, it gets the whole strength of a model."""
    for pixels in (data.astronaut(), data.coffee(), data.brick()):  # type: ignore[no-untyped-call]
        colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        measured = measure(softened(np.ascontiguousarray(colours))).tensor()
        assert out_of_distribution(measured).item() == 0


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_grating_is_out_of_distribution(period: int) -> None:
    """Its power lies in one ring, that of a photograph in all of them."""
    wave = np.sin(np.arange(256) * (2 * np.pi / period)) * 100 + 128
    gray = np.tile(wave.round().astype(np.uint8), (256, 1))[:, :, None]
    assert out_of_distribution(measure(gray).tensor()).item() == 1
