"""Runtime and sharpener: tiles that cannot be seen, sizes from one pixel up, devices and memory."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpend.errors import TransientError, UnavailableError
from sharpend.imaging.tensors import to_tensor
from sharpend.model import sharpener as sharpener_module
from sharpend.model.device import PlacedModel, Placement, choose_device
from sharpend.model.installed import openvino_version
from sharpend.model.networks import NETWORKS
from sharpend.model.runtimes import openvino_runtime
from sharpend.model.sharpener import Sharpener, keep_hidden
from sharpend.model.ssim import compute_ssim
from sharpend.model.tiling import SMALLEST_TILE_PX, pad_to_grid, plan_tiles
from sharpend.model.weights import Card, Weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth
    from sharpend.model.cues import Cues
    from sharpend.model.packing import Added, Packed

WHOLE_PX = 4096
BY_OPENVINO = ("openvino float32", "openvino bfloat16", "openvino int8")
FORMS = ["float32", "bfloat16", *(BY_OPENVINO if openvino_version() else ())]
"""Precisions by torch, and by the runtimes that are installed."""
needs_openvino = pytest.mark.skipif(
    openvino_version() is None, reason="needs OpenVINO: pip install 'sharpend[openvino]'"
)
SHAPES = {"student": (16, 1), "teacher": (16, 2), "cued": (16, 1)}
BIAS_FREE = {"student": True, "teacher": False, "cued": True}


@cache
def weights_of(name: str) -> Weights:
    """A model whose detail is strong enough to show every seam."""
    torch.manual_seed(0)
    kind = "student" if name == "cued" else name
    channels, blocks = SHAPES[name]
    network = NETWORKS[kind](channels, blocks, bias_free=BIAS_FREE[name], cued=name == "cued")
    with torch.no_grad():
        network.tail.weight.mul_(20)
        if network.cued:
            network.scales.out.weight.normal_(0, 0.1)
            network.mask.gains.weight.normal_(0, 0.5)
    network.ranges = (1.0,) * (2 * blocks + 2)
    return Weights(network, Card("t", kind, channels, blocks, network.halo_px), "digest")


@cache
def sharpener(kind: str = "student", tile_px: int = WHOLE_PX, form: str = "float32") -> Sharpener:
    """A sharpener on the CPU with a fixed tile."""
    runtime, precision = form.split() if " " in form else ("torch", form)
    return Sharpener(
        weights_of(kind), Placement("cpu", precision, tile_px, threads=1, runtime=runtime)
    )


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels without any pattern."""
    chance = np.random.default_rng(height * 1009 + width)
    return chance.integers(0, 256, (height, width, channels), dtype=np.uint8)


def deep_noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint16]:
    """The same at 16 bit, where a difference shows that 256 values hide."""
    chance = np.random.default_rng(height * 1009 + width)
    return chance.integers(0, 65536, (height, width, channels), dtype=np.uint16)


def tiled_equals_whole(
    kind: str,
    form: str,
    tile_px: int,
    pixels: NDArray[Depth],
    *,
    strength: float = 1.0,
    crisp: float = 0.0,
) -> bool:
    """Whether tiles and one pass give the same pixels."""
    tiled, whole = (
        sharpener(kind, px, form).sharpen(pixels, strength=strength, crispness=crisp)
        for px in (tile_px, WHOLE_PX)
    )
    return np.array_equal(tiled, whole)


def softened(pixels: NDArray[Depth]) -> NDArray[Depth]:
    """The same with one half of it calm, so that gates are shut here and open there."""
    calm = pixels.copy()
    calm[len(calm) // 2 :] = calm[len(calm) // 2 :] // 16
    return calm


@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(1, 270),
    width=st.integers(1, 270),
    tile_px=st.sampled_from([128, 132, 200]),
    form=st.sampled_from(FORMS),
    kind=st.sampled_from(["student", "teacher", "cued"]),
)
def test_tiles_cannot_be_seen(height: int, width: int, tile_px: int, form: str, kind: str) -> None:
    """At any size, tile, form and model the tiled pixels are those of one pass."""
    assert tiled_equals_whole(kind, form, tile_px, deep_noise(height, width))


@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 270), st.integers(1, 270), st.sampled_from([1, 3])),
    tile_px=st.sampled_from([128, 132, 200]),
    form=st.sampled_from(FORMS),
    made=st.sampled_from([noise, deep_noise]),
    kind=st.sampled_from(["student", "cued"]),
    strength=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_tiles_cannot_be_seen_with_crispness(
    shape: tuple[int, int, int],
    tile_px: int,
    form: str,
    made: Callable[..., NDArray[np.uint8 | np.uint16]],
    kind: str,
    strength: float,
) -> None:
    """The same with the mask on top, at either depth, in gray and colour, and by itself."""
    pixels = softened(made(*shape))
    assert tiled_equals_whole(kind, form, tile_px, pixels, strength=strength, crisp=0.7)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["student", "teacher", "cued"])
def test_tiles_cannot_be_seen_in_a_sweep(kind: str, form: str) -> None:
    """The same around every multiple of the tile, and in images much longer than wide.

    Every height with every width by torch and by the student, whose plan of tiles all forms share;
    OpenVINO, which compiles a model for each size, has each height and each width three times.
    """
    sides = [1, 3, 4, 5, 127, 128, 129, 255, 257, 383, 385]
    pairs = [*product(sides, sides)]
    if form in BY_OPENVINO and kind != "student":
        pairs = [(side, sides[at - by]) for at, side in enumerate(sides) for by in (0, 4, 7)]
    for (height, width), tile_px in product(pairs, [128, 256]):
        assert tiled_equals_whole(kind, form, tile_px, deep_noise(height, width)), (
            height,
            width,
        )
    for height, width in [(1, 3001), (2999, 5), (701, 1203)]:
        assert tiled_equals_whole(kind, form, 128, deep_noise(height, width)), (height, width)


@pytest.mark.parametrize(
    ("channels", "form"),
    [
        (1, "float32"),
        *(
            pytest.param(3, form, marks=pytest.mark.slow if form in BY_OPENVINO else ())
            for form in FORMS
        ),
    ],
)
def test_tiles_of_a_photograph_know_the_whole(channels: int, form: str) -> None:
    """Half of the image is calm and half is not, and still every tile is sharpened alike."""
    for pixels in (noise(300, 420, channels), deep_noise(300, 420, channels)):
        pixels[:, :200] = pixels[0, 0]
        assert tiled_equals_whole("cued", form, 128, pixels)
    left, right = deep_noise(300, 420)[:, :200], deep_noise(300, 420)[:, 200:] // 16
    together = np.concatenate([left, right], axis=1)
    apart = sharpener("cued").sharpen(np.ascontiguousarray(right))
    assert not np.array_equal(sharpener("cued").sharpen(together)[:, 320:], apart[:, 120:])


def test_a_smaller_halo_would_show() -> None:
    """With one grid cell less of halo the tiles do show, so the tests above can fail."""
    short = Sharpener(weights_of("student"), Placement("cpu", "float32", 128))
    short.runtime.halo_px -= 4
    pixels = deep_noise(200, 300)
    assert not np.array_equal(short.sharpen(pixels), sharpener().sharpen(pixels))


def test_a_smaller_halo_of_crispness_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mask's own reach its tiles show, even where the model does not run."""
    pixels = softened(deep_noise(400, 300))
    assert tiled_equals_whole("student", "float32", 128, pixels, strength=0, crisp=1)
    monkeypatch.setattr(sharpener_module, "CRISP_REACH_PX", -weights_of("student").network.halo_px)
    assert not tiled_equals_whole("student", "float32", 128, pixels, strength=0, crisp=1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile=st.integers(32, 80),
    cells=st.integers(0, 9),
    alike=st.booleans(),
)
def test_cores_cover_each_pixel_once_inside_windows_of_full_halo(
    height: int, width: int, tile: int, cells: int, *, alike: bool
) -> None:
    """Tiles partition the image; a window reaches the halo or the edge; all are alike if asked."""
    height, width, tile_px, halo_px = height * 4, width * 4, tile * 4, cells * 4
    covered = np.zeros((height, width), np.uint8)
    sizes = set()
    for planned in plan_tiles(height, width, tile_px=tile_px, halo_px=halo_px, alike=alike):
        core, window = planned.core, planned.window
        sizes.add((window.bottom - window.top, window.right - window.left))
        covered[core.slices] += 1
        assert 0 <= window.top <= max(core.top - halo_px, 0)
        assert 0 <= window.left <= max(core.left - halo_px, 0)
        assert height >= window.bottom >= min(core.bottom + halo_px, height)
        assert width >= window.right >= min(core.right + halo_px, width)
        assert not any(edge % 4 for edge in (window.top, window.left, window.bottom, window.right))
    assert (covered == 1).all()
    assert len(sizes) == 1 or not alike


@pytest.mark.parametrize(("height", "tile_px"), [(130, 128), (132, 130), (132, 124)])
def test_plans_off_the_grid_are_refused(height: int, tile_px: int) -> None:
    """Sizes off the grid, or tiles below the smallest, are a ValueError."""
    with pytest.raises(ValueError, match=r"multiples|smaller"):
        list(plan_tiles(height, 128, tile_px=tile_px, halo_px=8))


def test_padding_reflects_and_leaves_the_picture() -> None:
    """The image stays in the upper left corner; what is added is reflected."""
    pixels = noise(5, 6)
    padded = pad_to_grid(pixels)
    assert padded.shape == (8, 8, 3)
    assert np.array_equal(padded[:5, :6], pixels)
    assert np.array_equal(padded[5], padded[3])
    assert pad_to_grid(padded) is padded


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3), (4, 4), (1, 500), (7, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_from_one_pixel_up(size: tuple[int, int], channels: int) -> None:
    """Gray and RGB of any size come back in their own shape and depth."""
    for pixels in (noise(*size, channels), deep_noise(*size, channels)):
        sharpened = sharpener(tile_px=128).sharpen(pixels)
        assert sharpened.shape == (*size, channels)
        assert sharpened.dtype == pixels.dtype


def test_strength_goes_beyond_what_the_network_means() -> None:
    """Strength 2 adds twice as much."""
    pixels = noise(40, 40) // 16 + 120
    once, twice = (
        sharpener().sharpen(pixels, strength=strength, overshoot=255).astype(int)
        for strength in (1.0, 2.0)
    )
    assert abs((twice - pixels) - 2 * (once - pixels)).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_strength_zero_is_the_identity(channels: int) -> None:
    """Strength 0 returns the very values without the model, and 1 does not."""
    idle = scarce(None, room_px=0)
    for pixels in (noise(37, 50, channels), deep_noise(37, 50, channels)):
        assert np.array_equal(idle.sharpen(pixels, strength=0), pixels)
        assert not np.array_equal(sharpener().sharpen(pixels), pixels)


def test_strength_scales_what_is_added() -> None:
    """Half the strength adds half, up to rounding, where nothing is clipped."""
    pixels = noise(40, 40) // 8 + 112
    full, half = (
        sharpener().sharpen(pixels, strength=strength, overshoot=255).astype(int)
        for strength in (1.0, 0.5)
    )
    assert abs(full - pixels).max() > 10
    assert abs((full - pixels) / 2 - (half - pixels)).max() <= 1


def test_gray_is_sharpened_as_the_same_picture_in_rgb() -> None:
    """Gray goes through the model three times over and comes back as the mean."""
    gray = noise(30, 30, 1)
    from_rgb = sharpener().sharpen(np.repeat(gray, 3, axis=2)).astype(float)
    clipped = ((from_rgb == 0) | (from_rgb == 255)).any(axis=2)
    difference = abs(from_rgb.mean(axis=2) - sharpener().sharpen(gray)[..., 0])
    assert difference[~clipped].max() <= 1


@pytest.mark.parametrize("made", [noise, deep_noise])
def test_hidden_pixels_keep_their_colour(made: Callable[..., NDArray[np.uint16]]) -> None:
    """Where a pixel is hidden its values stay; elsewhere they are the new ones."""
    pixels = made(6, 5)
    sharpened, visible = ~pixels, np.ones((6, 5), bool)
    visible[2, 3] = False
    kept = keep_hidden(sharpened, pixels, visible)
    assert (kept != sharpened).any(axis=2).sum() == 1
    assert np.array_equal(kept[2, 3], pixels[2, 3])
    assert keep_hidden(sharpened, pixels, None) is sharpened


def test_bfloat16_stays_close_to_float32() -> None:
    """The trunk in bfloat16 moves no pixel by more than a few per cent of what is added."""
    pixels = noise(96, 96) // 2 + 64
    exact, low = (
        sharpener(form=precision).sharpen(pixels).astype(int)
        for precision in ("float32", "bfloat16")
    )
    assert abs(exact - low).max() <= 0.05 * abs(exact - pixels).max() + 1


@needs_openvino
@pytest.mark.parametrize(
    ("form", "least"), [*zip(BY_OPENVINO, (0.99999, 0.9999, 0.99), strict=True)]
)
@pytest.mark.parametrize("kind", ["student", "teacher", "cued"])
def test_openvino_gives_the_same_picture(kind: str, form: str, least: float) -> None:
    """Each of its precisions stays close to torch, in colour and gray, at either depth."""
    for pixels in (noise(140, 150), noise(140, 150, 1), deep_noise(140, 150)):
        exact, other = (
            to_tensor(sharpener(kind, form=one).sharpen(pixels)) for one in ("float32", form)
        )
        assert float(compute_ssim(exact, other).item()) >= least


@pytest.mark.parametrize("form", FORMS)
def test_flat_stays_flat(form: str) -> None:
    """A model without biases adds nothing at all where nothing varies."""
    for value in (0, 1, 77, 255):
        flat = np.full((140, 150, 3), value, np.uint8)
        assert np.array_equal(sharpener(form=form).sharpen(flat, strength=2.0), flat)


FREED = """
import faulthandler, gc, os, signal
import torch
from sharpend.model.networks import StudentNet
from sharpend.model.openvino_runtime import OpenVinoTrunk

faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
trunks = [OpenVinoTrunk(StudentNet(8, 1).eval(), "float32", 1) for _ in range(3)]
for trunk in trunks:
    trunk.run(torch.zeros(1, 48, 16, 16), [])
trunk = None
while trunks:
    trunks.pop(0)
    gc.collect()
    os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.slow
@needs_openvino
def test_signals_are_handled_after_openvino_was_freed() -> None:
    """OpenVINO changes the stack for signals; the one in use is never freed."""
    ended = subprocess.run(
        [sys.executable, "-c", FREED], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["handled"] * 3), ended.stderr


@needs_openvino
def test_openvino_compiles_a_frame_once_for_windows_of_about_one_size() -> None:
    """Sizes within 64 pixels share a frame, and only so many are kept."""
    made = Sharpener(weights_of("student"), Placement("cpu", "int8", threads=1, runtime="openvino"))
    module = openvino_runtime()
    trunk = made.runtime._trunk
    assert isinstance(trunk, module.OpenVinoTrunk)
    for height, width in product((129, 150, 192), (190, 140)):
        made.sharpen(noise(height, width))
    assert list(trunk._frames) == [(48, 48)]
    for cells in range(1, module.MOST_FRAMES + 2):
        made.sharpen(noise(64 * cells, 64))
    assert len(trunk._frames) == module.MOST_FRAMES


class Scarce(PlacedModel):
    """A device that has no memory for windows beyond a number of pixels."""

    room_px = 0

    def added(self, packed: Packed, cues: Cues | None = None) -> Added:
        """As the real one, while there is room."""
        if packed.pixels.shape[0] * packed.pixels.shape[1] > self.room_px:
            raise MemoryError("no room")
        return super().added(packed, cues)


def scarce(tile_px: int | None, *, room_px: int) -> Sharpener:
    """A sharpener on such a device."""
    made = Sharpener(weights_of("student"), Placement("cpu", "float32", tile_px))
    runtime = Scarce(weights_of("student").network, Placement("cpu", "float32", tile_px))
    made.runtime, runtime.room_px = runtime, room_px
    return made


def test_an_automatic_tile_shrinks_until_it_fits_and_remembers() -> None:
    """Running out of memory halves the tile; the pixels are those of one pass all the same."""
    short = scarce(None, room_px=220 * 220)
    pixels = noise(460, 460)
    assert np.array_equal(short.sharpen(pixels), sharpener().sharpen(pixels))
    assert short.runtime.tile_px == SMALLEST_TILE_PX


@pytest.mark.parametrize("tile_px", [256, None], ids=["fixed", "smallest"])
def test_a_tile_that_cannot_shrink_is_a_transient_error(tile_px: int | None) -> None:
    """A tile that the user fixed is not overridden, and the smallest is the smallest."""
    short = scarce(tile_px, room_px=0)
    with pytest.raises(TransientError, match=r"model\.tile_px") as caught:
        short.sharpen(noise(300, 300))
    assert caught.value.reason == "out_of_memory"
    assert short.runtime.tile_px == (tile_px or SMALLEST_TILE_PX)


@pytest.mark.parametrize("wanted", ["cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_refused(wanted: str) -> None:
    """The error names the setting and what to put there."""
    with pytest.raises(UnavailableError, match=r"model\.device: .*set it to auto or cpu"):
        choose_device(wanted)


def test_auto_chooses_a_device_that_runs() -> None:
    """`auto` ends in a device; an explicit one is taken as it is."""
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    assert choose_device("cpu") == torch.device("cpu")


def test_the_given_network_is_left_alone() -> None:
    """Placing a model in bfloat16 does not change the weights that it was made from."""
    given_network = weights_of("teacher").network
    runtime = PlacedModel(given_network, Placement("cpu", "bfloat16", 128))
    assert runtime.described == "cpu bfloat16"
    assert given_network.head.weight.dtype == torch.float32
