"""Assignment of due jobs to idle workers.

Owns the tasks that workers have. Claims no more jobs than there are idle workers: the ledger is the
queue. A claim is durable soon after its task has begun, so that no worker waits for the disk.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from sharpend.attempt import Failed, Failure
from sharpend.commit.results import Committed
from sharpend.daemon.folder import AssignedJob
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.ledger.records import Job, QuarantineReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sharpend.attempt import Staged
    from sharpend.commit.committer import Committer
    from sharpend.commit.publication import OutputFolders
    from sharpend.daemon.agreement_samples import Measurements
    from sharpend.daemon.folder import Folder
    from sharpend.daemon.preview_upkeep import PreviewUpkeep
    from sharpend.errors import Reason
    from sharpend.ledger.ledger import Ledger
    from sharpend.workers.interface import Workers

ASSIGNED_AT_ONCE = 100
"""Most jobs claimed in one turn: those without work must not delay signals and watchdog."""


class OutcomeHandler(Protocol):
    """Handler of jobs that need no worker; `outcomes` has the methods."""

    def conclude(self, assigned: AssignedJob, outcome: Failed, now_s: float) -> None:
        """Handle a failure."""

    def refuse(self, assigned: AssignedJob, refusal: QuarantineReason) -> None:
        """Quarantine an input with its reason."""

    def again(self, assigned: AssignedJob, reason: Reason, message: str, *, stage: str) -> None:
        """Schedule another attempt."""

    def finished(
        self,
        assigned: AssignedJob,
        committed: Committed,
        staged: Staged | None,
        *,
        commit_s: float,
        ended_s: float,
    ) -> None:
        """Report a finished input."""


class Assignment:
    """Assignment of the jobs of all folders; all methods are called from one thread.

    Args:
        ledger: the queue.
        committer: prepares the output's folder.
        outcomes: of jobs that need no worker.
        measurements: choose the images to compare with the teacher.
        folders: by name.
        previews: choose the images that get one.
    """

    def __init__(
        self,
        ledger: Ledger,
        committer: Committer,
        outcomes: OutcomeHandler,
        measurements: Measurements,
        folders: Mapping[str, Folder],
        previews: PreviewUpkeep,
    ) -> None:
        self._ledger = ledger
        self._committer = committer
        self._outcomes = outcomes
        self._measurements = measurements
        self._folders = folders
        self._previews = previews
        self.assigned: dict[int, AssignedJob] = {}
        """Jobs that workers have, by number."""

    def assign(
        self, pool: Workers, now_s: float, *, paused: Collection[str], busy: Collection[str]
    ) -> bool:
        """Claim due jobs for idle workers; return False if it ended with work left.

        Args:
            pool: the workers.
            now_s: monotonic seconds.
            paused: folders that begin no image.
            busy: folders with an image that is finished and not committed.
        """
        with self._committer.output_folders() as outputs:
            for _ in range(ASSIGNED_AT_ONCE):
                if not pool.free:
                    return True
                job = self._claim(now_s, paused, busy)
                if job is None:
                    return True
                self._submit(job, pool, now_s, outputs)
        return False

    def _claim(self, now_s: float, paused: Collection[str], busy: Collection[str]) -> Job | None:
        """Claim the next due job of the folders that may work."""
        running = {assigned.folder.name for assigned in self.assigned.values()}.union(busy)
        may_work = [
            name
            for name, folder in self._folders.items()
            if name not in paused and folder.may_work(now_s, running=name in running)
        ]
        newest = [name for name in may_work if self._folders[name].plan.newest_first]
        return self._ledger.claim(time.time(), may_work, newest)

    def _submit(self, job: Job, pool: Workers, now_s: float, outputs: OutputFolders) -> None:
        """Give one claimed job to a worker, or end it where no work is needed."""
        folder = self._folders[job.folder]
        assigned = AssignedJob(job, folder, now_s)
        if folder.plan.intake.patterns.leaves_out(job.relative):  # changed since it was found
            message = "it is left out by exclude, include or --shard"
            vanished = Failed(job.id, Failure.VANISHED, None, message)
            self._outcomes.conclude(assigned, vanished, now_s)
            return
        try:
            prepared = self._committer.prepare(folder.plan.destination, job, outputs, time.time())
        except FolderFaultError as error:
            self._ledger.release(job)
            folder.pause(str(error), now_s)
            return
        except ImageRefusedError as error:
            refusal = QuarantineReason(error.reason, str(error), error.setting)
            self._outcomes.refuse(assigned, refusal)
            return
        except TransientError as error:
            self._outcomes.again(assigned, error.reason, str(error), stage="open")
            return
        if isinstance(prepared, Committed):
            self._outcomes.finished(assigned, prepared, None, commit_s=0.0, ended_s=now_s)
            return
        task = folder.plan.task(job, prepared)
        task = self._previews.with_request(self._measurements.with_requests(task), job, now_s)
        self.assigned[job.id] = AssignedJob(job, folder, now_s, task)
        pool.submit(task, now_s)
