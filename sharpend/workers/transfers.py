"""Transfers between object storage and the files that workers see; wraps any other workers.

Owns the threads in which the places of a task `read` its input and `stage` its output, one for each
transfer; `commit.place` has these verbs. A worker has neither network nor credentials: the folders
of its tasks are on this machine. Refuses to start a worker's task before its input is there.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.attempt import Failed, Failure, Staged
from sharpend.errors import ImageRefusedError, Reason, SourceChangedError, SourceVanishedError
from sharpend.files.disk_errors import is_of_root, reason_of
from sharpend.files.fingerprint import display
from sharpend.files.objects.uploads import Uploads
from sharpend.files.remote import STORE_FAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.attempt import AttemptResult
    from sharpend.commit.place import PlaceOf
    from sharpend.task import Task
    from sharpend.workers.interface import Workers
    from sharpend.workers.loading import LoadedModel

REMEMBERED = 1000
"""Uploads whose facts are kept: only the last few can be set aside by a commit."""
_STAGE = "transfer"
_CONSEQUENCES: tuple[tuple[type[Exception], Failure], ...] = (
    (ImageRefusedError, Failure.REFUSED),
    (SourceChangedError, Failure.CHANGED),
    (SourceVanishedError, Failure.VANISHED),
)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Task whose folders are on this machine by now."""

    local: Task


class Transfers:
    """Workers for tasks of any folders; implements `Workers`, called from one thread.

    Tasks wait here while their bytes are on the way, so there are up to twice as many tasks as
    workers: one is fetched while another is in work.

    Args:
        inner: the workers, which this stops.
        spool: folder for the files on their way.
        wake: called from any thread when a transfer has ended.
        place_of: returns the place of a root; its uploads are those of the spool.
    """

    def __init__(
        self, inner: Workers, spool: bytes, wake: Callable[[], None], place_of: PlaceOf
    ) -> None:
        self._inner = inner
        self._spool = spool
        self._uploads = Uploads(spool)
        self._wake = wake
        self._place_of = place_of
        self._tasks: dict[int, Task] = {}
        """As they were submitted, by job."""
        self._uploaded: dict[int, tuple[Task, Staged]] = {}
        """The last uploads, by job."""
        self._ready: deque[Task] = deque()
        self._ended: queue.SimpleQueue[_Arrived | Staged | Failed] = queue.SimpleQueue()

    @property
    def count(self) -> int:
        """Number of workers that can work now."""
        return self._inner.count

    @property
    def free(self) -> int:
        """Number of tasks that can be submitted."""
        return max(0, 2 * self._inner.count - len(self._tasks))

    @property
    def running(self) -> list[Task]:
        """Tasks in progress."""
        return list(self._tasks.values())

    @property
    def faults(self) -> Mapping[str, str]:
        """Those of the workers."""
        return self._inner.faults

    def load_model(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> LoadedModel:
        """Load a model: see `Workers`."""
        return self._inner.load_model(model, teacher=teacher, go_on=go_on)

    def submit(self, task: Task, now_s: float) -> None:
        """Take a task; never blocks."""
        if not self.free:
            raise StopIteration
        self._tasks[task.job_id] = task
        earlier = self._uploaded.pop(task.job_id, None)
        if earlier is not None and _is_same_work(task, earlier[0]):
            self._begin(task, "output", lambda: self._taken_over(task, earlier[1]))
        elif self._is_local(task):
            self._ready.append(task)
            self._hand_on(now_s)
        else:
            self._begin(task, "input", lambda: self._fetched(task))

    def finished(self, now_s: float) -> Iterator[AttemptResult]:
        """Return results since the last call, one per task."""
        ended = list(self._inner.finished(now_s))
        for outcome in ended:
            task = self._tasks[outcome.job_id]
            if isinstance(outcome, Staged) and not self._place_of(task.output_root).is_local:
                self._begin(task, "output", partial(self._staged, task, outcome))
            else:
                if not self._is_local(task):
                    self._uploads.forget(task.temp_name)
                yield self._concluded(outcome)
        while not self._ended.empty():
            one = self._ended.get()
            if isinstance(one, _Arrived):
                self._ready.append(one.local)
                continue
            if isinstance(one, Staged):
                self._remember(self._tasks[one.job_id], one)
            yield self._concluded(one)
        self._hand_on(now_s)

    def next_deadline_s(self) -> float:
        """Time by which `finished` must be called (monotonic)."""
        return self._inner.next_deadline_s()

    def overdue_s(self, now_s: float) -> float:
        """Seconds by which the most overdue worker exceeds its deadline."""
        return self._inner.overdue_s(now_s)

    def stop(self) -> list[Task]:
        """Kill all workers and return the tasks that were interrupted; transfers are left behind.

        What these leave in spool and store is removed at the next start.
        """
        self._inner.stop()
        interrupted = self.running
        self._tasks.clear()
        self._ready.clear()
        return interrupted

    def _hand_on(self, now_s: float) -> None:
        while self._ready and self._inner.free:
            self._inner.submit(self._ready.popleft(), now_s)

    def _concluded(self, outcome: AttemptResult) -> AttemptResult:
        self._tasks.pop(outcome.job_id, None)
        return outcome

    def _remember(self, task: Task, staged: Staged) -> None:
        self._uploaded[task.job_id] = (task, staged)
        if len(self._uploaded) > REMEMBERED:
            del self._uploaded[next(iter(self._uploaded))]

    def _is_local(self, task: Task) -> bool:
        """Return whether a worker reaches both folders of a task itself."""
        return all(self._place_of(root).is_local for root in (task.input_root, task.output_root))

    # In the threads

    def _begin(self, task: Task, setting: str, work: Callable[[], _Arrived | Staged]) -> None:
        """Start a transfer in a thread, which may hang without holding up the process's end."""
        given, name = (task, setting, work), f"transfer {task.job_id}"
        threading.Thread(target=self._work, args=given, name=name, daemon=True).start()

    def _work(self, task: Task, setting: str, work: Callable[[], _Arrived | Staged]) -> None:
        try:
            end: _Arrived | Staged | Failed = work()
        except Exception as error:  # noqa: BLE001 - a transfer always ends with a result
            end = self._failed(task, setting, error)
            with suppress(OSError):  # what cannot be dropped is on record
                self._uploads.discard(task.temp_name)
        self._ended.put(end)
        self._wake()

    def _fetched(self, task: Task) -> _Arrived:
        """Read the input; return the task for a worker."""
        local = replace(task, output_name=b"")
        local = self._place_of(task.output_root).prepare(task, local)
        return _Arrived(self._place_of(task.input_root).read(task, local))

    def _taken_over(self, task: Task, earlier: Staged) -> _Arrived | Staged:
        """Upload the image that an earlier attempt has finished; if it is gone, begin anew."""
        if not self._uploads.take_over(task.temp_name, earlier.temp_name):
            return self._fetched(task)
        measured = replace(earlier, agreement=None, canary=None, preview=None)
        return self._staged(task, measured)

    def _staged(self, task: Task, staged: Staged) -> Staged:
        """Stage a finished image."""
        return self._place_of(task.output_root).stage(task, staged)

    def _failed(self, task: Task, setting: str, error: Exception) -> Failed:
        """Choose the consequence of an error by its class."""
        for kind, failure in _CONSEQUENCES:
            if isinstance(error, kind):
                reason, advice = getattr(error, "reason", None), getattr(error, "setting", None)
                return Failed(task.job_id, failure, reason, str(error), advice, _STAGE)
        if not isinstance(error, OSError):
            text = f"{type(error).__name__}: {error}"
            return Failed(task.job_id, Failure.TRANSIENT, Reason.INTERNAL, text, stage=_STAGE)
        text = error.strerror or str(error)
        if error.errno == STORE_FAULT:
            root = task.input_root if setting == "input" else task.output_root
            text = f"folder.{setting}: {display(root)}: {text}"
        elif is_of_root(error, self._spool):
            text = f"state: {display(self._spool)}: {text}; free space"
        else:
            return Failed(task.job_id, Failure.TRANSIENT, reason_of(error), text, stage=_STAGE)
        return Failed(task.job_id, Failure.FOLDER, None, text, stage=_STAGE)


def _is_same_work(one: Task, other: Task) -> bool:
    """Return whether two attempts make the same bytes for one folder."""
    alike = (one.fingerprint, one.options, one.output_root)
    return alike == (other.fingerprint, other.options, other.output_root)
