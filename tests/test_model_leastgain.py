"""The least gain: clean, slightly soft photographs are sharpened, however little a model adds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.imaging.depth import white
from sharpend.model import weights
from sharpend.model.conditioning import FLOOR_TIMES
from sharpend.model.cues import FAINT, Cues
from sharpend.model.device import Placement
from sharpend.model.leastgain import LEAST_GAIN, OVERSHOOT, with_least_gain
from sharpend.model.measuring import measure
from sharpend.model.packing import Added, Packed
from sharpend.model.sharpener import Sharpener
from tests.test_model_runtime import needs_openvino
from trainer.evaluation.matrix.real_harm import real_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTO_MODELS = ("lite-photo", "base-photo", "teacher-photo")


def cues_of(sharpness: float, *, middle: float = -1.0, noise_levels: float = 0.2) -> Cues:
    """Cues of an image.

    Args:
        sharpness: logarithm of the finest band's energy over the middle one's.
        middle: that of the middle band over the coarsest one.
        noise_levels: deviation of each band in its calm parts, in levels of 8 bit.
    """
    coarse = 300 * FAINT
    energies = [coarse * float(np.exp(each)) for each in (sharpness + middle, middle, 0)]
    return Cues(tuple(energies), tuple(energies), ((noise_levels / 255) ** 2,) * 3)


def added(*gains: float, floor: float = 1e-6) -> Added:
    """Nothing but a mask of these gains."""
    return Added(torch.zeros(1, 48, 2, 2), gains, floor)


@pytest.mark.parametrize("given", [-0.4, 0.0, 0.1, 1.0, LEAST_GAIN - 0.01])
def test_the_finest_band_of_a_clean_slightly_soft_image_gets_it(given: float) -> None:
    """From whatever the model asks for; the other bands keep their gains."""
    made = with_least_gain(added(given, 0.3, -0.1), cues_of(-1.0))
    assert made.gains == pytest.approx((LEAST_GAIN, 0.3, -0.1))
    assert made.overshoot == OVERSHOOT


@pytest.mark.parametrize(
    ("asked", "cues"),
    [
        (added(0.2, 0, 0), cues_of(-0.81)),
        (added(0.2, 0, 0), cues_of(-1.21)),
        (added(-2.0, 0, 0), cues_of(-1.7)),
        (added(0.2, 0, 0), cues_of(-1.0, noise_levels=0.76)),
        (added(0.2, 0, 0), cues_of(-1.0, middle=-0.59)),
        (added(LEAST_GAIN, 0, 0), cues_of(-1.0)),
        (added(3.0, 0, 0), cues_of(-1.0)),
        (added(), cues_of(-1.0)),
        (added(0.2, 0, 0), Cues((0.0,) * 3, (0.0,) * 3, (0.0,) * 3)),
    ],
    ids=[
        "sharp",
        "soft",
        "very soft",
        "noisy",
        "sharpened",
        "just enough",
        "more",
        "no mask",
        "flat",
    ],
)
def test_what_needs_no_more_stays_as_it_is(asked: Added, cues: Cues) -> None:
    """Sharp, soft, noisy and sharpened images, and a model that adds as much by itself."""
    assert with_least_gain(asked, cues) is asked


def test_it_rises_without_steps() -> None:
    """Images that measure nearly alike are sharpened nearly alike."""
    for cues in (
        [cues_of(s) for s in np.linspace(-1.25, -0.75, 501)],
        [cues_of(-1.0, middle=m) for m in np.linspace(-0.8, -0.5, 501)],
        [cues_of(-1.0, noise_levels=n) for n in np.linspace(0.4, 0.8, 501)],
    ):
        gains = [with_least_gain(added(-0.3, 0.1, 0), each).gains[0] for each in cues]
        assert np.abs(np.diff(gains)).max() < 0.05
        assert max(gains) == LEAST_GAIN
        assert min(gains) == -0.3


@pytest.mark.parametrize("given", [-0.4, 0.0, 0.2, 0.5, 1.0])
def test_noise_is_amplified_less_than_by_the_model_alone(given: float) -> None:
    """Or by a twenty-fifth at most: at the noise floor's energy, by the rule of the mask's gate."""
    cues = cues_of(-1.0)
    amounts = []
    for each in (asked := added(given, 0, 0), with_least_gain(asked, cues)):
        energy = cues.floor[0] * each.gains[0] ** 2
        floor = FLOOR_TIMES * energy if each is asked else each.floor
        amounts.append(each.gains[0] * energy / (energy + floor) if energy else 0.0)
    assert amounts[1] < max(amounts[0], 1 / 24)


def test_the_bound_of_a_network_holds_beside_the_settings() -> None:
    """The smaller of both bounds how far a pixel leaves the values around it."""
    pixels = np.full((24, 24, 3), 100, np.uint8)
    pixels[:, 12:] = 120
    detail = torch.zeros(1, 48, 6, 6)
    detail[:, ::2, 2:4, 2:4] = 0.5
    for network, setting in ((3, 48), (48, 3)):
        out = np.zeros_like(pixels)
        bounded = replace(Added(detail), overshoot=network)
        Packed(pixels).finish(bounded, out, (0, 0), strength=1.0, overshoot=setting)
        assert out.max() == 123


def brick() -> NDArray[np.uint8]:
    """A photograph that is slightly soft and clean: sharpness -1.14, noise of 0.4 levels."""
    gray = np.asarray(data.brick())  # type: ignore[no-untyped-call]
    return np.repeat(gray[:, :, None], 3, axis=2)


@pytest.mark.parametrize("model", PHOTO_MODELS)
def test_edges_of_a_slightly_soft_photograph_become_steeper_by_a_tenth(model: str) -> None:
    """By every photo model, in gray as in colour, and within a few levels of what was there."""
    used = Sharpener(weights.load(model), Placement("cpu", "float32", threads=1))
    figures = real_figures(brick(), used.sharpen(brick()))
    assert figures.slope > 1.10
    assert figures.overshoot <= 5


@pytest.mark.parametrize(
    ("runtime", "precision", "channels", "dtype"),
    [
        ("torch", "float32", 3, np.uint8),
        *(
            pytest.param(*form, channels, dtype, marks=[pytest.mark.slow, *marks])
            for *form, marks in (
                ("torch", "bfloat16", []),
                ("openvino", "int8", [needs_openvino]),
            )
            for channels in (1, 3)
            for dtype in (np.uint8, np.uint16)
        ),
    ],
)
def test_tiles_of_it_equal_the_whole(
    runtime: str, precision: str, channels: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    """The gain is the whole image's, in every form, depth and number of channels."""
    level = white(np.dtype(dtype)) // 255
    pixels: NDArray[Any] = (brick()[..., :channels].astype(int) * level).astype(dtype)
    assert with_least_gain(added(0.1, 0, 0), measure(pixels)).gains[0] > 1
    tiled, whole = (
        Sharpener(
            weights.load("lite-photo"),
            Placement("cpu", precision, tile_px, threads=1, runtime=runtime),
        )
        for tile_px in (128, 512)
    )
    for crispness in (0.0, 0.3):
        expected = whole.sharpen(pixels, crispness=crispness)
        assert np.array_equal(tiled.sharpen(pixels, crispness=crispness), expected)
