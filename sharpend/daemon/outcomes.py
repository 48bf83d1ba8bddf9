"""Outcomes of an attempt: commit it, quarantine the image, retry, or pause the folder.

Owns the rules and events of each outcome; `files.disk_errors` decides which error of a disk
concerns the whole folder, such as a full one. Every path leaves the job in one state of the ledger.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.attempt import Died, Failed, Failure, Lost, Staged
from sharpend.commit.interface import StagedElsewhereError
from sharpend.commit.publication import Attempt, StagedJob
from sharpend.commit.results import Committed, Unfinished
from sharpend.daemon.attempts import discard
from sharpend.daemon.folder import AssignedJob, Folder
from sharpend.daemon.lost_attempts import requeue
from sharpend.daemon.results import Result, result_of
from sharpend.errors import FolderFaultError, ImageRefusedError, Reason, TransientError
from sharpend.ledger.records import Job, QuarantineReason
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sharpend.commit.committer import Committer
    from sharpend.commit.quarantine import Quarantine
    from sharpend.daemon.attempts import RetryOptions
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


class ResultHandler:
    """Handler of outcomes, from one thread: failures one at a time, staged files in groups.

    Args:
        ledger: written first.
        committer: publishes staged files.
        quarantine: keeps refused inputs.
        retry: limits and waits of retries.
        log: written last.
        on_result: called with the final result of each input.
    """

    def __init__(
        self,
        ledger: Ledger,
        committer: Committer,
        quarantine: Quarantine,
        retry: RetryOptions,
        log: Log,
        on_result: Callable[[Result], None],
    ) -> None:
        self._ledger = ledger
        self._committer = committer
        self._quarantine = quarantine
        self._retry = retry
        self._log = log
        self._on_result = on_result
        self._reported: set[int] = set()
        """Finished jobs that were reported and whose source could not be disposed of yet."""

    def conclude(self, assigned: AssignedJob, outcome: Failed | Died | Lost, now_s: float) -> None:
        """Handle the failure of one attempt."""
        if isinstance(outcome, Died):
            self._died(assigned, outcome)
        elif isinstance(outcome, Lost):
            refusal = requeue(assigned.job, assigned.task, outcome, self._ledger, self._log)
            if refusal is not None:
                self.refuse(assigned, refusal)
        else:
            self._failed(assigned, outcome, now_s)

    def commit(
        self, group: Sequence[tuple[AssignedJob, Staged]], now_s: float
    ) -> Iterator[tuple[AssignedJob, Staged]]:
        """Commit staged files together; yield each attempt as soon as it has its outcome.

        Args:
            group: successful attempts, at most one of each input.
            now_s: monotonic seconds.
        """
        began_s = time.monotonic()
        entries = [_entry(assigned, staged) for assigned, staged in group]
        attempts = {entry.job.id: one for entry, one in zip(entries, group, strict=True)}
        resumed = list[Folder]()
        for entry, ended in self._committer.commit(entries, time.time()):
            assigned, staged = attempts[entry.job.id]
            if isinstance(ended, Unfinished):
                self._not_committed(assigned, ended.error, now_s)
            else:
                ended_s = time.monotonic()
                share_s = (ended_s - began_s) / len(group)
                self.finished(assigned, ended, staged, commit_s=share_s, ended_s=ended_s)
                if assigned.folder.resume():
                    resumed.append(assigned.folder)
            yield assigned, staged
        for folder in resumed:
            self.recover(folder, now_s)

    def _not_committed(
        self,
        assigned: AssignedJob,
        error: FolderFaultError | TransientError | ImageRefusedError,
        now_s: float,
    ) -> None:
        """Pause the folder, refuse the image or try it again, by the error of its commit."""
        if isinstance(error, FolderFaultError):
            assigned.folder.pause(str(error), now_s)
        elif isinstance(error, ImageRefusedError):
            self.refuse(assigned, QuarantineReason(error.reason, str(error), error.setting))
        elif not isinstance(error, StagedElsewhereError):  # that one is in the queue already
            self.again(assigned, error.reason, str(error), stage="commit")

    def finished(
        self,
        assigned: AssignedJob,
        committed: Committed,
        staged: Staged | None,
        *,
        commit_s: float,
        ended_s: float,
    ) -> None:
        """Report a finished input; without a staged file its output existed before."""
        self._is_news(committed)
        seconds = ended_s - assigned.since_s
        values: dict[str, object] = {
            "seconds": round(seconds, 4),
            "attempts": assigned.job.attempts,
        }
        if staged is not None:
            values |= {"height": staged.height, "width": staged.width, "frames": staged.frames}
            values |= {f"{stage}_s": round(s, 4) for stage, s in staged.stages_s.items()}
            values |= {"sharpness": staged.sharpness and round(staged.sharpness, 3)}
            values |= {"notes": list(staged.notes)} if staged.notes else {}
            values |= {"losses": list(staged.losses)} if staged.losses else {}
            values |= {"agreement": staged.agreement.event_values} if staged.agreement else {}
        values |= committed.finished_keys
        result = result_of(assigned.folder.plan.destination, committed)
        result = replace(result, staged=staged, commit_s=commit_s, seconds=seconds)
        self._log_finished(assigned, result, **values)

    def _log_finished(self, assigned: AssignedJob, result: Result, **values: object) -> None:
        """Log and report an output that was published or existed before."""
        assigned.folder.early_reads.finished(result.job)
        self._log.info(
            Event.IMAGE_FINISHED,
            **assigned.event_keys,
            output=result.output,
            outcome=result.outcome,
            **values,
        )
        self._on_result(result)

    def _failed(self, assigned: AssignedJob, failed: Failed, now_s: float) -> None:
        reason = failed.reason or Reason.INTERNAL
        again = failed.setting is not None and self._happened_before(assigned.job, reason)
        if again or failed.failure is Failure.REFUSED:
            refusal = QuarantineReason(reason, failed.message, failed.setting, failed.input_digest)
            self.refuse(assigned, refusal)
        elif failed.failure is Failure.TRANSIENT:
            self.again(assigned, reason, failed.message, stage=failed.stage)
        elif failed.failure is Failure.FOLDER:
            self._ledger.release(assigned.job)
            assigned.folder.pause(failed.message, now_s)
        else:
            self._vanished(assigned, failed)

    def _vanished(self, assigned: AssignedJob, failed: Failed) -> None:
        """Handle an input that vanished, or changed, so that it has to settle again."""
        self._ledger.vanish(assigned.job)
        if failed.failure is Failure.CHANGED:
            assigned.folder.early_reads.changed(assigned.job, failed.message)
            assigned.folder.resettle(assigned.job.relative)
            return
        self._log.info(
            Event.IMAGE_VANISHED,
            **assigned.event_keys,
            message=failed.message,
        )

    def _died(self, assigned: AssignedJob, died: Died) -> None:
        discard(assigned.task)
        self._log.error(
            Event.WORKER_DIED,
            **assigned.event_keys,
            cause=died.cause,
            attempts=assigned.job.attempts,
        )
        message = f"the worker that sharpened it ended: {died.cause}"
        if self._happened_before(assigned.job, Reason.WORKER_DIED):
            self.refuse(assigned, QuarantineReason(Reason.WORKER_DIED, message, died.setting))
        else:
            self.again(assigned, Reason.WORKER_DIED, message, stage="infer")

    def _happened_before(self, job: Job, reason: Reason) -> bool:
        """Return whether the last attempt at this image failed for the same reason."""
        known = self._ledger.outcomes(job.folder, [job.relative])
        return job.attempts > 1 and any(one.reason is reason for one in known)

    def again(self, assigned: AssignedJob, reason: Reason, message: str, *, stage: str) -> None:
        """Schedule another attempt, or quarantine the image after the last one."""
        if assigned.job.attempts >= self._retry.attempts:
            self.refuse(assigned, QuarantineReason(reason, message, "retry.attempts"))
            return
        wait_s = self._retry.wait_s(assigned.job.attempts)
        self._ledger.defer(assigned.job, time.time() + wait_s, reason, message)
        self._log.warning(
            Event.IMAGE_RETRIED,
            **assigned.event_keys,
            error_code=reason,
            message=message,
            stage=stage,
            attempts=assigned.job.attempts,
            wait_s=round(wait_s, 3),
        )

    def refuse(self, assigned: AssignedJob, refusal: QuarantineReason) -> None:
        """Quarantine an input with its reason."""
        entry = self._quarantine.record(assigned.job, refusal, time.time())
        assigned.folder.early_reads.refused(assigned.job, refusal.reason)
        try:
            self._quarantine.complete(assigned.folder.plan.destination, entry)
        finally:  # if that fails, only the reason file is missing, and is written later
            self._refused(assigned, refusal)

    def _refused(self, assigned: AssignedJob, refusal: QuarantineReason) -> None:
        """Log and report an input that was quarantined."""
        seconds = time.monotonic() - assigned.since_s
        self._log.warning(
            Event.IMAGE_QUARANTINED,
            **assigned.event_keys,
            error_code=refusal.reason,
            message=refusal.message,
            setting=refusal.setting,
            seconds=round(seconds, 4),
            attempts=assigned.job.attempts,
        )
        self._on_result(
            Result(
                assigned.folder.plan.destination,
                assigned.job,
                "quarantined",
                reason=refusal.reason,
                message=refusal.message,
                setting=refusal.setting,
                seconds=seconds,
            )
        )

    def recover(self, folder: Folder, now_s: float) -> None:
        """Finish jobs that a crash, a pause or a busy source left staged or done."""
        if folder.is_closed:
            return
        if folder.reopened:
            folder.reopened = False
            self._quarantine.recover({folder.name: folder.plan.destination})
        works = False
        for ended in self._committer.recover(folder.plan.destination, time.time()):
            assigned = AssignedJob(ended.job, folder, now_s)
            if isinstance(ended, Unfinished):
                works = works and not self._unfinished(assigned, ended, now_s)
                continue
            works = works or not ended.disposal_pending
            if self._is_news(ended):
                result = result_of(folder.plan.destination, ended)
                self._log_finished(assigned, result, recovered=True, **ended.finished_keys)
        if works:
            folder.resume()

    def _unfinished(self, assigned: AssignedJob, unfinished: Unfinished, now_s: float) -> bool:
        """Refuse an input whose commit failed, or pause the folder; True if it was paused."""
        error = unfinished.error
        if isinstance(error, ImageRefusedError):
            self.refuse(assigned, QuarantineReason(error.reason, str(error), error.setting))
            return False
        # Also for a transient error: the output may exist already; a retry would make a second one.
        assigned.folder.pause(str(error), now_s)
        return True

    def _is_news(self, ended: Committed) -> bool:
        """Return False if this output was reported before, when its source stayed in place."""
        was_reported = ended.job.id in self._reported
        change = self._reported.add if ended.disposal_pending else self._reported.discard
        change(ended.job.id)
        return not was_reported


def _entry(assigned: AssignedJob, staged: Staged) -> StagedJob:
    plan = assigned.folder.plan
    attempt = Attempt(staged, plan.options.digest, plan.options.policies.losses)
    return StagedJob(plan.destination, assigned.job, attempt)
