"""Transfers between object storage and the files that workers see; wraps any other workers.

Owns the threads that download inputs into a private folder and upload finished images up to their
completion, one for each transfer. A worker has neither network nor credentials: the folders of its
tasks are on this machine. Refuses to download an input with more bytes than `limits` allow, and one
that is not the object that was listed.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.attempt import Failed, Failure, Staged
from sharpend.errors import ImageRefusedError, Reason, SourceChangedError, SourceVanishedError
from sharpend.files.disk_errors import is_of_root, reason_of
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.objects.bucket import Bucket
from sharpend.files.objects.uploads import OUTPUT, Uploads
from sharpend.files.remote import STORE_FAULT, is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sharpend.attempt import AttemptResult
    from sharpend.task import Task
    from sharpend.workers.interface import Workers
    from sharpend.workers.loading import LoadedModel

LONGEST_S = 3600.0
"""Longest time of one transfer."""
REMEMBERED = 1000
"""Uploads whose facts are kept: only the last few can be set aside by a commit."""
_INPUT = b"input"
_LONGEST_SUFFIX = 16
_STAGE = "transfer"
_MEGA = 1_000_000
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
    """

    def __init__(self, inner: Workers, spool: bytes, wake: Callable[[], None]) -> None:
        self._inner = inner
        self._spool = spool
        self._uploads = Uploads(spool)
        self._wake = wake
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
        elif is_remote(task.input_root) or is_remote(task.output_root):
            self._begin(task, "input", lambda: self._fetched(task))
        else:
            self._ready.append(task)
            self._hand_on(now_s)

    def finished(self, now_s: float) -> Iterator[AttemptResult]:
        """Return results since the last call, one per task."""
        ended = list(self._inner.finished(now_s))
        for outcome in ended:
            task = self._tasks[outcome.job_id]
            if isinstance(outcome, Staged) and is_remote(task.output_root):
                self._begin(task, "output", partial(self._staged, task, outcome))
            else:
                self._clear(task)
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

    def _clear(self, task: Task) -> None:
        if is_remote(task.input_root) or is_remote(task.output_root):
            self._uploads.forget(task.temp_name)

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
        """Download the input if it is remote; return the task for a worker."""
        folder, local = self._uploads.folder(task.temp_name), replace(task, output_name=b"")
        if is_remote(task.output_root):
            Bucket(task.output_root).address.key(_output_path(task))  # refuse before the work
            local = replace(
                local, output_root=os.fsencode(folder), output_parent=b"", temp_name=OUTPUT.encode()
            )
        if is_remote(task.input_root):
            name = _INPUT + _suffix(task.relative)
            _download(task, folder / os.fsdecode(name))
            fingerprint = Fingerprint.of((folder / os.fsdecode(name)).stat())
            local = replace(
                local, input_root=os.fsencode(folder), relative=name, fingerprint=fingerprint
            )
        return _Arrived(local)

    def _taken_over(self, task: Task, earlier: Staged) -> _Arrived | Staged:
        """Upload the image that an earlier attempt has finished; if it is gone, begin anew."""
        if not self._uploads.take_over(task.temp_name, earlier.temp_name):
            return self._fetched(task)
        measured = replace(earlier, agreement=None, canary=None, preview=None)
        return self._staged(task, measured)

    def _staged(self, task: Task, staged: Staged) -> Staged:
        """Upload a finished image up to its completion."""
        made = self._uploads.upload(task.temp_name, task.output_root, _output_path(task))
        return replace(staged, temp_name=task.temp_name, fingerprint=made)

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


def _download(task: Task, path: Path) -> None:
    """Write the object of a task to a file.

    Raises:
        ImageRefusedError: it has more bytes than the limits allow.
        SourceChangedError: it is another object than the one that was listed.
        SourceVanishedError: it is there no more.
        OSError: the store, or the disk of the spool.
    """
    most = task.options.max_bytes
    if task.fingerprint.size > most:
        raise ImageRefusedError(
            Reason.TOO_MANY_BYTES,
            f"the object has {task.fingerprint.size / _MEGA:.1f} megabytes and {most / _MEGA:g} are"
            f" allowed; set limits.max_megabytes to {-(-task.fingerprint.size // _MEGA)} or more to"
            " let it through",
            setting="limits.max_megabytes",
        )
    bucket = Bucket(task.input_root)
    with ExitStack() as stack:
        try:
            opened = bucket.opened(bucket.address.key(task.relative))
            found, chunks = stack.enter_context(opened)
        except FileNotFoundError as error:
            raise SourceVanishedError(f"{display(task.relative)} is gone") from error
        if found.as_input != task.fingerprint:
            raise SourceChangedError("it was replaced after it was listed")
        until_s = time.monotonic() + LONGEST_S
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                if time.monotonic() > until_s:
                    raise TimeoutError(STORE_FAULT, "the store sends too slowly")
    os.utime(path, (found.modified_s, found.modified_s))


def _is_same_work(one: Task, other: Task) -> bool:
    """Return whether two attempts make the same bytes for one folder."""
    alike = (one.fingerprint, one.options, one.output_root)
    return alike == (other.fingerprint, other.options, other.output_root)


def _output_path(task: Task) -> bytes:
    return os.path.join(task.output_parent, task.output_name)


def _suffix(relative: bytes) -> bytes:
    suffix = os.path.splitext(relative)[1]
    return suffix if len(suffix) <= _LONGEST_SUFFIX else b""
