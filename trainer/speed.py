"""What a network costs at 1920 x 1080: pictures per second, arithmetic, memory.

Owns what is told and how often is measured; the process that does the work is `bench`. From pixels
to pixels, as the daemon sharpens: decoding and encoding are not counted.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.model.runtime import Placement
from trainer.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FEWEST = 2
"""Pictures of which a median is taken, however long they take."""
BUDGET_S = 20.0
"""After this many seconds of work no picture beyond those is begun."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one network needs for a picture of 1920 x 1080 pixels.

    Attributes:
        parameters: how many; 0 where that is not known.
        gmac_1080p: billions of multiplications with addition in convolutions and matrix products,
            the picture in one piece; None where there are none that torch can count.
        fps: pictures per second by number of threads, of the median picture.
        peak_mib: memory that it takes at the highest beyond `idle_mib`: activations, tiles and the
            output. Resident memory on a CPU, torch's allocations on a CUDA device.
        device: the processor's name and the precision.
        idle_mib: what the process held before: libraries, network and input. The sum of the two is
            what a machine must have for one such process.
    """

    parameters: int
    gmac_1080p: float | None
    fps: dict[int, float]
    peak_mib: float
    device: str
    idle_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One network beside a reference.

    Attributes:
        fps: pictures per second, of the median picture.
        times: how many pictures it makes while the reference makes one: the median over rounds, in
            each of which every network made one picture.
    """

    fps: float
    times: float


def measure_speed(
    model: str,
    *,
    device: str,
    precision: str,
    threads: Sequence[int] = (1, 2),
    pictures: int = 5,
) -> Cost:
    """Measure one network, in a fresh process for each number of threads.

    Args:
        model: a shipped name, a weights file, a run's folder, or a pretrained x4 file.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32 or bfloat16, of our networks; all others run in float32.
        threads: of torch on the CPU; a speed is measured for each.
        pictures: after a warm-up; fewer of a slow network, but two at least.

    Raises:
        UnavailableError: the network cannot be opened or run; the text is what it said.
        UsageError: no number of threads is given.
    """
    if not threads:
        raise UsageError("give at least one number of threads to measure a speed with")
    *rest, most = sorted(set(threads))
    costs = []
    for count in rest:
        with Bench(model, Placement(device, precision, threads=count)) as bench:
            costs.append(_timed(bench, count, pictures))
    with Bench(model, Placement(device, precision, threads=most)) as bench:
        costs.append(_timed(bench, most, pictures))
        gmac = bench.count()
    return replace(
        costs[-1],
        gmac_1080p=gmac or None,
        fps={count: fps for cost in costs for count, fps in cost.fps.items()},
        peak_mib=max(cost.peak_mib for cost in costs),
    )


def _timed(bench: Bench, threads: int, pictures: int) -> Cost:
    """What one process shows, but for the arithmetic."""
    bench.sharpen()  # warms up
    seconds = statistics.median(paced(bench.sharpen, pictures=pictures))
    return Cost(
        bench.parameters, None, {threads: 1 / seconds}, bench.peak_mib, bench.device, bench.idle_mib
    )


def paced(
    sharpen: Callable[[], float], *, pictures: int, budget_s: float = BUDGET_S
) -> list[float]:
    """The seconds of several pictures, fewer where they take long.

    Args:
        sharpen: makes one picture and returns its seconds.
        pictures: how many, but FEWEST at least.
        budget_s: see BUDGET_S.
    """
    seconds: list[float] = []
    while len(seconds) < FEWEST or (len(seconds) < pictures and sum(seconds) < budget_s):
        seconds.append(sharpen())
    return seconds


def compare_speed(
    models: Sequence[str],
    *,
    against: str,
    device: str,
    precision: str,
    threads: int = 2,
    rounds: int = 5,
) -> dict[str, Turn]:
    """Let several networks take turns, so that what else a machine does slows all of them alike.

    Args:
        models: as `measure_speed` takes them.
        against: the one of them that the others are compared with, for example the teacher.
        device: as for `measure_speed`.
        precision: likewise.
        threads: of torch on the CPU.
        rounds: after one that does not count; in each every network makes one picture.

    Raises:
        UnavailableError: a network cannot be opened or run.
        UsageError: the reference is none of the models.
    """
    if against not in models:
        raise UsageError(f"{against}: is none of the models to compare")
    placement = Placement(device, precision, threads=threads)
    with ExitStack() as stack:
        benches = {model: stack.enter_context(Bench(model, placement)) for model in models}
        seconds = [{m: bench.sharpen() for m, bench in benches.items()} for _ in range(rounds + 1)]
    return compared(seconds[1:], against=against)


def compared(rounds: Sequence[Mapping[str, float]], *, against: str) -> dict[str, Turn]:
    """Speeds and ratios from the seconds of each network in each round."""
    return {
        model: Turn(
            fps=1 / statistics.median(seconds[model] for seconds in rounds),
            times=statistics.median(seconds[against] / seconds[model] for seconds in rounds),
        )
        for model in rounds[0]
    }
