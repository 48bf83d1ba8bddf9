"""`Workers` protocol: the interface between the daemon and any engine that sharpens its images.

`sharpend.workers.pool.Pool` implements it with local processes, `workers.cluster.raypool.RayPool`
on a cluster; `daemon.engine` chooses. The dispatcher knows these members and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sharpend.attempt import AttemptResult
    from sharpend.task import Task
    from sharpend.workers.loading import LoadedModel

ENGINE = "engine"
"""Subject of a fault of the whole engine: no worker can work until it passes."""


class Workers(Protocol):
    """Workers, each with at most one task; called from one thread."""

    @property
    def count(self) -> int:
        """Number of workers that can work now."""

    @property
    def free(self) -> int:
        """Number of them without a task."""

    @property
    def running(self) -> list[Task]:
        """Tasks in progress."""

    @property
    def faults(self) -> Mapping[str, str]:
        """Cause by subject of what is out of order; the subject `ENGINE` is the whole engine."""

    def load_model(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> LoadedModel:
        """Load a model, and its teacher, and try it once; blocks until that is done.

        The workers are started at the first call.

        Args:
            model: the model's name or path.
            teacher: load its teacher, too.
            go_on: asked every second whether to go on waiting.

        Raises:
            ConfigError: the engine cannot be used before something is changed.
            UnavailableError: the device, the model or a worker cannot be had, not within the
                time for one task, or `go_on` said no.
        """

    def submit(self, task: Task, now_s: float) -> None:
        """Hand a task to a free worker; never blocks.

        Args:
            task: what to do.
            now_s: the monotonic clock.

        Raises:
            StopIteration: no worker is free.
        """

    def finished(self, now_s: float) -> Iterable[AttemptResult]:
        """Return results since the last call, one per task; stop workers that exceed a limit."""

    def next_deadline_s(self) -> float:
        """Time by which `finished` must be called, even if nothing happens (monotonic)."""

    def overdue_s(self, now_s: float) -> float:
        """Seconds by which the most overdue worker exceeds its deadline; 0 if none does."""

    def stop(self) -> list[Task]:
        """Kill all workers now and return the tasks that were interrupted."""
