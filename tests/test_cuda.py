"""Models on a GPU by CUDA: tiles, graphs, likeness, training. Skipped where there is none.

Times: `python -m tests.cuda_times`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.imaging.tensors import to_tensor
from sharpend.model import cuda_runtime, weights
from sharpend.model.cuda_runtime import CudaTrunk
from sharpend.model.device import CUDA_TILE_PX, Placement
from sharpend.model.precision import place, trial_image
from sharpend.model.sharpener import Sharpener
from sharpend.model.shipped import shipped_names
from sharpend.model.ssim import compute_ssim
from trainer.training.dataset import Example
from trainer.training.distributed import ProcessGroup
from trainer.training.loop import train
from trainer.training.losses import LossWeights
from trainer.training.recipe import Data, NetworkConfig, Recipe, Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
PRECISIONS = ("float32", "bfloat16", "float16")
MODELS = shipped_names()
CUDA = Placement("cuda", threads=1)


def sharpener(model: str, precision: str, tile_px: int | None = None) -> Sharpener:
    """A shipped model on the GPU."""
    return Sharpener(weights.load(model), replace(CUDA, precision=precision, tile_px=tile_px))


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    """The image of trials, as large as wanted."""
    one = trial_image()
    rows, columns = -(-height // len(one)), -(-width // len(one))
    return np.ascontiguousarray(np.tile(one, (rows, columns, 1))[:height, :width])


@needs_cuda
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_tiles_cannot_be_seen(model: str, precision: str) -> None:
    """Tiles of another size move no value by more than one level; graphs move nothing."""
    pixels = photograph(777, 1003)
    whole = sharpener(model, precision, 2048).sharpen(pixels).astype(int)
    for tile_px in (128, 200, 512):
        tiled = sharpener(model, precision, tile_px)
        first, second = tiled.sharpen(pixels), tiled.sharpen(pixels)  # the second from graphs
        assert np.array_equal(first, second), tile_px
        assert abs(first - whole).max() <= 1, tile_px


@needs_cuda
def test_the_tile_does_not_follow_the_memory() -> None:
    """Pixels depend on no other program that uses the GPU: an automatic tile is always the same."""
    before = sharpener("base-photo", "bfloat16").runtime.tile_px
    taken = torch.empty(torch.cuda.mem_get_info()[0] // 2, dtype=torch.uint8, device="cuda")
    assert sharpener("base-photo", "bfloat16").runtime.tile_px == before == CUDA_TILE_PX
    del taken


@needs_cuda
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_pixels_are_those_of_the_processor(model: str, precision: str) -> None:
    """Every precision gives the image of float32 on a CPU, and the same one each time."""
    pixels = photograph(512, 512)
    exact = Sharpener(weights.load(model), Placement("cpu")).sharpen(pixels)
    fast = sharpener(model, precision)
    first, *others = (fast.sharpen(pixels) for _ in range(4))
    assert all(np.array_equal(first, other) for other in others)
    assert float(compute_ssim(to_tensor(exact), to_tensor(first)).item()) >= 0.999


@needs_cuda
def test_graphs_of_the_latest_shapes_are_kept() -> None:
    """A folder of images of many sizes does not fill the memory of the GPU."""
    fast = sharpener("lite-photo", "bfloat16")
    trunk = fast.runtime._trunk
    assert isinstance(trunk, CudaTrunk)
    for side in range(128, 400, 32):
        for _ in range(2):
            fast.sharpen(photograph(side, side))
        assert len(trunk._graphs) <= cuda_runtime.MOST_GRAPHS


@needs_cuda
def test_auto_chooses_by_measurement() -> None:
    """A trial on the GPU reports times and likeness of both short types."""
    chosen = place(weights.load("base-photo"), replace(CUDA, precision="auto"))
    assert chosen.trial is not None
    assert {form.precision for form in chosen.trial.others} == {"float16", "bfloat16"}
    assert all(form.is_alike for form in chosen.trial.others)


@needs_cuda
@pytest.mark.parametrize("branches", [0, 8], ids=["plain", "branches"])
@pytest.mark.parametrize("term", ["target_charbonnier", "target_ssim", "target_fft"])
def test_captured_steps_learn_as_the_processor_does(
    tmp_path: Path, term: str, branches: int
) -> None:
    """The same crops give the same course of the loss, from a graph as step by step."""
    chance = np.random.default_rng(1)
    examples = [
        Example(pixels, 255 - pixels, None)
        for pixels in chance.integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    ]
    recipe = Recipe(
        name="tiny",
        network=NetworkConfig("student", channels=8, blocks=1, bias_free=True, branches=branches),
        data=Data(crop_px=16, batch=4, validation_px=32),
        loss=LossWeights(**{term: 1.0}),
        schedule=Schedule(steps=30, warm_up=5, validate_every=30, precision="float32"),
    )
    losses = []
    for device in ("cpu", "cuda"):
        group = ProcessGroup(torch.device(device))
        best = train(recipe, examples, examples[:2], tmp_path / device, group)
        losses.append(best.scores["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
