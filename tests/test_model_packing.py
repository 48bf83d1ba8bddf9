"""One pass from pixels to a model and one back: compiled, in numpy, and as their words say."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.imaging.depth import white
from sharpend.imaging.tensors import to_tensor
from sharpend.model import plain_packing as plain
from sharpend.model import weights
from sharpend.model.bands import energies
from sharpend.model.conditioning import calm_gate, calm_range
from sharpend.model.cues import LUMA, MEASURED, band_kernels, folded_luma, luma
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.model.networks import less_local_mean
from sharpend.model.packing import REACH_PX, Added, Packed
from sharpend.model.passes import COMPILED
from sharpend.model.sharpener import Sharpener
from tests import passes

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

compiled = pytest.mark.skipif(COMPILED is None, reason="no C compiler was at installation")
DTYPES = (np.uint8, np.uint16, np.float32)
SIZES = [(4, 4), (8, 20), (4, 400), (128, 256), (36, 60)]


def noise(shape: tuple[int, int, int], dtype: type[Any], *, lowest: float = 0) -> NDArray[Any]:
    """Pixels without any pattern, from a share of white upwards."""
    chance = np.random.default_rng(shape[0] * 1009 + shape[1])
    if dtype is np.float32:
        return chance.uniform(lowest, 1, shape).astype(np.float32)
    top = white(np.dtype(dtype))
    return chance.integers(int(lowest * top), top + 1, shape).astype(dtype)


def added_to(
    pixels: NDArray[Any],
    precision: torch.dtype,
    *,
    masked: bool,
    shift: float = 0.0,
    calm: float = 0.0,
) -> Added:
    """Values that a model might add to pixels, clipping included."""
    torch.manual_seed(pixels.shape[1])
    height, width = (size // 4 for size in pixels.shape[:2])
    detail = (torch.randn(1, 48, height, width) * 0.1 + shift).to(precision)
    return Added(detail, (0.7, -0.4, 1.3) if masked else (), floor=3e-3, calm=calm)


def finished(packed: Packed, added: Added, **how: float) -> NDArray[Any]:
    """The whole window with what is added."""
    out = np.zeros_like(packed.pixels)
    options = {"strength": 1.0, "overshoot": 255} | how
    packed.finish(added, out, (0, 0), **options)  # type: ignore[arg-type]
    return out


def everything(
    pixels: NDArray[Any], passes: ModuleType | None, added: Added, at: tuple[int, int]
) -> list[NDArray[Any]]:
    """All that the passes make of a window: the network's input, luma, and a part of the result."""
    packed = Packed(pixels, passes)
    out = np.zeros_like(pixels)[at[0] * 4 :, at[1] * 4 :]
    packed.finish(added, out, at, strength=1.3, overshoot=30)
    folded = [
        packed.folded(precision, less_mean=less_mean).float().numpy()
        for precision in (torch.float32, torch.bfloat16)
        for less_mean in (True, False)
    ]
    return [*folded, out]


@compiled
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    precision=st.sampled_from([torch.float32, torch.bfloat16]),
    how=st.tuples(st.booleans(), st.sampled_from([0.0, 1e-9, 0.7, 5.0])),
    corner=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
)
def test_compiled_and_plain_passes_give_the_same_bits(
    size: tuple[int, int],
    channels: int,
    dtype: type[Any],
    precision: torch.dtype,
    how: tuple[bool, float],
    corner: tuple[float, float],
) -> None:
    """At any size, depth, precision, mask, gate and part of a window, with gaps between rows."""
    pixels = noise((size[0] * 4, size[1] * 4 + 8, channels), dtype)[:, 4:-4]
    added = added_to(pixels, precision, masked=how[0], calm=how[1])
    at = int(size[0] * corner[0]), int(size[1] * corner[1])
    quick, slow = (everything(pixels, each, added, at) for each in (COMPILED, plain))
    for one, other in zip(quick, slow, strict=True):
        assert np.array_equal(one, other)


@compiled
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 50), st.integers(1, 90)),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_compiled_and_plain_bands_have_the_same_bits(
    size: tuple[int, int], channels: int, dtype: type[Any]
) -> None:
    """At any size and depth, whole cells or not, in memory with gaps between rows."""
    pixels = noise((size[0], size[1] + 2, channels), dtype)[:, 1:-1]
    with pytest.MonkeyPatch.context() as patch:
        quick = energies(pixels)
        patch.setattr("sharpend.model.bands.COMPILED", None)
        assert np.array_equal(quick, energies(pixels))


@compiled
@pytest.mark.parametrize("name", ["lite-x4", "lite-photo"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_the_compiled_passes_images_are_the_same(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation without a C compiler sharpens every image to the same pixels."""
    used = Sharpener(weights.load(name), Placement("cpu", precision, 128, threads=1))
    pixels = astronaut()[:157, :203]
    options = [{}, {"strength": 0.6, "crispness": 0.5}, {"overshoot": 3}]
    quick = [used.sharpen(pixels, **each) for each in options]  # type: ignore[arg-type]
    for module in ("packing", "bands"):
        monkeypatch.setattr(f"sharpend.model.{module}.COMPILED", None)
    for each, expected in zip(options, quick, strict=True):
        assert np.array_equal(used.sharpen(pixels, **each), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_may_lie_anyhow_in_memory(channels: int) -> None:
    """A channel of another array, planes, columns first: the same result."""
    used = Sharpener(weights.load("lite-photo"), Placement("cpu", threads=1))
    wide = np.dstack([astronaut()[:61, :83]] * 2).astype(np.uint16) * 257
    pixels = np.ascontiguousarray(wide[..., :channels])
    expected = used.sharpen(pixels)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
    for each in (wide[..., :channels], planes, np.asfortranarray(pixels)):
        assert np.array_equal(used.sharpen(each), expected)


@cache
def astronaut() -> NDArray[np.uint8]:
    """A photograph that was reduced by four and enlarged again."""
    sharp = Image.fromarray(data.astronaut()[:180, 130:346])  # type: ignore[no-untyped-call]
    soft = sharp.resize((54, 45), Image.Resampling.BICUBIC)
    return np.asarray(soft.resize(sharp.size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("name", "grain"), [("lite-x4", 0), ("lite-photo", 0), ("lite-photo", 4)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_result_is_that_of_one_step_after_the_other(
    name: str, grain: int, channels: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    """Folded and in one pass, a value moves by a level at most, and hardly any value does."""
    level = white(np.dtype(dtype)) // 255
    grains = np.random.default_rng(grain).normal(0, grain, astronaut().shape)
    grainy = np.rint(astronaut() + grains).clip(0, 255)[..., :channels]
    pixels: NDArray[Any] = (grainy * level).astype(dtype)
    loaded, cues = weights.load(name), measure(pixels)
    assert (calm_range(cues.tensor()) > 0) == (grain > 0)
    for precision, moved in ((torch.float32, 0.002), (torch.bfloat16, 0.005)):
        placement = Placement("cpu", str(precision).removeprefix("torch."), threads=1)
        found = Sharpener(loaded, placement).sharpen(pixels, cues=cues).astype(int)
        network = copy.deepcopy(loaded.network)
        network.set_precision(precision)
        expected = passes.sharpened(network, pixels, cues)
        assert abs(found - expected).max() <= (1 if precision is torch.float32 else level)
        assert (abs(found - expected) > level // 2).mean() < moved


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_is_given_what_training_gives_it(channels: int, dtype: type[Any]) -> None:
    """Folded pixels less their local mean, within rounding."""
    for height, width in SIZES:
        pixels = noise((height, width, channels), dtype)
        picture, packed = to_tensor(pixels), Packed(pixels)
        folded = F.pixel_unshuffle(picture, 4)
        for less_mean, expected in ((True, less_local_mean(folded)), (False, folded)):
            given_values = packed.folded(torch.float32, less_mean=less_mean)
            assert given_values.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(given_values, expected, atol=4e-7, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_that_of_training(channels: int, dtype: type[Any]) -> None:
    """The bands of luma times their gains, the edge repeated, within rounding."""
    gains = (0.7, -0.4, 1.3)
    for height, width in SIZES:
        pixels = (noise((height, width, channels), dtype, lowest=0.9) * 0.5).astype(dtype)
        bands = F.conv2d(folded_luma(luma(to_tensor(pixels))), band_kernels().flatten(0, 1))
        expected = torch.einsum(
            "n,nohw->hwo", torch.tensor(gains), bands.reshape(3, 16, *bands.shape[2:])
        )
        added = Added(torch.zeros(1, 48, height // 4, width // 4), gains)
        found = Packed(pixels).change(added, 1.0) / white(pixels.dtype)
        for channel in range(channels):
            np.testing.assert_allclose(found[:, :, channel], expected, atol=5e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gate_of_the_detail_is_that_of_training(channels: int, dtype: type[Any]) -> None:
    """From the ranges of cells as from the image, at every depth, in gray and colour."""
    measured = torch.full((1, MEASURED), 5e-4)
    for height, width in SIZES[1:]:
        pixels = (noise((height, width, channels), dtype) * 0.5).astype(dtype)
        pixels[:, width // 2 :] = pixels[:, width // 2 :] * 0.25
        expected = calm_gate(to_tensor(pixels), measured)[0, 0].numpy()
        assert expected.min() < 0.1
        assert expected.max() > 0.6
        ones = torch.ones(1, 48, height // 4, width // 4)
        added = Added(ones, calm=float(calm_range(measured)))
        found = Packed(pixels).change(added, 0.25) * (4 / white(pixels.dtype))
        np.testing.assert_allclose(found, expected[..., None, None] + 0 * found, atol=2e-6)


def test_bfloat16_is_rounded_to_even() -> None:
    """The input in bfloat16 is that in float32 as torch rounds it."""
    packed = Packed(noise((40, 64, 3), np.uint16))
    exact = packed.folded(torch.float32, less_mean=True)
    low = packed.folded(torch.bfloat16, less_mean=True)
    assert torch.equal(low, exact.to(torch.bfloat16))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_added_is_the_input(channels: int, dtype: type[Any]) -> None:
    """Every value returns to the bit, whatever the bound."""
    pixels = noise((40, 24, channels), dtype)
    nothing = Added(torch.zeros(1, 48, 10, 6), (0.0, 0.0, 0.0), 1e-3)
    assert np.array_equal(finished(Packed(pixels), nothing, overshoot=0), pixels)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_mean_of_the_whole_image_stays(height: int, width: int) -> None:
    """Whatever is added, of each channel, up to the edges and in images of one cell."""
    pixels = noise((height, width, 3), np.float32, lowest=0.3) * np.float32(0.7)
    added = added_to(pixels, torch.float32, masked=False, shift=0.2)
    change = Packed(pixels).change(added, 1.0)
    assert change.mean() > 0.02
    made = Packed(pixels).balanced(change)
    assert made.detail.reshape(3, -1).mean(dim=1).abs().max() < 1e-6


def test_a_shift_is_taken_out_wherever_it_is() -> None:
    """An image that only became brighter is the input again."""
    pixels = noise((40, 60, 3), np.uint16) // 2
    brighter = Added(torch.full((1, 48, 10, 15), 0.25))
    assert np.array_equal(finished(Packed(pixels), brighter), pixels)


def test_the_means_reach_as_far_as_they_say() -> None:
    """A changed cell moves others up to the last cell within reach, and none beyond it."""
    detail = torch.zeros(1, 48, 30, 30)
    detail[..., 15, 15] = 0.5
    pixels = np.full((120, 120, 3), 2**15, np.uint16)
    rows = (finished(Packed(pixels), Added(detail)) != pixels).any(axis=(1, 2)).nonzero()[0]
    assert 60 - REACH_PX <= rows.min() < 60 - REACH_PX + 4
    assert 63 + REACH_PX - 4 < rows.max() <= 63 + REACH_PX


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("levels", [0, 1, 12, 48, 254, 255])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 24), (20, 28), (36, 12)])
def test_overshoot_is_the_clip_to_the_window(
    height: int, width: int, levels: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    """Clipped between minimum less `levels` and maximum plus `levels` of 3 x 3 cells of 4 x 4."""
    pixels = noise((height, width, 3), dtype) // 6 + white(np.dtype(dtype)) // 3
    pixels = pixels.astype(dtype)
    added = added_to(pixels, torch.float32, masked=False)
    expected = finished(Packed(pixels), added, strength=5.0)
    passes.bound(expected, pixels, levels=levels)
    found = finished(Packed(pixels), added, strength=5.0, overshoot=levels)
    assert np.array_equal(found, expected)


@compiled
def test_arrays_of_wrong_sizes_are_refused() -> None:
    """The compiled passes write into no array that is too small, and read from none."""
    assert COMPILED is not None
    pixels, sums, cells = np.zeros((8, 8, 3), np.uint8), np.zeros(12, np.int32), np.zeros(12, "u2")
    wrong: list[tuple[Any, ...]] = [
        (COMPILED.survey, pixels, sums, cells, cells[:-1]),
        (COMPILED.survey, pixels[:6], sums, cells, cells),
        (COMPILED.survey, pixels[:, ::2], sums, cells, cells),
        (COMPILED.pack, pixels, sums, np.zeros(191, np.float32)),
        (COMPILED.mask, pixels, LUMA, np.zeros(26, "f4"), LUMA, np.zeros(64, "f4")),
        (COMPILED.mask, pixels, LUMA, np.zeros(27, "f4"), LUMA, np.zeros(63, "f4")),
        (COMPILED.gates, sums, (2, 2), 1.0, np.zeros(4, np.float32)),
        (COMPILED.sum, pixels, np.zeros(191, "f4"), None, None, None, 1.0, sums),
        (COMPILED.sum, pixels, np.zeros(192, "f4"), np.zeros(3, "f4"), None, None, 1.0, sums),
        (COMPILED.sum, pixels, np.zeros(192, "f4"), None, np.zeros(64, "f4"), None, 1.0, sums),
        (COMPILED.means, sums, (2, 3, 3), 1.0, sums),
    ]
    for function, *arguments in wrong:
        with pytest.raises(ValueError, match=r"values|pixels|together"):
            function(*arguments)
    detail, shifts = np.zeros(192, np.float32), np.zeros(12, np.float32)
    given_all = (pixels, detail, None, None, None, 1.0, shifts, cells, cells, 3)
    for out, at in ((pixels.copy(), (1, 0)), (pixels[:4].astype(np.uint16), (0, 0))):
        with pytest.raises(ValueError, match="no part of the pixels"):
            COMPILED.finish(*given_all, out, at)
