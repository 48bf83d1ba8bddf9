"""Worker processes: each sharpens one picture at a time, may die, and is replaced.

Every worker is a pebble pool of one process, so a death belongs to exactly one job, and no
worker shares a lock with another. A pool that broke, or whose worker is overdue or has grown beyond
its limit, is replaced whole: pebble stops only workers that have taken their task. Deadlines use
the monotonic clock, not pebble's wall clock.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import threading
import time
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from sharpend import memory, worker
from sharpend.errors import Reason, SharpendError, UnavailableError
from sharpend.job import Failed, Failure, Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import SpawnProcess

    from sharpend.job import Task
    from sharpend.worker import Engine, WorkerOptions

_LOOK_EVERY_S = 1.0
_LOOK_AT_MEMORY_S = 0.5
_STOP_GRACE_S = 5.0
_TIME_SETTING = "workers.job_timeout_s"
_WEARING = frozenset({Reason.INTERNAL, Reason.OUT_OF_MEMORY})
"""After an error that nobody foresaw a device may be lost for that process; after one of memory,
libraries may be half-way through something."""
_KEPT_AT_MOST = 0.5
"""Share of the memory for a picture that may stay in use behind it; more is a leak."""
Outcome = Staged | Failed


@dataclass(frozen=True, slots=True)
class Died:
    """A worker that ended, was killed or was stopped for its deadline while it had a task."""

    job_id: int
    cause: str
    """For example `SIGSEGV`, `exit status 1`, `timed out after 600 s`."""
    setting: str | None = None
    """The setting whose limit it was stopped for."""


class _Spawning(SpawnContext):
    """Starts processes afresh, and remembers them: pebble does not tell whom it started."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: SpawnProcess | None = None

    def Process(  # type: ignore[override] # noqa: N802 - the library's name for a class
        self,
        *args: Any,  # noqa: ANN401 - passed on
        **kwargs: Any,  # noqa: ANN401 - passed on
    ) -> SpawnProcess:
        """A new process, not started."""
        self.latest = super().Process(*args, **kwargs)
        return self.latest


@dataclass(slots=True)
class _Slot:
    """One worker process and what it is doing."""

    pool: ProcessPool | None = None
    processes: _Spawning = field(default_factory=_Spawning)
    task: Task | None = None
    future: Future[Outcome] | None = None
    deadline_s: float = 0.0
    submissions: int = 0
    """How often the task was handed to a process; more than once where one died before it began."""
    stopped: Died | None = None
    """Why the task was cut short."""

    def held_bytes(self) -> int:
        """What its process holds in memory; 0 where there is none, or the system does not tell."""
        process = self.processes.latest
        if self.pool is None or process is None or process.pid is None:
            return 0
        return memory.resident_bytes(process.pid) or 0


class Pool:
    """A fixed number of workers; all methods are called from one thread.

    Args:
        options: for every worker.
        count: how many.
        job_timeout_s: longest time for one picture.
        wake: called from any thread when a result waits.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        count: int,
        job_timeout_s: float,
        wake: Callable[[], None],
    ) -> None:
        self._options = options
        self._job_timeout_s = job_timeout_s
        self._wake = wake
        self._idle_bytes = 0
        self._looked_s = -math.inf
        self._slots = [_Slot() for _ in range(count)]
        self._ended: queue.SimpleQueue[tuple[_Slot, Future[Outcome]]] = queue.SimpleQueue()
        self._retiring: list[threading.Thread] = []

    @property
    def running(self) -> list[Task]:
        """The tasks in work."""
        return [slot.task for slot in self._slots if slot.task is not None]

    @property
    def free(self) -> int:
        """How many workers have nothing to do."""
        return sum(slot.task is None for slot in self._slots)

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._slots)

    def engine(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> Engine:
        """Load a network, and its teacher, in the first worker and warm it up; waits for it.

        Args:
            model: the network's name or path.
            teacher: load its teacher, too.
            go_on: asked every second whether to go on waiting.

        Raises:
            UnavailableError: the device, the network or the worker itself is not to be had, not
                within the time for one picture, or `go_on` said no.
        """
        future = self._schedule(self._slots[0], worker.describe, model, teacher)
        give_up_s = time.monotonic() + self._job_timeout_s
        while not wait([future], timeout=_LOOK_EVERY_S).done:
            if not go_on() or time.monotonic() > give_up_s:
                raise UnavailableError(f"model.device: loading {model} did not end")
        try:
            engine: Engine = future.result()
        except SharpendError:
            raise
        except Exception as error:
            raise UnavailableError(f"no worker process could be started: {error!r}") from error
        self._idle_bytes = max(self._idle_bytes, engine.resident_bytes or 0)
        return engine

    def submit(self, task: Task, now_s: float) -> None:
        """Hand a task to a free worker.

        Args:
            task: what to do.
            now_s: the monotonic clock.

        Raises:
            StopIteration: no worker is free.
        """
        slot = next(slot for slot in self._slots if slot.task is None)
        slot.task = task
        slot.deadline_s = now_s + self._job_timeout_s
        slot.submissions, slot.stopped = 0, None
        self._begin(slot, task)

    def finished(self, now_s: float) -> Iterator[Outcome | Died]:
        """What came to an end since the last call, each task once; stops what exceeds a limit."""
        self._looked_s = now_s
        for slot in self._slots:
            self._hold_to_limits(slot, now_s)
        while True:
            try:
                slot, future = self._ended.get_nowait()
            except queue.Empty:
                return
            if slot.task is None or future is not slot.future:
                continue  # `stop` came first
            task = slot.task
            if _never_began(future) and slot.submissions == 1:
                self._begin(slot, task)
            else:
                slot.task = slot.future = None
                outcome = self._outcome(slot, task, future)
                if self._is_worn(slot, outcome):
                    self._retire(slot)
                yield outcome

    def next_deadline_s(self) -> float:
        """When `finished` has to be called even if nothing wakes."""
        deadlines = [slot.deadline_s for slot in self._slots if slot.task is not None]
        if deadlines and self._options.memory_bytes is not None:
            deadlines.append(self._looked_s + _LOOK_AT_MEMORY_S)
        return min(deadlines, default=float("inf"))

    def overdue_s(self, now_s: float) -> float:
        """How long the most overdue worker has had its task past the deadline; 0 where none has."""
        return max([0.0, *(now_s - slot.deadline_s for slot in self._slots if slot.task)])

    def stop(self) -> list[Task]:
        """End all workers now and return the tasks that were cut short."""
        unfinished = self.running
        for slot in self._slots:
            slot.task = slot.future = None
            self._retire(slot)
        for thread in self._retiring:
            thread.join(_STOP_GRACE_S)
        return unfinished

    def _begin(self, slot: _Slot, task: Task) -> None:
        slot.submissions += 1
        slot.future = self._schedule(slot, worker.work, task)
        slot.future.add_done_callback(lambda future: self._end(slot, future))

    def _end(self, slot: _Slot, future: Future[Outcome]) -> None:
        self._ended.put((slot, future))
        self._wake()

    def _hold_to_limits(self, slot: _Slot, now_s: float) -> None:
        """Stop a task that takes too long, or whose worker has grown too large."""
        if slot.task is None or slot.future is None:
            return
        cause, setting = f"timed out after {self._job_timeout_s:g} s", _TIME_SETTING
        if now_s <= slot.deadline_s:
            grown, limit = slot.held_bytes() - self._idle_bytes, self._options.memory_bytes
            if limit is None or grown <= limit:
                return
            cause = f"grew by {grown / 1e6:.0f} MB where {limit / 1e6:.0f} are allowed"
            setting = worker.MEMORY_SETTING
        if slot.future.cancel():
            slot.stopped = Died(slot.task.job_id, cause, setting)
            self._retire(slot)

    def _is_worn(self, slot: _Slot, outcome: Outcome | Died) -> bool:
        """The process is not to be trusted with the next picture, or has no room for it."""
        if isinstance(outcome, Failed) and outcome.reason in _WEARING:
            return True
        limit = self._options.memory_bytes
        return limit is not None and slot.held_bytes() - self._idle_bytes > limit * _KEPT_AT_MOST

    def _outcome(self, slot: _Slot, task: Task, future: Future[Outcome]) -> Outcome | Died:
        if future.cancelled() and slot.stopped is not None:
            return slot.stopped
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, ProcessExpired):
            setting = _TIME_SETTING if error.exitcode == -signal.SIGXCPU else None
            return Died(task.job_id, _cause(error.exitcode), setting)
        if isinstance(error, BrokenProcessPool):
            message = f"no worker process could be started: {error!r}"
            return Failed(task.job_id, Failure.FOLDER, None, message)
        return Died(task.job_id, repr(error))

    def _schedule(self, slot: _Slot, function: Callable[..., Any], *args: object) -> Future[Any]:
        """Hand work to the slot's process, started anew where its last one died while idle."""
        if slot.pool is not None:
            try:
                return _scheduled(slot.pool, function, args)
            except RuntimeError:
                self._retire(slot)
        slot.processes = _Spawning()
        slot.pool = ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(self._options, os.getpid()),
            context=slot.processes,
        )
        try:
            return _scheduled(slot.pool, function, args)
        except BrokenProcessPool as error:  # no memory for a process, or too many of them
            self._retire(slot)
            refused: Future[Any] = Future()
            refused.set_exception(error)
            return refused

    def _retire(self, slot: _Slot) -> None:
        """Stop a slot's process without waiting: one that ignores SIGTERM takes seconds."""
        pool, slot.pool = slot.pool, None
        if pool is None:
            return
        pool.stop()  # type: ignore[no-untyped-call]
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        self._retiring.append(threading.Thread(target=pool.join, daemon=True))
        self._retiring[-1].start()


def _scheduled(
    pool: ProcessPool, function: Callable[..., Any], args: tuple[object, ...]
) -> Future[Any]:
    future: Future[Any] = pool.schedule(function, args=args)
    return future


def _never_began(future: Future[Outcome]) -> bool:
    """The process died before it took the task: no fault of the task's."""
    return not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)


def _cause(exit_code: int) -> str:
    """A process's end in words; negative codes are signals."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # most real-time signals have no name
        return f"signal {-exit_code}"
