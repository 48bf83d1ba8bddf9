"""Upkeep of previews: choose images for previews, publish them, enforce the limits.

Owns the time budget of previews: it grows with the clock, by a share of the time of all workers, up
to one second. So each image of a small batch gets a preview. Of a long queue only the first few
images and then a sample get one: the time saved while idle is reduced there, to not slow the queue.
A preview is requested at an image's first attempt only: if drawing it kills the worker, the retry
makes none. Faults of the state directory are logged and have no consequence.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.attempt import Died, Staged
from sharpend.files.previews import FOLDER, Previews, UnfitPreviewError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.attempt import AttemptResult
    from sharpend.ledger.reader import LedgerReader
    from sharpend.ledger.records import Job
    from sharpend.logs.logs import Log
    from sharpend.task import Task

MOST_SAVED_S = 1.0
"""Most seconds of workers that are saved while idle: about fifteen previews."""
SAVED_FOR_A_QUEUE_S = 0.2
"""The same while more than SMALL_BATCH images wait: about three previews."""
SMALL_BATCH = 15
"""Most images that wait in a folder for each of them to get a preview."""


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """Bounds of the previews of a state directory."""

    count: int = 200
    """The oldest are removed beyond it; 0: none are made."""
    most_bytes: int = 64_000_000
    share: float = 0.005
    """Largest share of the workers' time that they may take, 0..1, but for MOST_SAVED_S; 1: every
    image gets one."""


FEW = PreviewLimits()


class PreviewUpkeep:
    """Upkeep of the previews of one daemon; all methods are called from one thread.

    Args:
        state_dir: holds the previews.
        limits: of number, bytes and time.
        workers: number of workers.
        ledger: knows the jobs.
        log: for faults.
    """

    def __init__(
        self,
        state_dir: Path,
        limits: PreviewLimits,
        workers: int,
        ledger: LedgerReader,
        log: Log,
    ) -> None:
        self._previews = Previews(state_dir)
        self._limits = limits
        self._workers = workers
        self._ledger = ledger
        self._log = log
        self._sizes: dict[int, int] = {}
        """Bytes by job, the oldest first."""
        self._late: list[bytes] = []
        """Folders of killed workers, which may write until they have ended."""
        self._allowed_s = MOST_SAVED_S
        self._price_s = 0.0
        """Seconds that the last preview took, at most MOST_SAVED_S."""
        self._reserved_s: dict[bytes, float] = {}
        """Part of the allowance that a running preview has, by its folder."""
        self._counted_s: float | None = None
        self._fault = ""

    def recover(self) -> None:
        """Remove leftovers of ended workers, and previews of jobs that the ledger does not know.

        Raises:
            StateFaultError: the ledger cannot be read.
        """
        self._previews.remove_leftovers()
        self._sizes = self._previews.sizes()
        for job_id in list(self._sizes):
            if self._ledger.job(job_id) is None:  # a new ledger numbers its jobs from the start
                self._remove(job_id)
        self._prune()

    def with_request(self, task: Task, job: Job, now_s: float) -> Task:
        """Add the request for a preview to a task, if its job was chosen.

        Args:
            task: of the job.
            job: claimed for this attempt.
            now_s: monotonic seconds.
        """
        self._earn(now_s)
        if job.attempts > 1 or not (self._limits.count and self._can_pay(job.folder)):
            return task
        with self._logging_faults():
            folder = self._previews.new_folder()
            self._reserved_s[folder] = self._price_s
            self._allowed_s -= self._price_s
            return replace(task, preview=folder)
        return task

    def ended(self, task: Task | None, outcome: AttemptResult) -> None:
        """Publish the preview of an attempt that ended, or remove what there is of it."""
        while self._late:
            self._previews.discard(self._late.pop())
        if task is None or task.preview is None:
            return
        self._allowed_s += self._reserved_s.pop(task.preview, 0.0)
        if isinstance(outcome, Staged):
            took_s = outcome.stages_s.get("preview", 0.0)
            self._allowed_s -= took_s
            self._price_s = min(took_s, MOST_SAVED_S)
            if outcome.preview is not None:
                with self._logging_faults():
                    size = self._previews.publish(task.preview, task.job_id, outcome.preview)
                    self._sizes.pop(task.job_id, None)
                    self._sizes[task.job_id] = size
                    self._prune()
                    self._fault = ""
                    return
        elif isinstance(outcome, Died):
            self._late.append(task.preview)
        self._previews.discard(task.preview)

    def _can_pay(self, folder: str) -> bool:
        """Return whether the allowance is enough for one more preview of a folder."""
        share = self._limits.share
        if share in {0, 1}:
            return share == 1
        if self._allowed_s > SAVED_FOR_A_QUEUE_S and self._ledger.waiting([folder]) > SMALL_BATCH:
            self._allowed_s = SAVED_FOR_A_QUEUE_S
        return self._allowed_s >= self._price_s

    def _earn(self, now_s: float) -> None:
        """Let the allowance grow."""
        before_s, self._counted_s = self._counted_s, now_s
        if before_s is not None:
            earned_s = (now_s - before_s) * self._workers * self._limits.share
            self._allowed_s = min(MOST_SAVED_S, self._allowed_s + earned_s)

    def _prune(self) -> None:
        """Remove the oldest previews beyond the bounds."""
        limits = self._limits
        while len(self._sizes) > limits.count or sum(self._sizes.values()) > limits.most_bytes:
            self._remove(next(iter(self._sizes)))

    def _remove(self, job_id: int) -> None:
        self._previews.remove(job_id)
        self._sizes.pop(job_id, None)

    @contextmanager
    def _logging_faults(self) -> Iterator[None]:
        """Log a fault of the block once, and again after a preview was kept."""
        try:
            yield
        except (OSError, UnfitPreviewError) as error:
            # Names of temporary folders are random: equal faults would not look equal.
            cause = error.strerror if isinstance(error, OSError) else str(error)
            if cause != self._fault:
                self._log.warning(Event.PREVIEW_FAILED, reason=f"{FOLDER}: {cause}")
            self._fault = cause or ""
