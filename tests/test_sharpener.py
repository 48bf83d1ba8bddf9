"""Only the sharpness changes: what is flat, how bright it is, and 16 bits to the last."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.imaging.depth import white
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.model.sharpener import CRISP_REACH_PX, Sharpener
from tests.passes import balance, bound

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sharpend.imaging.depth import Depth

X4 = ("lite-x4", "base-x4", "teacher-x4")
SHIPPED = (*X4, "lite-photo", "base-photo", "teacher-photo")
DEPTHS = (np.uint8, np.uint16)


@cache
def sharpener(name: str = "lite-x4", precision: str = "float32") -> Sharpener:
    """A shipped model on the CPU."""
    return Sharpener(weights.load(name), Placement("cpu", precision, threads=1))


@cache
def astronaut() -> NDArray[np.uint8]:
    """A photograph with edges everywhere, H x W not on the grid, as it comes."""
    picture: NDArray[np.uint8] = data.astronaut()[:161, 150:353]  # type: ignore[no-untyped-call]
    return picture


def at(dtype: type[Depth], values: ArrayLike) -> NDArray[Depth]:
    """Values of 8 bit at this depth."""
    return (np.asarray(values, np.int64) * (white(np.dtype(dtype)) // 255)).astype(dtype)


def deepened(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same image at 16 bit, with what 8 bits leave open filled by noise."""
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape)
    return (pixels * 256.0 + noise).astype(np.uint16)


def bounded(pixels: NDArray[Depth], sharpened: NDArray[Depth], levels: int) -> bool:
    """Whether the bound would change nothing more; sides are multiples of four."""
    again = sharpened.copy()
    bound(again, pixels, levels=levels)
    return np.array_equal(again, sharpened)


def test_sixteen_bits_go_through_as_in_float64() -> None:
    """A value differs from that of double precision by what the trunk's arithmetic does, alone."""
    pixels = deepened(astronaut())[:160, :200]
    exact = torch.from_numpy(pixels.astype(np.float64) / 65535).permute(2, 0, 1)[None]
    network = weights.load("lite-x4").network.double().requires_grad_(requires_grad=False)
    expected = (exact + network.detail(exact)).clamp_(0, 1)
    balance(expected, exact)
    reference = expected[0].clamp(0, 1).permute(1, 2, 0).numpy() * 65535
    found = sharpener().sharpen(pixels, overshoot=255)
    assert abs(found - reference).max() < 0.5 + 0.02
    assert (found & 0xFF).std() > 60  # all of the lower byte is in use


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_sharpened_as_eight(channels: int) -> None:
    """257 v becomes 257 times what v becomes, within the rounding of 8 bit."""
    pixels = astronaut()[..., :channels]
    shallow = sharpener().sharpen(pixels)
    deep = sharpener().sharpen(pixels.astype(np.uint16) * 257)
    assert abs(deep.astype(int) - 257 * shallow.astype(int)).max() <= 257 // 2 + 1


def test_bfloat16_moves_only_what_is_added() -> None:
    """Where little is added, 16 bits pass a trunk of 8 significant bits."""
    pixels = deepened(astronaut())
    exact, low = (
        sharpener(precision=precision).sharpen(pixels).astype(int)
        for precision in ("float32", "bfloat16")
    )
    assert abs(exact - low).max() <= 0.05 * abs(exact - pixels).max()


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("channels", [1, 3])
def test_overshoot_is_bounded(channels: int, dtype: type[np.uint8 | np.uint16]) -> None:
    """Every pixel stays within its bound; less of it is another image, and 255 is none."""
    pixels = at(dtype, astronaut()[:160, :200, :channels])
    free, default, tight = (
        sharpener().sharpen(pixels, overshoot=levels) for levels in (255, 48, 4)
    )
    assert bounded(pixels, tight, 4)
    assert bounded(pixels, default, 48)
    assert not bounded(pixels, free, 4)
    assert np.array_equal(sharpener().sharpen(pixels), default)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_the_mean_of_each_channel_stays(dtype: type[np.uint8 | np.uint16]) -> None:
    """A photograph as it comes moves by less than a quarter of a level of 8 bit on the mean."""
    pixels = at(dtype, astronaut())
    moved = sharpener().sharpen(pixels).mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))
    assert abs(moved).max() < 0.25 * (white(pixels.dtype) // 255)


def flat_in_a_picture(value: NDArray[Depth], margin_px: int) -> NDArray[Depth]:
    """A photograph with a flat patch that has space for a margin around its middle."""
    side = 2 * margin_px + 40
    height, width = side + 64, side + 60
    picture = at(value.dtype.type, np.resize(astronaut(), (height, width, value.size)))
    picture[30 : 30 + side, 31 : 31 + side] = value
    return picture


def flat_stays_flat(
    used: Sharpener, value: NDArray[Depth], *, strength: float = 1.0, crispness: float = 0.0
) -> bool:
    """Whether a value comes back, alone in an image and in a patch beyond the halo."""
    alone = np.full((9, 14, value.size), value, value.dtype)
    margin_px = used.halo_px + CRISP_REACH_PX + 4
    around = flat_in_a_picture(value, margin_px)
    within = used.sharpen(around, strength=strength, crispness=crispness)
    middle = within[30 + margin_px :, 31 + margin_px :][:40, :40]
    alone = used.sharpen(alone, strength=strength, crispness=crispness)
    return bool((alone == value).all() and (middle == value).all())


COLOURS = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (1, 254, 127), (0,), (255,), (129,)]


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_flat_stays_flat(precision: str, dtype: type[np.uint8 | np.uint16]) -> None:
    """Gray levels and colours return to the bit, at any depth and precision."""
    for colour in COLOURS:
        assert flat_stays_flat(sharpener("lite-x4", precision), at(dtype, colour)), colour


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_what_is_flat_stays_flat_under_crispness(
    strength: float, dtype: type[np.uint8 | np.uint16]
) -> None:
    """The mask adds nothing where there is nothing, by itself and over the model."""
    for colour in COLOURS:
        used, value = sharpener(), at(dtype, colour)
        assert flat_stays_flat(used, value, strength=strength, crispness=1.0), colour


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_crispness_keeps_the_mean_of_each_channel(
    strength: float, dtype: type[np.uint8 | np.uint16]
) -> None:
    """A photograph as it comes moves by less than a quarter of a level of 8 bit on the mean."""
    pixels = at(dtype, astronaut())
    crisp = sharpener().sharpen(pixels, strength=strength, crispness=1.0)
    moved = crisp.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))
    assert abs(crisp.astype(int) - pixels).max() > 10 * (white(pixels.dtype) // 255)
    assert abs(moved).max() < 0.25 * (white(pixels.dtype) // 255)


def test_crispness_adds_to_all_channels_alike() -> None:
    """Where nothing is clipped, the mask moves all by the same, but for what keeps the mean."""
    pixels = (astronaut() // 2 + 64).astype(np.uint8)
    added = sharpener().sharpen(pixels, strength=0, crispness=1.0).astype(int) - pixels
    assert added.std() > 1
    assert np.ptp(added, axis=2).max() <= 2


def test_crispness_lifts_edges_and_not_noise() -> None:
    """An edge in grain gets steeper, within its surroundings, and the grain stays as it is."""
    chance = np.random.default_rng(0)
    step = np.repeat(np.where(np.arange(256) < 128, 80.0, 170.0)[None], 256, axis=0)
    soft = np.apply_along_axis(np.convolve, 1, step, np.hanning(9) / 4, mode="same")
    soft[:, :8], soft[:, -8:] = 80, 170
    pixels = (soft + chance.normal(0, 2, soft.shape)).round().astype(np.uint8)[..., None]
    crisp = sharpener().sharpen(pixels, strength=0, crispness=1.0)
    before, after = (np.diff(one[..., 0].astype(float).mean(axis=0)) for one in (pixels, crisp))
    assert after[120:135].max() > 1.2 * before[120:135].max()
    assert abs(crisp[:, 20:90].std() / pixels[:, 20:90].std() - 1) < 0.02
    assert crisp.max() <= pixels.max() + 4
    assert crisp.min() >= pixels.min() - 4


def test_crispness_leaves_the_range_of_the_input_no_further_than_the_model() -> None:
    """A soft step that the model restores gets no wider a margin from the mask on top of it."""
    step = np.where(np.arange(256) < 128, 80.0, 170.0)
    line = np.convolve(np.pad(step, 8, mode="edge"), np.hanning(11) / 5, mode="same")[8:-8]
    pixels = np.repeat(line.round().astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    alone, both = (sharpener().sharpen(pixels, crispness=amount) for amount in (0.0, 1.0))
    assert (np.diff(both[32, :, 0].astype(int)).max()) > 1.1 * np.diff(
        alone[32, :, 0].astype(int)
    ).max()
    assert both.max() <= max(int(alone.max()) + 1, 170 + 4)
    assert both.min() >= min(int(alone.min()) - 1, 80 - 4)


def test_crispness_asks_for_the_noise_of_the_whole() -> None:
    """With the cues of an image, a part of it becomes what it becomes inside of the whole."""
    pixels = np.concatenate([astronaut(), at(np.uint8, astronaut() // 8)])[:320, :200]
    whole = sharpener().sharpen(pixels, crispness=1.0)
    half = pixels[:160]
    part = sharpener().sharpen(half, crispness=1.0, cues=measure(pixels))
    reach_px = sharpener().halo_px + CRISP_REACH_PX
    assert np.array_equal(part[:-reach_px], whole[: 160 - reach_px])
    alone = sharpener().sharpen(half, crispness=1.0)
    assert not np.array_equal(alone[:-reach_px], part[:-reach_px])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_level_stays_flat(name: str, precision: str) -> None:
    """All gray levels of 8 bit, as many of 16 bit between them, and colours, in every model."""
    used = sharpener(name, precision)
    chance = np.random.default_rng(0)
    colours = chance.integers(0, 65536, (64, 3))
    for level in range(256):
        for pixel in ([level], [level] * 3):
            flat = np.full((9, 14, len(pixel)), pixel, np.uint8)
            assert np.array_equal(used.sharpen(flat), flat), pixel
            odd = flat.astype(np.uint16) * 257 + level // 2 * (level < 255)
            assert np.array_equal(used.sharpen(odd), odd), pixel
    for colour in colours:
        deep = np.full((9, 14, 3), colour, np.uint16)
        shallow = (deep >> 8).astype(np.uint8)
        assert np.array_equal(used.sharpen(deep), deep), colour
        assert np.array_equal(used.sharpen(shallow), shallow), colour
    for value in (colours[0].astype(np.uint16), (colours[1] >> 8).astype(np.uint8)):
        assert flat_stays_flat(used, value), value
