"""The shop floor: hands due jobs to free workers and brings their outcomes to conclusion.

Owns the folders, and which job is in whose hands. Holds no more jobs in memory than there are
workers: the ledger is the queue.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

from sharpend.commit.committer import Committer
from sharpend.commit.destination import TempNames
from sharpend.commit.quarantine import Quarantine
from sharpend.daemon.attempts import discard
from sharpend.daemon.folder import Folder
from sharpend.daemon.maintenance import Maintenance, Paths
from sharpend.daemon.outcomes import Handed, Outcomes
from sharpend.daemon.snapshot import Snapshot
from sharpend.errors import FolderFaultError, ImageRefusedError, Reason, TransientError
from sharpend.job import Died, Job, State
from sharpend.ledger.records import QuarantineReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.commit.destination import Destination
    from sharpend.daemon.outcomes import Result
    from sharpend.daemon.workshop import Workshop
    from sharpend.job import Outcome
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.workers.protocol import Workers

FINISH_EVERY_S = 30.0
"""How often commits that a busy source or a paused folder left unfinished are tried again."""
LONGEST_OVERDUE_S = 30.0
"""How late a worker may be replaced; one that is still there then never will be."""
HANDED_AT_ONCE = 100
"""Jobs claimed in one turn: those that need no worker must not hold up signals and watchdog."""


class Dispatcher:
    """Folders, queue and workers; all methods are called from one thread.

    Args:
        workshop: folders, rules, and where measurements go.
        ledger: the queue.
        pool: the workers.
        log: told of everything.
        wake: asks for a turn soon, from any thread.
        tell: gets the result of each input that came to an end.
    """

    def __init__(
        self,
        workshop: Workshop,
        ledger: Ledger,
        pool: Workers,
        log: Log,
        *,
        wake: Callable[[], None],
        tell: Callable[[Result], None],
    ) -> None:
        self._ledger = ledger
        self._log = log
        self._wake = wake
        self._tell = tell
        self._names = TempNames(workshop.state_dir)
        self._committer = Committer(ledger, self._names)
        self._quarantine = Quarantine(ledger, workshop.state_dir, self._names)
        self._outcomes = Outcomes(
            ledger, self._committer, self._quarantine, workshop.retry, log, self._ended
        )
        self._handed: dict[int, Handed] = {}
        self._stopped: list[Handed] = []
        self._unrecorded: list[tuple[Handed, Outcome]] = []
        self._finish_at_s = -math.inf
        self._pool = pool
        self._measurements = workshop.measurements
        chance = random.Random()  # noqa: S311 - spreads scans, guards nothing
        self.folders = {
            plan.destination.folder: Folder(plan, ledger, log, wake=wake, chance=chance)
            for plan in workshop.plans
        }
        paths = Paths(workshop.state_dir, self._quarantine.root, self._destinations)
        self._maintenance = Maintenance(workshop.retention, paths, ledger, log)

    def recover(self) -> None:
        """At start, and after a reload: make good what was cut off."""
        given_up = self._ledger.recover()
        self._quarantine.recover(self._destinations)
        for job in given_up:
            if job.folder in self.folders:
                self._give_up(job)
        for folder in self.folders.values():
            self._outcomes.recover(folder, time.monotonic())

    def remove_stale_temps(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """At start, after `recover`: look everywhere for what a daemon that died left half-written.

        Takes as long as a walk through all outputs; `go_on` is asked in each of their folders.
        """
        ways = [folder.plan.destination for folder in self.folders.values()]
        roots = [root for way in ways for root in (way.output_root, way.archive_root)]
        for root in [*roots, self._quarantine.root]:
            if root is not None:
                self._committer.remove_stale_temps(root, go_on)

    def hasten(self) -> None:
        """Let what a daemon put off be due now: a command does not wait for its backoff."""
        for name in self.folders:
            self._ledger.hasten(name, time.time())

    def make_good(self, now_s: float) -> None:
        """After the state directory failed in the middle of anything: make the ledger right again.

        Raises:
            StateFaultError: it fails still; what was made good until then stays so.
        """
        self._ledger.probe()
        self._quarantine.probe()
        for folder in self.folders.values():
            self._outcomes.recover(folder, now_s)
        self._unrecorded = [pair for pair in self._unrecorded if self._is_running(pair[0].job)]
        self._record(now_s)
        for job in self._ledger.running():
            if job.id not in self._handed:  # claimed, and then it never reached a worker
                self._ledger.release(job)
        self._quarantine.recover(self._destinations)
        for folder in self.folders.values():  # what had settled may not have been recorded
            folder.intake.restart()

    def _is_running(self, job: Job) -> bool:
        """Whether the ledger still waits for the end of its attempt."""
        known = self._ledger.job(job.id)
        return known is not None and known.state is State.RUNNING

    @property
    def _destinations(self) -> dict[str, Destination]:
        return {name: folder.plan.destination for name, folder in self.folders.items()}

    def _give_up(self, job: Job) -> None:
        handed = Handed(job, self.folders[job.folder], time.monotonic())
        message = f"the daemon died {job.orphans} times while it was in work"
        self._outcomes.refuse(handed, QuarantineReason(Reason.DAEMON_DIED, message))

    def take_in(self, now_s: float) -> float:
        """One step of every folder, and of maintenance; returns when to come again (monotonic)."""
        if now_s >= self._finish_at_s:
            self._finish_at_s = now_s + FINISH_EVERY_S
            while self._stopped:
                discard(self._stopped.pop().task)
            for folder in self.folders.values():
                self._outcomes.recover(folder, now_s)
        next_s = self._maintenance.step(now_s, time.time())
        next_s = min([next_s, *(folder.step(now_s) for folder in self.folders.values())])
        folders = self.folders.values()
        if folders and all(folder.is_quiet and not folder.paused for folder in folders):
            self._ledger.set_reconciled()
        return next_s

    def hand_out(self, now_s: float) -> None:
        """Give due jobs to free workers."""
        for _ in range(HANDED_AT_ONCE):
            if not self._pool.free:
                return
            busy = {handed.folder.name for handed in self._handed.values()}
            open_folders = [
                name
                for name, folder in self.folders.items()
                if folder.may_work(now_s, running=name in busy)
            ]
            job = self._claim(open_folders) if open_folders else None
            if job is None:
                return
            self._hand(job, now_s)
        self._wake()

    def _claim(self, names: list[str]) -> Job | None:
        newest = [name for name in names if self.folders[name].plan.newest_first]
        return self._ledger.claim(time.time(), names, newest)

    def _hand(self, job: Job, now_s: float) -> None:
        """Give one claimed job to a worker, or end it where no work is needed."""
        folder = self.folders[job.folder]
        destination = folder.plan.destination
        handed = Handed(job, folder, now_s)
        try:
            committed = self._committer.leave_existing(destination, job, time.time())
            if committed is not None:
                self._outcomes.finished(handed, committed, None, commit_s=0.0, ended_s=now_s)
                return
            parent, temp_name = self._committer.prepare(destination, job)
        except FolderFaultError as error:
            self._ledger.release(job)
            folder.pause(str(error), now_s)
            return
        except ImageRefusedError as error:
            refusal = QuarantineReason(error.reason, str(error), error.setting)
            self._outcomes.refuse(handed, refusal)
            return
        except TransientError as error:
            self._outcomes.again(handed, error.reason, str(error), stage="open")
            return
        measured = self._measurements.wants(folder.plan.options.model)
        task = folder.plan.task(job, parent, temp_name, measured=measured)
        self._handed[job.id] = Handed(job, folder, now_s, task)
        self._pool.submit(task, now_s)

    def conclude(self, now_s: float) -> None:
        """Draw the consequences of everything that ended."""
        for outcome in self._pool.finished(now_s):
            self._unrecorded.append((self._handed.pop(outcome.job_id), outcome))
            self._record(now_s)

    def _record(self, now_s: float) -> None:
        """Conclude what waits for it; where the ledger cannot be written, it waits on."""
        while self._unrecorded:
            handed, outcome = self._unrecorded[0]
            self._outcomes.conclude(handed, outcome, now_s)
            self._unrecorded.pop(0)
            if isinstance(outcome, Died):  # it may yet write on its last way
                self._stopped.append(handed)
            model = handed.folder.plan.options.model
            self._measurements.weigh(model, handed.task, outcome, self._log)

    def _ended(self, result: Result) -> None:
        counted = self._measurements.throughput
        if result.outcome == "quarantined":
            counted.failed()
        elif result.staged is not None:
            counted.finished(result.staged, commit_s=result.commit_s, wait_s=result.seconds)
        self._tell(result)

    def snapshot(self) -> Snapshot:
        """How everything stands now."""
        oldest_at = self._ledger.oldest_pending_at(self.folders)
        totals, folders = self._measurements.throughput, self.folders.items()
        return Snapshot(
            workers=self._pool.count,
            queue_depth=self._ledger.waiting(self.folders),
            oldest_pending_s=None if oldest_at is None else max(0.0, time.time() - oldest_at),
            sharpened=totals.total_images - totals.total_unchanged,
            quarantined=totals.total_failures,
            agreement=self._measurements.agreement,
            low=self._measurements.low,
            folders=tuple(self.folders),
            paused={name: one.paused for name, one in folders if one.paused},
            unreadable={name: one.unreadable for name, one in folders if one.unreadable},
            left_alone={name: one.left_alone for name, one in folders},
        )

    @property
    def is_working(self) -> bool:
        """Some worker has a job."""
        return bool(self._handed or self._unrecorded)

    @property
    def is_done(self) -> bool:
        """Everything in the folders was seen, and nothing is left to do or in doubt."""
        return (
            not self.is_working
            and all(folder.is_quiet for folder in self.folders.values())
            and not self._ledger.waiting(list(self.folders))
        )

    def next_due_s(self) -> float:
        """When a turn is needed even if nothing wakes, for a worker's deadline (monotonic).

        Retries and paused folders are looked at whenever the folders are, every few seconds.
        """
        return self._pool.next_deadline_s()

    def stalled_by(self, now_s: float) -> str | None:
        """What has come to a stand that only a new start can move, or None.

        Asked after a turn, in which every folder was stepped and the ledger asked.
        """
        overdue_s = self._pool.overdue_s(now_s)
        if overdue_s > LONGEST_OVERDUE_S:
            return f"a worker that is {overdue_s:.0f} s overdue was not replaced"
        return None

    def close(self) -> None:
        """Stop watching the folders, and all maintenance; the workers stay."""
        self._maintenance.close()
        for folder in self.folders.values():
            folder.close()

    def give_back(self) -> None:
        """At a stop, after the workers ended: what they had is pending again, without a strike."""
        for handed in self._handed.values():
            discard(handed.task)
        for handed in self._handed.values():
            self._ledger.release(handed.job)
        self._handed.clear()
