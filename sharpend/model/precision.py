"""Precision by measurement: bfloat16 where it is faster on this machine and gives the same image.

No flag of a processor tells how fast a model is in bfloat16, so both precisions run on a tile, in
turn, and the finished pixels are compared. A trial takes a fraction of a second; the caller
remembers it (`Placement.trials`).

On a CPU the time is that of one thread on the processor. Beside a load of twelve on two cores it
moved by 5 %, where the time on the clock said anything from 0.95 to 1.5 for the same model, and
two threads, which wait for each other, anything from 0.3 to 2.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend import __version__
from sharpend.imaging.filters import degrade
from sharpend.imaging.tensors import to_tensor
from sharpend.machine import processor_key
from sharpend.model.packing import Packed
from sharpend.model.runtime import choose_device
from sharpend.model.sharpener import Sharpener
from sharpend.model.ssim import compute_ssim
from sharpend.model.trial import BFLOAT16, FLOAT32, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sharpend.model.cues import Cues
    from sharpend.model.runtime import Placement
    from sharpend.model.weights import Weights

TILE_PX = 512
"""Side of the tile of a trial; times of larger ones are in proportion to it."""
BUDGET_S = 0.2
"""Time after which no further round begins."""
FEWEST_ROUNDS, MOST_ROUNDS = 3, 9
DOES_NOT_RUN = (RuntimeError, TypeError)
"""Errors of torch where a device lacks a type, as MPS does bfloat16 before macOS 14."""


def place(weights: Weights, placement: Placement) -> Sharpener:
    """Place a model in the precision that the placement names, or leaves to a trial.

    bfloat16 that is named takes a trial, too: it is refused where the image would be another one.

    Args:
        weights: the model.
        placement: where it runs; its precision may be `auto`.

    Returns:
        The model in float32 or bfloat16, with the trial that decided.

    Raises:
        UnavailableError: the device does not exist here.
        TransientError: the device has no memory for the smallest tile.
    """
    if placement.precision == FLOAT32:
        return Sharpener(weights, placement)
    key = _key(weights, placement)
    known = (one for one in placement.trials if one.key == key)
    trial = next(known, None) or _tried(key, weights, placement)
    chosen = replace(placement, precision=trial.chosen(placement.precision))
    return Sharpener(weights, chosen, trial)


def _key(weights: Weights, placement: Placement) -> str:
    """Compute the digest of all that a trial's answer depends on."""
    device = choose_device(placement.device)
    depends_on = [
        __version__,
        torch.__version__,
        torch.cuda.get_device_name(device) if device.type == "cuda" else processor_key(),
        torch.backends.cpu.get_cpu_capability(),
        device.type,
        weights.digest,
        weights.card.specialist_digest,
    ]
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


def _tried(key: str, weights: Weights, placement: Placement) -> Trial:
    """Measure both precisions of a model: likeness first, which also warms both up."""
    exact = Sharpener(weights, replace(placement, precision=FLOAT32))
    pixels = trial_image()
    cues = exact.measured(pixels)
    try:
        fast = Sharpener(weights, replace(placement, precision=BFLOAT16))
        likeness = min(_likeness(exact, fast, pixels, one) for one in _all_models(weights, cues))
    except DOES_NOT_RUN:
        return Trial(key, None, None, None)
    runs = (_on_tile(one, pixels, cues) for one in (exact, fast))
    float32_ms, bfloat16_ms = timed(exact.runtime.device, *runs)
    return Trial(key, float32_ms, bfloat16_ms, likeness)


def _all_models(weights: Weights, cues: Cues) -> Iterator[Cues]:
    """Give the cues that select the model itself, then those that select its specialist."""
    yield replace(cues, enlarged=False)
    if weights.specialist is not None:
        yield replace(cues, enlarged=True)


def _likeness(exact: Sharpener, fast: Sharpener, pixels: NDArray[np.uint8], cues: Cues) -> float:
    """Compute SSIM between the finished pixels of two sharpeners."""
    one, other = (to_tensor(of.sharpen(pixels, cues=cues)) for of in (exact, fast))
    return float(compute_ssim(one, other).item())


def _on_tile(sharpener: Sharpener, pixels: NDArray[np.uint8], cues: Cues) -> Callable[[], object]:
    """Make a function that runs the model, without the steps before and after it, on a tile."""
    packed = Packed(pixels)
    return lambda: sharpener.runtime.added(packed, cues)


def timed(device: torch.device, *runs: Callable[[], object]) -> list[float]:
    """Time functions in turn, so that other load on the machine slows all of them alike.

    Args:
        device: where they compute, until it is done: on a CPU it is one thread's own time.
        runs: the functions; they have run once before.

    Returns:
        The median milliseconds of each.
    """
    clock, threads = time.perf_counter, torch.get_num_threads()
    if device.type == "cpu":
        clock = time.thread_time
        torch.set_num_threads(1)
    try:
        rounds = _rounds(clock, runs)
    finally:
        torch.set_num_threads(threads)
    return [1000 * statistics.median(column) for column in zip(*rounds, strict=True)]


def _rounds(clock: Callable[[], float], runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Time rounds until the budget is spent; in each, every function once, in seconds."""
    started = time.perf_counter()
    rounds: list[list[float]] = []
    while len(rounds) < FEWEST_ROUNDS or (
        len(rounds) < MOST_ROUNDS and time.perf_counter() - started < BUDGET_S
    ):
        rounds.append([_seconds(clock, run) for run in runs])
    return rounds


def _seconds(clock: Callable[[], float], run: Callable[[], object]) -> float:
    started = clock()
    run()
    return clock() - started


@cache
def trial_image() -> NDArray[np.uint8]:
    """Make a soft colour image of gradients, texture, lines and edges, the same everywhere.

    Returns:
        TILE_PX x TILE_PX x 3 uint8, softened by four as the models' inputs are.
    """
    generator = np.random.default_rng(0)
    down, across = np.mgrid[0:TILE_PX, 0:TILE_PX] / TILE_PX
    channels = []
    for phase in range(3):
        waves = np.sin(40 * across**2 * np.pi + phase) * np.sin(25 * down * np.pi)
        edges = ((across * 8 + down * 3 + phase / 3).astype(int) % 2) * (down > across)
        grain = generator.standard_normal((TILE_PX, TILE_PX))
        channels.append(110 + 60 * down + 30 * waves + 50 * edges + 12 * grain)
    sharp = np.stack(channels, axis=2).clip(0, 255).astype(np.uint8)
    return degrade(sharp)
