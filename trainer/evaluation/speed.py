"""Cost of models at 1920 x 1080: images per second, multiply-adds, memory.

`bench` has the processes, `sharpend.benchmark.rounds` the rounds. Time is from pixels to pixels,
without decoding and encoding. The models work in turn, so that other load on the machine slows all
of them alike.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.benchmark.figures import ratio
from sharpend.benchmark.rounds import in_turn
from sharpend.model.device import Placement
from trainer.evaluation.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one model for an image of 1920 x 1080 pixels.

    Attributes:
        parameters: how many; 0 where that is not known.
        gmac_1080p: billions of multiplications with addition in convolutions and matrix products,
            the image in one piece; None where there are none that torch can count.
        fps: images per second by number of threads, of the median image.
        peak_mib: memory that it takes at the highest beyond `idle_mib`: activations, tiles and the
            output. Resident memory on a CPU, torch's allocations on a CUDA device.
        device: the processor's name and the precision.
        idle_mib: what the process held before: libraries, network and input. The sum of the two is
            what a machine must have for one such process.
        times: by number of threads, how many images it makes while the reference makes one: the
            median over the rounds that both took part in; empty without a reference.
    """

    parameters: int
    gmac_1080p: float | None
    fps: dict[int, float]
    peak_mib: float
    device: str
    idle_mib: float = 0.0
    times: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Timing:
    """Seconds and processes for one number of threads."""

    seconds: dict[str, list[float]]
    benches: Mapping[str, Bench]


def measure_costs(
    models: Mapping[str, str],
    *,
    against: str | None,
    device: str,
    precision: str,
    threads: Sequence[int] = (1, 2),
    rounds: int = 5,
) -> dict[str, Cost]:
    """Measure several models in turn, each in a process of its own.

    Args:
        models: by row, each as `open_model` takes it.
        against: the row that `times` refers to, if any.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32 or bfloat16, of our models; all others run in float32.
        threads: of torch on the CPU; everything is measured for each number.
        rounds: after one that does not count; each model sharpens one image in each.

    Raises:
        UnavailableError: a model cannot be opened or run; the text is its message.
    """
    found: dict[int, _Timing] = {}
    gmac: dict[str, float] = {}
    for count in threads:
        placement = Placement(device, precision, threads=count)
        with ExitStack() as stack:
            benches = {
                row: stack.enter_context(Bench(model, placement)) for row, model in models.items()
            }
            work = {row: bench.sharpen for row, bench in benches.items()}
            found[count] = _Timing(in_turn(work, rounds), benches)
            if count == threads[-1]:  # counting takes memory, so it comes last
                gmac = {row: bench.count() for row, bench in benches.items()}
    return {row: _cost(row, found, gmac[row] or None, against) for row in models}


def _cost(row: str, found: Mapping[int, _Timing], gmac: float | None, against: str | None) -> Cost:
    benches = [one.benches[row] for one in found.values()]
    return Cost(
        parameters=benches[-1].parameters,
        gmac_1080p=gmac,
        fps={n: 1 / statistics.median(one.seconds[row]) for n, one in found.items()},
        peak_mib=max(bench.peak_mib for bench in benches),
        device=benches[-1].device,
        idle_mib=benches[-1].idle_mib,
        times={n: ratio(one.seconds, row, against=against).median for n, one in found.items()}
        if against
        else {},
    )
