"""Worker processes: each sharpens one picture at a time, may die, and is replaced.

The parent never imports torch: the two functions that run inside a worker import the pipeline
there. Every worker is a pebble pool of one process, so a death belongs to exactly one job, and no
worker shares a lock with another. A pool that broke, or whose worker is overdue, is replaced whole:
pebble stops only workers that have taken their task. Deadlines use the monotonic clock, not
pebble's wall clock.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from sharpend.errors import SharpendError, TransientError, UnavailableError
from sharpend.job import Failed, Failure, Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.job import Task

_PR_SET_PDEATHSIG = 1
_STOP_GRACE_S = 5.0
Outcome = Staged | Failed


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What every worker is started with: plain values from the settings."""

    device: str
    precision: str
    tile_px: int | None
    threads: int | None
    crop_px: int


@dataclass(frozen=True, slots=True)
class Engine:
    """What a worker says of a network after it loaded and ran it once."""

    model: str
    """The name on its card."""
    digest: str
    device: str
    """Device and precision, for example `cpu float32`."""
    tile_px: int
    softened_by: int
    """The factor of softness these weights undo."""
    alarm_below: float | None
    teacher: str | None
    """The teacher that was loaded beside it; None where the card names none or none was wanted."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker that ended, was killed or was stopped for its deadline while it had a task."""

    job_id: int
    cause: str
    """For example `SIGSEGV`, `exit status 1`, `timed out after 600 s`."""
    overdue: bool = False
    """It was stopped for its deadline."""


@dataclass(slots=True)
class _Slot:
    """One worker process and what it is doing."""

    pool: ProcessPool | None = None
    task: Task | None = None
    future: Future[Outcome] | None = None
    deadline_s: float = 0.0
    submissions: int = 0
    """How often the task was handed to a process; more than once where one died before it began."""


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

    def engine(self, model: str, *, teacher: bool) -> Engine:
        """Load a network, and its teacher, in the first worker and warm it up; waits for it.

        Raises:
            UnavailableError: the device, the network or the worker itself is not to be had.
        """
        future = self._schedule(self._slots[0], _describe, model, teacher)
        try:
            engine: Engine = future.result()
        except SharpendError:
            raise
        except Exception as error:
            raise UnavailableError(f"no worker process could be started: {error!r}") from error
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
        slot.submissions = 0
        self._begin(slot, task)

    def finished(self, now_s: float) -> Iterator[Outcome | Died]:
        """What came to an end since the last call, each task once; stops what is overdue."""
        for slot in self._slots:
            if slot.future is not None and now_s > slot.deadline_s and slot.future.cancel():
                self._retire(slot)
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
                yield self._outcome(task, future)

    def next_deadline_s(self) -> float:
        """When `finished` has to be called even if nothing wakes."""
        deadlines = [slot.deadline_s for slot in self._slots if slot.task is not None]
        return min(deadlines, default=float("inf"))

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
        slot.future = self._schedule(slot, _work, task)
        slot.future.add_done_callback(lambda future: self._end(slot, future))

    def _end(self, slot: _Slot, future: Future[Outcome]) -> None:
        self._ended.put((slot, future))
        self._wake()

    def _outcome(self, task: Task, future: Future[Outcome]) -> Outcome | Died:
        if future.cancelled():
            return Died(task.job_id, f"timed out after {self._job_timeout_s:g} s", overdue=True)
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, ProcessExpired):
            return Died(task.job_id, _cause(error.exitcode))
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
        slot.pool = ProcessPool(
            max_workers=1,
            initializer=_start,
            initargs=(self._options, os.getpid()),
            context=multiprocessing.get_context("spawn"),
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


_pipeline: Any = None
"""Inside a worker: its Pipeline. One process has one, and pebble hands functions no state."""


def _start(options: WorkerOptions, daemon_pid: int) -> None:
    """Inside a worker: die with the daemon, then load the way of an image."""
    global _pipeline  # noqa: PLW0603 - see above
    _die_with_parent(daemon_pid)
    # A signal to the daemon's whole group (`timeout`, a closed terminal) is for the daemon alone:
    # it drains, and a worker that died of it would be held against its picture.
    os.setpgid(0, 0)
    # pebble's handler for SIGTERM runs between two bytecodes: not within seconds of convolution.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipeline = importlib.import_module("sharpend.pipeline")
    runtime = importlib.import_module("sharpend.model.runtime")
    placement = runtime.Placement(
        options.device, options.precision, options.tile_px, options.threads
    )
    _pipeline = pipeline.Pipeline(placement, crop_px=options.crop_px)


def _die_with_parent(daemon_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the pipe ends)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != daemon_pid:
            os._exit(1)


def _describe(model: str, teacher: bool) -> Engine:  # noqa: FBT001 - crosses a process boundary
    """Inside a worker: load and try a network, and its teacher if one is wanted."""
    sharpener = _pipeline.sharpener(model)
    try:
        sharpener.warm_up()
    except TransientError as error:
        raise UnavailableError(str(error)) from error
    card = sharpener.card
    if teacher and card.teacher is not None:
        _pipeline.opinion(model)
    return Engine(
        model=card.name,
        digest=sharpener.digest,
        device=sharpener.runtime.described,
        tile_px=sharpener.runtime.tile_px,
        softened_by=card.softened_by,
        alarm_below=card.alarm_below,
        teacher=card.teacher if teacher else None,
    )


def _work(task: Task) -> Outcome:
    """Inside a worker: one task."""
    outcome: Outcome = _pipeline.run(task)
    return outcome
