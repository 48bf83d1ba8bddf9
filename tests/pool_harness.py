"""Pools of light workers for tests, on this machine and on a Ray cluster, and what they bring."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from sharpend.attempt import Staged
from sharpend.files.fingerprint import Fingerprint
from sharpend.task import Options, Task
from sharpend.workers.cluster.notices import Cluster
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.loading import WorkerOptions
from sharpend.workers.pool import Pool
from tests.daemons import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.attempt import AttemptResult
    from tests.raycluster import RayCluster

PATIENCE_S = 300.0
CPU = WorkerOptions(device="cpu", precision="float32", tile_px=None, threads=1, crop_px=64)
P = TypeVar("P", Pool, RayPool)


class Harness(Generic[P]):
    """A pool of any kind, and a way to wait for what its workers bring."""

    def __init__(self, make: Callable[[Callable[[], None]], P], now_s: Callable[[], float]) -> None:
        self._waiting = threading.Event()
        self.pool: P = make(self._waiting.set)
        self._now_s = now_s
        self._ended: list[AttemptResult] = []
        """Outcomes that came before somebody waited for them."""

    def wait_until_free(self, count: int) -> None:
        """Wait until so many workers have no task."""
        until(lambda: not list(self.pool.finished(self._now_s())) and self.pool.free == count)

    def submit(self, name: bytes, job_id: int = 1) -> Task:
        """Submit a task that is called so; its output would be in a folder that is missing."""
        options = Options("lite")
        mark = Fingerprint(1, 2, 3)
        return self.hand_out(Task(job_id, b"/usr", b"/usr", name, b"no", b".t", mark, options))

    def hand_out(self, task: Task) -> Task:
        """Submit a task as soon as a worker is free."""
        until_s = time.monotonic() + PATIENCE_S
        while not self.pool.free and time.monotonic() < until_s:
            self._ended += self.pool.finished(self._now_s())
            self._wait()
        self.pool.submit(task, self._now_s())
        return task

    def _wait(self) -> None:
        self._waiting.wait(1.0)
        self._waiting.clear()

    def outcomes(self, count: int = 1) -> list[AttemptResult]:
        """Wait for so many outcomes."""
        ended, self._ended = self._ended, []
        until_s = time.monotonic() + PATIENCE_S
        while len(ended) < count and time.monotonic() < until_s:
            self._wait()
            ended += self.pool.finished(self._now_s())
        assert len(ended) == count, ended
        return ended

    def outcome(self, name: bytes) -> AttemptResult:
        """What a task that is called so comes to."""
        self.submit(name)
        return self.outcomes()[0]

    def worker(self) -> int:
        """The number of a process that works."""
        outcome = self.outcome(b"well")
        assert isinstance(outcome, Staged), outcome
        return int(outcome.model_digest)


class LocalHarness(Harness[Pool]):
    """Local workers, by a clock that does not advance: deadlines are 600 s after the epoch."""

    node = ""

    def __init__(self, options: WorkerOptions = CPU, *, count: int = 1) -> None:
        super().__init__(
            lambda wake: Pool(options, count=count, job_timeout_s=600, wake=wake), lambda: 0.0
        )


class RayHarness(Harness[RayPool]):
    """Workers on a cluster."""

    def __init__(self, ray: RayCluster, options: WorkerOptions = CPU, *, count: int = 1) -> None:
        where = Cluster(ray.address, 1, 0)
        super().__init__(lambda wake: RayPool(where, count, options, {}, wake), time.monotonic)
        self.pool.load_model("lite", teacher=True)
        self.wait_until_free(count)

    @property
    def node(self) -> str:
        """The node that its first actor runs on."""
        return next(iter(self.pool.actors)).node
