"""Times of the shipped models on a GPU: `python -m tests.cuda_times [MODEL ...]`.

Each model and precision: a whole image from pixels to pixels, its convolutions as they come and as
a graph, in milliseconds, and the highest memory of the GPU.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import torch

from sharpend.model import weights
from sharpend.model.cuda_runtime import CudaTrunk
from sharpend.model.runtimes import TorchTrunk
from tests.test_cuda import MODELS, PRECISIONS, photograph, sharpener

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((1080, 1920), (4000, 6000))
COLUMNS = "| model | precision | whole, ms | convolutions, ms | as a graph, ms | MiB |"


def row(model: str, precision: str, size: tuple[int, int]) -> str:
    """Measure one model in one precision."""
    pixels = photograph(*size)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    placed = sharpener(model, precision)
    cues = placed.measured(pixels)
    whole = milliseconds(lambda: placed.sharpen(pixels, cues=cues), 5)
    peak = torch.cuda.max_memory_allocated() / 2**20
    apart = [convolutions(model, precision, size, kind) for kind in (TorchTrunk, CudaTrunk)]
    return f"| {model} | {precision} | {whole:.1f} | {apart[0]:.3f} | {apart[1]:.3f} | {peak:.0f} |"


def convolutions(
    model: str, precision: str, size: tuple[int, int], kind: type[TorchTrunk]
) -> float:
    """Measure the convolutions of one window that is on the GPU already."""
    network = weights.load(model).network.eval().requires_grad_(requires_grad=False).cuda()
    trunk = kind(network, precision)
    given = torch.rand(1, 48, size[0] // 4, size[1] // 4, device="cuda", dtype=trunk.takes)
    given = given.contiguous(memory_format=torch.channels_last) - 0.5
    one = torch.ones(1, network.channels, 1, 1, device="cuda")
    scales = [one] * (network.blocks + 2) if network.cued else []
    with torch.inference_mode():
        return milliseconds(lambda: trunk.run(given, scales), 15)


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    """Median time of a run until the GPU is done, after two that are not counted."""
    taken = []
    for _ in range(2 + rounds):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken[2:])


if __name__ == "__main__":
    sys.stdout.write(f"{torch.cuda.get_device_name()}\n")
    for height, width in SIZES:
        sys.stdout.write(f"\n{width} x {height}\n{COLUMNS}\n")
        for name in sys.argv[1:] or MODELS:
            for precision in PRECISIONS:
                sys.stdout.write(f"{row(name, precision, (height, width))}\n")
                sys.stdout.flush()
