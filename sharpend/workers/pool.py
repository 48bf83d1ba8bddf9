"""Worker pool: run tasks in processes, enforce deadlines and memory limits, replace dead workers.

One slot is one process and its pipes, so a death belongs to exactly one task; that of the fork
server, the parent of all workers, to none. What a worker says is not trusted: an answer that is
malformed, too long or out of turn, or that does not fit the task, ends the worker and costs its
task this attempt, as a death does. Deadlines use the monotonic clock. The number of workers is
chosen in `daemon.worker_settings`.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.attempt import Died, Failed, Staged
from sharpend.errors import Reason, UnavailableError
from sharpend.workers import worker
from sharpend.workers.answers import NOT_STARTED, TIME_SETTING, end_of, fitting, lost, not_started
from sharpend.workers.loading import LoadedModel
from sharpend.workers.messages import Began, Describe, Follow, Unavailable
from sharpend.workers.process import Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.attempt import AttemptResult
    from sharpend.model.trial import Trial
    from sharpend.task import Task
    from sharpend.workers.jsoncodec import MessageError
    from sharpend.workers.loading import WorkerOptions
    from sharpend.workers.messages import Answer
    from sharpend.workers.process import WorkerProcess

_LOOK_EVERY_S = 1.0
_LOOK_AT_MEMORY_S = 0.5
_STOP_GRACE_S = 5.0
_LOAD_S = 300.0
"""Least time for loading a model at the start, which may take longer than an image."""
_REPLACE_AFTER = frozenset({Reason.INTERNAL, Reason.OUT_OF_MEMORY})
"""After an unexpected error a device may be lost for that process; after one of memory,
libraries may be half-way through something."""
_KEPT_AT_MOST = 0.5
"""Share of the memory for an image that may stay in use after it; more is a leak."""


@dataclass(slots=True)
class _Slot:
    """A place for one worker process, with its current task."""

    process: WorkerProcess | None = None
    task: Task | None = None
    deadline_s: float = 0.0
    submissions: int = 0
    """Times the task was handed to a process; more than once if one died before it began."""
    began: bool = False
    """True after the process has answered that it began the task."""
    refused: Failed | None = None
    """Result of a task that could not be handed to any process."""


class Pool:
    """A fixed number of worker processes; all methods are called from one thread.

    Implements `sharpend.workers.interface.Workers`.

    Args:
        options: for every worker.
        count: how many.
        job_timeout_s: longest time for one image.
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
        self._launcher = Launcher()
        self._slots = [_Slot() for _ in range(count)]
        self._killed: list[WorkerProcess] = []
        """Processes whose exit code was not read yet."""

    @property
    def running(self) -> list[Task]:
        """Tasks in progress."""
        return [slot.task for slot in self._slots if slot.task is not None]

    @property
    def free(self) -> int:
        """Number of workers without a task."""
        return sum(slot.task is None for slot in self._slots)

    @property
    def faults(self) -> dict[str, str]:
        """Faults of the engine: none, since the workers are of this machine."""
        return {}

    @property
    def count(self) -> int:
        """Number of workers."""
        return len(self._slots)

    def load_model(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> LoadedModel:
        """Start all workers, and load a model in the first one, see `Workers.load_model`."""
        slot = self._slots[0]
        try:
            process = self._ready(slot)
            self._start_others()
            process.send(Describe(model, teacher))
            loaded = self._described(process, model, go_on)
        except (OSError, RuntimeError) as error:
            raise UnavailableError(f"{NOT_STARTED}: {error!r}") from error
        except UnavailableError:
            self._retire(slot)
            raise
        self._idle_bytes = max(self._idle_bytes, loaded.resident_bytes or 0)
        self._follow(loaded.trial)
        return loaded

    def _follow(self, trial: Trial | None) -> None:
        """Let all workers take the form of the model that this trial chose, later ones too."""
        known = self._options.trials
        if trial is not None and trial not in known:
            self._options = replace(self._options, trials=(trial, *known))
            for slot in self._slots[1:]:
                if slot.process is not None:
                    slot.process.send(Follow(trial))

    def _start_others(self) -> None:
        """Start the processes of the other workers, which are ready at about the same time."""
        with suppress(OSError, RuntimeError):  # their first task starts them, or says why not
            for slot in self._slots[1:]:
                self._ready(slot)

    def _described(
        self, process: WorkerProcess, model: str, go_on: Callable[[], bool]
    ) -> LoadedModel:
        """Wait for the answer to a Describe request."""
        give_up_s = time.monotonic() + max(self._job_timeout_s, _LOAD_S)
        while (answer := process.take(_LOOK_EVERY_S)) is None:
            if not go_on() or time.monotonic() > give_up_s:
                raise UnavailableError(f"model.device: timed out loading {model}")
        if isinstance(answer, LoadedModel):
            return answer
        if isinstance(answer, Unavailable):
            raise UnavailableError(answer.message)
        cause, _ = end_of(process.exit_code, answer)
        raise UnavailableError(f"{NOT_STARTED}: {cause}")

    def submit(self, task: Task, now_s: float) -> None:
        """Hand a task to a free worker, see `Workers.submit`."""
        slot = next(slot for slot in self._slots if slot.task is None)
        slot.task = task
        slot.deadline_s = now_s + self._job_timeout_s
        slot.submissions, slot.refused = 0, None
        self._begin(slot, task)

    def finished(self, now_s: float) -> Iterator[AttemptResult]:
        """Return results since the last call, each task once; stop workers that exceed a limit."""
        self._killed = [process for process in self._killed if not process.has_ended]
        looks = now_s >= self._looked_s + _LOOK_AT_MEMORY_S
        self._looked_s = now_s if looks else self._looked_s
        for slot in self._slots:
            outcome = self._received(slot) or self._beyond_limits(slot, now_s, looks=looks)
            if outcome is not None:
                slot.task = slot.refused = None
                if self._must_replace(slot, outcome):
                    self._retire(slot)
                yield outcome

    def next_deadline_s(self) -> float:
        """Time by which `finished` must be called, even if no worker answers."""
        deadlines = [slot.deadline_s for slot in self._slots if slot.task is not None]
        if deadlines and self._options.memory_bytes is not None:
            deadlines.append(self._looked_s + _LOOK_AT_MEMORY_S)
        return min(deadlines, default=float("inf"))

    def overdue_s(self, now_s: float) -> float:
        """Seconds by which the most overdue worker exceeds its deadline; 0 if none does."""
        return max([0.0, *(now_s - slot.deadline_s for slot in self._slots if slot.task)])

    def stop(self) -> list[Task]:
        """Kill all workers now and return the tasks that were interrupted."""
        unfinished = self.running
        for slot in self._slots:
            slot.task = slot.refused = None
            self._retire(slot)
        self._launcher.end()  # first, as it may be importing, and kill nobody before it has done
        for process in self._killed:
            process.wait(_STOP_GRACE_S)
        self._killed = []
        return unfinished

    def _begin(self, slot: _Slot, task: Task) -> None:
        slot.submissions += 1
        slot.began = False
        try:
            self._ready(slot).send(task)
        except (OSError, RuntimeError) as error:  # no memory for a process, or too many of them
            self._retire(slot)
            slot.refused = not_started(task, repr(error))
            self._wake()

    def _ready(self, slot: _Slot) -> WorkerProcess:
        """Return the slot's process; start a new one if it died, or sent anything while idle."""
        if slot.process is not None and not slot.process.is_idle:
            self._retire(slot)
        if slot.process is None:
            slot.process = self._launcher.start(self._options, self._wake)
        return slot.process

    def _received(self, slot: _Slot) -> AttemptResult | None:
        """Result of the slot's task after the process's last messages; None while it goes on."""
        while slot.refused is None and slot.process is not None:
            answer = slot.process.take()
            if answer is None:
                return None
            outcome = self._result_of(slot, slot.process, answer)
            if outcome is not None:
                return outcome
        return slot.refused

    def _result_of(
        self, slot: _Slot, process: WorkerProcess, answer: Answer | MessageError | EOFError
    ) -> AttemptResult | None:
        """Result of a task after one answer."""
        task = slot.task
        if task is not None and isinstance(answer, Began):
            if answer.job_id == task.job_id and not slot.began:
                slot.began = True
                return None
        elif task is not None and slot.began and isinstance(answer, Staged | Failed):
            outcome = fitting(task, answer)
            if outcome is not None:
                return outcome
        return self._ended(slot, process, answer)

    def _ended(
        self, slot: _Slot, process: WorkerProcess, answer: Answer | MessageError | EOFError
    ) -> AttemptResult | None:
        """Handle an ended process, or kill it for what it sent; retry a task that never began."""
        cause, setting = end_of(process.exit_code, answer)
        self._retire(slot)
        task = slot.task
        if task is None:
            return None
        if slot.began:
            ended_alone = not process.lost_server
            return Died(task.job_id, cause, setting) if ended_alone else lost(task, cause)
        if slot.submissions == 1:
            self._begin(slot, task)
            return slot.refused
        if isinstance(answer, EOFError):
            return not_started(task, cause)
        return Died(task.job_id, cause)

    def _beyond_limits(self, slot: _Slot, now_s: float, *, looks: bool) -> Died | None:
        """Stop a task that exceeds its deadline, or with `looks` one that uses too much memory."""
        if slot.task is None:
            return None
        cause, setting = f"timed out after {self._job_timeout_s:g} s", TIME_SETTING
        if now_s <= slot.deadline_s:
            limit = self._options.memory_bytes
            if not looks or limit is None or (grown := self._grown_bytes(slot)) <= limit:
                return None
            cause = f"grew by {grown / 1e6:.0f} MB where {limit / 1e6:.0f} are allowed"
            setting = worker.MEMORY_SETTING
        self._retire(slot)
        return Died(slot.task.job_id, cause, setting)

    def _must_replace(self, slot: _Slot, outcome: AttemptResult) -> bool:
        """Return whether a process must be replaced: a bug, out of memory, or it holds too much."""
        if isinstance(outcome, Failed) and outcome.reason in _REPLACE_AFTER:
            return True
        limit = self._options.memory_bytes
        return limit is not None and self._grown_bytes(slot) > limit * _KEPT_AT_MOST

    def _grown_bytes(self, slot: _Slot) -> int:
        """Memory of a process beyond that of an idle one."""
        return (slot.process.held_bytes() if slot.process is not None else 0) - self._idle_bytes

    def _retire(self, slot: _Slot) -> None:
        """Kill a slot's process without waiting for it."""
        process, slot.process = slot.process, None
        if process is not None:
            process.kill()
            self._killed.append(process)
