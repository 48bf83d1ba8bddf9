"""Daemon: open the ledger, construct the parts, run the main loop, reload, stop.

One thread does everything here; workers are processes, and inotify events only wake the loop. Lower
packages do not read settings. `once` runs the same daemon until nothing is left to do.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.daemon.assembly import Callbacks, Parts, assemble, prepare, retire
from sharpend.daemon.context import ProcessContext, process_context
from sharpend.daemon.engine_faults import raise_for_outage, stalled_by
from sharpend.daemon.roots import OnFault
from sharpend.daemon.snapshot import paused_line
from sharpend.errors import ExitCode, SharpendError, StateFaultError, UnavailableError
from sharpend.logs.events import Event
from sharpend.settings.load import NOT_RELOADABLE, changed_keys

if TYPE_CHECKING:
    from sharpend.daemon.run_mode import RunMode
    from sharpend.daemon.snapshot import Snapshot
    from sharpend.logs.logs import Log
    from sharpend.settings.schema import Settings

DRAIN_S = 25.0
"""Longest wait for running tasks at a stop; below the unit's TimeoutStopSec."""
LONGEST_WAIT_S = 5.0


class Daemon:
    """A daemon from start to stop.

    Args:
        settings: validated.
        log: for all events.
        mode: differences between commands.

    Attributes:
        agreement: summary of the main model's agreement at the end, or None.
    """

    def __init__(self, settings: Settings, log: Log, mode: RunMode) -> None:
        self._settings = settings
        self._log = log
        self._mode = mode
        self._context = process_context(log)
        self.agreement: dict[str, object] | None = None

    def run(self) -> ExitCode:
        """Work until a signal, or with `once` until nothing is left to do.

        Raises:
            SharpendError: the start failed, or with `once` a whole folder did.
        """
        context, control = self._context, self._context.control
        with control.signals(reloads=not self._mode.once):
            ledger = context.open_ledger(self._settings.state, waits=not self._mode.once)
            if ledger is None:
                return ExitCode.OK  # a signal came before the ledger could be opened
            try:
                if ledger.rebuilt:
                    self._log.warning(Event.LEDGER_REBUILT, **ledger.recovery_paths)
                calls = Callbacks(control.wake, context.keep_alive.go_on, self._mode.on_result)
                parts = assemble(self._settings, self._log, ledger, calls, self._mode.on_fault)
                Loop(parts, calls, self._mode, context).run()
                self.agreement = next(iter(parts.measurements.agreement.values()), None)
            except UnavailableError:
                if not control.stops:  # else a signal ended the start
                    raise
            finally:
                ledger.close()  # last: the steps before may write to it
        return ExitCode.OK

    @property
    def was_stopped(self) -> int:
        """Number of the signal that ended the work; 0 if none did."""
        return self._context.control.signal


class Loop:
    """Main loop of the daemon.

    Args:
        parts: of the start; a reload replaces them.
        calls: callbacks for the parts of a reload.
        mode, context: as of the daemon; they outlive a reload.
    """

    def __init__(
        self, parts: Parts, calls: Callbacks, mode: RunMode, context: ProcessContext
    ) -> None:
        self._parts = parts
        self._calls = calls
        self._mode = mode
        self._control = context.control
        self._notifier = context.notifier
        self._keep_alive = context.keep_alive
        self._watchdog = context.watchdog
        self._outage = context.outage
        self._report_at_s = time.monotonic() + parts.settings.report.every_s
        self._is_ready = False
        self._wanted: Settings | None = None
        self._ignored: list[str] = []

    def run(self) -> None:
        """Recover, run turns until a stop, and stop the parts; after an error without a drain."""
        drains = False
        try:
            self._recover()
            self._parts.dispatcher.remove_stale_temps(self._keep_alive.go_on)
            if self._mode.once:
                self._parts.dispatcher.hasten()
            while not self._control.stops:
                next_s = self._turn(time.monotonic())
                if self._mode.once:
                    for folder in self._parts.dispatcher.folders.values():
                        folder.raise_for_pause()  # a command does not wait for its end
                    raise_for_outage(self._parts.workers.pool.faults)
                    if self._parts.dispatcher.is_done:
                        break
                self._wait(next_s)
            drains = True
        finally:
            self._stop(drains=drains)

    def _recover(self) -> None:
        """Recover interrupted work of earlier parts or processes."""
        try:
            self._parts.dispatcher.recover()
        except StateFaultError as error:
            if self._mode.once:
                raise
            self._pause(error, time.monotonic())  # the end of the outage recovers the same

    # Turns

    def _wait(self, until_s: float) -> None:
        """Ping the watchdog if the last turn made progress, then wait for a wake-up."""
        if not self._is_ready:  # the first scan of a large folder may take long
            self._keep_alive.go_on()
        now_s = time.monotonic()
        self._watchdog.ping(now_s, self._stalled_by)
        self._control.wait(min(until_s, self._watchdog.next_s, now_s + LONGEST_WAIT_S) - now_s)

    def _stalled_by(self, now_s: float) -> str | None:
        """Return what is stalled, or None; during a state outage results may wait."""
        overdue_s = self._parts.workers.pool.overdue_s(now_s)
        return stalled_by(overdue_s) if self._outage.fault is None else None

    def _turn(self, now_s: float) -> float:
        """Run one turn, or probe during a state outage; return the time of the next."""
        try:
            if self._outage.fault is None:
                return self._work(now_s)
            if now_s >= self._outage.next_s:
                self._parts.dispatcher.recover_from_outage(now_s)
                if self._outage.ended(now_s):
                    self._notifier.status(self._summary())
                return self._work(now_s)
            self._report(now_s)
        except StateFaultError as error:
            if self._mode.once:
                raise
            self._pause(error, now_s)
        return self._outage.next_s

    def _work(self, now_s: float) -> float:
        """Run each part once; return the time of the next turn (monotonic seconds)."""
        dispatcher = self._parts.dispatcher
        next_s = dispatcher.step_folders(now_s)
        if self._control.reload:
            self._reload()
        dispatcher.work(now_s, assigns=self._wanted is None)
        if self._wanted is not None and not dispatcher.is_working:
            self._swap(self._wanted)
        if not self._is_ready and all(folder.is_scanned for folder in dispatcher.folders.values()):
            self._is_ready = True
            self._parts.status.report_ready(self._snapshot())
            self._notifier.ready(self._summary())
        self._report(now_s)
        return min(next_s, self._parts.workers.pool.next_deadline_s(), self._report_at_s)

    # Reports

    def _snapshot(self) -> Snapshot:
        """Take a snapshot of the daemon's state."""
        return replace(self._parts.dispatcher.snapshot(), state_fault=self._outage.fault)

    def _summary(self) -> str:
        """Format the line for `systemctl status`; reads no ledger during a state outage."""
        if self._outage.fault is not None:
            return paused_line(self._outage.fault)
        return self._parts.status.summary(self._snapshot())

    def _report(self, now_s: float) -> None:
        """Publish the report and the status line if the interval has passed."""
        if now_s >= self._report_at_s:
            self._report_at_s = now_s + self._parts.settings.report.every_s
            now = self._publish(now_s)
            self._notifier.status(self._parts.status.summary(now))

    def _publish(self, now_s: float, *, state: str = "running") -> Snapshot:
        """Publish a report, begin a new throughput window, and return the snapshot."""
        now = self._snapshot()
        window = self._parts.measurements.throughput.publish(now_s)
        self._parts.status.publish(now, window, state=state)
        return now

    def _pause(self, error: StateFaultError, now_s: float) -> None:
        """Begin a state outage, and try to write it to the status file."""
        if self._outage.failed(error, now_s):
            with suppress(StateFaultError):
                self._parts.status.report_paused(self._snapshot())

    # Stop

    def _stop(self, *, drains: bool) -> None:
        """Stop all parts in order; `drains` finishes running tasks first."""
        parts, dispatcher = self._parts, self._parts.dispatcher
        try:
            if drains:
                # First of all: the service manager's own deadline runs from here.
                self._notifier.stopping()
                deadline_s = time.monotonic() + DRAIN_S
                if self._control.stops:
                    parts.log.info(Event.DAEMON_DRAINING, running=len(parts.workers.pool.running))
                # Interrupted tasks are repeated from the start, so running ones may finish: until
                # the deadline, a second signal, or a state outage. No new ones are started.
                while dispatcher.is_working and self._outage.fault is None:
                    now_s = time.monotonic()
                    if now_s > deadline_s or self._control.stops > 1:
                        break
                    try:
                        dispatcher.conclude(now_s)
                    except StateFaultError as error:  # results that cannot be recorded are repeated
                        self._pause(error, now_s)
                    if dispatcher.is_working:
                        self._wait(deadline_s)
        finally:
            # A state outage may be the cause of the stop; the next start recovers the ledger.
            with suppress(StateFaultError):
                # Before the workers: files that settle from now on are left to the next start.
                dispatcher.close()
                # Before their temporary files are removed: a running worker would go on writing.
                parts.workers.pool.stop()
                # Before the report, which counts interrupted jobs as waiting.
                dispatcher.release_unfinished()
                self._publish(time.monotonic(), state="stopped")
            # Last: at this event no worker runs and the status is final; the ledger closes next.
            parts.log.info(Event.DAEMON_STOPPED)

    # Reload

    def _reload(self) -> None:
        """Read and check the settings; wrong ones are rejected and the old ones stay in force."""
        self._control.reload = False
        self._notifier.reloading()
        old = self._parts.settings
        try:
            settings = old if self._mode.load is None else self._mode.load()
            prepare(settings, self._parts.ledger, OnFault.RAISE_IF_NEW)
        except StateFaultError:  # not an error of the settings: they are read after the outage
            self._control.reload = True
            raise
        except SharpendError as error:
            self._reject(error)
        else:
            # The state directory is locked and in use: a change needs a restart.
            self._wanted = settings.model_copy(update={"state": old.state})
            self._ignored = [key for key in NOT_RELOADABLE if key in changed_keys(old, settings)]

    def _swap(self, settings: Settings) -> None:
        """Replace all parts while no task runs."""
        self._wanted, old = None, self._parts
        try:
            self._parts = assemble(settings, old.log, old.ledger, self._calls, old=old)
        except StateFaultError:  # not an error of the settings, as above
            self._wanted = settings
            raise
        except SharpendError as error:
            self._reject(error)
            return
        retire(old, self._parts)
        self._outage.log = self._parts.log
        self._report_at_s = time.monotonic() + settings.report.every_s
        self._recover()
        changed = changed_keys(old.settings, settings)
        self._parts.log.info(Event.CONFIG_RELOADED, changed=changed, ignored=self._ignored)
        self._notifier.ready(self._summary())

    def _reject(self, error: SharpendError) -> None:
        self._parts.log.error(Event.CONFIG_REJECTED, message=str(error))
        self._notifier.ready(self._summary())
