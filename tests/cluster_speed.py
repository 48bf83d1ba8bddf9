"""Speed of workers on a Ray cluster on this machine, against local ones.

    python -m tests.cluster_speed [--nodes 4] [--images 60] [--trips 500]

Starts a head and nodes of one processor each on the loopback. Measures the way of a task to a
worker that does nothing and back, local and on the cluster in turn; then `sharpend bench cluster`,
with batches of photographs of 1080p. Last, a daemon that wants twice as many workers as there is
room for has one node, another joins, and 30 s later its busy share of both is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from sharpend.benchmark import cluster as section
from sharpend.benchmark.batches import running_in
from sharpend.benchmark.images import HD_PX, fill
from sharpend.files.fingerprint import Fingerprint
from sharpend.task import Options, Task
from sharpend.workers import ahead
from sharpend.workers.cluster.notices import Cluster
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.loading import WorkerOptions
from sharpend.workers.pool import Pool
from tests.raycluster import RayCluster, cluster

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sharpend.workers.interface import Workers

LIGHT = WorkerOptions("cpu", "float32", None, 1, 64)
PATIENCE_S = 60.0
WITHIN_S = 30.0


class Trips:
    """One worker that does nothing, and the time of a task's way to it and back."""

    def __init__(self, ray: RayCluster | None) -> None:
        self._heard = threading.Event()
        self.pool: Workers = (
            Pool(LIGHT, count=1, job_timeout_s=600, wake=self._heard.set)
            if ray is None
            else RayPool(Cluster(ray.address, 1, 0), 1, LIGHT, {}, self._heard.set)
        )
        self.pool.load_model("lite", teacher=False)

    def seconds(self) -> float:
        """Hand a task out and wait for its result."""
        task = Task(
            1, b"/usr", b"/usr", b"well", b"none", b".t", Fingerprint(1, 2, 3), Options("lite")
        )
        began_s = time.perf_counter()
        self.pool.submit(task, time.monotonic())
        while not list(self.pool.finished(time.monotonic())):
            assert self._heard.wait(PATIENCE_S)
            self._heard.clear()
        return time.perf_counter() - began_s


def light() -> AbstractContextManager[object]:
    """Workers that do nothing, for the length of a block."""
    return patch.object(ahead, "PROGRAM", "tests.lightwork")


def trips(ray: RayCluster, count: int) -> dict[str, list[float]]:
    """Seconds of each way there and back, local and on the cluster in turn."""
    with light():
        made = {"local": Trips(None), "ray": Trips(ray)}
        found: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(count):
            for name, one in made.items():
                found[name].append(one.seconds())
        for one in made.values():
            one.pool.stop()
    return found


def share_after_a_node_joined(ray: RayCluster, images: Path, scratch: Path) -> float:
    """Busy share of the workers of two nodes, 30 s after the second one has joined the first."""
    environment = {
        "SHARPEND_MODEL__NAME": "lite-x4",
        "SHARPEND_WORKERS__THREADS": "1",
        "SHARPEND_PREVIEWS__COUNT": "0",
        "SHARPEND_ENGINE__KIND": "ray",
        "SHARPEND_ENGINE__WORKERS": "4",
        "SHARPEND_ENGINE__ADDRESS": ray.address,
    }
    batch = sorted(images.iterdir())
    with running_in(scratch, environment) as place:
        place.batch(batch[:4])
        ray.add()
        time.sleep(WITHIN_S)
        return place.batch(batch).busy(2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_speed")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--trips", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images = fill(Path(scratch) / "made", options.images, HD_PX)
        with cluster(*[1] * options.nodes) as ray:
            compare(ray, options.trips, images, Path(scratch) / "runs")
        with cluster(1) as ray:
            share = share_after_a_node_joined(ray, images, Path(scratch) / "growing")
        print(f"busy share {WITHIN_S:g} s after a node has joined: {share:.3f}")  # noqa: T201
        print(f"load {os.getloadavg()[0]:.1f}")  # noqa: T201


def compare(ray: RayCluster, count: int, images: Path, scratch: Path) -> None:
    """Measure a cluster against local workers: trips, then images."""
    print(f"load {os.getloadavg()[0]:.1f}")  # noqa: T201
    for name, found in trips(ray, count).items():
        centiles = statistics.quantiles([1e3 * one for one in found], n=100)
        said = f"p50 {centiles[49]:.2f} ms, p95 {centiles[94]:.2f} ms"
        print(f"{name}: a task there and back: {said}", flush=True)  # noqa: T201
    os.environ["SHARPEND_ENGINE__ADDRESS"] = ray.address
    print(section.cluster(images, scratch, "lite-x4").markdown(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
