"""The `Workers` protocol: what the daemon asks of whatever sharpens its images.

`sharpend.workers.pool.Pool` implements it with local processes. Another implementation may run
elsewhere; the dispatcher knows these members and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sharpend.job import Died, Failed, Staged, Task
    from sharpend.workers.worker import Engine


class Workers(Protocol):
    """A fixed number of workers, each with at most one task; called from one thread."""

    @property
    def count(self) -> int:
        """How many workers there are."""

    @property
    def free(self) -> int:
        """How many workers have no task."""

    @property
    def running(self) -> list[Task]:
        """The tasks in work."""

    def engine(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> Engine:
        """Load a model, and its teacher, and try it once; waits for it.

        Args:
            model: the model's name or path.
            teacher: load its teacher, too.
            go_on: asked every second whether to go on waiting.

        Raises:
            UnavailableError: the device, the model or a worker cannot be had, not within the
                time for one task, or `go_on` said no.
        """

    def submit(self, task: Task, now_s: float) -> None:
        """Hand a task to a free worker; never waits for it.

        Args:
            task: what to do.
            now_s: the monotonic clock.

        Raises:
            StopIteration: no worker is free.
        """

    def finished(self, now_s: float) -> Iterable[Staged | Failed | Died]:
        """Results since the last call, one for each task; stops workers that exceed a limit."""

    def next_deadline_s(self) -> float:
        """When `finished` has to be called even if nothing wakes (monotonic)."""

    def overdue_s(self, now_s: float) -> float:
        """How long the most overdue worker has had its task past the deadline; 0 where none has."""

    def stop(self) -> list[Task]:
        """End all workers now and return the tasks that were cut short."""
