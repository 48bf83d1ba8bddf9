"""Models on a GPU by CUDA: tiles, graphs, likeness and memory. Skipped where there is none.

Run as a program it prints times: `python -m tests.test_cuda`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.imaging.tensors import to_tensor
from sharpend.model import cuda_trunk, weights
from sharpend.model.cuda_trunk import CudaTrunk
from sharpend.model.precision import place, trial_image
from sharpend.model.runtime import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.model.shipped import shipped_names
from sharpend.model.ssim import compute_ssim

if TYPE_CHECKING:
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
def test_tiles_equal_the_whole(model: str, precision: str) -> None:
    """On a GPU, too, tiles of any size and one pass give the same pixels."""
    pixels = photograph(777, 1003)
    whole = sharpener(model, precision, 2048).sharpen(pixels)
    for tile_px in (128, 200, 512):
        tiled = sharpener(model, precision, tile_px)
        for _ in range(2):  # the second time from graphs
            assert np.array_equal(tiled.sharpen(pixels), whole), tile_px


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
        assert len(trunk._graphs) <= cuda_trunk.MOST_GRAPHS


@needs_cuda
def test_auto_chooses_by_measurement() -> None:
    """A trial on the GPU tells times and likeness of both short types."""
    chosen = place(weights.load("base-photo"), replace(CUDA, precision="auto"))
    assert chosen.trial is not None
    assert {form.precision for form in chosen.trial.others} == {"float16", "bfloat16"}
    assert all(form.is_alike for form in chosen.trial.others)
