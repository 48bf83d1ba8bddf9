"""Dispatcher: assign due jobs to idle workers and record their results.

Owns the folders, and the order of the work in one turn: a worker gets its next task before its last
result is committed. Holds no more jobs in memory than two for each worker: the ledger is the queue.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.attempt import Died, Lost
from sharpend.commit.committer import WAIT_FOR_THE_DISK, Committer
from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.quarantine import Quarantine
from sharpend.commit.stale import remove_stale_temps, remove_stale_uploads
from sharpend.daemon.assignment import Assignment
from sharpend.daemon.attempts import discard
from sharpend.daemon.engine_faults import EngineFaults
from sharpend.daemon.folder import AssignedJob, Folder
from sharpend.daemon.folder_upkeep import FolderUpkeep
from sharpend.daemon.intended_pauses import IntendedPauses
from sharpend.daemon.maintenance import Maintenance, Paths
from sharpend.daemon.outcomes import ResultHandler
from sharpend.daemon.overview import take_snapshot
from sharpend.daemon.pending_results import PendingResults
from sharpend.daemon.preview_upkeep import PreviewUpkeep
from sharpend.daemon.refused_sources import RefusedSources
from sharpend.daemon.registrar import Registrar
from sharpend.daemon.roots import reopen
from sharpend.daemon.store_upkeep import StoreUpkeep
from sharpend.errors import Reason
from sharpend.ledger.records import Job, QuarantineReason
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.attempt import AttemptResult
    from sharpend.daemon.dispatcher_config import DispatcherConfig
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.daemon.results import Result
    from sharpend.daemon.snapshot import Snapshot
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.workers.interface import Workers

FINISH_EVERY_S = 30.0
"""Interval between attempts to finish commits that a busy source or a paused folder interrupted."""


class Dispatcher:
    """Folders, queue and workers; all methods are called from one thread.

    Args:
        config: folders, retries, retention and measurements.
        ledger: the queue.
        pool: the workers.
        log: for all events.
        wake: wakes the main loop, from any thread.
        on_result: called with the final result of each input.
    """

    def __init__(
        self,
        config: DispatcherConfig,
        ledger: Ledger,
        pool: Workers,
        log: Log,
        *,
        wake: Callable[[], None],
        on_result: Callable[[Result], None],
    ) -> None:
        self._ledger, self._log, self._wake, self._on_result = ledger, log, wake, on_result
        self._names, self._spool = TempNames(config.state_dir), config.spool
        self._committer = Committer(ledger, self._names, config.place_of, self._between_steps)
        self._quarantine = Quarantine(ledger, config.state_dir, self._names, quiet_s=config.quiet_s)
        self._outcomes = ResultHandler(
            ledger, self._committer, self._quarantine, config.retry, log, self._ended
        )
        self._stopped: list[AssignedJob] = []
        self._pending_results, self._finish_at_s = PendingResults(), -math.inf
        self._pool, self._engine = pool, EngineFaults(log)
        self._measurements, self._assigns_early = config.measurements, False
        self._store = StoreUpkeep(config.spool, [one.destination for one in config.plans], log)
        self.folders = {one.destination.folder: self._opened(one, config) for one in config.plans}
        self._gallery = PreviewUpkeep(config.state_dir, config.previews, pool.count, ledger, log)
        self._assignment = Assignment(
            ledger, self._committer, self._outcomes, self._measurements, self.folders, self._gallery
        )
        self._assigned = self._assignment.assigned
        hours = {name: one.plan.hours for name, one in self.folders.items()}
        self._pauses = IntendedPauses(hours, ledger, log)
        self._refused_sources = RefusedSources(self._quarantine, self.folders.values())
        paths = Paths(config.state_dir, self._quarantine.root, self._destinations)
        self._maintenance = Maintenance(config.retention, paths, ledger, log)

    def _opened(self, plan: FolderPlan, config: DispatcherConfig) -> Folder:
        """Open a folder: its intake, and what records its files."""
        target = plan.destination
        chance = random.Random()  # noqa: S311 - spreads scans, guards nothing
        check = partial(target.guard.objection, target.input_root, "input")
        open_intake = config.place_of(target.input_root).intake
        intake = partial(open_intake, plan.intake, chance=chance, objection=check)
        of_all = config.state_dir, config.quiet_s, self._ledger, self._log
        return Folder(
            plan,
            self._log,
            intake=intake,
            registrar=Registrar(plan, self._ledger, self._log, wake=self._wake),
            upkeep=FolderUpkeep(plan, *of_all, self._store.covers),
            reopen=lambda is_due: reopen(target, self._ledger, is_due=is_due),
        )

    def recover(self) -> None:
        """Recover interrupted jobs, commits and quarantines at a start and after a reload."""
        given_up = self._ledger.recover()
        self._quarantine.recover(self._destinations)
        self._gallery.recover()
        for job in given_up:
            if job.folder in self.folders and not self.folders[job.folder].is_closed:
                self._give_up(job)
        for folder in self.folders.values():
            self._outcomes.recover(folder, time.monotonic())

    def remove_stale_temps(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Remove temporary files of a daemon that died, after `recover`; asks at each step."""
        usable = [one for one in self._destinations.values() if one.guard.closed is None]
        roots = [root for one in usable for root in (one.output_root, one.archive_root) if root]
        for root in [*roots, self._quarantine.root]:
            remove_stale_temps(self._ledger, self._names, root, go_on)
        remove_stale_uploads(self._ledger, self._spool, go_on)

    def hasten(self) -> None:
        """Make deferred jobs due now: a command does not wait for the backoff of a daemon."""
        for name in self.folders:
            self._ledger.hasten(name, time.time())

    def recover_from_outage(self, now_s: float) -> None:
        """Complete the ledger after a state outage; StateFaultError if that goes on."""
        self._ledger.probe()
        self._quarantine.probe()
        for folder in self.folders.values():
            self._outcomes.recover(folder, now_s)
        self._pending_results.keep_running(self._ledger)
        self._record(now_s)
        for job in self._ledger.running():
            if job.id not in self._assigned:  # claimed, and not submitted to a worker
                self._ledger.release(job)
        self._quarantine.recover(self._destinations)
        for folder in self.folders.values():  # settled files may not have been recorded
            folder.restart()

    @property
    def _destinations(self) -> dict[str, Destination]:
        return {name: folder.plan.destination for name, folder in self.folders.items()}

    def _give_up(self, job: Job) -> None:
        assigned = AssignedJob(job, self.folders[job.folder], time.monotonic())
        message = f"the daemon died {job.orphans} times while it was processed"
        self._outcomes.refuse(assigned, QuarantineReason(Reason.DAEMON_DIED, message))

    def step_folders(self, now_s: float) -> float:
        """Step every folder and the maintenance; return the time of the next step (monotonic)."""
        if now_s >= self._finish_at_s:
            self._finish_at_s = now_s + FINISH_EVERY_S
            while self._stopped:
                discard(self._stopped.pop().task)
            for folder in self.folders.values():
                self._outcomes.recover(folder, now_s)
        self._pauses.update(time.time())
        self._refused_sources.step(now_s, time.time())
        self._store.step(now_s)
        folders = self.folders.values()
        steps = [self._maintenance.step(now_s, time.time()), *(one.step(now_s) for one in folders)]
        settled = (folder.is_settled and not folder.paused for folder in folders)
        if self._ledger.needs_reconciling and folders and all(settled):
            self._ledger.set_reconciled()
        return min(steps)

    def work(self, now_s: float, *, assigns: bool = True) -> None:
        """Record the results of all tasks that ended, and give idle workers new ones.

        Failures come first, as they may pause a folder. What is staged is committed last, while
        the workers have their next tasks; each worker has at most one result that waits for it.
        Without `assigns` no image begins; `now_s` is monotonic seconds.
        """
        self._collect(now_s)
        self._record(now_s, staged=False)
        if assigns:
            self._assign(now_s)
        self._assigns_early = assigns
        try:
            had_results = self.conclude(now_s)
        finally:
            self._assigns_early = False
        if had_results and assigns:  # what had to wait for a commit may be due now
            self._assign(now_s)
        self._ledger.sync()

    def _assign(self, now_s: float) -> bool:
        paused, busy = self._pauses.reasons, self._pending_results.folders
        is_through = self._assignment.assign(self._pool, now_s, paused=paused, busy=busy)
        if not is_through:
            self._wake()
        return is_through

    def _between_steps(self, step: str) -> None:
        """Give workers their next task while a commit waits for the disk, unless one failed."""
        if self._assigns_early and step in WAIT_FOR_THE_DISK:
            self._assigns_early, now_s = False, time.monotonic()  # a task may have steps of its own
            self._collect(now_s)
            # An assignment that ends with work left was this turn's: signals and watchdog wait.
            self._assigns_early = bool(self._pending_results.failures()) or self._assign(now_s)

    def conclude(self, now_s: float) -> bool:
        """Record the results of all tasks that ended; return whether there were any."""
        self._collect(now_s)
        had_results, counted = bool(self._pending_results), self._measurements.throughput
        self._record(now_s)
        images, quarantined = counted.batch
        if (images or quarantined) and self.is_done:
            counted.end_batch()
            self._log.info(Event.BATCH_FINISHED, images=images, quarantined=quarantined)
        return had_results

    def _collect(self, now_s: float) -> None:
        """Take the results of all tasks that ended, and log the faults of the engine."""
        for outcome in self._pool.finished(now_s):
            assigned = replace(self._assigned.pop(outcome.job_id), node=outcome.node)
            self._pending_results.add(assigned, outcome)
            self._gallery.ended(assigned.task, outcome)
        self._engine.update(self._pool.faults)

    def _record(self, now_s: float, *, staged: bool = True) -> None:
        """Record waiting results, failures first, and with `staged` also staged files."""
        for assigned, failure in self._pending_results.failures():
            self._outcomes.conclude(assigned, failure, now_s)
            self._recorded(assigned, failure)
        for group in self._pending_results.groups() if staged else ():
            for assigned, outcome in self._outcomes.commit(group, now_s):
                self._recorded(assigned, outcome)

    def _recorded(self, assigned: AssignedJob, outcome: AttemptResult) -> None:
        """Measure an attempt whose outcome is in the ledger."""
        self._pending_results.remove(assigned)
        if isinstance(outcome, Died | Lost):  # a worker may write until it has ended
            self._stopped.append(assigned)
        self._measurements.record(
            assigned.folder.plan.options.model, assigned.task, outcome, self._log
        )

    def _ended(self, result: Result) -> None:
        counted, staged = self._measurements.throughput, result.staged
        if result.outcome == "quarantined":
            counted.failed()
        elif staged is not None:
            counted.finished(staged, commit_s=result.commit_s, wait_s=result.seconds)
        self._on_result(result)

    def snapshot(self) -> Snapshot:
        """Take a snapshot of the dispatcher's state."""
        taken = take_snapshot(self.folders, self._ledger, self._measurements, self._pool)
        return taken.with_intended_pauses(self._pauses.reasons)

    @property
    def is_working(self) -> bool:
        """True if a task runs, or a result is not recorded yet."""
        return bool(self._assigned or self._pending_results)

    @property
    def is_done(self) -> bool:
        """True if every file of the folders has settled and no job waits or runs."""
        has_settled = all(folder.is_settled for folder in self.folders.values())
        return has_settled and not (self.is_working or self._ledger.waiting(list(self.folders)))

    def close(self) -> None:
        """Stop watching the folders, and all upkeep; workers keep running."""
        self._maintenance.close()
        self._store.close()
        for folder in self.folders.values():
            folder.close()

    def release_unfinished(self) -> None:
        """Set interrupted jobs to pending without counting the attempt, after the workers ended."""
        for assigned in self._assigned.values():
            discard(assigned.task)
        for assigned in self._assigned.values():
            self._ledger.release(assigned.job)
        self._assigned.clear()
