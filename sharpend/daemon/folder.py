"""Runtime state of one configured folder: intake, plan and pauses.

Owns the causes of a pause: roots that cannot be opened, an input that cannot be read (found by the
intake), and an output folder that cannot be written (found by a worker or the commit). The last is
probed with one image at a time until one succeeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sharpend.backoff import Backoff
from sharpend.errors import InputMissingError, OutputFailedError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.daemon.registrar_interface import RegistrarInterface
    from sharpend.intake.interface import Intake, Step
    from sharpend.intake.tally import Found, Tally
    from sharpend.ledger.records import Job
    from sharpend.logs.logs import Log
    from sharpend.task import Task

PROBES = Backoff(first_s=5.0, longest_s=30.0)
"""Waits between two probes of a paused output folder."""
LOOK_S = 2.0
"""Interval between checks whether missing roots are back, or were accepted."""


class Upkeep(Protocol):
    """Upkeep of a folder: tasks that concern no single image."""

    def step(self, now_s: float, tally: Tally | None) -> None:
        """Do what is due after a step of the folder.

        Args:
            now_s: monotonic seconds.
            tally: counts of the last full scan; None before the first.
        """

    def covers_pause(self, reason: str) -> bool:
        """Return whether a pause with a reason is that of a whole store, and logged so."""

    def close(self) -> None:
        """End it."""


class Folder:
    """A configured folder while the daemon runs.

    Args:
        plan: with its roots prepared, or found missing.
        log: for pauses, resumptions and polling.
        intake: starts it; as `Place.intake` with the arguments `fresh`, `patience` and `wake`.
        registrar: records settled files.
        upkeep: has a step after each one of the folder's.
        reopen: opens the roots again if they were accepted, or else if its argument is True; then
            the guard says whether that succeeded.
    """

    def __init__(
        self,
        plan: FolderPlan,
        log: Log,
        *,
        intake: Callable[..., Intake],
        registrar: RegistrarInterface,
        upkeep: Upkeep,
        reopen: Callable[[bool], None],
    ) -> None:
        self.plan = plan
        self.name = plan.destination.folder
        self.fault: str | None = None
        """Cause of a pause because of the output folder, or None."""
        self.reopened = False
        """True if the roots were opened since the last `recover`, after they could not be."""
        self._closed: str | None = None
        self._look_at_s = -math.inf
        self._probe_at_s = 0.0
        self._failures = 0
        self._resettled = False
        self._log = log
        self._registrar = registrar
        self._upkeep = upkeep
        self._covered: set[str] = set()
        """The roots, input or output, whose pause is logged for a whole store."""
        self._wake = registrar.wake
        self._next_s = -math.inf
        self._reopen = reopen
        self.early_reads = registrar.early_reads
        self.intake = intake(registrar.fresh, self.early_reads.patience, wake=registrar.wake)
        self._last: Step | None = None

    def step(self, now_s: float) -> float:
        """Record settled files if a step is due; return the time of the next one (monotonic)."""
        if self._wake.take() or now_s >= self._next_s:
            self._next_s = now_s  # if the step fails, it is repeated
            next_s = self._stepped(now_s)
            self._next_s = now_s if self._resettled else next_s
        return self._next_s

    def _stepped(self, now_s: float) -> float:
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            self._look_at_roots()
        if self._closed is not None:
            return self._look_at_s
        self._resettled = False
        step = self.intake.step(now_s)
        if step.settled:
            self._register(step.settled, now_s)
        for relative in self._registrar.collect():
            self.resettle(relative)
        if step.tally is not None:
            self._registrar.scanned()
        self._upkeep.step(now_s, step.tally)
        self._log_changes(step)
        self._last = step
        if self.is_settled and not self.paused:
            self._registrar.complete_scan()
        return step.next_s

    def _register(self, settled: Sequence[Found], now_s: float) -> None:
        entries = [(one.relative, one.fingerprint) for one in settled]
        unread, reason = self._registrar.register(entries)
        if unread:
            self.pause(f"the output folder cannot be read: {reason}", now_s)
        for relative in unread:
            self.resettle(relative)
        for found in settled:
            self._log.debug(Event.FILE_SETTLED, folder=self.name, path=found.relative)

    def _look_at_roots(self) -> None:
        """Open the roots again after a fault, or after they were accepted; log changes."""
        guard = self.plan.destination.guard
        readable = self._last is None or self._last.paused is None  # an input that hangs is not
        self._reopen(self._closed is not None or (self.fault is not None and readable))
        closed, self._closed = self._closed, guard.closed
        if self._closed == closed:
            return
        self.reopened = self._closed is None
        if self.fault is not None:  # the log has that pause
            return
        if self._closed is not None:
            self._log.error(Event.FOLDER_PAUSED, folder=self.name, reason=self._closed)
        else:
            self._log.info(Event.FOLDER_RESUMED, folder=self.name)

    @property
    def is_closed(self) -> bool:
        """True if the roots could not be opened: nothing may be done in the folder."""
        return self.plan.destination.guard.closed is not None

    def resettle(self, relative: bytes) -> None:
        """Make a file settle again."""
        self._resettled, self._next_s = True, -math.inf
        self.intake.unsettle(relative)

    def restart(self) -> None:
        """Scan the whole folder anew."""
        self._next_s = -math.inf
        self.intake.restart()

    @property
    def is_scanned(self) -> bool:
        """True after the first scan, or if the folder cannot be read now."""
        return self.is_closed or (
            self._last is not None
            and (self._last.tally is not None or self._last.paused is not None)
        )

    @property
    def is_settled(self) -> bool:
        """True if every file in the folder has settled and is in the ledger."""
        if self._last is None or self._resettled or self.is_closed or self._registrar.is_busy:
            return False
        return self.is_scanned and not self._last.settling

    @property
    def paused(self) -> str | None:
        """Cause of the current pause, or None."""
        reason = self.fault or self.plan.destination.guard.closed
        return reason or (self._last.paused if self._last is not None else None)

    def raise_for_pause(self) -> None:
        """Raise the cause of the current pause, if there is one.

        Raises:
            OutputFailedError: the output folder cannot be written.
            InputMissingError: the input folder cannot be read.
        """
        reason = self.fault or self.plan.destination.guard.closed
        if reason is not None:
            raise OutputFailedError(f"{self.name}: {reason}")
        if self.paused is not None:
            raise InputMissingError(f"{self.name}: {self.paused}")

    @property
    def left_alone(self) -> dict[str, int]:
        """Number of entries that are no inputs, by cause, at the last whole scan."""
        tally = self._last.tally if self._last is not None else None
        return dict(tally.left_alone) if tally is not None else {}

    @property
    def unreadable(self) -> int:
        """Number of files and folders that could not be read, at the last whole scan."""
        tally = self._last.tally if self._last is not None else None
        return tally.unreadable if tally is not None else 0

    def may_work(self, now_s: float, *, running: bool) -> bool:
        """Return whether a job may be started; a folder with a fault probes with one at a time."""
        if self.is_closed or (self._last is not None and self._last.paused is not None):
            return False
        return self.fault is None or (now_s >= self._probe_at_s and not running)

    def pause(self, fault: str, now_s: float) -> None:
        """Pause because of the output folder; the wait grows with each probe that fails."""
        if self.fault is None:
            self._failures = 1
        elif now_s >= self._probe_at_s:
            self._failures += 1
        else:  # images that ran at the same time fail for the same cause
            return
        is_logged = self.fault is not None and "output" not in self._covered
        if not (is_logged or self._is_covered("output", fault)):
            self._log.error(Event.FOLDER_PAUSED, folder=self.name, reason=fault)
        self.fault = fault
        self._probe_at_s = now_s + PROBES.wait_s(self._failures)

    def resume(self) -> bool:
        """Record that the output folder works; return True if that ended a pause."""
        was_paused, self.fault = self.fault is not None, None
        if was_paused:
            self._log_resumption("output")
        return was_paused

    def _is_covered(self, root: str, reason: str) -> bool:
        """Return whether the pause of a root that begins now is logged for its whole store."""
        covered = self._upkeep.covers_pause(reason)
        (self._covered.add if covered else self._covered.discard)(root)
        return covered

    def _log_resumption(self, root: str) -> None:
        """Log the end of a pause, if its beginning was logged."""
        if root not in self._covered:
            self._log.info(Event.FOLDER_RESUMED, folder=self.name)
        self._covered.discard(root)

    def _log_changes(self, step: Step) -> None:
        """Log changes of the input folder since the last step."""
        paused = self._last.paused if self._last is not None else None
        if step.paused not in {None, paused} and not self._is_covered("input", str(step.paused)):
            self._log.warning(Event.FOLDER_PAUSED, folder=self.name, reason=step.paused)
        if step.paused is None and paused is not None:
            self._log_resumption("input")
        polling = self._last.polling if self._last is not None else None
        if step.polling is not None and step.polling != polling:
            self._log.info(Event.FOLDER_POLLED, folder=self.name, reason=step.polling)
        if step.paused is None and step.polling is None and polling is not None:
            self._log.info(Event.FOLDER_WATCHED, folder=self.name)
        if step.tally is not None and step.tally.unreadable not in {0, self.unreadable}:
            self._log.warning(
                Event.FOLDER_SKIPPED,
                folder=self.name,
                unreadable=step.tally.unreadable,
                paths=step.tally.unreadable_paths,
            )

    def close(self) -> None:
        """Stop watching the input."""
        self.intake.close()
        self._registrar.close()
        self._upkeep.close()


@dataclass(frozen=True, slots=True)
class AssignedJob:
    """A claimed job, with the task that a worker got."""

    job: Job
    folder: Folder
    since_s: float
    """Monotonic seconds."""
    task: Task | None = None
    """None if the job ended before it was submitted."""
    node: str = ""
    """Name of the node of a cluster that worked on it; empty for this machine."""

    @property
    def event_keys(self) -> dict[str, object]:
        """Return the keys of its events: folder, path, and the node, where there is one."""
        node = {"node": self.node} if self.node else {}
        return {"folder": self.folder.name, "path": self.job.relative, **node}
