"""A model of how many cores one daemon feeds; its parameters are measured here.

    python -m tests.head [--images 2000] [--rounds 3] [--trips 300] [--to config/cluster/head.png]

Measured: the cost of an image in the daemon's own process (`tests.parent`, 64 workers, groups of
50), and the processor time that a task on a Ray cluster adds in it and takes in the driver.
Assumed: the two are processes that work side by side, so that the dearer one limits; each core has
one image, whose work varies by 40 %; what is read and written in parallel does not slow down.
Nothing of it ran on more than this machine: it is a model, and no measurement of a cluster.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from sharpend.benchmark.plots import require_matplotlib
from sharpend.machine import cores
from tests.cluster_speed import Trips, light
from tests.daemons import command_of
from tests.parent import cost
from tests.raycluster import cluster

WORKS = {"0.05 s, a small image": 0.05, "0.11 s, 1080p": 0.11, "1.3 s, 24 MP": 1.3}
"""Seconds of work of a core for an image, by name: about those of lite-x4 on one core here."""
SPREAD = 0.4
CORES = [2**power for power in range(15)]
FED = 0.9
"""Busy share of the cores from which a daemon is said to feed them."""
_IMAGES_EACH = 12
"""Images of each core in a simulation."""


@dataclass(frozen=True)
class Parameters:
    """Cost of an image on the machine of the daemon, milliseconds."""

    daemon_ms: float
    """Claim, assign, commit and record, in the daemon's own process."""
    ray_ms: float
    """Processor time that a task on a cluster adds there."""
    driver_ms: float
    """Processor time of the driver."""

    @property
    def limit_ms(self) -> float:
        """The dearer of the two processes."""
        return max(self.daemon_ms + self.ray_ms, self.driver_ms)

    def __str__(self) -> str:
        return (
            f"{self.daemon_ms:.2f} ms an image in the daemon, {self.ray_ms:.2f} ms more for Ray,"
            f" {self.driver_ms:.2f} ms in the driver: {self.limit_ms:.2f} ms limit"
        )


def measured(images: int, rounds: int, trips: int) -> Parameters:
    """Measure the parameters on this machine."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            found.append(cost(Path(home), images, 64).wall_ms)
    ray_ms, driver_ms = _of_ray(trips)
    return Parameters(statistics.median(found), ray_ms, driver_ms)


def _of_ray(trips: int) -> tuple[float, float]:
    """Processor time of a task in this process and in the driver, milliseconds."""
    with cluster(1) as ray, light():
        made = Trips(ray)
        (driver,) = [one for one in psutil.Process().children() if _is_driver(one)]
        own_s, driver_s = time.process_time(), sum(driver.cpu_times()[:2])
        for _ in range(trips):
            made.seconds()
        own_s, driver_s = time.process_time() - own_s, sum(driver.cpu_times()[:2]) - driver_s
        made.pool.stop()
    return 1e3 * own_s / trips, 1e3 * driver_s / trips


def _is_driver(process: psutil.Process) -> bool:
    return "sharpend.workers.cluster.driver" in command_of(process)


def busy_share(limit_s: float, work_s: float, count: int) -> float:
    """Simulate a daemon that serves one image at a time, and cores that each work on one.

    Args:
        limit_s: the daemon's time for an image.
        work_s: mean of a core's time for an image.
        count: of cores.

    Returns:
        The share of the time that the cores work, after each has had two images.
    """
    chance = random.Random(count)
    ready = [0.0] * count
    free_s, worked_s, began_s, counted = 0.0, 0.0, 0.0, 0
    total = max(_IMAGES_EACH * count, 2000)
    for number in range(total):  # images in the order in which their cores ask for them
        free_s = max(free_s, heapq.heappop(ready)) + limit_s
        work = work_s * chance.uniform(1 - SPREAD, 1 + SPREAD)
        heapq.heappush(ready, free_s + work)
        if number == 2 * count:
            began_s = free_s
        if number > 2 * count:
            worked_s, counted = worked_s + work, counted + 1
    return min(1.0, worked_s / (count * (free_s - began_s)))


def fed(limit_s: float, work_s: float) -> int:
    """Most cores, in powers of two and their halves between, that are busy for FED of the time."""
    counts = {*CORES, *(count * 3 // 2 for count in CORES)}
    kept = [one for one in counts if busy_share(limit_s, work_s, one) >= FED]
    return max(kept, default=1)


def draw(found: Parameters, path: Path) -> None:
    """Draw the busy share over the number of cores."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    canvas = Figure((8, 4.2), layout="constrained")
    axes = canvas.subplots()
    for name, work_s in WORKS.items():
        shares = [busy_share(found.limit_ms / 1e3, work_s, count) for count in CORES]
        axes.plot(CORES, shares, marker="o", label=name)
    axes.axhline(FED, color="grey", linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(CORES, [str(count) for count in CORES], rotation=45)
    axes.set(ylim=(0, 1.05), xlabel="cores of the cluster", ylabel="share of the time they work")
    axes.set_title(f"Model, not a measurement: one daemon at {found.limit_ms:.2f} ms an image")
    axes.legend(loc="lower left", title="work of a core for an image")
    canvas.savefig(path, dpi=110)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.head")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trips", type=int, default=300)
    parser.add_argument("--to", type=Path, help="PNG to draw")
    options = parser.parse_args()
    if options.to is not None:
        require_matplotlib()
    load = os.getloadavg()[0]
    found = measured(options.images, options.rounds, options.trips)
    print(f"measured on {cores()} cores at load {load:.1f}: {found}")  # noqa: T201
    print("| work of an image | cores busy for 90 % | images/s | cost in the daemon |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    for name, work_s in WORKS.items():
        count = fed(found.limit_ms / 1e3, work_s)
        share = busy_share(found.limit_ms / 1e3, work_s, count)
        rate = f"{count * share / work_s:.0f}"
        print(f"| {name} | {count} | {rate} | {found.limit_ms:.2f} ms |")  # noqa: T201
    print(f"at most {1e3 / found.limit_ms:.0f} images/s")  # noqa: T201
    if options.to is not None:
        draw(found, options.to)


if __name__ == "__main__":
    main()
