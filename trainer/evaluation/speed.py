"""What networks cost at 1920 x 1080: pictures per second, arithmetic, memory.

Owns what is told and how often is measured; the processes that do the work are `bench`'s. From
pixels to pixels, as the daemon sharpens: decoding and encoding are not counted. The networks take
turns, so that what else a machine does slows all of them alike.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.model.runtime import Placement
from trainer.evaluation.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Rounds = Sequence[Mapping[str, float]]
    """Seconds of each network in each round; a slow one sits out where it has had its time."""

FEWEST = 2
"""Pictures of which a median is taken, however long they take."""
BUDGET_S = 20.0
"""After this many seconds of work a network sits out the rest of the rounds."""


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
        times: by number of threads, how many pictures it makes while the reference makes one: the
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
class _Found:
    """What the rounds of one number of threads have shown."""

    rounds: list[dict[str, float]]
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
    """Measure several networks in turns, each in a process of its own.

    Args:
        models: by row, each as `open_model` takes it.
        against: the row that `times` refers to, if any.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32 or bfloat16, of our networks; all others run in float32.
        threads: of torch on the CPU; everything is measured for each number.
        rounds: after one that does not count; in each every network makes one picture.

    Raises:
        UnavailableError: a network cannot be opened or run; the text is what it said.
    """
    found: dict[int, _Found] = {}
    gmac: dict[str, float] = {}
    for count in threads:
        placement = Placement(device, precision, threads=count)
        with ExitStack() as stack:
            benches = {
                row: stack.enter_context(Bench(model, placement)) for row, model in models.items()
            }
            found[count] = _Found(take_turns(benches, rounds), benches)
            if count == threads[-1]:  # counting takes memory: after all that is watched
                gmac = {row: bench.count() for row, bench in benches.items()}
    return {row: _cost(row, found, gmac[row] or None, against) for row in models}


def take_turns(benches: Mapping[str, Bench], rounds: int) -> list[dict[str, float]]:
    """Seconds of each network in each round, after one that warms up."""
    for bench in benches.values():
        bench.sharpen()
    taken: list[dict[str, float]] = []
    for _ in range(max(rounds, FEWEST)):
        playing = [row for row in benches if _may_play(spent(taken, row))]
        taken.append({row: benches[row].sharpen() for row in playing})
    return taken


def spent(rounds: Rounds, row: str) -> list[float]:
    """The seconds of one network in the rounds that it took part in."""
    return [seconds[row] for seconds in rounds if row in seconds]


def _may_play(seconds: Sequence[float]) -> bool:
    return len(seconds) < FEWEST or sum(seconds) < BUDGET_S


def times(rounds: Rounds, row: str, *, against: str) -> float:
    """How often one network is as fast as another: the median of the ratio within a round."""
    both: Iterable[Mapping[str, float]] = (one for one in rounds if {row, against} <= one.keys())
    return statistics.median(seconds[against] / seconds[row] for seconds in both)


def _cost(row: str, found: Mapping[int, _Found], gmac: float | None, against: str | None) -> Cost:
    benches = [one.benches[row] for one in found.values()]
    return Cost(
        parameters=benches[-1].parameters,
        gmac_1080p=gmac,
        fps={n: 1 / statistics.median(spent(one.rounds, row)) for n, one in found.items()},
        peak_mib=max(bench.peak_mib for bench in benches),
        device=benches[-1].device,
        idle_mib=benches[-1].idle_mib,
        times={n: times(one.rounds, row, against=against) for n, one in found.items()}
        if against
        else {},
    )
