"""Runtime and precision by measurement: the fastest on this machine that gives the same image.

No flag of a processor shows how fast a model is in a form, so all available ones run on a tile, in
turn, and the finished pixels are compared with torch in float32. A trial takes half a second; the
caller remembers it (`Placement.trials`).

On a CPU the processor time of one thread is compared. At a load of twelve on two cores it varied by
5 %; ratios by wall-clock time were between 0.95 and 1.5 for the same model, and with two threads,
which wait for each other, between 0.3 and 2.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend import __version__
from sharpend.errors import UnavailableError
from sharpend.imaging.filters import degrade
from sharpend.imaging.tensors import to_tensor
from sharpend.machine import processor_key
from sharpend.model.device import choose_device
from sharpend.model.installed import openvino_version, require_openvino
from sharpend.model.packing import Packed
from sharpend.model.sharpener import Sharpener
from sharpend.model.ssim import compute_ssim
from sharpend.model.trial import BFLOAT16, FLOAT16, FLOAT32, INT8, OPENVINO, TORCH, Form, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sharpend.model.cues import Cues
    from sharpend.model.device import Placement
    from sharpend.model.weights import Weights

TILE_PX, CPU_TILE_PX = 512, 256
"""Side of the tile of a trial; times of larger ones are in proportion to it. A smaller one would
show what a call to a GPU costs; on a CPU gains are a tenth smaller there, and likeness the same."""
BUDGET_S = 0.1
"""Time after which no further round begins."""
FEWEST_ROUNDS, MOST_ROUNDS = 3, 9
FAR_SLOWER = 4.0
"""Times as long as the fastest from which on one round on a CPU says enough: no chance makes a
thread's own time as much longer. A GPU may still prepare something in the first one."""
DOES_NOT_RUN = (RuntimeError, TypeError, ImportError)
"""Errors that mean: the device does not support the data type (MPS before macOS 14: bfloat16), or
the installed runtime is for another architecture."""


def place(weights: Weights, placement: Placement) -> Sharpener:
    """Place a model in the form that the placement names, or leaves to a trial.

    A form that is named takes a trial, too: it is refused where the image would be another one.
    Torch in float32 alone needs none.

    Args:
        weights: the model.
        placement: where it runs; its precision and its runtime may be `auto`.

    Returns:
        The model in one form, with the trial that decided.

    Raises:
        UnavailableError: the device or the runtime does not exist here, or no runtime that the
            settings allow has the precision.
        TransientError: the device has no memory for the smallest tile.
    """
    forms = _forms(weights, placement)
    if not forms:
        return Sharpener(weights, replace(placement, runtime=TORCH, precision=FLOAT32))
    key = _key(weights, placement, forms)
    known = (one for one in placement.trials if one.key == key)
    trial = next(known, None)
    if trial is None:
        with _one_thread():
            trial = _tried(key, weights, placement, forms)
    chosen = trial.chosen(placement.runtime, placement.precision)
    placement = replace(placement, runtime=chosen.runtime, precision=chosen.precision)
    return Sharpener(weights, placement, trial)


def _forms(weights: Weights, placement: Placement) -> tuple[Form, ...]:
    """List the forms that the settings allow, the simplest first, without torch in float32.

    OpenVINO in float32 and bfloat16 must be named: on one thread it gained less than a tenth.
    """
    device = choose_device(placement.device)
    on_cpu = device.type == "cpu"
    there = [Form(TORCH, BFLOAT16)]
    if device.type == "cuda":  # the more exact one first
        there = [Form(TORCH, FLOAT16), *there]
    elif placement.precision == FLOAT16:
        raise UnavailableError('model.precision: float16: runs on cuda only; set it to "auto"')
    if placement.runtime == OPENVINO:
        require_openvino(on_cpu=on_cpu)
        there = [Form(OPENVINO, FLOAT32), Form(OPENVINO, BFLOAT16)]
    if on_cpu and openvino_version() and weights.has_ranges:
        there.append(Form(OPENVINO, INT8))
    allowed = tuple(one for one in there if one.fits(placement.runtime, placement.precision))
    if placement.precision == INT8 and not allowed:
        raise UnavailableError(_without_int8(weights, placement, on_cpu=on_cpu))
    return allowed


def _without_int8(weights: Weights, placement: Placement, *, on_cpu: bool) -> str:
    """Word the reason for which a model cannot run in int8."""
    change = 'set it to "auto"'
    if placement.runtime == TORCH:
        return f"model.precision: int8: torch does not have it; {change}, or model.runtime"
    require_openvino(on_cpu=on_cpu)
    name = weights.card.name
    return f"model.precision: int8: {name} has no ranges (`trainer calibrate`); {change}"


def _key(weights: Weights, placement: Placement, forms: Sequence[Form]) -> str:
    """Compute the digest of all that a trial's answer depends on."""
    device = choose_device(placement.device)
    depends_on = [
        __version__,
        torch.__version__,
        openvino_version(),
        torch.cuda.get_device_name(device) if device.type == "cuda" else processor_key(),
        torch.backends.cpu.get_cpu_capability(),
        device.type,
        weights.digest,
        weights.card.specialist_digest,
        weights.ranges,
        [str(one) for one in forms],
    ]
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


def _tried(key: str, weights: Weights, placement: Placement, forms: Sequence[Form]) -> Trial:
    """Measure a model in each form: likeness first, which also warms it up."""
    placement = replace(placement, threads=1)
    exact = Sharpener(weights, replace(placement, runtime=TORCH, precision=FLOAT32))
    pixels = trial_image(CPU_TILE_PX if exact.runtime.device.type == "cpu" else TILE_PX)
    cues = exact.measured(pixels)
    each_cues = list(_all_models(weights, cues))

    def opened(form: Form) -> tuple[Form, Callable[[], object], list[NDArray[np.uint8]]] | None:
        """Open a form and sharpen by it; None where it does not run."""
        with suppress(*DOES_NOT_RUN):
            where = replace(placement, runtime=form.runtime, precision=form.precision)
            fast = Sharpener(weights, where)
            made = [fast.sharpen(pixels, cues=one) for one in each_cues]
            return form, _on_tile(fast, pixels, cues), made
        return None

    # Other runtimes compile, OpenVINO for a quarter of a second; torch's forms run meanwhile.
    with ThreadPoolExecutor(1) as beside:
        compiled = [beside.submit(opened, one) for one in forms if one.runtime != TORCH]
        wanted = [exact.sharpen(pixels, cues=one) for one in each_cues]
        found = [opened(one) for one in forms if one.runtime == TORCH]
        found += [one.result() for one in compiled]
    there = [one for one in found if one is not None]
    alike = {form: min(map(_likeness, wanted, made)) for form, _, made in there}
    runs = [_on_tile(exact, pixels, cues), *(run for _, run, _ in there)]
    exact_ms, *each_ms = timed(exact.runtime.device, *runs)
    taken = dict(zip(alike, each_ms, strict=True))
    others = (replace(one, ms=taken.get(one), ssim=alike.get(one)) for one in forms)
    return Trial(key, exact_ms, tuple(others))


def _all_models(weights: Weights, cues: Cues) -> Iterator[Cues]:
    """Give the cues that select the model itself, then those that select its specialist."""
    yield replace(cues, enlarged=False)
    if weights.specialist is not None:
        yield replace(cues, enlarged=True)


def _likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Compute SSIM between finished pixels."""
    return float(compute_ssim(to_tensor(one), to_tensor(other)).item())


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
    if device.type != "cpu":
        taken = _rounds(time.perf_counter, runs, math.inf)
    else:
        with _one_thread():
            taken = _rounds(time.thread_time, runs, FAR_SLOWER)
    return [1000 * statistics.median(column) for column in taken]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rounds(
    clock: Callable[[], float], runs: Sequence[Callable[[], object]], far_slower: float
) -> list[list[float]]:
    """Time functions round by round until the budget is spent: the seconds of each.

    One that takes so many times as long as the fastest in the first round is not run again.
    """
    started = time.perf_counter()
    taken = [[_seconds(clock, run)] for run in runs]
    far_s = far_slower * min(seconds for (seconds,) in taken)
    close = [(run, column) for run, column in zip(runs, taken, strict=True) if column[0] < far_s]
    for done in range(1, MOST_ROUNDS):
        if done >= FEWEST_ROUNDS and time.perf_counter() - started >= BUDGET_S:
            break
        for run, column in close:
            column.append(_seconds(clock, run))
    return taken


def _seconds(clock: Callable[[], float], run: Callable[[], object]) -> float:
    started = clock()
    run()
    return clock() - started


@cache
def trial_image(side_px: int = TILE_PX) -> NDArray[np.uint8]:
    """Make a soft colour image of gradients, texture, lines and edges, the same everywhere.

    Args:
        side_px: at most TILE_PX; a smaller image is the middle of that one.

    Returns:
        Square, of this side, x 3 uint8, softened by four as the models' inputs are.
    """
    generator = np.random.default_rng(0)
    across = (np.arange(side_px) + (TILE_PX - side_px) // 2) / TILE_PX
    down = across[:, None]
    channels = []
    for phase in range(3):
        waves = np.sin(40 * across**2 * np.pi + phase) * np.sin(25 * down * np.pi)
        edges = ((across * 8 + down * 3 + phase / 3).astype(int) % 2) * (down > across)
        grain = generator.standard_normal((side_px, side_px))
        channels.append(110 + 60 * down + 30 * waves + 50 * edges + 12 * grain)
    sharp = np.stack(channels, axis=2).clip(0, 255).astype(np.uint8)
    return degrade(sharp)
